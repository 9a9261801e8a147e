//! Decides what is said next on a connection to another gateway, and when. It has no socket and no clock of its own.

use std::time::Duration;

use edgetrust_core::mesh::Edition;
use hyper::StatusCode;
use tokio::time::Instant;

use super::answers::HOLD;
use super::close_reason::{CloseReason, shown};
use crate::gateway::mesh_kept::Offered;

/// The time for an answer, beyond what the other side holds it back, and for its body.
pub const ARRIVAL: Duration = Duration::from_secs(15);
/// The time for an answer to a request for the mesh.
pub const GET_PATIENCE: Duration = HOLD.saturating_add(ARRIVAL);
/// The time for an answer to an offer.
pub const PUT_PATIENCE: Duration = ARRIVAL.saturating_add(ARRIVAL);
/// The wait where nothing can be agreed on for now.
pub const PAUSE: Duration = Duration::from_secs(10);
/// The least time between two requests.
const BETWEEN: Duration = Duration::from_secs(1);
/// Whoever waits for less than this was not waiting for another mesh.
const AT_ONCE: Duration = Duration::from_secs(HOLD.as_secs() / 2);

/// The progress of one connection.
#[derive(Debug)]
pub struct Dialogue {
    since: Instant,
    /// The time before which no other request is sent.
    next: Instant,
    /// True if the other side has waited for another mesh.
    waited: bool,
    /// True if the other side has shown a mesh that is known here.
    was_known: bool,
    /// The mesh that was brought last, and the answer.
    brought: Option<(Edition, StatusCode)>,
}

/// The answer to a request for the mesh, or what to do after it.
#[derive(Debug)]
pub enum Got {
    /// A mesh follows, which is to be judged.
    Mesh,
    /// There is nothing to judge.
    Nothing(Step),
}

/// The next thing to do on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the mesh.
    Ask,
    /// Ask for the mesh after [`PAUSE`].
    Pause,
    /// Bring the mesh in force: the answer of this code asks for it.
    Bring(StatusCode),
}

impl Dialogue {
    /// Begins when the other side has agreed to speak.
    pub fn new(now: Instant) -> Self {
        Self { since: now, next: now, waited: false, was_known: false, brought: None }
    }

    /// Returns the time when the other side has agreed to speak.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Returns whether the other side has waited for another mesh.
    pub fn has_waited(&self) -> bool {
        self.waited
    }

    /// Returns the time before which no other request is sent.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Notes that a request is sent.
    pub fn sent(&mut self, now: Instant) {
        self.next = now.checked_add(BETWEEN).unwrap_or(now);
    }

    /// Takes the answer to a request for the mesh, which took this time.
    ///
    /// # Errors
    /// Returns why the connection ends.
    pub fn answered(&mut self, code: StatusCode, took: Duration) -> Result<Got, CloseReason> {
        match code {
            StatusCode::NOT_MODIFIED if took < AT_ONCE => Err(CloseReason::AtOnce),
            StatusCode::NOT_MODIFIED => {
                self.waited = true;
                Ok(Got::Nothing(Step::Ask))
            }
            StatusCode::OK => Ok(Got::Mesh),
            // The other side does not know this gateway yet.
            StatusCode::FORBIDDEN => Ok(Got::Nothing(Step::Bring(code))),
            other => Err(CloseReason::Answer(other)),
        }
    }

    /// Takes the verdict on the mesh that the other side has shown.
    ///
    /// # Errors
    /// Returns why the connection ends.
    pub fn judged(&mut self, verdict: Result<Offered, String>) -> Result<Step, CloseReason> {
        match verdict {
            // It comes into force with a reload, which dials anew.
            Ok(Offered::Taken(_)) => Ok(Step::Pause),
            Ok(Offered::Conflict(true) | Offered::InForce) if self.was_known => Err(CloseReason::Known),
            Ok(Offered::Conflict(true) | Offered::InForce) => {
                self.was_known = true;
                Ok(Step::Pause)
            }
            Ok(Offered::Older(_) | Offered::Conflict(false)) => Ok(Step::Bring(StatusCode::OK)),
            Err(reason) => Err(CloseReason::Refused(shown(&reason))),
        }
    }

    /// Checks that the mesh in force was not brought on this connection yet, after an answer that asks for it.
    ///
    /// # Errors
    /// Returns why the connection ends.
    pub fn may_bring(&self, edition: Edition, asked: StatusCode) -> Result<(), CloseReason> {
        match self.brought.filter(|(brought, _)| *brought == edition) {
            Some((_, answer)) => Err(CloseReason::InVain(answer, asked)),
            None => Ok(()),
        }
    }

    /// Takes the answer to an offer of the mesh in force; `reason` is the answer's body where the mesh is refused.
    ///
    /// # Errors
    /// Returns why the connection ends.
    pub fn brought(&mut self, edition: Edition, code: StatusCode, reason: &[u8]) -> Result<(), CloseReason> {
        match code {
            // With CONFLICT it has another one by now, and is asked for that.
            StatusCode::NO_CONTENT | StatusCode::CONFLICT => {}
            StatusCode::TOO_MANY_REQUESTS => return Err(CloseReason::Busy),
            StatusCode::UNPROCESSABLE_ENTITY => {
                return Err(CloseReason::Refuses(shown(&String::from_utf8_lossy(reason))));
            }
            other => return Err(CloseReason::Answer(other)),
        }
        self.brought = Some((edition, code));
        Ok(())
    }
}
