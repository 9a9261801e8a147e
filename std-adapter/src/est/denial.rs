//! Defines the refusals of certificates that devices are sent (RFC 7030 section 4.2.3).

use std::fmt;

use edgetrust_core::rotation::FailureKind;
use hyper::StatusCode;

use super::status::Outcome;
use crate::acme::AcmeError;
use crate::tls::ShownRequest;

/// The time after which a device may retry, if the CA states none, in seconds.
const RETRY_AFTER_S: u32 = 60;
/// The same after the CA's rate limit, in seconds.
const RATE_LIMITED_S: u32 = 900;

/// The reason that a request is not answered with a certificate.
#[derive(Clone, Debug)]
pub(super) struct Denial {
    pub(super) status: StatusCode,
    pub(super) reason: String,
    pub(super) retry_after_s: Option<u32>,
    /// The text that the device is told in place of the reason.
    pub(super) told: Option<&'static str>,
    /// The requested certificate, as far as the request was read.
    pub(super) requested: Option<Box<ShownRequest>>,
}

impl Denial {
    pub(super) fn new(status: StatusCode, reason: impl fmt::Display) -> Self {
        Self { status, reason: reason.to_string(), retry_after_s: None, told: None, requested: None }
    }

    pub(super) fn malformed(reason: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(super) fn forbidden(reason: impl fmt::Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason)
    }

    pub(super) fn later(reason: impl fmt::Display) -> Self {
        let later = Self::new(StatusCode::SERVICE_UNAVAILABLE, reason);
        Self { retry_after_s: Some(RETRY_AFTER_S), ..later }
    }

    /// Refuses a name with its password (RFC 7617): the reason is for the log alone.
    pub(super) fn unauthorized(reason: impl fmt::Display) -> Self {
        Self { told: Some("not authorized"), ..Self::new(StatusCode::UNAUTHORIZED, reason) }
    }

    /// Asks for another attempt at the same, since the order takes longer (RFC 7030 section 4.2.3).
    pub(super) fn accepted(retry_after_s: u32) -> Self {
        let accepted = Self::new(StatusCode::ACCEPTED, "the order takes long: the device asks again");
        Self { retry_after_s: Some(retry_after_s), ..accepted }
    }

    /// Refuses for a fault of this gateway, which is for the log alone.
    pub(super) fn hidden_later(reason: impl fmt::Display) -> Self {
        Self { told: Some("not now: the gateway's log says why"), ..Self::later(reason) }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.status {
            StatusCode::UNAUTHORIZED => Outcome::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => Outcome::Limited,
            StatusCode::ACCEPTED => Outcome::Accepted,
            StatusCode::FORBIDDEN => Outcome::Refused,
            StatusCode::SERVICE_UNAVAILABLE => Outcome::Unavailable,
            _ => Outcome::Malformed,
        }
    }
}

impl From<AcmeError> for Denial {
    /// Converts the CA's error. The CA's refusals are permanent until somebody acts; other errors pass.
    fn from(error: AcmeError) -> Self {
        let wait = error.failure.retry_after_s;
        match error.failure.kind {
            FailureKind::Refused => Self::forbidden(error),
            FailureKind::RateLimited => {
                Self { retry_after_s: Some(wait.unwrap_or(RATE_LIMITED_S)), ..Self::later(error) }
            }
            _ => Self { retry_after_s: Some(wait.unwrap_or(RETRY_AFTER_S)), ..Self::later(error) },
        }
    }
}

/// Writes the text that the device is told.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told.unwrap_or(&self.reason))
    }
}
