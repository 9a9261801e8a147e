//! Describes one voucher as it is kept, its state, and why it may not be good.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::time::Utc;
use pki_types::{CertificateDer, UnixTime};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::secret::KeptHash;

/// The voucher of a device.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Voucher {
    pub(super) name: String,
    pub(super) secret_sha256: KeptHash,
    pub(super) made: Kept,
    pub(super) expires: Kept,
    /// Its end has come: it does not begin again if the clock is set back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revoked: Option<Kept>,
    /// The hash of the key that claims it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key_sha256: Option<KeptHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issued: Option<Kept>,
    /// The answer, as base64 of each certificate, until the voucher's end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) answer: Vec<String>,
}

/// The state of a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherState {
    /// A device can use it.
    Open,
    /// A key has claimed it, and has no certificate yet.
    Claimed,
    /// Its certificate was issued.
    Used,
    /// Its time is over, and it was not used.
    Expired,
    /// It was revoked, and was not used.
    Revoked,
}

impl VoucherState {
    /// All states, in the order in which they are shown.
    pub const ALL: [Self; 5] = [Self::Open, Self::Claimed, Self::Used, Self::Expired, Self::Revoked];

    /// Returns the state's name in metrics and listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed => "claimed",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// The reason that a voucher does not give a certificate. A device is told none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// There is no voucher for the name.
    Unknown,
    /// The password is not the voucher's.
    WrongPassword,
    /// It was revoked at this time.
    Revoked(UnixTime),
    /// It was made at this time, which is to come: the clock was set back.
    Early(UnixTime),
    /// It ended at this time.
    Expired(UnixTime),
    /// Another key has got the certificate, at this time.
    Used(UnixTime),
    /// Its key got the certificate at this time, and the voucher's end has passed, until which it is given again.
    Over(UnixTime),
    /// Another key has claimed it.
    Claimed,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no voucher for this name"),
            Self::WrongPassword => f.write_str("wrong password"),
            Self::Revoked(at) => write!(f, "the voucher was revoked at {}", Utc(*at)),
            Self::Early(at) => {
                write!(f, "the voucher was made at {}, which is to come: the gateway's clock was set back", Utc(*at))
            }
            Self::Expired(at) => write!(f, "the voucher expired at {}", Utc(*at)),
            Self::Used(at) => {
                write!(f, "the voucher was used at {}, for another key", Utc(*at))
            }
            Self::Over(at) => write!(f, "the voucher was used at {}, and its end has passed", Utc(*at)),
            Self::Claimed => f.write_str("the voucher is claimed by another key, whose certificate is not issued yet"),
        }
    }
}

impl Voucher {
    /// Returns the name of the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns when the voucher was made.
    pub fn made(&self) -> UnixTime {
        self.made.0
    }

    /// Returns the end of the voucher.
    pub fn expires(&self) -> UnixTime {
        self.expires.0
    }

    /// Returns when the certificate was issued.
    pub fn issued(&self) -> Option<UnixTime> {
        self.issued.map(|at| at.0)
    }

    /// Returns the state at a time.
    pub fn state(&self, now: UnixTime) -> VoucherState {
        match self {
            Self { issued: Some(_), .. } => VoucherState::Used,
            Self { revoked: Some(_), .. } => VoucherState::Revoked,
            _ if self.has_ended(now) => VoucherState::Expired,
            Self { key_sha256: Some(_), .. } => VoucherState::Claimed,
            _ => VoucherState::Open,
        }
    }

    pub(super) fn has_ended(&self, now: UnixTime) -> bool {
        self.ended || self.expires.0 <= now
    }

    pub(super) fn is_over(&self, now: UnixTime) -> bool {
        !matches!(self.state(now), VoucherState::Open | VoucherState::Claimed)
    }

    /// Returns why a voucher whose password was right is not good any more.
    pub(super) fn objection(&self, now: UnixTime) -> Option<Objection> {
        match (self.revoked, self.has_ended(now), self.issued) {
            (Some(at), _, _) => Some(Objection::Revoked(at.0)),
            (None, true, Some(at)) => Some(Objection::Over(at.0)),
            (None, true, None) => Some(Objection::Expired(self.expires.0)),
            (None, false, _) if now < self.made.0 => Some(Objection::Early(self.made.0)),
            (None, false, _) => None,
        }
    }
}

impl Voucher {
    /// Returns the answer that is kept; `None` if it is no base64.
    pub(super) fn answer(&self) -> Option<Vec<CertificateDer<'static>>> {
        self.answer.iter().map(|text| BASE64_STANDARD.decode(text).ok().map(CertificateDer::from)).collect()
    }
}

/// A time, kept as text in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept(pub(super) UnixTime);

impl Serialize for Kept {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Utc(self.0))
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        Utc::parse(&text).map(|time| Self(time.0)).ok_or_else(|| D::Error::custom("no time"))
    }
}
