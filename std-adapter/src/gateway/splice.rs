//! Moves bytes both ways until both sides have ended.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::Buffer;
use super::status::Counters;

/// One direction. It holds a buffer only while there are bytes that the writer has not taken.
#[derive(Debug, Default)]
struct Direction {
    buffer: Option<Buffer>,
    from: usize,
    to: usize,
    unflushed: bool,
    ended: bool,
    done: bool,
    bytes: u64,
}

/// Both directions of a connection: `up` from client to target, `down` back.
#[derive(Debug, Default)]
pub(super) struct Splice {
    up: Direction,
    down: Direction,
}

/// Which side failed.
#[derive(Debug)]
pub(super) enum SpliceError {
    Client(io::Error),
    Target(io::Error),
}

enum Failed {
    Reading(io::Error),
    Writing(io::Error),
}

impl Splice {
    /// Bytes moved, up and down.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.up.bytes, self.down.bytes)
    }

    /// Moves what can be moved; ready when both directions have ended. An end is passed on (half-close), the other direction goes
    /// on.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncRead + AsyncWrite + Unpin),
        target: &mut (impl AsyncRead + AsyncWrite + Unpin),
        counters: &Counters,
    ) -> Poll<Result<(), SpliceError>> {
        let up = self.up.poll(cx, client, target, counters.up()).map_err(|failed| match failed {
            Failed::Reading(error) => SpliceError::Client(error),
            Failed::Writing(error) => SpliceError::Target(error),
        })?;
        let down = self.down.poll(cx, target, client, counters.down()).map_err(|failed| match failed {
            Failed::Reading(error) => SpliceError::Target(error),
            Failed::Writing(error) => SpliceError::Client(error),
        })?;
        ready!(up);
        ready!(down);
        Poll::Ready(Ok(()))
    }
}

impl Direction {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        counter: &AtomicU64,
    ) -> Poll<Result<(), Failed>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        loop {
            while let Some(buffer) = self.buffer.as_ref().filter(|_| self.from < self.to) {
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, buffer.filled(self.from, self.to)));
                match written.map_err(Failed::Writing)? {
                    0 => return Poll::Ready(Err(Failed::Writing(io::ErrorKind::WriteZero.into()))),
                    count => self.from = self.from.saturating_add(count),
                }
                self.unflushed = true;
            }
            if self.ended {
                self.buffer = None;
                ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(Failed::Writing)?;
                self.done = true;
                return Poll::Ready(Ok(()));
            }
            let mut buffer = self.buffer.take().unwrap_or_else(Buffer::take);
            let mut read = ReadBuf::new(buffer.octets());
            match Pin::new(&mut *reader).poll_read(cx, &mut read) {
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(Failed::Writing)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failed::Reading(error))),
                Poll::Ready(Ok(())) => {
                    let count = read.filled().len();
                    (self.from, self.to) = (0, count);
                    let octets = u64::try_from(count).unwrap_or(u64::MAX);
                    self.bytes = self.bytes.saturating_add(octets);
                    counter.fetch_add(octets, Ordering::Relaxed);
                    self.ended = count == 0;
                    self.buffer = Some(buffer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn an_end_is_passed_on_and_the_other_direction_goes_on() {
        let (mut client, mut near) = duplex(64);
        let (mut far, mut target) = duplex(64);
        let moved = tokio::spawn(async move {
            let mut splice = Splice::default();
            std::future::poll_fn(|cx| splice.poll(cx, &mut near, &mut far, &Counters::default())).await.unwrap();
            splice.bytes()
        });
        client.write_all(b"ask").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = Vec::new();
        target.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"ask");
        target.write_all(b"answer").await.unwrap();
        drop(target);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        assert_eq!(moved.await.unwrap(), (3, 6));
    }

    #[tokio::test]
    async fn a_slow_reader_holds_the_writer_back() {
        let (mut client, mut near) = duplex(1024);
        let (mut far, mut target) = duplex(1024);
        tokio::spawn(async move {
            let mut splice = Splice::default();
            let _ = std::future::poll_fn(|cx| splice.poll(cx, &mut near, &mut far, &Counters::default())).await;
        });
        let block = vec![7_u8; 1 << 20];
        let sent = tokio::time::timeout(std::time::Duration::from_millis(200), client.write_all(&block)).await;
        assert!(sent.is_err(), "a megabyte went nowhere");
        let mut received = vec![0; 1024];
        target.read_exact(&mut received).await.unwrap();
        assert!(received.iter().all(|octet| *octet == 7));
    }
}
