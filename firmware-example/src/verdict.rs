//! Says why a session failed, and infers from that whether the gateway accepted the shown certificate.
//!
//! A TLS 1.3 client completes its handshake before the server checks the client's certificate: the server's verdict
//! shows on the connection.
//!
//! | the session ended with | certificate |
//! |---|---|
//! | an answer of any kind | accepted |
//! | an alert (RFC 8446 section 6.2) | refused |
//! | silence, a reset, an end without close_notify | perhaps refused: the service may be down, or the alert lost |
//! | a failure before the certificate was shown | not checked |

use edgetrust_core::embedded_tls::{ConnectionError, HandshakeError};

use crate::dial::DialError;
use crate::enroll::EnrollError;
use crate::http::HttpError;
use crate::websocket::WebSocketError;

/// The reason for which a session failed.
#[derive(defmt::Format)]
pub enum SessionError {
    /// The device has another address now, or none.
    Moved,
    Time,
    Dial(DialError),
    Report(HttpError),
    ReportRefused(u16),
    WebSocket(WebSocketError),
    Enroll(EnrollError),
}

/// The gateway's verdict on the device's certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    Refused,
    Unclear,
}

impl Verdict {
    /// Returns the verdict, or `None` if the certificate was not shown.
    pub fn of(error: &SessionError) -> Option<Self> {
        match error {
            // The end may have come after the device's certificate, which is sent last in a handshake.
            SessionError::Dial(DialError::Refused(HandshakeError::Io(_) | HandshakeError::Closed)) => {
                Some(Self::Unclear)
            }
            SessionError::Moved | SessionError::Time | SessionError::Dial(_) => None,
            SessionError::ReportRefused(_) => Some(Self::Taken),
            SessionError::Report(error) => Some(Self::http(error)),
            SessionError::WebSocket(error) => Some(match error {
                WebSocketError::Connection(error) => Self::connection(error),
                WebSocketError::Ended | WebSocketError::Silent => Self::Unclear,
                WebSocketError::Closed
                | WebSocketError::Refused(_)
                | WebSocketError::Malformed
                | WebSocketError::TooLong => Self::Taken,
            }),
            SessionError::Enroll(error) => match error {
                EnrollError::Key | EnrollError::Current(_) | EnrollError::Request(_) => None,
                EnrollError::Http(error) => Some(Self::http(error)),
                EnrollError::Silent => Some(Self::Unclear),
                EnrollError::Refused(_)
                | EnrollError::Unavailable(..)
                | EnrollError::Answer
                | EnrollError::Path(_)
                | EnrollError::Names(_) => Some(Self::Taken),
            },
        }
    }

    fn http(error: &HttpError) -> Self {
        match error {
            HttpError::Connection(error) => Self::connection(error),
            HttpError::Ended => Self::Unclear,
            HttpError::TooLong | HttpError::Malformed => Self::Taken,
        }
    }

    fn connection(error: &ConnectionError) -> Self {
        if let ConnectionError::Alert = error { Self::Refused } else { Self::Unclear }
    }
}
