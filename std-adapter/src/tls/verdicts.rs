//! Remembers verdicts on peers that have proved their keys.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use pki_types::{CertificateDer, UnixTime};
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Hash, HashAlgorithm};

use super::{Authority, Peer};

/// The maximum number of verdicts in memory; the least recently used one goes first.
const MAX_VERDICTS: NonZeroUsize = NonZeroUsize::new(1024).expect("it is above zero");
/// The maximum octets of a remembered peer; a peer with longer names is judged each time.
const MAX_PEER: usize = 2 * 1024;

/// A SHA-256 digest.
type Digest = [u8; 32];

/// The input of a verdict, in two digests: the leaf certificate with the requested name, and all that the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    leaf: Digest,
    all: Digest,
}

/// An authorized peer, with the evidence and the time of the verdict.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    evidence: Option<Evidence>,
    since: UnixTime,
    pub(super) peer: Arc<Peer>,
    /// The intermediates of the path that the peer showed; reported once, and not remembered.
    pub(super) intermediates: Vec<Authority>,
}

impl Verdict {
    pub(super) fn new(evidence: Option<Evidence>, since: UnixTime, peer: Peer, intermediates: Vec<Authority>) -> Self {
        Self { evidence, since, peer: Arc::new(peer), intermediates }
    }
}

/// Remembers authorized peers, by their certificates and the requested name. The memory belongs to one generation of
/// trust and ends with it. A verdict holds from the time it was made until the first certificate of its path expires.
/// Certificates are public: only a peer that has proved its key is remembered, so that nobody else can fill the
/// memory, and each certificate has one entry.
pub(super) struct Verdicts {
    sha256: Option<&'static dyn Hash>,
    memory: Mutex<LruCache<Digest, Verdict>>,
}

impl Verdicts {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        let suites = provider.cipher_suites.iter().filter_map(|suite| suite.tls13());
        let mut hashes = suites.map(|suite| suite.common.hash_provider);
        let sha256 = hashes.find(|hash| hash.algorithm() == HashAlgorithm::SHA256);
        Self { sha256, memory: Mutex::new(LruCache::new(MAX_VERDICTS)) }
    }

    /// Returns the evidence for a verdict; `None` if the provider has no SHA-256, and nothing is remembered then.
    pub(super) fn evidence(
        &self,
        name: &[u8],
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
    ) -> Option<Evidence> {
        let hash = self.sha256?;
        let digest = |parts: &mut dyn Iterator<Item = &[u8]>| {
            let mut context = hash.start();
            for part in parts {
                // Lengths keep one list of parts from giving the same octets as another.
                context.update(&part.len().to_be_bytes());
                context.update(part);
            }
            Digest::try_from(context.finish().as_ref()).ok()
        };
        let leaf = digest(&mut [name, leaf.as_ref()].into_iter())?;
        let all = digest(&mut [leaf.as_slice()].into_iter().chain(sent.iter().map(AsRef::as_ref)))?;
        Some(Evidence { leaf, all })
    }

    /// Returns the earlier verdict on exactly this evidence, if the verdict still holds.
    /// `latest` is the time of the revocation lists, the same or a later one.
    pub(super) fn recall(&self, evidence: Option<Evidence>, now: UnixTime, latest: UnixTime) -> Option<Verdict> {
        let evidence = evidence?;
        let mut memory = self.lock();
        let known = memory.get(&evidence.leaf)?;
        let is_valid = known.since <= now && now <= known.peer.valid_until();
        let holds = known.evidence == Some(evidence) && is_valid && known.peer.is_checked(latest);
        holds.then(|| known.clone())
    }

    /// Remembers the verdict on a peer that has proved its key (RFC 8446 section 4.4.3).
    pub(super) fn remember(&self, verdict: &Verdict) {
        if let Some(evidence) = verdict.evidence.filter(|_| verdict.peer.octets() <= MAX_PEER) {
            self.lock().put(evidence.leaf, verdict.clone());
        }
    }

    /// Locks the memory. A panic elsewhere leaves no partial verdict.
    fn lock(&self) -> MutexGuard<'_, LruCache<Digest, Verdict>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn verdicts() -> Verdicts {
        Verdicts::new(&crate::tls::provider())
    }

    /// Returns whether the verdict at `second` came from memory; remembers the verdict if not.
    fn remembered(verdicts: &Verdicts, leaf: &[u8], sent: &[&[u8]], second: u64) -> bool {
        let sent: Vec<_> = sent.iter().map(|der| CertificateDer::from(*der)).collect();
        let evidence = verdicts.evidence(b"", &CertificateDer::from(leaf), &sent);
        let known = verdicts.recall(evidence, at(second), at(second)).is_some();
        if !known {
            verdicts.remember(&Verdict::new(evidence, at(second), Peer::named("", at(100)), Vec::new()));
        }
        known
    }

    #[test]
    fn a_verdict_holds_for_the_same_octets_until_expiry() {
        let memory = verdicts();
        assert!(!remembered(&memory, b"leaf", &[b"int"], 50));
        assert!(remembered(&memory, b"leaf", &[b"int"], 100));
        assert!(!remembered(&memory, b"leaf", &[b"int"], 101), "expired");
        let memory = verdicts();
        assert!(!remembered(&memory, b"leaf", &[b"int"], 50));
        assert!(!remembered(&memory, b"leaf", &[b"int"], 49), "the clock went back");
        assert!(!remembered(&memory, b"leaf", &[], 60), "another chain");
        assert!(!remembered(&memory, b"leafint", &[], 60), "the same octets, cut elsewhere");
    }

    #[test]
    fn a_certificate_with_noise_after_it_has_one_place() {
        let memory = verdicts();
        assert!(!remembered(&memory, b"other", &[], 1));
        for noise in 0..3_000_u32 {
            assert!(!remembered(&memory, b"leaf", &[&noise.to_be_bytes()], 1));
        }
        assert!(remembered(&memory, b"other", &[], 1));
        assert_eq!(memory.lock().len(), 2);
    }

    #[test]
    fn memory_is_bounded_and_what_is_in_use_stays() {
        let memory = verdicts();
        for number in 0..3_000_u32 {
            assert!(!remembered(&memory, &number.to_be_bytes(), &[], 1));
            assert_eq!(remembered(&memory, b"in use", &[], 1), number > 0);
        }
        assert_eq!(memory.lock().len(), MAX_VERDICTS.get());
        let long = Verdict::new(
            memory.evidence(b"", &CertificateDer::from(&b"l"[..]), &[]),
            at(1),
            Peer::named(&"n".repeat(MAX_PEER + 1), at(9)),
            Vec::new(),
        );
        memory.remember(&long);
        assert!(memory.recall(long.evidence, at(1), at(1)).is_none(), "a peer of endless names");
    }
}
