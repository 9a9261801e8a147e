//! Errors of path validation.

use core::fmt;

use pki_types::UnixTime;

#[cfg(feature = "crl")]
use super::RevocationError;
use crate::time::Utc;
use crate::x509::{KeyHash, ObjectIdentifier};

/// The reason for refusing a chain: the certificate at fault, the failed check and its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PathError {
    /// Place in the chain: 0 is the leaf, 1 its issuer.
    pub depth: u8,
    /// The check that failed.
    pub kind: PathErrorKind,
}

/// The check that failed, one variant per fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathErrorKind {
    /// The time is not known, so no validity period can be judged.
    TimeUnknown,
    /// No anchor or intermediate has the issuer's name.
    UnknownIssuer,
    /// The certificate names itself as its issuer and is not an anchor.
    SelfSigned,
    /// CAs have the issuer's name, but none has the key that the authority key identifier names.
    AuthorityKeyIdentifier,
    /// The issuers lead back to a certificate that is already on the path.
    Loop,
    /// The certificate's signature algorithm is not in [`super::Trust::algorithms`].
    UnsupportedSignatureAlgorithm(ObjectIdentifier),
    /// The certificate's signature algorithm is in the list, but with other parameters.
    SignatureAlgorithmParameters(ObjectIdentifier),
    /// The certificate's signature algorithm and the issuer's key are of different kinds.
    SignatureAlgorithmMismatch(ObjectIdentifier),
    /// No algorithm in the list takes the certificate's key. For a key on a curve, the curve is named.
    UnsupportedKey(ObjectIdentifier),
    /// The certificate's RSA key is too short or too long.
    KeySize {
        /// The length of the modulus in bits.
        bits: u32,
    },
    /// The certificate's key is a point that is compressed, or malformed.
    CompressedPoint,
    /// The certificate's key is in [`super::Trust::denied_keys`].
    KeyDenied(KeyHash),
    /// The certificate's signature does not verify with the issuer's key.
    BadSignature,
    /// The time is after notAfter.
    Expired {
        /// The last second of validity.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The time is before notBefore.
    NotYetValid {
        /// The first second of validity.
        not_before: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The issuer of a certificate is configured as a pin.
    IssuerIsPin,
    /// The issuer of a certificate is not a CA.
    NotACa,
    /// The leaf is a CA certificate and is not pinned.
    LeafIsCa,
    /// More CAs are below this CA than its path length allows.
    PathTooLong {
        /// The value of pathLenConstraint.
        allowed: u8,
    },
    /// A CA's key usage lacks keyCertSign.
    NoKeyCertSign,
    /// The leaf is not a CA, but its key usage has keyCertSign.
    KeyCertSignInLeaf,
    /// A client's key usage lacks digitalSignature.
    NoDigitalSignature,
    /// A server's key usage has none of digitalSignature, keyEncipherment and keyAgreement.
    KeyUsage,
    /// The extended key usage does not contain the purpose.
    WrongPurpose,
    /// The certificate is of this version, which has no extensions.
    Version(u8),
    /// The certificate's issuer is an empty name.
    EmptyIssuer,
    /// A CA's subject is an empty name.
    EmptySubject,
    /// The leaf has an empty subject and no critical subjectAltName.
    Nameless,
    /// The subjectAltName contains no name.
    EmptySubjectAltName,
    /// The leaf has name constraints, which only a CA may have.
    NameConstraintsInLeaf,
    /// The authority key identifier lacks a keyIdentifier.
    NoKeyIdentifier,
    /// The serial number is zero, negative or longer than 20 octets.
    SerialNumber,
    /// An extension is critical and not processed, or is policy constraints.
    UnknownCriticalExtension(ObjectIdentifier),
    /// An extension is critical and must not be.
    WronglyCritical(ObjectIdentifier),
    /// A name lies outside the permitted subtrees of the CA at this place, or inside an excluded one.
    NameConstraint,
    /// A name below is malformed, and the CA at this place constrains names of that kind.
    MalformedName,
    /// A directory name below may lie in an excluded subtree of the CA at this place: their text cannot be compared.
    IncomparableName,
    /// A name constraint cannot be understood, and a certificate below has a name of that kind.
    MalformedNameConstraint,
    /// The certificate is revoked, or its status is not known.
    #[cfg(feature = "crl")]
    Revocation(RevocationError),
    /// The budget of this resource ran out.
    Budget(Resource),
}

/// A resource that the budget limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Resource {
    /// [`super::Limits::intermediates`]
    Intermediates,
    /// [`super::Limits::work`]
    Work,
}

/// The rank of an error. Of the errors that ended branches, the search returns one of the highest rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The candidate is not the issuer. Errors found further along the path rank higher.
    NoIssuer { depth: u8, how: u8 },
    /// The issuer has a fault that a certificate with only the issuer's name can have too.
    Issuer(u8),
    /// The certificate has a fault wherever it stands in a chain.
    Certificate,
}

impl PathError {
    /// Returns the rank of this error.
    fn rank(&self) -> Rank {
        use PathErrorKind as Kind;
        let no_issuer = |how| Rank::NoIssuer { depth: self.depth, how };
        match self.kind {
            Kind::UnknownIssuer => no_issuer(0),
            Kind::Loop => no_issuer(1),
            Kind::AuthorityKeyIdentifier => no_issuer(2),
            Kind::SelfSigned => no_issuer(3),
            Kind::SignatureAlgorithmMismatch(_) => no_issuer(4),
            Kind::BadSignature => no_issuer(5),
            Kind::Budget(Resource::Intermediates) => Rank::Issuer(0),
            Kind::IssuerIsPin => Rank::Issuer(1),
            Kind::NotACa => Rank::Issuer(2),
            Kind::NoKeyCertSign => Rank::Issuer(3),
            Kind::TimeUnknown
            | Kind::UnsupportedSignatureAlgorithm(_)
            | Kind::SignatureAlgorithmParameters(_)
            | Kind::UnsupportedKey(_)
            | Kind::KeySize { .. }
            | Kind::CompressedPoint
            | Kind::KeyDenied(_)
            | Kind::Expired { .. }
            | Kind::NotYetValid { .. }
            | Kind::LeafIsCa
            | Kind::PathTooLong { .. }
            | Kind::KeyCertSignInLeaf
            | Kind::NoDigitalSignature
            | Kind::KeyUsage
            | Kind::WrongPurpose
            | Kind::Version(_)
            | Kind::EmptyIssuer
            | Kind::EmptySubject
            | Kind::Nameless
            | Kind::EmptySubjectAltName
            | Kind::NameConstraintsInLeaf
            | Kind::NoKeyIdentifier
            | Kind::SerialNumber
            | Kind::UnknownCriticalExtension(_)
            | Kind::WronglyCritical(_)
            | Kind::NameConstraint
            | Kind::MalformedName
            | Kind::IncomparableName
            | Kind::MalformedNameConstraint
            | Kind::Budget(Resource::Work) => Rank::Certificate,
            #[cfg(feature = "crl")]
            Kind::Revocation(_) => Rank::Certificate,
        }
    }

    /// Returns the error of the higher rank, or `self` if the ranks are equal.
    pub(super) fn most_telling(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }
}

impl PathErrorKind {
    /// Returns whether the search must end: spent work is spent for all branches.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Budget(Resource::Work))
    }

    /// Returns whether the chain leads to no anchor because no possible issuer was found.
    pub fn is_unknown_issuer(self) -> bool {
        matches!(self, Self::UnknownIssuer | Self::SelfSigned | Self::AuthorityKeyIdentifier)
    }

    /// Returns the error text, which `value` may complete, and the section that demands the check.
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::TimeUnknown => ("the time is not known, so its validity cannot be judged", ""),
            Self::UnknownIssuer => ("its issuer is neither a configured CA nor among the intermediates", ""),
            Self::SelfSigned => {
                ("its issuer is neither a configured CA nor among the intermediates: it is self-signed", "")
            }
            Self::AuthorityKeyIdentifier => {
                ("no CA of its issuer's name has the key that its authority key identifier names", "4.2.1.1")
            }
            Self::Loop => ("its issuers lead back to a certificate already on the path", ""),
            Self::UnsupportedSignatureAlgorithm(_) => ("its signature algorithm is not supported", "4.1.1.2"),
            Self::SignatureAlgorithmParameters(_) => {
                ("its signature algorithm has parameters that the algorithm does not have", "4.1.1.2")
            }
            Self::SignatureAlgorithmMismatch(_) => ("its signature algorithm does not fit the issuer's key", "4.1.1.2"),
            Self::UnsupportedKey(_) => ("its key is of a kind or on a curve that is not supported", "4.1.2.7"),
            Self::KeySize { .. } => ("its RSA key is not of a length that is supported", "4.1.2.7"),
            Self::CompressedPoint => ("its key is not an uncompressed point", "4.1.2.7"),
            Self::KeyDenied(_) => ("its key is denied", ""),
            Self::BadSignature => ("its signature was not made by the issuer's key", ""),
            Self::Expired { .. } => ("expired", "4.1.2.5"),
            Self::NotYetValid { .. } => ("valid only from", "4.1.2.5"),
            Self::IssuerIsPin => (
                "a configured certificate that vouches for itself alone: it is pinned, or lacks cA or keyCertSign",
                "4.2.1.3",
            ),
            Self::NotACa => ("not a CA certificate, but it issued one", "4.2.1.9"),
            Self::LeafIsCa => ("a CA certificate as a peer's own, and not one that is pinned", ""),
            Self::PathTooLong { .. } => {
                ("its path length allows fewer intermediate CAs below than there are", "4.2.1.9")
            }
            Self::NoKeyCertSign => ("a CA whose key usage lacks keyCertSign", "4.2.1.3"),
            Self::KeyCertSignInLeaf => ("its key usage has keyCertSign, and it is no CA", "4.2.1.3"),
            Self::NoDigitalSignature => ("its key usage lacks digitalSignature, and clients sign", "4.2.1.3"),
            Self::KeyUsage => ("its key usage does not allow TLS", "4.2.1.3"),
            Self::WrongPurpose => ("its extended key usage does not allow this purpose", "4.2.1.12"),
            Self::Version(_) => ("a certificate without extensions, of version", "4.1.2.1"),
            Self::EmptyIssuer => ("it names no issuer", "4.1.2.4"),
            Self::EmptySubject => ("a CA without a name", "4.1.2.6"),
            Self::Nameless => ("its subject is empty, and it has no critical subjectAltName", "4.2.1.6"),
            Self::EmptySubjectAltName => ("there is no name in its subjectAltName", "4.2.1.6"),
            Self::NameConstraintsInLeaf => ("it has name constraints, and is no CA", "4.2.1.10"),
            Self::NoKeyIdentifier => ("its authority key identifier has no keyIdentifier", "4.2.1.1"),
            Self::SerialNumber => ("its serial number is not positive, or longer than 20 octets", "4.1.2.2"),
            Self::UnknownCriticalExtension(_) => ("a critical extension is not processed", "4.2"),
            Self::WronglyCritical(_) => ("an extension is critical that must not be", "4.2"),
            Self::NameConstraint => ("its name constraints do not allow a name below", "4.2.1.10"),
            Self::MalformedName => ("a name below is malformed, of a kind that its name constraints limit", "4.2.1.10"),
            Self::IncomparableName => {
                ("a directory name below cannot be told from one that its name constraints exclude", "4.2.1.10")
            }
            Self::MalformedNameConstraint => ("its name constraints cannot be understood", "4.2.1.10"),
            #[cfg(feature = "crl")]
            Self::Revocation(_) => ("", "6.3.3"),
            Self::Budget(_) => ("the limit of", ""),
        }
    }

    /// Writes the found and the expected value, for errors whose text lacks them.
    fn value(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedSignatureAlgorithm(found)
            | Self::SignatureAlgorithmParameters(found)
            | Self::SignatureAlgorithmMismatch(found)
            | Self::UnsupportedKey(found)
            | Self::UnknownCriticalExtension(found)
            | Self::WronglyCritical(found) => write!(f, ": {found}"),
            Self::KeyDenied(found) => write!(f, ": {found}"),
            Self::KeySize { bits } => {
                write!(f, ": found {bits} bits, expected 2048 to 8192")
            }
            Self::Expired { not_after, now } => write!(f, " at {}, and it is {}", Utc(not_after), Utc(now)),
            Self::NotYetValid { not_before, now } => write!(f, " {}, and it is {}", Utc(not_before), Utc(now)),
            Self::PathTooLong { allowed } => write!(f, ": {allowed}"),
            Self::Version(version) => write!(f, " {version}: expected version 3"),
            #[cfg(feature = "crl")]
            Self::Revocation(error) => fmt::Display::fmt(&error, f),
            Self::Budget(resource) => write!(f, " {resource} was reached"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PathErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, section) = self.text();
        f.write_str(text)?;
        self.value(f)?;
        if section.is_empty() { Ok(()) } else { write!(f, " (RFC 5280 section {section})") }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intermediates => "intermediates",
            Self::Work => "work for one verdict",
        })
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.depth {
            0 => write!(f, "the peer's certificate: {}", self.kind),
            depth => write!(f, "certificate {depth} above the peer's: {}", self.kind),
        }
    }
}

impl core::error::Error for PathError {}

/// Writes the names of the variants, and times as a decoder shows them.
#[cfg(feature = "defmt")]
impl defmt::Format for PathErrorKind {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::TimeUnknown => defmt::write!(f, "TimeUnknown"),
            Self::UnknownIssuer => defmt::write!(f, "UnknownIssuer"),
            Self::SelfSigned => defmt::write!(f, "SelfSigned"),
            Self::AuthorityKeyIdentifier => defmt::write!(f, "AuthorityKeyIdentifier"),
            Self::Loop => defmt::write!(f, "Loop"),
            Self::BadSignature => defmt::write!(f, "BadSignature"),
            Self::IssuerIsPin => defmt::write!(f, "IssuerIsPin"),
            Self::NotACa => defmt::write!(f, "NotACa"),
            Self::LeafIsCa => defmt::write!(f, "LeafIsCa"),
            Self::NoKeyCertSign => defmt::write!(f, "NoKeyCertSign"),
            Self::KeyCertSignInLeaf => defmt::write!(f, "KeyCertSignInLeaf"),
            Self::NoDigitalSignature => defmt::write!(f, "NoDigitalSignature"),
            Self::CompressedPoint => defmt::write!(f, "CompressedPoint"),
            Self::KeyUsage => defmt::write!(f, "KeyUsage"),
            Self::WrongPurpose => defmt::write!(f, "WrongPurpose"),
            Self::EmptyIssuer => defmt::write!(f, "EmptyIssuer"),
            Self::EmptySubject => defmt::write!(f, "EmptySubject"),
            Self::Nameless => defmt::write!(f, "Nameless"),
            Self::EmptySubjectAltName => defmt::write!(f, "EmptySubjectAltName"),
            Self::NameConstraintsInLeaf => defmt::write!(f, "NameConstraintsInLeaf"),
            Self::NoKeyIdentifier => defmt::write!(f, "NoKeyIdentifier"),
            Self::SerialNumber => defmt::write!(f, "SerialNumber"),
            Self::NameConstraint => defmt::write!(f, "NameConstraint"),
            Self::MalformedName => defmt::write!(f, "MalformedName"),
            Self::IncomparableName => defmt::write!(f, "IncomparableName"),
            Self::MalformedNameConstraint => defmt::write!(f, "MalformedNameConstraint"),
            Self::UnsupportedSignatureAlgorithm(found) => defmt::write!(f, "UnsupportedSignatureAlgorithm({})", found),
            Self::SignatureAlgorithmParameters(found) => defmt::write!(f, "SignatureAlgorithmParameters({})", found),
            Self::SignatureAlgorithmMismatch(found) => defmt::write!(f, "SignatureAlgorithmMismatch({})", found),
            Self::UnsupportedKey(found) => defmt::write!(f, "UnsupportedKey({})", found),
            Self::UnknownCriticalExtension(found) => defmt::write!(f, "UnknownCriticalExtension({})", found),
            Self::WronglyCritical(found) => defmt::write!(f, "WronglyCritical({})", found),
            Self::KeyDenied(found) => defmt::write!(f, "KeyDenied({})", found),
            Self::KeySize { bits } => defmt::write!(f, "KeySize {{ bits: {=u32} }}", *bits),
            Self::Expired { not_after, now } => {
                defmt::write!(f, "Expired {{ not_after: {}, now: {} }}", Utc(*not_after), Utc(*now));
            }
            Self::NotYetValid { not_before, now } => {
                defmt::write!(f, "NotYetValid {{ not_before: {}, now: {} }}", Utc(*not_before), Utc(*now));
            }
            Self::PathTooLong { allowed } => defmt::write!(f, "PathTooLong {{ allowed: {=u8} }}", *allowed),
            Self::Version(version) => defmt::write!(f, "Version({=u8})", *version),
            #[cfg(feature = "crl")]
            Self::Revocation(error) => defmt::write!(f, "Revocation({})", defmt::Display2Format(error)),
            Self::Budget(resource) => defmt::write!(f, "Budget({})", resource),
        }
    }
}
