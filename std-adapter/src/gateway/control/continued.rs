//! Continues the sessions of another gateway, which asks on a control connection.

use std::fmt;

use tracing::{debug, warn};

use crate::gateway::continuation::{ContinueRequest, OpenSessions, Proven};

/// A request that is no list of sessions: the octets that it has.
pub(super) struct Malformed(usize);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {} octets, expected 64 for each of 1 to 256 sessions", self.0)
    }
}

/// Continues those of the requested sessions that are the peer's, each if its own tunnel admits the certificates of the
/// connection. Returns the octets of the answer.
pub(super) async fn continue_sessions(
    sessions: &OpenSessions,
    octets: &[u8],
    proven: &Proven,
    (remote, peer): (&impl fmt::Display, &str),
) -> Result<Vec<u8>, Malformed> {
    let request = ContinueRequest::parse(octets).ok_or(Malformed(octets.len()))?;
    let (answer, refused) = sessions.answer(&request, proven).await;
    let (sessions, continued) = (request.len(), answer.continued());
    debug!(%remote, %peer, sessions, continued, "control: sessions were continued here");
    if let Some(reason) = refused {
        warn!(%remote, %peer, "control: a session is not continued here: {reason}");
    }
    Ok(answer.encode())
}
