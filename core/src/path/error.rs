//! Why a chain was refused.

use core::fmt;

use pki_types::UnixTime;

use crate::time::Utc;

/// Which certificate, which check, which values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PathError {
    /// Place in the chain: 0 is the leaf, 1 its issuer.
    pub depth: u8,
    /// The check that failed.
    pub kind: PathErrorKind,
}

/// The check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathErrorKind {
    /// The time is not known, so that no validity can be judged.
    TimeUnknown,
    /// No anchor and no intermediate bears the issuer's name.
    UnknownIssuer,
    /// The certificates at hand lead back to one that is already on the path.
    Loop,
    /// No algorithm of the list fits the signature and the issuer's key.
    UnsupportedAlgorithm,
    /// The issuer's key did not make this signature.
    BadSignature,
    /// Past notAfter.
    Expired {
        /// Last second of validity.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// Before notBefore.
    NotYetValid {
        /// First second of validity.
        not_before: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// Issued a certificate without being a CA.
    NotACa,
    /// A CA certificate in the place of the leaf, and not pinned.
    LeafIsCa,
    /// More CAs below this one than its path length allows.
    PathTooLong {
        /// pathLenConstraint.
        allowed: u8,
    },
    /// A CA whose key usage lacks keyCertSign, or a leaf that is no CA and has it.
    MayNotSign,
    /// The leaf's key usage allows nothing that TLS does.
    KeyUsage,
    /// The extended key usage does not contain the purpose.
    WrongPurpose,
    /// A certificate of this version, which has no extensions.
    Version(u8),
    /// No issuer, or a CA without a name.
    EmptyName,
    /// A serial number that is zero, negative or longer than 20 octets.
    SerialNumber,
    /// A critical extension that is not processed, or policy constraints.
    UnknownCriticalExtension,
    /// An extension is critical that must not be.
    WronglyCritical,
    /// An extension that only a CA may have, or one that this certificate must have and lacks.
    Extension,
    /// A name lies outside the permitted subtrees of the CA at this place, or inside an excluded one.
    NameConstraint,
    /// A name constraint that cannot be understood, of a kind of name that a certificate below has.
    MalformedNameConstraint,
    /// The budget ran out.
    Budget(Resource),
}

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Resource {
    /// [`super::Limits::intermediates`]
    Intermediates,
    /// [`super::Limits::work`]
    Work,
}

impl PathErrorKind {
    /// How much an error says: of all that ended a branch of the search, the highest is returned.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::UnknownIssuer => 0,
            Self::Loop => 1,
            Self::UnsupportedAlgorithm => 2,
            Self::BadSignature => 3,
            Self::Budget(Resource::Intermediates) => 4,
            Self::NotACa => 5,
            Self::MayNotSign => 6,
            _ => 7,
        }
    }

    /// No other branch may be tried: what ran out is gone for all.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Budget(Resource::Work))
    }
}

impl fmt::Display for PathErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeUnknown => f.write_str("the time is not known, so its validity cannot be judged"),
            Self::UnknownIssuer => f.write_str("its issuer is neither a configured CA nor among the intermediates"),
            Self::Loop => f.write_str("its issuers lead back to a certificate already on the path"),
            Self::UnsupportedAlgorithm => {
                f.write_str("its signature algorithm does not fit the issuer's key, or is not enabled")
            }
            Self::BadSignature => f.write_str("its signature was not made by the issuer's key"),
            Self::Expired { not_after, now } => {
                write!(f, "expired at {}, and it is {} (RFC 5280 section 4.1.2.5)", Utc(*not_after), Utc(*now))
            }
            Self::NotYetValid { not_before, now } => {
                write!(f, "valid only from {}, and it is {} (RFC 5280 section 4.1.2.5)", Utc(*not_before), Utc(*now))
            }
            Self::NotACa => f.write_str("not a CA certificate, but it issued one (RFC 5280 section 4.2.1.9)"),
            Self::LeafIsCa => f.write_str("a CA certificate as a peer's own, and not one that is pinned"),
            Self::PathTooLong { allowed } => {
                write!(
                    f,
                    "its path length allows {allowed} intermediate CAs below, found more (RFC 5280 section 4.2.1.9)"
                )
            }
            Self::MayNotSign => {
                f.write_str("its key usage and CA flag disagree on signing certificates (RFC 5280 section 4.2.1.3)")
            }
            Self::KeyUsage => f.write_str("its key usage does not allow TLS (RFC 5280 section 4.2.1.3)"),
            Self::WrongPurpose => {
                f.write_str("its extended key usage does not allow this purpose (RFC 5280 section 4.2.1.12)")
            }
            Self::SerialNumber => {
                f.write_str("its serial number is not positive, or longer than 20 octets (RFC 5280 section 4.1.2.2)")
            }
            Self::UnknownCriticalExtension => {
                f.write_str("a critical extension that is not processed (RFC 5280 section 4.2)")
            }
            Self::WronglyCritical => f.write_str("an extension is critical that must not be (RFC 5280 section 4.2)"),
            Self::Version(version) => {
                write!(f, "a version {version} certificate, expected version 3 (RFC 5280 section 4.1.2.1)")
            }
            Self::EmptyName => f.write_str("it has no issuer, or is a CA without a name (RFC 5280 section 4.1.2.4)"),
            Self::Extension => f.write_str("its extensions do not fit its place in the chain (RFC 5280 section 4.2)"),
            Self::NameConstraint => {
                f.write_str("its name constraints do not allow a name below (RFC 5280 section 4.2.1.10)")
            }
            Self::MalformedNameConstraint => {
                f.write_str("its name constraints cannot be understood (RFC 5280 section 4.2.1.10)")
            }
            Self::Budget(resource) => write!(f, "the limit of {resource} was reached"),
        }
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

/// The names of the variants, and the times as a decoder shows them.
#[cfg(feature = "defmt")]
impl defmt::Format for PathErrorKind {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::TimeUnknown => defmt::write!(f, "TimeUnknown"),
            Self::UnknownIssuer => defmt::write!(f, "UnknownIssuer"),
            Self::Loop => defmt::write!(f, "Loop"),
            Self::UnsupportedAlgorithm => defmt::write!(f, "UnsupportedAlgorithm"),
            Self::BadSignature => defmt::write!(f, "BadSignature"),
            Self::Expired { not_after, now } => {
                defmt::write!(f, "Expired {{ not_after: {}, now: {} }}", Utc(*not_after), Utc(*now));
            }
            Self::NotYetValid { not_before, now } => {
                defmt::write!(f, "NotYetValid {{ not_before: {}, now: {} }}", Utc(*not_before), Utc(*now));
            }
            Self::NotACa => defmt::write!(f, "NotACa"),
            Self::LeafIsCa => defmt::write!(f, "LeafIsCa"),
            Self::PathTooLong { allowed } => defmt::write!(f, "PathTooLong {{ allowed: {=u8} }}", *allowed),
            Self::MayNotSign => defmt::write!(f, "MayNotSign"),
            Self::KeyUsage => defmt::write!(f, "KeyUsage"),
            Self::WrongPurpose => defmt::write!(f, "WrongPurpose"),
            Self::Version(version) => defmt::write!(f, "Version({=u8})", *version),
            Self::EmptyName => defmt::write!(f, "EmptyName"),
            Self::SerialNumber => defmt::write!(f, "SerialNumber"),
            Self::UnknownCriticalExtension => defmt::write!(f, "UnknownCriticalExtension"),
            Self::WronglyCritical => defmt::write!(f, "WronglyCritical"),
            Self::Extension => defmt::write!(f, "Extension"),
            Self::NameConstraint => defmt::write!(f, "NameConstraint"),
            Self::MalformedNameConstraint => defmt::write!(f, "MalformedNameConstraint"),
            Self::Budget(resource) => defmt::write!(f, "Budget({})", resource),
        }
    }
}
