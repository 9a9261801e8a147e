//! Sends reports as server-sent events (WHATWG HTML, section "Server-sent events"): one at the beginning, and one a
//! second while anything changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use hyper::body::{Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};

use super::report::Sources;

/// The maximum number of listeners; others ask for `/status` now and then.
const LISTENERS: usize = 8;
/// The time between two looks for changes.
const BETWEEN: Duration = Duration::from_secs(1);
/// The time after which a listener hears that the connection is there, even if nothing changes.
const SILENCE: Duration = Duration::from_secs(15);
/// The time after which a stream ends; browsers connect again by themselves. A listener that reads nothing holds its place
/// no longer.
pub(super) const LIFETIME: Duration = Duration::from_secs(600);

/// The places of listeners.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LISTENERS)))
    }
}

/// The memory of a stream.
struct Listener {
    sources: Arc<Sources>,
    /// The last report without its time.
    last: String,
    sent: Instant,
    /// True when the stream is to end.
    ended: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

/// Returns a stream of events until `ended` is true, or `None` if there are too many listeners.
pub(super) fn events(
    sources: Arc<Sources>,
    places: &Places,
    ended: &watch::Receiver<bool>,
) -> Option<impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + use<>> {
    let place = places.0.clone().try_acquire_owned().ok()?;
    let listener = Listener { sources, last: String::new(), sent: Instant::now(), ended: ended.clone(), _place: place };
    Some(stream::unfold(listener, |mut listener| async move {
        loop {
            if *listener.ended.borrow() {
                return None;
            }
            let text = listener.changed();
            if let Some(text) = text {
                listener.sent = Instant::now();
                return Some((Ok(Frame::data(Bytes::from(text))), listener));
            }
            if listener.sent.elapsed() >= SILENCE {
                listener.sent = Instant::now();
                return Some((Ok(Frame::data(Bytes::from_static(b":\n\n"))), listener));
            }
            tokio::select! {
                // Whoever would end the stream is gone.
                _ = listener.ended.wait_for(|ended| *ended) => return None,
                () = sleep(BETWEEN) => {}
            }
        }
    }))
}

impl Listener {
    /// Returns the event of the present report, if it differs from the last one in more than its time.
    fn changed(&mut self) -> Option<String> {
        if !self.last.is_empty() && self.sent.elapsed() < BETWEEN {
            return None;
        }
        let mut report = self.sources.report();
        let text = serde_json::to_string(&report).ok()?;
        report.now = String::new();
        let timeless = serde_json::to_string(&report).ok()?;
        if timeless == self.last {
            return None;
        }
        self.last = timeless;
        Some(format!("retry: 2000\ndata: {text}\n\n"))
    }
}
