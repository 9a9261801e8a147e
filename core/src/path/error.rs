//! Why a chain was refused.
use pki_types::UnixTime;
/// Which certificate (0 = leaf), which check, which values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Place in the chain: 0 is the leaf.
    pub depth: u8,
    /// The check that failed.
    pub kind: PathErrorKind,
}
/// The check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathErrorKind {
    /// No anchor and no intermediate bears the issuer's name.
    UnknownIssuer,
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
    /// The budget ran out.
    Budget(Resource),
}
/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// [`super::Limits::intermediates`]
    Intermediates,
    /// [`super::Limits::signature_checks`]
    SignatureChecks,
    /// [`super::Limits::steps`]
    Steps,
    /// [`super::Limits::name_comparisons`]
    NameComparisons,
}
