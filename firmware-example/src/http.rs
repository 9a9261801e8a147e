//! HTTP/1.1, as much as a device says (RFC 9112).

use core::fmt::Write as _;

use embedded_io_async::{Read, Write};

use crate::dial::Link;

/// Fields of an answer that are looked at.
const MAX_FIELDS: usize = 24;

/// Why a request came to nothing.
#[derive(Clone, Copy, defmt::Format)]
pub enum HttpError {
    /// The connection.
    Connection(edgetrust_core::embedded_tls::ConnectionError),
    /// It ended before the answer did.
    Ended,
    /// The request or the answer does not fit into memory.
    TooLong,
    /// The answer is no HTTP.
    Malformed,
}

impl From<edgetrust_core::embedded_tls::ConnectionError> for HttpError {
    fn from(error: edgetrust_core::embedded_tls::ConnectionError) -> Self {
        Self::Connection(error)
    }
}

/// What is sent.
pub struct Post<'a> {
    pub host: &'a str,
    pub path: &'a str,
    pub content_type: &'a str,
    pub body: &'a [u8],
}

/// What came: the status, and the body, which lies in the buffer.
pub struct Answer<'b> {
    pub status: u16,
    pub body: &'b mut [u8],
}

/// Sends a request, reads the whole answer.
pub async fn post<'b>(link: &mut Link<'_>, post: Post<'_>, buffer: &'b mut [u8]) -> Result<Answer<'b>, HttpError> {
    let mut head = heapless::String::<384>::new();
    let Post { host, path, content_type, body } = post;
    write!(
        head,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .map_err(|_| HttpError::TooLong)?;
    link.write_all(head.as_bytes()).await?;
    link.write_all(body).await?;
    link.flush().await?;
    let (mut have, mut known) = (0, None);
    let (status, from, to) = loop {
        let rest = buffer.get_mut(have..).filter(|rest| !rest.is_empty()).ok_or(HttpError::TooLong)?;
        let count = link.read(rest).await?;
        have = have.saturating_add(count);
        let octets = buffer.get(..have).unwrap_or_default();
        if known.is_none() {
            known = head_of(octets)?;
        }
        match known {
            Some((status, from, Some(length))) if octets.len() >= from.saturating_add(length) => {
                break (status, from, from.saturating_add(length));
            }
            // RFC 9112 section 6.3: without a length it ends with the connection
            Some((status, from, None)) if count == 0 => break (status, from, have),
            _ if count == 0 => return Err(HttpError::Ended),
            _ => {}
        }
    };
    let body = buffer.get_mut(from..to).ok_or(HttpError::Malformed)?;
    Ok(Answer { status, body })
}

/// Status, where the body begins, and its length; none while the head is not whole.
#[expect(clippy::type_complexity, reason = "three numbers")]
fn head_of(octets: &[u8]) -> Result<Option<(u16, usize, Option<usize>)>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let head = match response.parse(octets).map_err(|_| HttpError::Malformed)? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(head) => head,
    };
    let field = |name: &str| response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    if field("transfer-encoding").is_some() {
        return Err(HttpError::Malformed);
    }
    let length = match field("content-length") {
        None => None,
        Some(field) => {
            let text = core::str::from_utf8(field.value).map_err(|_| HttpError::Malformed)?;
            Some(text.trim().parse().map_err(|_| HttpError::Malformed)?)
        }
    };
    Ok(Some((response.code.ok_or(HttpError::Malformed)?, head, length)))
}
