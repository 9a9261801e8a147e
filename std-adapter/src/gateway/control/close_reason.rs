//! The reasons that a connection to another gateway has ended.

use std::fmt;
use std::io;
use std::time::Duration;

use hyper::StatusCode;

use super::body::{BodyError, with_source};
use crate::tls::AcceptError;

/// The reason that a connection has ended.
#[derive(Debug)]
pub enum CloseReason {
    /// The other side does not know the control channel.
    Unknown,
    /// The other side cannot be reached.
    Target(io::Error),
    /// The handshake has failed.
    Tls(AcceptError),
    /// The connection has ended.
    Http(hyper::Error),
    /// A request cannot be written.
    Request(hyper::http::Error),
    /// There was no answer within this time.
    Silent(Duration),
    /// The other side's answer has another meaning than all that is known.
    Answer(StatusCode),
    /// The body of its answer was not read.
    Body(BodyError),
    /// Its answer to a request to continue sessions is no record for each of them.
    Malformed,
    /// Sessions are to be continued, by a handshake that shows the present certificates.
    Due,
    /// It says at once that there is nothing new, where it should wait for something new.
    AtOnce,
    /// It shows a mesh again that is known here.
    Known,
    /// The mesh in force here was brought and answered by the first code, and then the second one came again.
    InVain(StatusCode, StatusCode),
    /// It takes nothing for now.
    Busy,
    /// Its mesh is refused.
    Refused(String),
    /// It refuses the mesh in force here.
    Refuses(String),
}

impl CloseReason {
    /// Returns whether the other side has said what leads nowhere: then it does not matter how long the connection has
    /// lasted.
    pub fn is_fault(&self) -> bool {
        use CloseReason::{AtOnce, Busy, InVain, Known, Malformed, Refused, Refuses};
        matches!(self, AtOnce | Malformed | Known | InVain(..) | Busy | Refused(_) | Refuses(_))
    }

    /// Returns how often in a row this is nothing to warn of.
    pub fn tolerated(&self) -> u32 {
        match self {
            // What was brought is still being loaded there.
            Self::InVain(..) => 1,
            // Others are bringing something.
            Self::Busy => 2,
            _ => 0,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("it does not know edgetrust/1"),
            Self::Target(error) => write!(f, "it cannot be reached: {error}"),
            Self::Tls(error) => write!(f, "no handshake: {error}"),
            Self::Http(error) => write!(f, "the connection has ended: {}", with_source(error)),
            Self::Request(error) => write!(f, "no request: {error}"),
            Self::Silent(time) => write!(f, "no answer within {time:?}"),
            Self::Answer(code) => write!(f, "it answers {code}"),
            Self::Body(error) => write!(f, "its answer: {error}"),
            Self::Malformed => f.write_str("its answer to /continue: expected 40 octets for each session"),
            Self::Due => f.write_str("sessions are to be continued"),
            Self::AtOnce => f.write_str("it answers 304 Not Modified at once, where it should wait for another mesh"),
            Self::Known => f.write_str("it answers again with a mesh that is known here"),
            Self::InVain(brought, again) => {
                write!(f, "the mesh was brought in vain: it answers {brought}, and then {again} again")
            }
            Self::Busy => f.write_str("it is busy (429 Too Many Requests): the mesh could not be brought"),
            Self::Refused(reason) => write!(f, "the mesh that was fetched is refused: {reason}"),
            Self::Refuses(reason) => write!(f, "it refuses the mesh in force here: {reason}"),
        }
    }
}

/// The most characters of a reason.
const MAX_REASON: usize = 200;

/// Returns a text that the other side has chosen as one line for the log, cut to 200 characters.
pub(super) fn shown(text: &str) -> String {
    let mut escaped = text.trim().chars().flat_map(char::escape_debug);
    let mut shown: String = escaped.by_ref().take(MAX_REASON).collect();
    if escaped.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_others_are_one_short_line() {
        assert_eq!(shown(" older\n"), "older");
        assert_eq!(shown("a\nb \u{1b}[1m\u{1}"), "a\\nb \\u{1b}[1m\\u{1}");
        assert_eq!(shown(&"ä".repeat(200)), "ä".repeat(200));
        assert_eq!(shown(&"ä".repeat(201)), format!("{}…", "ä".repeat(200)));
        assert_eq!(shown(&"\n".repeat(9_999)), "");
        assert_eq!(shown(&"\u{1}".repeat(9_999)).chars().count(), 201);
    }
}
