//! Asks an HTTP proxy for a tunnel: CONNECT (RFC 9110 section 9.3.6).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::credentials::Credentials;
use super::destination::Destination;
use super::fault::ProxyFault;

/// The size limit of an answer's lines, in octets, with those of interim answers before it.
const LONGEST: usize = 8 * 1024;

/// Asks for a way to a destination, and reads the answer. What follows on the stream is the destination's.
///
/// # Errors
/// Returns why the proxy leads to no destination.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    to: &Destination<'_>,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyFault> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some(Credentials { user, password }) = credentials {
        // RFC 7617 section 2
        let pair = BASE64_STANDARD.encode([user, &b":"[..], password].concat());
        request.push_str(&format!("Proxy-Authorization: Basic {pair}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (mut answer, mut part, mut total) = (Vec::new(), [0; 1024], 0_usize);
    loop {
        if let Some(end) = end_of_answer(&answer) {
            let (answered, rest) = answer.split_at_checked(end).unwrap_or((&answer, &[]));
            match status(answered)? {
                // Interim answers come before the final one (RFC 9110 section 15.2).
                100..=199 => {
                    answer = rest.to_vec();
                    continue;
                }
                200..=299 if rest.is_empty() => return Ok(()),
                200..=299 => return Err(ProxyFault::Early),
                401 | 407 => return Err(ProxyFault::Unauthorized(first_line(answered))),
                _ => return Err(ProxyFault::Refused(format!("{}, expected 200", first_line(answered)))),
            }
        }
        // What is no HTTP may never end with an empty line.
        let begin: &[u8] = b"HTTP/1.";
        if answer.iter().zip(begin).any(|(found, expected)| found != expected) {
            return Err(ProxyFault::Strange(format!("found {}, expected an answer of HTTP/1.1", first_line(&answer))));
        }
        if total > LONGEST {
            return Err(ProxyFault::Long(LONGEST));
        }
        match stream.read(&mut part).await? {
            0 => return Err(ProxyFault::Ended),
            count => {
                total = total.saturating_add(count);
                answer.extend_from_slice(part.get(..count).unwrap_or_default());
            }
        }
    }
}

/// Returns the place after the empty line that ends an answer. A line may end without a carriage return (RFC 9112
/// section 2.2).
fn end_of_answer(octets: &[u8]) -> Option<usize> {
    let after = |end: &[u8]| {
        let place = octets.windows(end.len()).position(|window| window == end)?;
        place.checked_add(end.len())
    };
    [after(b"\r\n\r\n"), after(b"\n\n"), after(b"\n\r\n")].into_iter().flatten().min()
}

/// Returns the status code of an answer (RFC 9112 section 4).
fn status(answer: &[u8]) -> Result<u16, ProxyFault> {
    let code = || {
        let rest = answer.strip_prefix(b"HTTP/1.")?;
        let [b'0'..=b'9', b' ', code @ ..] = rest else { return None };
        let (digits, after) = code.split_first_chunk::<3>()?;
        let ends = matches!(after.first(), None | Some(b' ' | b'\r' | b'\n'));
        let code = str::from_utf8(digits).ok()?;
        (ends && digits.iter().all(u8::is_ascii_digit)).then(|| code.parse().ok()).flatten()
    };
    code()
        .ok_or_else(|| ProxyFault::Strange(format!("found {}, expected a status line of HTTP/1.1", first_line(answer))))
}

/// Returns the first line of an answer for a message: cut, and without control characters.
fn first_line(answer: &[u8]) -> String {
    let line = answer.split(|octet| *octet == b'\n').next().unwrap_or_default().trim_ascii_end();
    let text: String = String::from_utf8_lossy(line).chars().take(100).collect();
    format!("\"{}\"", text.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    const TO: Destination<'_> = Destination::Name("b.example", 8443);

    /// Returns what was asked, and the verdict on an answer that arrives in parts.
    async fn asked(answer: &[u8], part: usize, credentials: Option<&Credentials>) -> (String, Result<(), String>) {
        let (mut near, mut far) = duplex(64 * 1024);
        let answer = answer.to_vec();
        let proxy = tokio::spawn(async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(far.read_u8().await.unwrap());
            }
            for part in answer.chunks(part) {
                // Whoever has heard enough reads no more.
                if far.write_all(part).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            String::from_utf8(request).unwrap()
        });
        let verdict = ask(&mut near, &TO, credentials).await.map_err(|fault| fault.to_string());
        drop(near);
        (proxy.await.unwrap(), verdict)
    }

    async fn verdict(answer: &[u8]) -> Result<(), String> {
        let (one, other) = (asked(answer, 1, None).await.1, asked(answer, 1024, None).await.1);
        assert_eq!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
        other
    }

    #[tokio::test]
    async fn the_name_is_asked_for_and_any_2xx_is_a_way() {
        let (request, verdict) = asked(b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n", 1, None).await;
        assert_eq!(request, "CONNECT b.example:8443 HTTP/1.1\r\nHost: b.example:8443\r\n\r\n");
        assert_eq!(verdict, Ok(()));
        let known = Credentials::parse(b"Aladdin:open sesame").unwrap();
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204\r\nContent-Length: 9\r\n\r\n";
        let (request, verdict) = asked(answer, 7, Some(&known)).await;
        // The example of RFC 7617 section 2.
        assert!(request.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{request}");
        assert_eq!(verdict, Ok(()));
    }

    #[tokio::test]
    async fn every_other_answer_is_told_and_none_is_waited_for() {
        let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(10_000)].concat();
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(2000);
        for (answer, expected) in [
            (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], "it answered \"HTTP/1.1 407 Proxy Auth"),
            (b"HTTP/1.1 403 Filtered\r\n\r\n<html>", "it answered \"HTTP/1.1 403 Filtered\", expected 200"),
            (b"HTTP/1.1 503 a\tb\x1b[31m\r\n\r\n", "\"HTTP/1.1 503 a\\tb\\u{1b}[31m\""),
            (b"HTTP/1.1 301 Moved\r\nLocation: http://x\r\n\r\n", "301"),
            (b"HTTP/1.1 2000 OK\r\n\r\n", "expected a status line"),
            (b"HTTP/1.1 +20 OK\r\n\r\n", "expected a status line"),
            (b"HTTP/1.1 \r\n\r\n", "expected a status line"),
            (b"HTTP/2 200\r\n\r\n", "of HTTP/1.1"),
            (b"\x16\x03\x03\0\x05hello", "expected an answer of HTTP/1.1"),
            (b"SSH-2.0-x\r\n", "found \"S"),
            (b"HTTP/1.1 200 OK\r\n", "ended the connection before its answer was whole"),
            (b"", "ended the connection before its answer was whole"),
            (&endless, "more than 8192 octets"),
            (&interim, "more than 8192 octets"),
        ] {
            let said = verdict(answer).await.unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
        let (_, early) = asked(b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03\0\x02hi", 1024, None).await;
        assert!(early.unwrap_err().contains("found octets after its answer"));
    }
}
