//! Decides what a gateway answers on the control channel. It has no socket and no clock of its own.

use std::time::Duration;

use hyper::StatusCode;

use super::callers::Caller;
use crate::gateway::mesh_kept::Offered;
use crate::gateway::served_mesh::{ServedMesh, ServedTag, SignedText};

/// The longest wait for another mesh: whoever waits learns within a minute that the network has gone.
pub const HOLD: Duration = Duration::from_secs(45);

/// The bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The time after which it ends at the next answer: of a gateway, whose handshake shows its present certificate then,
    /// and of a stranger.
    pub lifetime: Duration,
    /// The most requests.
    pub requests: u32,
}

impl Terms {
    const OF_GATEWAYS: Self = Self { lifetime: Duration::from_secs(3600), requests: 1024 };
    const OF_STRANGERS: Self = Self { lifetime: Duration::from_secs(30), requests: 8 };

    /// Returns the bounds of a caller's connection.
    pub fn of(caller: &Caller) -> Self {
        if caller.is_stranger() { Self::OF_STRANGERS } else { Self::OF_GATEWAYS }
    }
}

/// The answer to a gateway that asks for the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfRequest {
    /// It knows all texts: the answer waits for another one.
    Wait,
    /// It is shown this text.
    Show(SignedText),
    /// It knows all texts, and others of the same sequence: it is to bring what is unknown here (409 Conflict).
    Bring,
}

/// Returns the answer to a gateway that has sent the entity tag of what it knows.
pub fn of_request(served: &ServedMesh, known: Option<&ServedTag>) -> OfRequest {
    let own = served.tag();
    let Some(known) = known.filter(|known| known.is_beside(&own)) else {
        return OfRequest::Show(served.in_force.clone());
    };
    match served.unknown_to(known).next() {
        Some(text) => OfRequest::Show(text.clone()),
        None if known.has_news_for(&own) => OfRequest::Bring,
        None => OfRequest::Wait,
    }
}

/// Returns the code that answers an offer.
pub fn of_offer(judged: &Result<Offered, String>) -> StatusCode {
    match judged {
        Ok(Offered::Taken(_) | Offered::Conflict(_) | Offered::InForce) => StatusCode::NO_CONTENT,
        Ok(Offered::Older(_)) => StatusCode::CONFLICT,
        Err(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
