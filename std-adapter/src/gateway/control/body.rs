//! Reads the body of a request or an answer.

use std::error::Error;
use std::fmt;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};

use crate::tls::without_link;

/// The reason that a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than this.
    TooLong(usize),
    /// It did not arrive whole.
    Broken(String),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(limit) => write!(f, "found more, expected at most {limit} octets"),
            Self::Broken(error) => f.write_str(error),
        }
    }
}

/// Reads a body whole. It is copied to one place as it arrives: a chunk kept by itself takes dozens of octets, even if
/// it has but one.
///
/// # Errors
/// Fails if the body is longer than `limit`, or does not arrive whole.
pub(super) async fn read<B>(mut body: B, limit: usize) -> Result<Vec<u8>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    // Nothing of a body is read whose length is known to be too much.
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > limit) {
        return Err(BodyError::TooLong(limit));
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(with_source(&error)))?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        let length = whole.len().saturating_add(data.len());
        if length > limit {
            return Err(BodyError::TooLong(limit));
        }
        if length > whole.capacity() {
            let capacity = whole.capacity().saturating_mul(2).clamp(length, limit);
            whole.reserve_exact(capacity.saturating_sub(whole.len()));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

/// Returns an error with what it came from, which hyper's errors leave out.
pub(super) fn with_source(error: &(dyn Error + 'static)) -> String {
    let text = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    without_link(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::HeaderMap;
    use hyper::body::Frame;

    use super::*;

    async fn read_parts(parts: &[&'static [u8]], limit: usize) -> Result<Vec<u8>, BodyError> {
        let frames: Vec<_> =
            parts.iter().map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from_static(part)))).collect();
        read(StreamBody::new(stream::iter(frames)), limit).await
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_the_limit_and_no_longer() {
        assert_eq!(read_parts(&[], 0).await, Ok(Vec::new()));
        assert_eq!(read_parts(&[b"ab", b"", b"cde"], 5).await, Ok(b"abcde".to_vec()));
        let error = read_parts(&[b"ab", b"", b"cde"], 4).await.unwrap_err();
        assert_eq!(error.to_string(), "found more, expected at most 4 octets");
        assert_eq!(read(Full::new(Bytes::from_static(b"abc")), 2).await, Err(BodyError::TooLong(2)));
    }

    #[tokio::test]
    async fn tiny_chunks_take_no_more_than_the_limit() {
        let limit = 1_000;
        let whole = read_parts(&vec![b"z".as_slice(); limit], limit).await.unwrap();
        assert!(whole.len() == limit && whole.capacity() == limit, "{}", whole.capacity());
        assert!(read_parts(&vec![b"z".as_slice(); limit + 1], limit).await.is_err());
    }

    #[tokio::test]
    async fn trailers_and_errors_are_no_part() {
        let frames = [Ok(Frame::data(Bytes::from_static(b"a"))), Ok(Frame::trailers(HeaderMap::new()))];
        let body = StreamBody::new(stream::iter(frames.into_iter().chain([Err(std::io::Error::other("gone"))])));
        assert_eq!(read(body, 9).await, Err(BodyError::Broken("gone".to_owned())));
    }
}
