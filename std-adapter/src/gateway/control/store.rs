//! Shares the signed mesh by a store of this site, beside the control channel: gateways of one site have no link to each
//! other. What stands there is judged as what any gateway brings, and decides nothing by itself.

use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::mesh::{Digest, MAX_SIGNED_MESH};
use tokio::sync::mpsc::Receiver;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::channel::Control;
use super::state::ControlState;
use crate::gateway::mesh_kept::Offered;
use crate::replica::{Bucket, BucketError, News, Value};

/// The prefix of what meshes have in a store, and the key of the signed mesh.
const PREFIX: &str = "mesh";
const KEY: &str = "mesh.signed";

/// The interval at which a store that could not be read or written is read again.
const AGAIN: Duration = Duration::from_secs(10);

/// The time between two texts that are judged, and between two that are written.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows a store until it is aborted, or the control channel is switched off.
pub(super) async fn keep(bucket: Arc<dyn Bucket>, control: Arc<Control>) {
    let mut in_force = control.in_force.subscribe();
    let mut shelf = Shelf { bucket: &*bucket, there: None, older: None, refused: None, replaced: None };
    let mut news = bucket.follow(PREFIX, MAX_SIGNED_MESH);
    loop {
        let Some(state) = in_force.borrow_and_update().clone() else { return };
        if let Some(text) = shelf.to_judge(&state) {
            let judged = control.judge(&state, text).await;
            shelf.judged(&judged, &state);
            sleep(PAUSE).await;
            // Nothing more may be heard of what was judged.
            continue;
        }
        if shelf.lacks(&state) {
            shelf.write(&state).await;
            sleep(PAUSE).await;
        }
        tokio::select! {
            changed = in_force.changed() => if changed.is_err() { return },
            heard = newest(&mut news) => match heard {
                Some(News::Value(key, value)) if key == KEY => shelf.there = Some(value),
                // A store without a mesh says nothing of one.
                Some(News::Heard) => shelf.there = shelf.bucket.get(KEY).await.ok().or(shelf.there.take()),
                Some(News::Value(..)) => {}
                Some(News::Away(reason)) => debug!("the store of the mesh is away: {reason}"),
                None => news = bucket.follow(PREFIX, MAX_SIGNED_MESH),
            },
            () = sleep(AGAIN), if shelf.there.is_none() => shelf.there = shelf.bucket.get(KEY).await.ok(),
        }
    }
}

/// Returns the next news; of several values that wait the newest counts.
async fn newest(news: &mut Receiver<News>) -> Option<News> {
    let mut last = news.recv().await?;
    while let Ok(next) = news.try_recv() {
        last = next;
    }
    Some(last)
}

/// The signed mesh in a store, as this gateway knows it.
struct Shelf<'b> {
    bucket: &'b dyn Bucket,
    /// The value there; `None` before it was heard of.
    there: Option<Value>,
    /// The text there that was judged to be older than the mesh in force.
    older: Option<Digest>,
    /// The text there that was refused last.
    refused: Option<Digest>,
    /// The text that was refused and the one that was written over it.
    replaced: Option<(Digest, Digest)>,
}

impl Shelf<'_> {
    /// Returns the text there, if it was not judged yet.
    fn to_judge(&self, state: &ControlState) -> Option<Vec<u8>> {
        let text = self.there.as_ref()?.octets.as_ref()?;
        let digest = Some(Digest::of(text));
        let known = self.refused == digest
            || self.older == digest
            || state.served.texts().any(|one| one.text.as_bytes() == text);
        (!known).then(|| text.clone())
    }

    fn judged(&mut self, judged: &Result<Offered, String>, state: &ControlState) {
        let text = self.there.as_ref().and_then(|there| there.octets.as_deref()).unwrap_or_default();
        match judged {
            Ok(Offered::Taken(edition)) => info!("the store of the mesh has another one: {edition}"),
            Ok(Offered::Conflict(_) | Offered::InForce) => {}
            Ok(Offered::Older(_)) => self.older = Some(Digest::of(text)),
            Err(reason) => {
                warn!(in_force = %state.served.in_force.edition, "the mesh in the store is refused: {reason}");
                self.refused = Some(Digest::of(text));
            }
        }
    }

    /// Returns whether the mesh in force here is to be written: nothing stands there, an older one, or one that is refused
    /// and that this mesh has not replaced before. Two gateways that refuse each other's mesh do not write for ever.
    fn lacks(&self, state: &ControlState) -> bool {
        let Some(there) = &self.there else { return false };
        let own = state.served.in_force.text.as_bytes();
        match &there.octets {
            None => true,
            Some(text) if text == own => false,
            Some(text) => {
                let digest = Digest::of(text);
                let rival = state.served.texts().any(|one| one.text.as_bytes() == text);
                let again = self.replaced == Some((digest, Digest::of(own)));
                rival || self.older == Some(digest) || self.refused == Some(digest) && !again
            }
        }
    }

    async fn write(&mut self, state: &ControlState) {
        let own = state.served.in_force.text.as_bytes();
        let over = self.there.as_ref().map_or(0, |there| there.revision);
        match self.bucket.replace(KEY, own.to_vec(), over).await {
            Ok(revision) => {
                info!("the mesh is in the store: {}", state.served.in_force.edition);
                self.replaced = self.refused.take().map(|refused| (refused, Digest::of(own)));
                self.there = Some(Value { revision, octets: Some(own.to_vec()) });
            }
            // Another gateway was faster: what it wrote is heard next.
            Err(BucketError::Conflict) => {
                if let Ok(value) = self.bucket.get(KEY).await {
                    self.there = Some(value);
                }
            }
            Err(error) => {
                warn!("the mesh is not written to the store: {error}");
                // Until the store is heard again, or another mesh is in force.
                self.there = None;
            }
        }
    }
}
