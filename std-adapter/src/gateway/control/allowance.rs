//! Bounds what the other side sends before its answer is whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use edgetrust_core::mesh::MAX_SIGNED_MESH;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The octets for one answer: the longest mesh, and the heads and chunks around it.
const OF_ONE_ANSWER: usize = MAX_SIGNED_MESH + 64 * 1024;

/// The octets that may still come. Clones are of one stream.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(OF_ONE_ANSWER)))
    }

    /// Allows another answer.
    pub(super) fn renew(&self) {
        self.0.store(OF_ONE_ANSWER, Ordering::Relaxed);
    }

    /// Counts octets; returns false if they are too many.
    fn take(&self, octets: usize) -> bool {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(octets));
        left.is_ok()
    }
}

/// A stream that fails once it was sent more than is allowed. Interim answers (RFC 9110 section 15.2), say, may come
/// without end.
#[derive(Debug)]
pub(super) struct Allowed<S> {
    stream: S,
    allowance: Allowance,
}

impl<S> Allowed<S> {
    pub(super) fn new(stream: S, allowance: Allowance) -> Self {
        Self { stream, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Allowed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len().saturating_sub(before);
        Poll::Ready(match self.allowance.take(read) {
            true => Ok(()),
            false => {
                Err(io::Error::other(format!("found more, expected at most {OF_ONE_ANSWER} octets for one answer")))
            }
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Allowed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn one_answer_fits_and_then_another() {
        let allowance = Allowance::new();
        let mut stream = Allowed::new(tokio::io::repeat(7).take(u64::MAX), allowance.clone());
        let mut answer = vec![0; OF_ONE_ANSWER];
        for _ in 0..2 {
            allowance.renew();
            stream.read_exact(&mut answer).await.unwrap();
        }
        let error = stream.read_u8().await.unwrap_err();
        assert!(error.to_string().contains("octets for one answer"), "{error}");
    }
}
