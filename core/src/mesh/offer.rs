//! Decides which of two editions of a mesh is in force.

use core::fmt;

use pki_types::UnixTime;

use super::bounds::MAX_CERTIFICATE;
use super::certificate::EncodedCertificate;
use super::edition::{Digest, Edition};
use super::error::MeshError;
use super::mesh::Mesh;
use super::signer::is_root;
use crate::path::{Anchor, Budget, Limits, PathError, Role, Trust};
use crate::time::Utc;
use crate::x509::{Certificate, KeyHash};

/// A mesh that may come into force.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    pub(super) mesh: Mesh<'a>,
    pub(super) edition: Edition,
    /// The keys on which the signature rests.
    pub(super) signer: Option<[KeyHash; 3]>,
}

impl<'a> Offer<'a> {
    /// Parses a mesh that is not signed.
    ///
    /// # Errors
    /// As [`Mesh::parse`].
    pub fn unsigned(text: &'a [u8]) -> Result<Self, MeshError<'a>> {
        let mesh = Mesh::parse(text)?;
        let edition = Edition { generation: 0, sequence: mesh.sequence(), digest: Digest::of(text) };
        Ok(Self { mesh, edition, signer: None })
    }

    /// Returns the mesh.
    pub fn mesh(&self) -> &Mesh<'a> {
        &self.mesh
    }

    /// Returns the edition of the mesh.
    pub fn edition(&self) -> Edition {
        self.edition
    }
}

/// The mesh in force, as far as it decides about others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce<'a> {
    /// The name of the mesh.
    pub name: &'a str,
    /// Its edition.
    pub edition: Edition,
}

/// The result of an offer that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The offer comes into force.
    Newer,
    /// The offer is in force.
    InForce,
    /// Two texts were signed with one sequence by signers of one generation. Both hold in what they deny, until a higher
    /// sequence comes into force; and somebody must hear of it.
    Conflict {
        /// The offer comes into force, as the one with the higher digest.
        offer_wins: bool,
    },
}

/// The reason why an offer does not come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotTaken<'a> {
    /// The offer is a mesh of another name.
    OtherMesh {
        /// The name of the mesh in force.
        in_force: &'a str,
        /// The name of the mesh that is offered.
        offered: &'a str,
    },
    /// The mesh in force is signed, and the offer is not.
    NotSigned {
        /// The edition in force.
        in_force: Edition,
    },
    /// A higher edition is in force.
    Older {
        /// The edition in force.
        in_force: Edition,
        /// The edition that is offered.
        offered: Edition,
    },
    /// The offer has expired.
    Expired {
        /// The last second at which it could be taken.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The offer denies the key of its own signer, or of a root that this signer rests on.
    KeyDenied(KeyHash),
    /// The offer has a root that is not held, and no held root certifies its key.
    Root {
        /// The place in `roots`.
        place: u8,
        /// The reason why what the offer has for that key is not a root's certificate by a held one.
        error: Option<PathError>,
    },
}

/// Decides whether an offer comes into force. The anchors of `trust` are the roots that are held, its denied keys those of
/// the mesh in force: an offer is judged by them when its signature is verified, and by its own denials here.
///
/// A mesh without a signature is the administrator's and is taken, whatever its sequence, until a signed one was in force.
///
/// # Errors
/// [`NotTaken`], with the reason. The mesh in force stays, even where it has expired.
pub fn takes<'a>(
    in_force: Option<&InForce<'a>>,
    offer: &Offer<'a>,
    trust: &Trust<'_>,
    now: UnixTime,
) -> Result<Taken, NotTaken<'a>> {
    let offered = offer.edition;
    let taken = match in_force {
        None => Taken::Newer,
        Some(in_force) if in_force.edition == offered => return Ok(Taken::InForce),
        Some(in_force) if !in_force.edition.is_signed() && !offered.is_signed() => Taken::Newer,
        Some(in_force) => compare(in_force, offer)?,
    };
    let Some(signer) = offer.signer else { return Ok(taken) };
    if let Some(not_after) = offer.mesh.not_after().filter(|not_after| now > *not_after) {
        return Err(NotTaken::Expired { not_after, now });
    }
    let own = |key: &KeyHash| {
        let mut denied = offer.mesh.denied_keys();
        denied.any(|denied| denied.key() == *key && denied.until().is_none_or(|until| now <= until))
    };
    if let Some(key) = signer.iter().find(|key| own(key)) {
        return Err(NotTaken::KeyDenied(*key));
    }
    let mut budget = Budget::new(Limits::SERVER);
    for (place, root) in (0_u8..).zip(offer.mesh.roots()) {
        match certified(&root, &offer.mesh, trust, now, &mut budget) {
            Ok(None) => {}
            Ok(Some(key)) if own(&key) => return Err(NotTaken::KeyDenied(key)),
            Ok(Some(_)) => {}
            Err(error) => return Err(NotTaken::Root { place, error }),
        }
    }
    Ok(taken)
}

fn compare<'a>(in_force: &InForce<'a>, offer: &Offer<'a>) -> Result<Taken, NotTaken<'a>> {
    let (name, offered) = (offer.mesh.name(), offer.edition);
    if in_force.name != name {
        return Err(NotTaken::OtherMesh { in_force: in_force.name, offered: name });
    }
    let in_force = in_force.edition;
    if in_force.is_signed() && !offered.is_signed() {
        return Err(NotTaken::NotSigned { in_force });
    }
    let rank = |edition: Edition| (edition.generation, edition.sequence);
    match rank(offered).cmp(&rank(in_force)) {
        core::cmp::Ordering::Greater => Ok(Taken::Newer),
        core::cmp::Ordering::Equal => Ok(Taken::Conflict { offer_wins: offered > in_force }),
        core::cmp::Ordering::Less => Err(NotTaken::Older { in_force, offered }),
    }
}

/// Checks that a root's key is that of a held root, or that a held root certifies it: then returns the key of that one.
/// The certificate itself must be a held one, or signed by its own key or by a held root: whoever may sign meshes must not
/// give a root other dates, names or limits.
fn certified(
    root: &EncodedCertificate<'_>,
    mesh: &Mesh<'_>,
    trust: &Trust<'_>,
    now: UnixTime,
    budget: &mut Budget,
) -> Result<Option<KeyHash>, Option<PathError>> {
    let mut out = [0; MAX_CERTIFICATE];
    let root = parse(root, &mut out).ok_or(None)?;
    let key = root.subject_public_key_info();
    let mut held = trust.anchors.iter().filter(|anchor| anchor.role() == Role::Ca).map(Anchor::certificate);
    if held.clone().any(|held| held.der() == root.der()) {
        return Ok(None);
    }
    let own = [Anchor::ca(root)];
    let by_itself = Trust { anchors: &own, denied_keys: &[], ..*trust };
    if let Err(error) = by_itself.verify_ca(&root, now, budget) {
        trust.verify_ca(&root, now, budget).map_err(|_| Some(error))?;
    }
    if held.any(|held| held.subject_public_key_info() == key) {
        return Ok(None);
    }
    let mut refused = None;
    for cross in mesh.roots() {
        let mut out = [0; MAX_CERTIFICATE];
        let Some(cross) = parse(&cross, &mut out) else { continue };
        if cross.subject_public_key_info() != key || cross.subject() != root.subject() || !is_root(&cross) {
            continue;
        }
        match trust.verify_ca(&cross, now, budget) {
            Ok(anchor) => return Ok(Some(KeyHash::of(&anchor.certificate().subject_public_key_info()))),
            // What another root issued says nothing about those that are held.
            Err(error) if error.kind.is_unknown_issuer() => {}
            Err(error) => refused = Some(error),
        }
    }
    Err(refused)
}

fn parse<'o>(encoded: &EncodedCertificate<'_>, out: &'o mut [u8]) -> Option<Certificate<'o>> {
    Certificate::from_der(encoded.decode(out)?).ok()
}

impl fmt::Display for NotTaken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherMesh { in_force, offered } => write!(f, "found mesh {offered:?}, expected {in_force:?}"),
            Self::NotSigned { in_force } => {
                write!(f, "found a mesh that is not signed, and one is in force that is: {in_force}")
            }
            Self::Older { in_force, offered } => write!(f, "found {offered}, and in force is {in_force}"),
            Self::Expired { not_after, now } => {
                write!(f, "the mesh expired at {}, and it is {}", Utc(*not_after), Utc(*now))
            }
            Self::KeyDenied(key) => write!(f, "the mesh denies a key that its own signature rests on: {key}"),
            Self::Root { place, error: None } => write!(
                f,
                "roots[{place}]: found a root that is not held, expected a certificate for its key by a held root too"
            ),
            Self::Root { place, error: Some(error) } => write!(
                f,
                "roots[{place}]: found a root that is not held, and the certificate that should prove it is refused: {}",
                error.kind
            ),
        }
    }
}

impl core::error::Error for NotTaken<'_> {}
