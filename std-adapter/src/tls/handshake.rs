//! Passes the findings of rustls's verifiers to the code that drives the handshake.

use std::cell::Cell;
#[cfg(feature = "tokio")]
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

#[cfg(feature = "tokio")]
use tokio::sync::Semaphore;

use super::verdicts::Verdict;
use super::{Refusal, ShownCertificate};

thread_local! {
    static CURRENT: Cell<Option<Handshake>> = const { Cell::new(None) };
}

/// The findings of one handshake's verifiers.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    /// The verdict on a peer that is authorized if it proves its key.
    pub(super) judged: Option<Verdict>,
    /// The refusal of the peer.
    pub(super) refused: Option<Refusal>,
    /// The certificate that a refused peer showed.
    pub(super) shown: Option<Box<ShownCertificate>>,
}

impl Handshake {
    /// Calls `found` with the handshake that is polled on this thread; returns false if there is none.
    pub(super) fn tell(found: impl FnOnce(&mut Self)) -> bool {
        let Some(mut handshake) = CURRENT.take() else { return false };
        found(&mut handshake);
        CURRENT.set(Some(handshake));
        true
    }

    /// Makes `self` the current handshake of this thread while `poll` runs.
    #[cfg(feature = "tokio")]
    fn during<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let outer = CURRENT.replace(Some(std::mem::take(self)));
        let polled = poll();
        *self = CURRENT.replace(outer).unwrap_or_default();
        polled
    }

    /// Polls a handshake to its end, waiting for a turn before each poll. With a key in a token the turns are those of
    /// the token: a poll may wait for it, and no processor meanwhile.
    #[cfg(feature = "tokio")]
    pub(super) async fn drive<F: Future>(handshake: F, of_token: Option<Arc<Semaphore>>) -> (F::Output, Self) {
        let mut found = Self::default();
        let mut handshake = pin!(handshake);
        loop {
            let mut turn = match &of_token {
                // The semaphore is never closed.
                Some(turns) => turns.acquire().await.ok(),
                None => super::turns::take().await,
            };
            let mut polled = false;
            let output = poll_fn(|cx| {
                if polled {
                    // Woken again: the handshake waits for a turn before the next poll.
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
