//! Stores trust anchors, denied keys and allow lists: one value that is replaced as a whole.

#[cfg(feature = "cli")]
use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use edgetrust_core::identity::Issuers;
use edgetrust_core::path::{Anchor, Budget, DeniedKey, Limits, PathError, Place, Purpose, Trust, VerifiedPath};
use edgetrust_core::x509::{Certificate, KeyHash, ParseError};
use pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use self_cell::self_cell;

#[cfg(feature = "cli")]
use super::Described;
use super::revocation::SignedLists;
use super::shown::cut;
use super::{Authority, AuthorityRole, Peers, RevocationLists, provider};

/// The certificates that peers are verified with. The core decides whether an unpinned certificate is a CA or a pin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    /// Pins, whatever their contents, even if `stated` lists them too: [`Anchor::pin`].
    pub pinned: Vec<CertificateDer<'static>>,
    /// Certificates whose role follows from their contents: [`Anchor::new`].
    pub stated: Vec<CertificateDer<'static>>,
    /// CAs of the system's store: [`Anchor::ca`].
    pub system: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// Returns whether there is no certificate at all.
    pub fn is_empty(&self) -> bool {
        self.pinned.is_empty() && self.stated.is_empty() && self.system.is_empty()
    }
}

impl From<Vec<CertificateDer<'static>>> for Anchors {
    fn from(stated: Vec<CertificateDer<'static>>) -> Self {
        Self { stated, ..Self::default() }
    }
}

/// The settings that peers are verified and authorized by.
#[derive(Clone, Debug, Default)]
pub struct TrustSettings {
    /// The anchors of paths.
    pub anchors: Anchors,
    /// The intermediates that complete chains. They are not trusted.
    pub known_intermediates: Vec<CertificateDer<'static>>,
    /// The keys over which no path leads, not even those of anchors and pins.
    pub denied_keys: Vec<DeniedKey>,
    /// The revocation lists, and who must have one.
    pub revocation: RevocationLists,
    /// The clients that are authorized. A server is authorized by its name.
    pub clients: Peers,
    /// The keys of the CAs that a server's own certificate must come from; `None` for any CA that the anchors vouch for.
    pub server_issuers: Option<Vec<KeyHash>>,
}

impl From<Anchors> for TrustSettings {
    /// Trusts all that the anchors vouch for.
    fn from(anchors: Anchors) -> Self {
        Self { anchors, ..Self::default() }
    }
}

impl From<Vec<CertificateDer<'static>>> for TrustSettings {
    fn from(stated: Vec<CertificateDer<'static>>) -> Self {
        Anchors::from(stated).into()
    }
}

type CoreAnchors<'a> = Vec<Anchor<'a>>;
type Certificates<'a> = Vec<Certificate<'a>>;

self_cell!(
    struct ParsedAnchors {
        owner: Anchors,
        #[covariant]
        dependent: CoreAnchors,
    }
);

self_cell!(
    struct Parsed {
        owner: Vec<CertificateDer<'static>>,
        #[covariant]
        dependent: Certificates,
    }
);

fn parse_anchors(anchors: Anchors) -> Result<ParsedAnchors, ParseError> {
    ParsedAnchors::try_new(anchors, |anchors| {
        let pinned = anchors.pinned.iter().map(|der| Certificate::from_der(der).map(Anchor::pin));
        let stated = anchors.stated.iter().filter(|der| !anchors.pinned.contains(der));
        let stated = stated.map(|der| Certificate::from_der(der).map(Anchor::new));
        let system = anchors.system.iter().map(|der| Certificate::from_der(der).map(Anchor::ca));
        pinned.chain(stated).chain(system).collect()
    })
}

/// Parses each certificate once, at configuration, and not in each handshake.
fn parse(ders: Vec<CertificateDer<'static>>) -> Result<Parsed, ParseError> {
    Parsed::try_new(ders, |ders| ders.iter().map(|der| Certificate::from_der(der)).collect())
}

/// One generation of trust: anchors, known intermediates, and rules.
pub(super) struct Generation {
    pub(super) number: u64,
    anchors: ParsedAnchors,
    known_intermediates: Parsed,
    denied_keys: Vec<DeniedKey>,
    revocation: SignedLists,
    /// The same by key, for sessions that ran under many.
    #[cfg(feature = "cli")]
    denied_index: HashMap<KeyHash, Vec<DeniedKey>>,
    pub(super) clients: Peers,
    server_issuers: Option<Vec<KeyHash>>,
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("anchors", &self.anchors.borrow_dependent().len())
            .field("denied_keys", &self.denied_keys.len())
            .field("clients", &self.clients)
            .field("server_issuers", &self.server_issuers)
            .finish()
    }
}

impl Generation {
    pub(super) fn anchors(&self) -> &[Anchor<'_>] {
        self.anchors.borrow_dependent()
    }

    /// Returns the CAs that a server's certificate must come from.
    pub(super) fn server_issuers(&self) -> Issuers<'_> {
        self.server_issuers.as_deref().map_or(Issuers::Any, Issuers::OneOf)
    }

    /// Returns the settings of this generation.
    #[cfg(feature = "cli")]
    pub(super) fn settings(&self) -> TrustSettings {
        TrustSettings {
            anchors: self.anchors.borrow_owner().clone(),
            known_intermediates: self.known_intermediates.borrow_owner().clone(),
            denied_keys: self.denied_keys.clone(),
            revocation: self.revocation.unsigned(),
            clients: self.clients.clone(),
            server_issuers: self.server_issuers.clone(),
        }
    }

    /// Returns the keys of a path: the leaf's, and those of its issuers up to the anchor.
    pub(super) fn keys(&self, path: &VerifiedPath<'_>, sent: &[Certificate<'_>]) -> Box<[KeyHash]> {
        let known = self.known_intermediates.borrow_dependent();
        let issuers = path.issuers().iter().filter_map(|place| match *place {
            Place::Anchor(index) => self.anchors().get(usize::from(index)).map(Anchor::certificate),
            Place::Sent(index) => sent.get(usize::from(index)),
            Place::Known(index) => known.get(usize::from(index)),
        });
        [path.leaf()].into_iter().chain(issuers).map(|one| KeyHash::of(&one.subject_public_key_info())).collect()
    }

    /// Returns the subject of a path's anchor.
    pub(super) fn anchor(&self, path: &VerifiedPath<'_>) -> String {
        let anchor = path.issuers().iter().find_map(|place| match *place {
            Place::Anchor(index) => self.anchors().get(usize::from(index)),
            Place::Sent(_) | Place::Known(_) => None,
        });
        anchor.map(|anchor| cut(anchor.certificate().subject())).unwrap_or_default()
    }

    /// Returns the first of these keys that is denied at a time.
    #[cfg(feature = "cli")]
    pub(super) fn denied<'k>(&self, keys: &'k [KeyHash], now: UnixTime) -> Option<&'k KeyHash> {
        keys.iter()
            .find(|key| self.denied_index.get(*key).is_some_and(|denied| denied.iter().any(|one| one.holds(now))))
    }

    /// Returns whether revocation lists have a say in verdicts.
    pub(super) fn has_lists(&self) -> bool {
        self.revocation.at(UnixTime::since_unix_epoch(Duration::ZERO)).is_some()
    }

    /// Verifies a path with the core. Certificates are judged at a time, and revocation lists at a time that is the same
    /// or a later one.
    pub(super) fn verify<'p>(
        &'p self,
        algorithms: &'p [&'p dyn SignatureVerificationAlgorithm],
        leaf: &Certificate<'p>,
        sent: &[Certificate<'p>],
        purpose: Purpose,
        (now, lists_now): (UnixTime, UnixTime),
    ) -> Result<VerifiedPath<'p>, PathError> {
        let trust = Trust {
            anchors: self.anchors.borrow_dependent(),
            known_intermediates: self.known_intermediates.borrow_dependent(),
            denied_keys: &self.denied_keys,
            algorithms,
        };
        let mut budget = Budget::new(Limits::SERVER);
        match self.revocation.at(lists_now) {
            Some(lists) => trust.verify_unrevoked(leaf, sent, purpose, now, &lists, &mut budget),
            None => trust.verify(leaf, sent, purpose, now, &mut budget),
        }
    }
}

/// Trust that can be replaced during handshakes.
#[derive(Debug)]
pub struct TrustStore {
    current: ArcSwap<Generation>,
    met: Mutex<Met>,
}

/// The maximum number of peers' intermediates kept; the least recently shown goes first. Only authorized peers add to
/// them.
const MAX_MET: usize = 32;

/// The intermediates that authorized peers showed on their paths, under one generation.
#[derive(Debug, Default)]
struct Met {
    generation: u64,
    intermediates: VecDeque<Authority>,
}

/// Numbers generations across all stores, so that no two generations have the same number.
static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

impl TrustStore {
    /// Creates a store with its first generation.
    ///
    /// # Errors
    /// Fails if a certificate does not parse.
    pub fn new(settings: impl Into<TrustSettings>) -> Result<Arc<Self>, ParseError> {
        Ok(Arc::new(Self { current: ArcSwap::new(Self::generation(settings.into())?), met: Mutex::default() }))
    }

    /// Replaces the whole generation at once; handshakes under way end with the generation of their beginning.
    ///
    /// # Errors
    /// Fails if a certificate does not parse; nothing changes then.
    pub fn replace(&self, settings: impl Into<TrustSettings>) -> Result<(), ParseError> {
        self.current.store(Self::generation(settings.into())?);
        Ok(())
    }

    /// Returns the number of the current generation, which grows with each change.
    pub fn generation_number(&self) -> u64 {
        self.current.load().number
    }

    /// Records the intermediates of a peer that was authorized under this generation.
    pub(super) fn meet(&self, generation: u64, intermediates: Vec<Authority>) {
        if intermediates.is_empty() || generation != self.generation_number() {
            return;
        }
        let mut met = self.met();
        if met.generation != generation {
            *met = Met { generation, intermediates: VecDeque::new() };
        }
        for authority in intermediates {
            // Metrics identify a certificate by subject and serial number.
            met.intermediates
                .retain(|known| (&known.subject, &known.serial) != (&authority.subject, &authority.serial));
            met.intermediates.push_back(authority);
            if met.intermediates.len() > MAX_MET {
                met.intermediates.pop_front();
            }
        }
    }

    /// Locks the intermediates. A panic elsewhere leaves no partial entry.
    fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the certificates that peers are verified by, without those of the system's store, and the intermediates
    /// that peers showed.
    pub fn authorities(&self) -> Vec<Authority> {
        let current = self.current.load();
        let system = current.anchors.borrow_owner().system.len();
        let anchors = current.anchors.borrow_dependent();
        let anchors = anchors.iter().take(anchors.len().saturating_sub(system));
        let anchors = anchors.map(|anchor| Authority::new(anchor.role().into(), anchor.certificate()));
        let known = current.known_intermediates.borrow_dependent().iter();
        let known = known.map(|certificate| Authority::new(AuthorityRole::KnownIntermediate, certificate));
        let mut all: Vec<_> = anchors.chain(known).collect();
        let met = self.met();
        if met.generation == current.number {
            all.extend(met.intermediates.iter().cloned());
        }
        all
    }

    /// Returns the certificates that peers are verified by, each with its role, without those of the system's store.
    #[cfg(feature = "cli")]
    pub(crate) fn described(&self) -> Vec<(&'static str, Described)> {
        let current = self.current.load();
        let stated = current.anchors.borrow_owner();
        let count = stated.pinned.len().saturating_add(stated.stated.len());
        let anchors = current.anchors.borrow_dependent().iter().take(count);
        let anchors = anchors.map(|anchor| (AuthorityRole::from(anchor.role()).name(), anchor.certificate()));
        let known = current.known_intermediates.borrow_dependent().iter();
        let known = known.map(|certificate| (AuthorityRole::KnownIntermediate.name(), certificate));
        anchors
            .chain(known)
            .filter_map(|(role, one)| Some((role, Described::of(&CertificateDer::from(one.der()))?)))
            .collect()
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    fn generation(settings: TrustSettings) -> Result<Arc<Generation>, ParseError> {
        let TrustSettings { anchors, known_intermediates, denied_keys, revocation, clients, server_issuers } = settings;
        let (anchors, known_intermediates) = (parse_anchors(anchors)?, parse(known_intermediates)?);
        let cas = anchors.borrow_dependent().iter().map(Anchor::certificate);
        let cas: Vec<_> = cas.chain(known_intermediates.borrow_dependent()).collect();
        let revocation = SignedLists::new(revocation, &cas, provider().signature_verification_algorithms.all);
        Ok(Arc::new(Generation {
            number: NEXT_GENERATION.fetch_add(1, Ordering::Relaxed),
            anchors,
            known_intermediates,
            revocation,
            #[cfg(feature = "cli")]
            denied_index: denied_keys.iter().fold(HashMap::new(), |mut index, denied| {
                index.entry(denied.key).or_default().push(*denied);
                index
            }),
            denied_keys,
            clients,
            server_issuers,
        }))
    }
}
