//! Implements the part of HTTP/1.1 that a device needs (RFC 9112).

use core::ops::Range;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::{TrustedTime, http_date};
use embedded_io_async::Read;

use crate::dial::{Link, say};

/// The maximum number of fields in an answer.
const MAX_FIELDS: usize = 24;

/// The reason for which a request failed.
#[derive(Clone, Copy, defmt::Format)]
pub enum HttpError {
    /// The connection failed.
    Connection(edgetrust_core::embedded_tls::ConnectionError),
    /// The connection ended before the answer did.
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

/// A request to send.
pub struct Request<'a> {
    pub host: &'a str,
    pub path: &'a str,
    /// The credentials of HTTP Basic in base64 (RFC 7617 section 2); empty for none.
    pub authorization: &'a str,
    /// The content type and body of a POST; `None`: a GET.
    pub post: Option<(&'a str, &'a [u8])>,
}

/// An answer; the body is in the buffer.
pub struct Answer<'b> {
    pub head: Head,
    pub body: &'b mut [u8],
}

/// The contents of a Retry-After field (RFC 9110 section 10.2.3).
#[derive(Clone, Copy)]
pub enum RetryAfter {
    Seconds(u32),
    Date(UnixTime),
}

impl RetryAfter {
    fn parse(value: &[u8]) -> Option<Self> {
        match number(value) {
            Some(seconds) => u32::try_from(seconds).ok().map(Self::Seconds),
            None => http_date(value).map(Self::Date),
        }
    }

    /// Returns the seconds to wait; `None` for a date while the time is unknown.
    pub fn seconds(self, now: TrustedTime) -> Option<u32> {
        match (self, now) {
            (Self::Seconds(seconds), _) => Some(seconds),
            (Self::Date(date), TrustedTime::Known(now)) => {
                Some(u32::try_from(date.as_secs().saturating_sub(now.as_secs())).unwrap_or(u32::MAX))
            }
            (Self::Date(_), _) => None,
        }
    }
}

/// The head of an answer.
#[derive(Clone, Copy)]
pub struct Head {
    pub status: u16,
    /// True if the server closes the connection (RFC 9112 section 9.6).
    pub closes: bool,
    /// The time before another attempt is worthwhile.
    pub retry_after: Option<RetryAfter>,
    /// The start of the body in the buffer.
    from: usize,
    /// The end of the body in the buffer.
    to: usize,
}

impl Head {
    /// Returns the range of the body in the buffer.
    pub fn body(&self) -> Range<usize> {
        self.from..self.to
    }
}

/// Sends a request, and reads the whole answer; the connection stays usable.
pub async fn ask<'b>(link: &mut Link<'_>, request: Request<'_>, buffer: &'b mut [u8]) -> Result<Answer<'b>, HttpError> {
    let Request { host, path, authorization, post } = request;
    let (method, kind) = if post.is_some() { ("POST ", "\r\nContent-Type: ") } else { ("GET ", "") };
    let (content_type, body) = post.unwrap_or_default();
    let length = decimal(u64::try_from(body.len()).unwrap_or(u64::MAX));
    let [version, size, end] = [" HTTP/1.1\r\nHost: ", "\r\nContent-Length: ", "\r\n\r\n"];
    let basic = if authorization.is_empty() { "" } else { "\r\nAuthorization: Basic " };
    let parts = [method, path, version, host, basic, authorization, kind, content_type, size, &length, end];
    let [a, b, c, d, e, f, g, h, i, j, k] = parts.map(str::as_bytes);
    say(link, &[a, b, c, d, e, f, g, h, i, j, k, body]).await?;
    let (mut have, mut known) = (0, None);
    let head = loop {
        let rest = buffer.get_mut(have..).filter(|rest| !rest.is_empty()).ok_or(HttpError::TooLong)?;
        let count = link.read(rest).await?;
        have = have.saturating_add(count);
        let octets = buffer.get(..have).unwrap_or_default();
        if known.is_none() {
            known = head_of(octets)?;
        }
        match known {
            Some(head) if octets.len() >= head.to => break head,
            _ if count == 0 => return Err(HttpError::Ended),
            _ => {}
        }
    };
    let body = buffer.get_mut(head.body()).ok_or(HttpError::Malformed)?;
    Ok(Answer { head, body })
}

/// Parses the head of an answer; returns `None` while the head is incomplete.
fn head_of(octets: &[u8]) -> Result<Option<Head>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let from = match response.parse(octets).map_err(|_| HttpError::Malformed)? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(from) => from,
    };
    let field = |name: &str| response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    if field("transfer-encoding").is_some() {
        return Err(HttpError::Malformed);
    }
    // RFC 9112 section 6.3: without a length the body ends with the connection, which a device does not wait for
    let value = |name| field(name).map(|field| field.value.trim_ascii());
    let length = value("content-length").and_then(number).ok_or(HttpError::Malformed)?;
    Ok(Some(Head {
        status: response.code.ok_or(HttpError::Malformed)?,
        closes: field("connection").is_some_and(|field| field.value.eq_ignore_ascii_case(b"close")),
        retry_after: value("retry-after").and_then(RetryAfter::parse),
        from,
        to: from.checked_add(length).ok_or(HttpError::TooLong)?,
    }))
}

fn number(digits: &[u8]) -> Option<usize> {
    let digit = |octet: u8| octet.is_ascii_digit().then(|| usize::from(octet - b'0'));
    let mut digits = digits.iter().map(|octet| digit(*octet));
    let first = digits.next()??;
    digits.try_fold(first, |number, digit| number.checked_mul(10)?.checked_add(digit?))
}

/// Formats a number in decimal without core's formatting, which would take some kilobytes of the image.
pub fn decimal(mut number: u64) -> heapless::String<20> {
    let mut digits = heapless::Vec::<u8, 20>::new();
    loop {
        // A u64 has no more digits than that.
        let _ = digits.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}
