//! The last refusals, for whoever asks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use pki_types::UnixTime;

use crate::clock;
use crate::tls::{ShownCertificate, ShownRequest};

/// As many are kept.
const KEPT: usize = 64;

/// Characters of a reason that are kept.
const MAX_REASON: usize = 512;

/// Connections that were refused for one reason.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// When the last of them was.
    pub at: UnixTime,
    /// The tunnel's name; empty where none was found, and at the EST server.
    pub tunnel: String,
    /// From where the last of them came.
    pub remote: String,
    /// The kind of reason, by its name in metrics.
    pub kind: &'static str,
    /// The reason of the last of them.
    pub reason: String,
    /// The certificate that was shown.
    pub shown: Option<ShownCertificate>,
    /// What the last of them asked a certificate for.
    pub requested: Option<ShownRequest>,
    /// How many there were.
    pub count: u64,
}

impl Refusal {
    pub(crate) fn new(
        remote: &dyn fmt::Display,
        kind: &'static str,
        reason: &dyn fmt::Display,
        shown: Option<&ShownCertificate>,
    ) -> Self {
        Self {
            at: clock::now(),
            tunnel: String::new(),
            remote: remote.to_string(),
            kind,
            reason: reason.to_string().chars().take(MAX_REASON).collect(),
            shown: shown.cloned(),
            requested: None,
            count: 1,
        }
    }

    /// The same reason of the same peer; times and other numbers in it may differ.
    fn is_repeated_by(&self, other: &Self) -> bool {
        let words = |text: &'_ str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        self.kind == other.kind
            && self.tunnel == other.tunnel
            && self.shown == other.shown
            && (self.reason == other.reason || words(&self.reason) == words(&other.reason))
    }
}

/// The last refusals, repeats counted.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<VecDeque<Refusal>>);

impl Refusals {
    pub(crate) fn note(&self, mut refusal: Refusal) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.iter().position(|before| before.is_repeated_by(&refusal));
        if let Some(before) = before.and_then(|place| kept.remove(place)) {
            refusal.count = before.count.saturating_add(1);
        }
        kept.push_front(refusal);
        kept.truncate(KEPT);
    }

    /// All that are kept, the last first.
    pub fn all(&self) -> Vec<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
