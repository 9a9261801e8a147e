//! One connection between two gateways, as either end sees it.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use edgetrust::program::mesh::{CallerPermit, Dialogue, OfferPermit, ServedTag, Terms};

use super::Millis;
use super::editions::HeldNumber;

/// A request of a dialler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    Get,
    Put,
}

/// A connection that was agreed on.
pub struct Connection {
    pub from: usize,
    /// The number of the dialler among those of its gateway.
    pub dialer: usize,
    pub to: usize,
    /// The dialler's side: real.
    pub dialogue: Dialogue,
    pub client_open: bool,
    /// True if the other end is known to have closed: the next request fails.
    pub closing: bool,
    /// The last request, its number, and the time when it was sent.
    pub request: u32,
    pub last: Request,
    pub asked: Millis,
    /// True while the last request has no answer.
    pub pending: bool,
    /// The dialler's mesh at the last request, and the entity tag of its last request for another one.
    pub in_force: HeldNumber,
    pub own: ServedTag,
    /// The mesh of the listener at the last answer.
    pub there: Option<HeldNumber>,
    /// The listener's side: real. None once it has closed.
    pub permit: Option<CallerPermit>,
    pub opened: Millis,
    pub terms: Terms,
    pub answers: u32,
    /// True while the listener waits for another mesh.
    pub holds: bool,
    pub offer: Option<OfferPermit>,
}

impl Connection {
    /// Returns whether a newer connection has taken the place of this one, as the listener is told.
    pub fn is_displaced(&self) -> bool {
        let told = |permit: &CallerPermit| {
            pin!(permit.displaced()).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
        };
        self.permit.as_ref().is_some_and(told)
    }

    /// Closes the listener's side.
    pub fn close(&mut self) {
        (self.permit, self.offer, self.holds) = (None, None, false);
    }
}
