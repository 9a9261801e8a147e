//! A handshake under way: what its verifiers found, told from where rustls asks them to where the handshake is driven.

use std::cell::Cell;
#[cfg(feature = "tokio")]
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use super::verdicts::Verdict;
use super::{Refusal, ShownCertificate};

thread_local! {
    static CURRENT: Cell<Option<Handshake>> = const { Cell::new(None) };
}

/// What the verifiers of one handshake found.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    /// The peer may come in, if it proves its key.
    pub(super) judged: Option<Verdict>,
    /// It may not.
    pub(super) refused: Option<Refusal>,
    /// The certificate that it showed, where it may not.
    pub(super) shown: Option<Box<ShownCertificate>>,
}

impl Handshake {
    /// Tells the handshake that is polled on this thread; false where there is none.
    pub(super) fn tell(found: impl FnOnce(&mut Self)) -> bool {
        let Some(mut handshake) = CURRENT.take() else { return false };
        found(&mut handshake);
        CURRENT.set(Some(handshake));
        true
    }

    /// Makes this the handshake that is told, while `poll` runs.
    #[cfg(feature = "tokio")]
    fn during<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let outer = CURRENT.replace(Some(std::mem::take(self)));
        let polled = poll();
        *self = CURRENT.replace(outer).unwrap_or_default();
        polled
    }

    /// Polls a handshake to its end, each time in its turn.
    #[cfg(feature = "tokio")]
    pub(super) async fn drive<F: Future>(handshake: F) -> (F::Output, Self) {
        let mut found = Self::default();
        let mut handshake = pin!(handshake);
        loop {
            let mut turn = super::turns::take().await;
            let mut polled = false;
            let output = poll_fn(|cx| {
                if polled {
                    // Woken again: it waits for its turn before it is polled.
                    return Poll::Ready(None);
                }
                polled = true;
                let output = found.during(|| handshake.as_mut().poll(cx)).map(Some);
                turn = None;
                output
            });
            if let Some(output) = output.await {
                return (output, found);
            }
        }
    }
}
