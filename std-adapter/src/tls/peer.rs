//! A peer that was let in, and the memory of verdicts.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use edgetrust_core::identity::common_name;
use edgetrust_core::x509::{Certificate, GeneralName};
use pki_types::{CertificateDer, UnixTime};

/// A peer that was let in: who it is and for how long that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    identity: String,
    common_name: Option<String>,
    valid_until: UnixTime,
}

impl Peer {
    pub(super) fn new(leaf: &Certificate<'_>, valid_until: UnixTime) -> Self {
        let common_name =
            common_name(&leaf.subject()).ok().and_then(|name| name.chars().collect::<Result<String, _>>().ok());
        let mut identity = String::new();
        if let Some(name) = &common_name {
            let _ = write!(identity, "CN={}", name.escape_debug());
        }
        for name in leaf.extensions().subject_alt_name.into_iter().flatten().take(MAX_SHOWN) {
            let (kind, text) = match name {
                GeneralName::Dns(text) => ("DNS", text),
                GeneralName::Uri(text) => ("URI", text),
                _ => continue,
            };
            let comma = if identity.is_empty() { "" } else { "," };
            let _ = write!(identity, "{comma}{kind}={}", text.escape_debug());
        }
        if identity.is_empty() {
            let _ = write!(identity, "{}", leaf.subject());
        }
        Self { identity, common_name, valid_until }
    }

    /// The subject's only common name, if there is one.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The last second at which every certificate of its path is valid.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }
}

/// Names shown of one peer; a certificate may have thousands.
const MAX_SHOWN: usize = 4;

/// Its names: `CN=location-b,URI=spiffe://mesh/b`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identity)
    }
}

/// Verdicts in memory at a time; a peer that shows more chains only evicts.
const MAX_VERDICTS: usize = 1024;
/// What a chain of two with P-256 takes.
const TYPICAL_CHAIN: usize = 2 * 1024;
/// A longer chain is judged each time.
const MAX_CHAIN: usize = 32 * 1024;

/// Peers let in, by the octets of all that they sent and the name asked for. It belongs to one generation of trust and ends
/// with it, and a verdict holds from when it was made until the first certificate of its path expires.
pub(super) struct Verdicts(Mutex<Memory>);

/// Since when, and who, by the octets that were judged.
type Memory = HashMap<Vec<u8>, (UnixTime, Arc<Peer>)>;

impl Verdicts {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// What was decided of exactly this before, or what `judge` says now.
    pub(super) fn remembered<E>(
        &self,
        name: &[u8],
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
        judge: impl FnOnce() -> Result<Peer, E>,
    ) -> Result<Arc<Peer>, E> {
        let mut key = Vec::with_capacity(TYPICAL_CHAIN);
        // Lengths keep one list of texts from looking like another.
        for part in [name, leaf.as_ref()].into_iter().chain(sent.iter().map(AsRef::as_ref)) {
            key.extend_from_slice(&part.len().to_be_bytes());
            key.extend_from_slice(part);
        }
        let known = self.lock().get(&key).cloned();
        if let Some((since, peer)) = known
            && since <= now
            && now <= peer.valid_until
        {
            return Ok(peer);
        }
        let peer = Arc::new(judge()?);
        if key.len() <= MAX_CHAIN {
            let mut verdicts = self.lock();
            if verdicts.len() >= MAX_VERDICTS {
                verdicts.clear();
            }
            verdicts.insert(key, (now, peer.clone()));
        }
        Ok(peer)
    }

    /// A panic elsewhere leaves a map of whole verdicts.
    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} verdicts", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(second: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(second))
    }

    fn peer(until: u64) -> Peer {
        Peer { identity: String::new(), common_name: None, valid_until: at(until) }
    }

    /// Whether the verdict at `second` came from memory.
    fn remembered(verdicts: &Verdicts, leaf: &[u8], sent: &[&[u8]], second: u64) -> bool {
        let mut judged = false;
        let sent: Vec<_> = sent.iter().map(|der| CertificateDer::from(*der)).collect();
        let _ = verdicts.remembered(b"", &CertificateDer::from(leaf), &sent, at(second), || {
            judged = true;
            Ok::<_, ()>(peer(100))
        });
        !judged
    }

    #[test]
    fn a_verdict_holds_for_the_same_octets_until_expiry() {
        let verdicts = Verdicts::new();
        assert!(!remembered(&verdicts, b"leaf", &[b"int"], 50));
        assert!(remembered(&verdicts, b"leaf", &[b"int"], 100));
        assert!(!remembered(&verdicts, b"leaf", &[b"int"], 101), "expired");
        let verdicts = Verdicts::new();
        assert!(!remembered(&verdicts, b"leaf", &[b"int"], 50));
        assert!(!remembered(&verdicts, b"leaf", &[b"int"], 49), "the clock went back");
        assert!(!remembered(&verdicts, b"leaf", &[], 60), "another chain");
        assert!(!remembered(&verdicts, b"leafint", &[], 60), "the same octets, cut elsewhere");
    }

    #[test]
    fn a_refusal_is_not_remembered_and_memory_is_bounded() {
        let verdicts = Verdicts::new();
        let leaf = CertificateDer::from(&b"leaf"[..]);
        assert_eq!(verdicts.remembered(b"", &leaf, &[], at(1), || Err(7)), Err(7));
        assert!(!remembered(&verdicts, b"leaf", &[], 2));
        for number in 0..3_000_u32 {
            remembered(&verdicts, &number.to_be_bytes(), &[], 3);
        }
        assert!(verdicts.lock().len() <= MAX_VERDICTS);
    }
}
