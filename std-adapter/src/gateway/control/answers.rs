//! Decides what a gateway answers on the control channel. It has no socket and no clock of its own.

use std::time::Duration;

use hyper::StatusCode;

use super::callers::Caller;
use super::state::ControlState;
use crate::gateway::mesh_kept::Offered;

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

/// Returns whether a gateway that asks for the mesh waits for another one: it has the present one, by the entity tag that
/// it sent.
pub fn waits(state: &ControlState, known: Option<&str>) -> bool {
    known == Some(&state.served.tag())
}

/// Returns the code that answers an offer.
pub fn of_offer(judged: &Result<Offered, String>) -> StatusCode {
    match judged {
        Ok(Offered::Taken(_) | Offered::Conflict(_) | Offered::InForce) => StatusCode::NO_CONTENT,
        Ok(Offered::Older(_)) => StatusCode::CONFLICT,
        Err(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
