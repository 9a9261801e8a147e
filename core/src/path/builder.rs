//! The search for a path.

use pki_types::{SignatureVerificationAlgorithm, UnixTime};

use super::error::{PathError, PathErrorKind, Resource};
use super::{Budget, checks, name_constraints};
use crate::time::TrustedTime;
use crate::x509::Certificate;

/// How many intermediates a path can have at the most, self-issued ones counted; [`super::Limits`] sets the bound in use.
pub const MAX_INTERMEDIATES: usize = 16;

/// What the leaf is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// id-kp-serverAuth: the peer is a server.
    ServerAuth,
    /// id-kp-clientAuth: the peer is a client.
    ClientAuth,
}

impl Purpose {
    /// Contents octets of the KeyPurposeId (RFC 5280 section 4.2.1.12).
    pub(super) fn oid(self) -> [u8; 8] {
        match self {
            Self::ServerAuth => [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
            Self::ClientAuth => [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
        }
    }
}

/// Whom we believe, and what helps to get there.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'t> {
    /// Trust anchors, as operators configure them: what their certificates say counts.
    pub anchors: &'t [Certificate<'t>],
    /// Intermediates known beforehand, not trusted: they complete the chain of a peer that sends only its leaf.
    pub known_intermediates: &'t [Certificate<'t>],
    /// The signature algorithms that count.
    pub algorithms: &'t [&'t dyn SignatureVerificationAlgorithm],
}

/// Where a certificate of a path was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Index in [`Trust::anchors`].
    Anchor(u16),
    /// Index in the certificates that the peer sent.
    Sent(u16),
    /// Index in [`Trust::known_intermediates`].
    Known(u16),
}

/// Proof that a chain was verified; nothing else can make one.
#[derive(Clone, Debug)]
pub struct VerifiedPath<'p> {
    leaf: Certificate<'p>,
    purpose: Purpose,
    issuers: heapless::Vec<Place, { MAX_INTERMEDIATES + 1 }>,
    valid_until: UnixTime,
}

impl<'p> VerifiedPath<'p> {
    /// The leaf.
    pub fn leaf(&self) -> &Certificate<'p> {
        &self.leaf
    }

    /// What was verified.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The leaf's issuer first, the anchor last; a pinned leaf has only the anchor, itself.
    pub fn issuers(&self) -> &[Place] {
        &self.issuers
    }

    /// The earliest notAfter on the path.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }
}

/// One level of the search: the certificate whose issuer is sought is the one chosen a level below.
struct Level {
    /// The next candidate to look at.
    next: usize,
    /// The candidate that stands here.
    chosen: Option<Place>,
}

impl<'t> Trust<'t> {
    /// As [`Trust::verify`], for a clock that may not know the time: only [`TrustedTime::Known`] can accept.
    ///
    /// # Errors
    /// As [`Trust::verify`]; [`PathErrorKind::TimeUnknown`] where nothing else speaks against the leaf.
    pub fn verify_at<'p>(
        &self,
        leaf: &Certificate<'p>,
        sent: &[Certificate<'p>],
        purpose: Purpose,
        now: TrustedTime,
        budget: &mut Budget,
    ) -> Result<VerifiedPath<'p>, PathError> {
        let kind = match now {
            TrustedTime::Known(now) => return self.verify(leaf, sent, purpose, now, budget),
            TrustedTime::AtLeast(now) if now > leaf.validity().not_after => {
                PathErrorKind::Expired { not_after: leaf.validity().not_after, now }
            }
            TrustedTime::AtLeast(_) | TrustedTime::Unknown => PathErrorKind::TimeUnknown,
        };
        Err(PathError { depth: 0, kind })
    }

    /// Finds and checks a path from `leaf` to an anchor (RFC 5280 section 6.1). `sent` is an unordered bag.
    ///
    /// # Errors
    /// Of all that was in the way, what says most.
    pub fn verify<'p>(
        &self,
        leaf: &Certificate<'p>,
        sent: &[Certificate<'p>],
        purpose: Purpose,
        now: UnixTime,
        budget: &mut Budget,
    ) -> Result<VerifiedPath<'p>, PathError> {
        let at_leaf = |kind| PathError { depth: 0, kind };
        if let Some(anchor) = self.anchors.iter().position(|anchor| anchor.der() == leaf.der()) {
            checks::pinned(leaf, purpose, now).map_err(at_leaf)?;
            let place = Place::Anchor(u16::try_from(anchor).unwrap_or(u16::MAX));
            let mut issuers = heapless::Vec::new();
            // The list is not full.
            let _ = issuers.push(place);
            return Ok(VerifiedPath { leaf: *leaf, purpose, issuers, valid_until: leaf.validity().not_after });
        }
        checks::leaf(leaf, purpose, now).map_err(at_leaf)?;
        Search { trust: self, leaf, sent, purpose, now, budget, levels: heapless::Vec::new() }.run()
    }
}

struct Search<'s, 't, 'p> {
    trust: &'s Trust<'t>,
    leaf: &'s Certificate<'p>,
    sent: &'s [Certificate<'p>],
    purpose: Purpose,
    now: UnixTime,
    budget: &'s mut Budget,
    levels: heapless::Vec<Level, { MAX_INTERMEDIATES + 1 }>,
}

impl<'s, 't, 'p> Search<'s, 't, 'p> {
    fn run(mut self) -> Result<VerifiedPath<'p>, PathError> {
        let mut best = PathError { depth: 0, kind: PathErrorKind::UnknownIssuer };
        let _ = self.levels.push(Level { next: 0, chosen: None });
        // Each turn looks at one candidate, or gives up a level; the budget's steps bound the number of turns.
        while let Some(level) = self.levels.last_mut() {
            let candidate = level.next;
            level.next = level.next.saturating_add(1);
            level.chosen = None;
            let Some((place, issuer)) = self.candidate(candidate) else {
                self.levels.pop();
                continue;
            };
            match self.consider(place, issuer) {
                Ok(Considered::NotIssuer) => {}
                Ok(Considered::Anchor) => return Ok(self.found(place)),
                Ok(Considered::Intermediate) => {
                    if let Some(level) = self.levels.last_mut() {
                        level.chosen = Some(place);
                    }
                    if self.levels.push(Level { next: 0, chosen: None }).is_err() {
                        best = most_telling(best, self.error_at_issuer(PathErrorKind::Budget(Resource::Intermediates)));
                    }
                }
                Err(error) if error.kind.is_final() => return Err(error),
                Err(error) => best = most_telling(best, error),
            }
        }
        Err(best)
    }

    /// Anchors first: the shortest path is tried before longer ones.
    fn candidate(&self, index: usize) -> Option<(Place, &'s Certificate<'s>)>
    where
        't: 's,
        'p: 's,
    {
        let number = |index| u16::try_from(index).ok();
        if let Some(anchor) = self.trust.anchors.get(index) {
            return Some((Place::Anchor(number(index)?), anchor));
        }
        let index = index.checked_sub(self.trust.anchors.len())?;
        if let Some(sent) = self.sent.get(index) {
            return Some((Place::Sent(number(index)?), sent));
        }
        let index = index.checked_sub(self.sent.len())?;
        let known = self.trust.known_intermediates.get(index)?;
        Some((Place::Known(number(index)?), known))
    }

    fn certificate(&self, place: Place) -> Option<&'s Certificate<'s>>
    where
        't: 's,
        'p: 's,
    {
        match place {
            Place::Anchor(index) => self.trust.anchors.get(usize::from(index)).map(|c| c as &Certificate<'s>),
            Place::Sent(index) => self.sent.get(usize::from(index)).map(|c| c as &Certificate<'s>),
            Place::Known(index) => {
                self.trust.known_intermediates.get(usize::from(index)).map(|c| c as &Certificate<'s>)
            }
        }
    }

    /// The intermediates chosen so far, the leaf's issuer first.
    fn chosen(&self) -> impl Iterator<Item = &'s Certificate<'s>> + '_ {
        self.levels.iter().filter_map(|level| level.chosen).filter_map(|place| self.certificate(place))
    }

    /// Whether `issuer` may stand above what was chosen so far. The cheap checks come before the signature.
    fn consider(&mut self, place: Place, issuer: &'s Certificate<'s>) -> Result<Considered, PathError> {
        self.budget.step(issuer.subject().as_bytes().len()).map_err(|kind| self.error_at_issuer(kind))?;
        let child = self.chosen().last().unwrap_or(self.leaf);
        // RFC 5280 section 6.1.3 (a) (4)
        if !issuer.subject().matches(&child.issuer()) || identifiers_differ(child, issuer) {
            return Ok(Considered::NotIssuer);
        }
        let is_anchor = matches!(place, Place::Anchor(_));
        // RFC 5280 section 6.1: a certificate must not appear more than once in a path
        let same = |other: &Certificate<'_>| {
            other.subject_public_key_info() == issuer.subject_public_key_info()
                && other.subject().matches(&issuer.subject())
        };
        if !is_anchor && (same(self.leaf) || self.chosen().any(same)) {
            return Err(self.error_at_issuer(PathErrorKind::Loop));
        }
        let cas_below = self.chosen().filter(|ca| !ca.is_self_issued()).count();
        checks::issuer(issuer, self.purpose, self.now, cas_below).map_err(|kind| self.error_at_issuer(kind))?;
        if !is_anchor {
            checks::serial_number(issuer).map_err(|kind| self.error_at_issuer(kind))?;
        }
        let counted = cas_below.saturating_add(usize::from(!issuer.is_self_issued()));
        if !is_anchor && counted > usize::from(self.budget.left().intermediates) {
            return Err(self.error_at_issuer(PathErrorKind::Budget(Resource::Intermediates)));
        }
        self.signature(child, issuer).map_err(|kind| PathError { depth: self.depth(), kind })?;
        self.names(issuer).map_err(|kind| self.error_at_issuer(kind))?;
        Ok(if is_anchor { Considered::Anchor } else { Considered::Intermediate })
    }

    /// RFC 5280 section 6.1.3 (a) (1)
    fn signature(&mut self, child: &Certificate<'_>, issuer: &Certificate<'_>) -> Result<(), PathErrorKind> {
        let key = issuer.subject_public_key_info();
        let mut outcome = Err(PathErrorKind::UnsupportedAlgorithm);
        for algorithm in self.trust.algorithms {
            if algorithm.signature_alg_id().as_ref() != child.signature_algorithm()
                || algorithm.public_key_alg_id().as_ref() != key.algorithm
            {
                continue;
            }
            self.budget.signature_check()?;
            match algorithm.verify_signature(key.public_key, child.tbs(), child.signature()) {
                Ok(()) => return Ok(()),
                Err(_) => outcome = Err(PathErrorKind::BadSignature),
            }
        }
        outcome
    }

    /// RFC 5280 section 6.1.3 (b) and (c): a CA's constraints hold for all below but self-issued intermediates.
    fn names(&mut self, issuer: &Certificate<'_>) -> Result<(), PathErrorKind> {
        let Some(constraints) = issuer.extensions().name_constraints else { return Ok(()) };
        name_constraints::check(&constraints, self.leaf, self.budget)?;
        let count = self.levels.len();
        for index in 0..count {
            let place = self.levels.get(index).and_then(|level| level.chosen);
            if let Some(below) = place.and_then(|place| self.certificate(place))
                && !below.is_self_issued()
            {
                name_constraints::check(&constraints, below, self.budget)?;
            }
        }
        Ok(())
    }

    /// Place of the certificate whose issuer is sought.
    fn depth(&self) -> u8 {
        u8::try_from(self.levels.len().saturating_sub(1)).unwrap_or(u8::MAX)
    }

    fn error_at_issuer(&self, kind: PathErrorKind) -> PathError {
        PathError { depth: self.depth().saturating_add(1), kind }
    }

    fn found(&self, anchor: Place) -> VerifiedPath<'p> {
        let places = self.levels.iter().filter_map(|level| level.chosen).chain([anchor]);
        let mut issuers = heapless::Vec::new();
        let mut valid_until = self.leaf.validity().not_after;
        for place in places {
            if let Some(certificate) = self.certificate(place) {
                valid_until = valid_until.min(certificate.validity().not_after);
            }
            // There are as many levels as the list holds.
            let _ = issuers.push(place);
        }
        VerifiedPath { leaf: *self.leaf, purpose: self.purpose, issuers, valid_until }
    }
}

enum Considered {
    NotIssuer,
    Intermediate,
    Anchor,
}

/// RFC 5280 section 4.2.1.1: the key identifiers tell issuers of one name apart, where both are there.
fn identifiers_differ(child: &Certificate<'_>, issuer: &Certificate<'_>) -> bool {
    let wanted = child.extensions().authority_key_identifier.and_then(|identifier| identifier.key_identifier);
    match (wanted, issuer.extensions().subject_key_identifier) {
        (Some(wanted), Some(found)) => wanted != found,
        _ => false,
    }
}

fn most_telling(best: PathError, new: PathError) -> PathError {
    if new.kind.rank() > best.kind.rank() { new } else { best }
}
