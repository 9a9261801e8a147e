//! Reasons for denying a peer with a verified path.

use core::fmt;

use crate::x509::KeyHash;

/// A reason for denying a peer with a verified path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Denied {
    /// The certificate has no name of any kind that the rules ask for.
    NoName,
    /// The certificate has several common names, so a common name rule cannot tell which is meant.
    SeveralCommonNames,
    /// No rule of the list matched.
    NoRuleMatched,
    /// A common name rule matched, but the dNSName constraints of the peer's CAs do not permit that name.
    CommonNameNotPermitted,
    /// A rule matched, but a pinned certificate has that name, and the peer showed another certificate.
    NameIsPinned,
    /// A name fits, but only from other CAs than the one that issued the peer's certificate.
    OtherIssuer {
        /// The key of the CA that issued it, or `None` for a pin, which has no issuer.
        found: Option<KeyHash>,
    },
    /// The server's certificate is not for the name that was asked for.
    WrongServerName,
    /// The name that was asked for is no DNS name.
    MalformedServerName,
    /// The path was verified for another purpose.
    WrongPurpose,
    /// Comparing the certificate's names takes more work than a verdict may cost ([`crate::path::Limits::work`]).
    TooMuchWork,
}

impl Denied {
    /// Records that a rule did not match, unless the recorded reason concerns a rule that matched, which says more.
    pub(super) fn no_rule_matched(&mut self) {
        if !matches!(self, Self::CommonNameNotPermitted | Self::NameIsPinned | Self::OtherIssuer { .. }) {
            *self = Self::NoRuleMatched;
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoName => "its certificate has no name of a kind that the allow list names",
            Self::SeveralCommonNames => "its certificate has several common names, so no common name rule can hold",
            Self::NoRuleMatched => "its names are not on the allow list",
            Self::CommonNameNotPermitted => {
                "its common name is on the allow list, but the name constraints of its CAs do not permit it (RFC 5280 section 4.2.1.10)"
            }
            Self::NameIsPinned => {
                "its name is on the allow list, but a pinned certificate bears that name, and this is another one"
            }
            Self::OtherIssuer { found: None } => {
                "its name may come from the named issuers only, and a pinned certificate has no issuer"
            }
            Self::OtherIssuer { found: Some(found) } => {
                return write!(f, "its name may come from the named issuers only, and its issuer's key is {found}");
            }
            Self::WrongServerName => {
                "its certificate is not for the server name that was asked for (RFC 9525 section 6)"
            }
            Self::MalformedServerName => "the server name that was asked for is no DNS name (RFC 9525 section 6.3)",
            Self::WrongPurpose => "its path was verified for another purpose",
            Self::TooMuchWork => "it has more names than can be compared within the limit of work for one verdict",
        })
    }
}

impl core::error::Error for Denied {}
