//! What the end of a session says of the certificate that was shown.
//!
//! A TLS 1.3 client has done its part of the handshake before the server looks at its certificate: what the server makes of it shows on the connection.
//!
//! | the session ended with | so the certificate was |
//! |---|---|
//! | an answer, whatever it says | taken |
//! | an alert (RFC 8446 section 6.2) | refused |
//! | silence, a reset, an end without a word | perhaps refused: the service may be down, or the alert lost |
//! | something before the certificate was shown | not looked at |

use edgetrust_core::embedded_tls::{ConnectionError, HandshakeError};

use crate::device::SessionError;
use crate::dial::DialError;
use crate::enroll::EnrollError;
use crate::http::HttpError;
use crate::websocket::WebSocketError;

/// What was made of our certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    Refused,
    Unclear,
}

impl Verdict {
    /// None where it was not shown.
    pub fn of(error: &SessionError) -> Option<Self> {
        match error {
            // The end may have come behind our certificate, which is the last that a handshake sends.
            SessionError::Dial(DialError::Refused(HandshakeError::Io(_) | HandshakeError::Closed)) => {
                Some(Self::Unclear)
            }
            SessionError::Time | SessionError::Dial(_) => None,
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
