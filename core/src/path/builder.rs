//! Searches for a path and checks it.

use pki_types::{SignatureVerificationAlgorithm, UnixTime};

use super::budget::CANDIDATE;
use super::checks::{self, Asked};
use super::error::{PathError, PathErrorKind, Resource};
use super::signature;
use super::verified::{MAX_INTERMEDIATES, Place, VerifiedPath, pins};
use super::{Anchor, Budget, DeniedKey, Purpose, Role, common_names, denied_keys, name_constraints};
use crate::time::TrustedTime;
use crate::x509::{Certificate, SubjectPublicKeyInfo};

/// The trust anchors, and the intermediates and algorithms that complete a path.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'t> {
    /// The configured trust anchors, CAs and pins. The dates and extensions of their certificates are checked too.
    pub anchors: &'t [Anchor<'t>],
    /// Intermediates known beforehand, not trusted: they complete the chain of a peer that sends only its leaf.
    pub known_intermediates: &'t [Certificate<'t>],
    /// The keys over which no path leads. An anchor's key may be among them, and a pin's.
    pub denied_keys: &'t [DeniedKey],
    /// The accepted signature algorithms.
    pub algorithms: &'t [&'t dyn SignatureVerificationAlgorithm],
}

/// One level of the search: the certificate whose issuer is sought is the one chosen a level below.
#[derive(Default)]
struct Level {
    /// The next candidate to look at.
    next: usize,
    /// Set if a candidate has the issuer's name, but not the key that the authority key identifier names.
    other_key: bool,
    /// The candidate chosen at this level.
    chosen: Option<Chosen>,
}

/// An intermediate on the path.
#[derive(Clone, Copy)]
struct Chosen {
    place: Place,
    self_issued: bool,
}

impl<'t> Trust<'t> {
    /// Verifies as [`Trust::verify`] does, at a time that may be unknown: only [`TrustedTime::Known`] can accept.
    ///
    /// # Errors
    /// As [`Trust::verify`]; [`PathErrorKind::TimeUnknown`] without a known time, if the leaf is not past notAfter.
    pub fn verify_at<'p>(
        &self,
        leaf: &Certificate<'p>,
        sent: &[Certificate<'p>],
        purpose: Purpose,
        now: TrustedTime,
        budget: &mut Budget,
    ) -> Result<VerifiedPath<'p>, PathError>
    where
        't: 'p,
    {
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
    /// The most specific error from any candidate path.
    pub fn verify<'p>(
        &self,
        leaf: &Certificate<'p>,
        sent: &[Certificate<'p>],
        purpose: Purpose,
        now: UnixTime,
        budget: &mut Budget,
    ) -> Result<VerifiedPath<'p>, PathError>
    where
        't: 'p,
    {
        self.verify_asked(leaf, sent, Asked::new(purpose, now, self.algorithms), budget)
    }

    pub(super) fn verify_asked<'p>(
        &self,
        leaf: &Certificate<'p>,
        sent: &[Certificate<'p>],
        asked: Asked<'_>,
        budget: &mut Budget,
    ) -> Result<VerifiedPath<'p>, PathError>
    where
        't: 'p,
    {
        let at_leaf = |kind| PathError { depth: 0, kind };
        let (purpose, now) = (asked.purpose, asked.now);
        // Before a pin can be accepted: its key may be stolen too.
        denied_keys::check(&leaf.subject_public_key_info(), self.denied_keys, now, &mut budget.work)
            .map_err(at_leaf)?;
        let is_leaf = |anchor: &Anchor<'_>| anchor.role() == Role::Pin && anchor.certificate().der() == leaf.der();
        if let Some(anchor) = self.anchors.iter().position(is_leaf) {
            checks::pinned(leaf, &asked).map_err(at_leaf)?;
            let place = Place::Anchor(u16::try_from(anchor).unwrap_or(u16::MAX));
            let mut issuers = heapless::Vec::new();
            let pushed = issuers.push(place).is_ok();
            debug_assert!(pushed, "the list is empty");
            let valid_until = leaf.validity().not_after;
            let (anchors, work) = (self.anchors, budget.work);
            return Ok(VerifiedPath {
                leaf: *leaf,
                purpose,
                issuers,
                issuer_key: None,
                valid_until,
                #[cfg(feature = "crl")]
                lists_until: None,
                work,
                anchors,
                pinned: true,
                common_name_permitted: true,
            });
        }
        let purposes = leaf.extensions().extended_key_usage.map_or(0, |usage| usage.as_bytes().len());
        budget.work.spend(purposes).map_err(PathErrorKind::from).map_err(at_leaf)?;
        checks::leaf(leaf, &asked).map_err(at_leaf)?;
        let levels = heapless::Vec::new();
        Search { trust: self, leaf, sent, asked, budget, levels, self_issued: SelfIssued::default(), below: 0 }.run()
    }

    /// Checks that an anchor itself issued the certificate of a CA that may sign for meshes, or have another such CA
    /// below it. Returns the anchor.
    ///
    /// # Errors
    /// The most specific error of any anchor.
    #[cfg(feature = "mesh")]
    pub fn verify_ca(
        &self,
        ca: &Certificate<'_>,
        now: UnixTime,
        budget: &mut Budget,
    ) -> Result<&'t Anchor<'t>, PathError> {
        let at_ca = |kind| PathError { depth: 0, kind };
        let asked = Asked::new(Purpose::MeshSigning, now, self.algorithms);
        denied_keys::check(&ca.subject_public_key_info(), self.denied_keys, now, &mut budget.work).map_err(at_ca)?;
        checks::issuer(ca, &asked, 0).map_err(at_ca)?;
        checks::intermediate(ca, &asked).map_err(at_ca)?;
        let trust = Trust { known_intermediates: &[], ..*self };
        let levels = heapless::Vec::new();
        // RFC 5280 section 6.1.4 (l) and (m): the CA itself is one below its issuer
        let below = usize::from(!ca.is_self_issued());
        let self_issued = SelfIssued::default();
        let search = Search { trust: &trust, leaf: ca, sent: &[], asked, budget, levels, self_issued, below };
        let path = search.run()?;
        let anchor = path.issuers().first().and_then(|place| match place {
            Place::Anchor(index) => self.anchors.get(usize::from(*index)),
            Place::Sent(_) | Place::Known(_) => None,
        });
        anchor.ok_or(at_ca(PathErrorKind::UnknownIssuer))
    }
}

struct Search<'s, 't, 'p> {
    trust: &'s Trust<'t>,
    leaf: &'s Certificate<'p>,
    sent: &'s [Certificate<'p>],
    asked: Asked<'s>,
    budget: &'s mut Budget,
    levels: heapless::Vec<Level, { MAX_INTERMEDIATES + 1 }>,
    self_issued: SelfIssued,
    /// The CAs at the end of the path: none, unless the leaf is a CA itself.
    below: usize,
}

/// A cache of which of the first 64 sent certificates are self-issued: a peer can choose names that take long to
/// compare, and a search meets a certificate repeatedly.
#[derive(Default)]
struct SelfIssued {
    decided: u64,
    yes: u64,
}

impl<'s, 't, 'p> Search<'s, 't, 'p>
where
    't: 'p,
{
    fn run(mut self) -> Result<VerifiedPath<'p>, PathError> {
        let mut best = PathError { depth: 0, kind: PathErrorKind::UnknownIssuer };
        let pushed = self.levels.push(Level::default()).is_ok();
        debug_assert!(pushed, "the search begins without levels");
        // Each turn looks at one candidate, or gives up a level; the budget's work bounds the number of turns.
        while let Some(level) = self.levels.last_mut() {
            let candidate = level.next;
            level.next = level.next.saturating_add(1);
            level.chosen = None;
            let Some((place, issuer)) = self.candidate(candidate) else {
                best = best.most_telling(self.without_issuer());
                self.levels.pop();
                continue;
            };
            match self.consider(place, issuer) {
                Ok(Considered::NotIssuer) => {}
                Ok(Considered::OtherKey) => {
                    if let Some(level) = self.levels.last_mut() {
                        level.other_key = true;
                    }
                }
                #[cfg(not(feature = "crl"))]
                Ok(Considered::Anchor) => return Ok(self.found(place)),
                #[cfg(feature = "crl")]
                Ok(Considered::Anchor) => match self.check_revocation(place) {
                    Ok(lists_until) => return Ok(VerifiedPath { lists_until, ..self.found(place) }),
                    Err(error) if error.kind.is_final() => return Err(error),
                    Err(error) => best = best.most_telling(error),
                },
                Ok(Considered::Intermediate { self_issued }) => {
                    if let Some(level) = self.levels.last_mut() {
                        level.chosen = Some(Chosen { place, self_issued });
                    }
                    if self.levels.push(Level::default()).is_err() {
                        best = best.most_telling(self.error_at_issuer(PathErrorKind::Budget(Resource::Intermediates)));
                    }
                }
                Err(error) if error.kind.is_final() => return Err(error),
                Err(error) => best = best.most_telling(error),
            }
        }
        Err(best)
    }

    /// Returns the candidate with this index: anchors first, to try the shortest path before longer ones.
    fn candidate(&self, index: usize) -> Option<(Place, &'s Certificate<'s>)>
    where
        't: 's,
        'p: 's,
    {
        let number = |index| u16::try_from(index).ok();
        if let Some(anchor) = self.trust.anchors.get(index) {
            return Some((Place::Anchor(number(index)?), anchor.certificate()));
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
        at_place(self.trust, self.sent, place)
    }

    /// Returns the intermediates chosen so far, the leaf's issuer first.
    fn chosen(&self) -> impl DoubleEndedIterator<Item = (Chosen, &'s Certificate<'s>)> + '_ {
        let chosen = self.levels.iter().filter_map(|level| level.chosen);
        chosen.filter_map(|chosen| Some((chosen, self.certificate(chosen.place)?)))
    }

    /// Checks whether `issuer` can continue the path chosen so far. The cheap checks come before the signature.
    fn consider(&mut self, place: Place, issuer: &'s Certificate<'s>) -> Result<Considered, PathError> {
        let (depth, above) = (self.depth(), self.error_at_issuer(PathErrorKind::UnknownIssuer));
        let above = |kind| PathError { kind, ..above };
        let child = self.child();
        // RFC 5280 section 6.1.3 (a) (4)
        self.budget.work.spend(CANDIDATE).map_err(|exhausted| above(exhausted.into()))?;
        let named = issuer.subject().matches_within(&child.issuer(), &mut self.budget.work);
        if !named.map_err(|exhausted| above(exhausted.into()))? {
            return Ok(Considered::NotIssuer);
        }
        if self.identifiers_differ(child, issuer).map_err(above)? {
            return Ok(Considered::OtherKey);
        }
        let is_anchor = matches!(place, Place::Anchor(_));
        if self.is_pinned(issuer).map_err(above)? {
            // A certificate without extensions cannot state that it is a CA.
            return Err(above(match issuer.version() {
                3 => PathErrorKind::IssuerIsPin,
                version => PathErrorKind::Version(version),
            }));
        }
        if !is_anchor && self.is_on_path(issuer).map_err(above)? {
            return Err(PathError { depth, kind: PathErrorKind::Loop });
        }
        let cas_below = self.chosen().filter(|(chosen, _)| !chosen.self_issued).count().saturating_add(self.below);
        self.spend_checks(issuer).map_err(above)?;
        checks::issuer(issuer, &self.asked, cas_below).map_err(above)?;
        if !is_anchor {
            checks::intermediate(issuer, &self.asked).map_err(above)?;
        }
        let self_issued = !is_anchor && self.is_self_issued(place, issuer).map_err(above)?;
        let counted = cas_below.saturating_add(usize::from(!self_issued));
        if !is_anchor && counted > usize::from(self.budget.left().intermediates) {
            return Err(above(PathErrorKind::Budget(Resource::Intermediates)));
        }
        self.signature(child, issuer).map_err(|kind| PathError { depth, kind })?;
        // After the signature: a certificate with only the issuer's name says nothing about this child.
        let (key, denied, now) = (issuer.subject_public_key_info(), self.trust.denied_keys, self.asked.now);
        denied_keys::check(&key, denied, now, &mut self.budget.work).map_err(above)?;
        self.names(issuer).map_err(above)?;
        Ok(if is_anchor { Considered::Anchor } else { Considered::Intermediate { self_issued } })
    }

    /// Returns whether both key identifiers, which tell issuers of one name apart, are present and differ
    /// (RFC 5280 section 4.2.1.1).
    fn identifiers_differ(&mut self, child: &Certificate<'_>, issuer: &Certificate<'_>) -> Result<bool, PathErrorKind> {
        let wanted = child.extensions().authority_key_identifier.and_then(|identifier| identifier.key_identifier);
        let (Some(wanted), Some(found)) = (wanted, issuer.extensions().subject_key_identifier) else {
            return Ok(false);
        };
        self.budget.work.spend_identity(found.len())?;
        Ok(wanted != found)
    }

    /// Returns whether `issuer` is pinned anywhere in the list, even if it is also listed as a CA or sent by the peer.
    fn is_pinned(&mut self, issuer: &Certificate<'_>) -> Result<bool, PathErrorKind> {
        self.budget.work.spend(self.trust.anchors.len())?;
        Ok(pins(self.trust.anchors).any(|pin| pin.der() == issuer.der()))
    }

    /// Returns whether `issuer` is on the path, where no certificate may appear twice (RFC 5280 section 6.1).
    fn is_on_path(&mut self, issuer: &Certificate<'_>) -> Result<bool, PathErrorKind> {
        let mut work = self.budget.work;
        let mut same = |other: &Certificate<'_>| {
            let (key, other_key) = (issuer.subject_public_key_info().der, other.subject_public_key_info().der);
            work.spend_identity(key.len())?;
            Ok(key == other_key && other.subject().matches_within(&issuer.subject(), &mut work)?)
        };
        let mut on_path = same(self.leaf);
        for (_, chosen) in self.chosen() {
            if on_path != Ok(false) {
                break;
            }
            on_path = same(chosen);
        }
        self.budget.work = work;
        on_path
    }

    /// Spends the work of checking an issuer's purposes and of finding its algorithms in the list.
    fn spend_checks(&mut self, issuer: &Certificate<'_>) -> Result<(), PathErrorKind> {
        let purposes = issuer.extensions().extended_key_usage.map_or(0, |usage| usage.as_bytes().len());
        let algorithms = self.trust.algorithms.len().saturating_mul(2);
        self.budget.work.spend(purposes.saturating_add(algorithms)).map_err(PathErrorKind::from)
    }

    fn is_self_issued(&mut self, place: Place, issuer: &Certificate<'_>) -> Result<bool, PathErrorKind> {
        let bit = match place {
            Place::Sent(index) => 1_u64.checked_shl(index.into()).unwrap_or(0),
            Place::Anchor(_) | Place::Known(_) => 0,
        };
        if self.self_issued.decided & bit != 0 {
            return Ok(self.self_issued.yes & bit != 0);
        }
        let yes = issuer.issuer().matches_within(&issuer.subject(), &mut self.budget.work)?;
        self.self_issued.decided |= bit;
        self.self_issued.yes |= if yes { bit } else { 0 };
        Ok(yes)
    }

    /// Verifies the signature of `child` with the key of `issuer` (RFC 5280 section 6.1.3 (a) (1)).
    fn signature(&mut self, child: &Certificate<'_>, issuer: &Certificate<'_>) -> Result<(), PathErrorKind> {
        let signed = (child.signature_algorithm(), child.tbs(), child.signature());
        signature::verify(signed, &issuer.subject_public_key_info(), self.trust.algorithms, self.budget)
    }

    /// Checks the path by revocation lists, once all its certificates have proved to be the anchor's: nobody else makes
    /// anyone verify the signature of a list.
    #[cfg(feature = "crl")]
    fn check_revocation(&mut self, anchor: Place) -> Result<Option<UnixTime>, PathError> {
        let Some(revocation) = self.asked.revocation else { return Ok(None) };
        let above = self.chosen().map(|(_, certificate)| certificate).chain(self.certificate(anchor));
        let path: heapless::Vec<_, { MAX_INTERMEDIATES + 2 }> =
            [self.leaf as &Certificate<'s>].into_iter().chain(above).collect();
        revocation.check_path(&path, &self.asked, self.budget)
    }

    /// Checks all certificates below a CA, except self-issued intermediates, against its constraints
    /// (RFC 5280 section 6.1.3 (b) and (c)).
    fn names(&mut self, issuer: &Certificate<'_>) -> Result<(), PathErrorKind> {
        let Some(constraints) = issuer.extensions().name_constraints else { return Ok(()) };
        let mut work = self.budget.work;
        let below = self.chosen().filter(|(chosen, _)| !chosen.self_issued).map(|(_, certificate)| certificate);
        let mut outcome = Ok(());
        for certificate in [self.leaf as &Certificate<'s>].into_iter().chain(below) {
            outcome = outcome.and_then(|()| name_constraints::check(&constraints, certificate, &mut work));
        }
        self.budget.work = work;
        outcome
    }

    /// Returns the certificate whose issuer is sought.
    fn child(&self) -> &'s Certificate<'s>
    where
        'p: 's,
    {
        self.chosen().next_back().map_or(self.leaf as &Certificate<'s>, |(_, child)| child)
    }

    /// Returns the error for a certificate of which no candidate is the issuer by name and key.
    fn without_issuer(&self) -> PathError {
        let child = self.child();
        let kind = match self.levels.last() {
            _ if child.issuer() == child.subject() => PathErrorKind::SelfSigned,
            Some(Level { other_key: true, .. }) => PathErrorKind::AuthorityKeyIdentifier,
            _ => PathErrorKind::UnknownIssuer,
        };
        PathError { depth: self.depth(), kind }
    }

    /// Returns the position in the chain of the certificate whose issuer is sought.
    fn depth(&self) -> u8 {
        u8::try_from(self.levels.len().saturating_sub(1)).unwrap_or(u8::MAX)
    }

    fn error_at_issuer(&self, kind: PathErrorKind) -> PathError {
        PathError { depth: self.depth().saturating_add(1), kind }
    }

    fn found(&mut self, anchor: Place) -> VerifiedPath<'p> {
        let chosen = self.levels.iter().filter_map(|level| level.chosen);
        let places = chosen.map(|chosen| chosen.place).chain([anchor]);
        let mut issuers = heapless::Vec::new();
        let mut valid_until = self.leaf.validity().not_after;
        for place in places {
            if let Some(certificate) = self.certificate(place) {
                valid_until = valid_until.min(certificate.validity().not_after);
            }
            let pushed = issuers.push(place).is_ok();
            debug_assert!(pushed, "the list holds as many places as there are levels");
        }
        debug_assert!(matches!(issuers.last(), Some(Place::Anchor(_))), "a path ends at an anchor");
        let issuer_key = issuers.first().and_then(|place| self.key(*place));
        debug_assert!(issuer_key.is_some(), "a path has an issuer");
        let common_name_permitted = match self.asked.purpose {
            Purpose::ServerAuth => false,
            #[cfg(feature = "mesh")]
            Purpose::MeshSigning => false,
            Purpose::ClientAuth => self.is_common_name_permitted(&issuers),
        };
        let anchors = self.trust.anchors;
        VerifiedPath {
            leaf: *self.leaf,
            purpose: self.asked.purpose,
            issuers,
            issuer_key,
            valid_until,
            #[cfg(feature = "crl")]
            lists_until: None,
            work: self.budget.work,
            anchors,
            pinned: false,
            common_name_permitted,
        }
    }

    /// Returns the key of a certificate, for as long as the octets of the certificate live.
    fn key(&self, place: Place) -> Option<SubjectPublicKeyInfo<'p>> {
        match place {
            Place::Anchor(index) => Some(self.trust.anchors.get(usize::from(index))?.certificate()),
            Place::Sent(index) => self.sent.get(usize::from(index)),
            Place::Known(index) => self.trust.known_intermediates.get(usize::from(index)),
        }
        .map(Certificate::subject_public_key_info)
    }

    fn is_common_name_permitted(&mut self, issuers: &[Place]) -> bool {
        let (trust, sent) = (self.trust, self.sent);
        let constraints =
            issuers.iter().filter_map(|place| at_place(trust, sent, *place)?.extensions().name_constraints);
        common_names::permitted(self.leaf, constraints, &mut self.budget.work)
    }
}

fn at_place<'s>(trust: &'s Trust<'s>, sent: &'s [Certificate<'s>], place: Place) -> Option<&'s Certificate<'s>> {
    match place {
        Place::Anchor(index) => trust.anchors.get(usize::from(index)).map(Anchor::certificate),
        Place::Sent(index) => sent.get(usize::from(index)),
        Place::Known(index) => trust.known_intermediates.get(usize::from(index)),
    }
}

enum Considered {
    NotIssuer,
    /// The candidate has the issuer's name, but another key.
    OtherKey,
    Intermediate {
        self_issued: bool,
    },
    Anchor,
}
