//! Classifies the failures of obtaining a certificate, and their remedies.

use std::fmt;

use edgetrust_core::rotation::{Failure, FailureKind};
use instant_acme::{Error, Problem};
use serde_json::error::Category;

use super::http::LastAnswer;

/// The reason that there is no certificate.
#[derive(Clone, Debug)]
pub struct AcmeError {
    /// The operation that failed.
    pub doing: &'static str,
    /// The fault: a problem document with type, detail and subproblems (RFC 8555 section 6.7), or an error's text.
    pub reason: String,
    /// The kind of failure, and when another attempt is worthwhile.
    pub failure: Failure,
    /// The immediate remedy.
    pub(super) remedy: Remedy,
}

/// A remedy that may help without a long wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing helps at once.
    None,
    /// Repeat the request with another nonce, which costs nobody anything (RFC 8555 section 6.5).
    AnotherNonce,
    /// Repeat the operation: a connection broke, or a server faltered.
    Again,
    /// Make a new order.
    NewOrder,
    /// Create a new account.
    NewAccount,
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.reason)
    }
}

impl std::error::Error for AcmeError {}

/// Problem types (RFC 8555 section 6.7) with the failure's kind and remedy. Types that are not listed are transient.
const PROBLEMS: &[(&str, FailureKind, Remedy)] = &[
    ("accountDoesNotExist", FailureKind::Transient, Remedy::NewAccount),
    ("alreadyReplaced", FailureKind::Transient, Remedy::NewOrder),
    ("badCSR", FailureKind::Refused, Remedy::None),
    ("badNonce", FailureKind::Transient, Remedy::AnotherNonce),
    ("badPublicKey", FailureKind::Refused, Remedy::None),
    ("badSignatureAlgorithm", FailureKind::Refused, Remedy::None),
    ("caa", FailureKind::Refused, Remedy::None),
    ("externalAccountRequired", FailureKind::Refused, Remedy::None),
    ("invalidContact", FailureKind::Refused, Remedy::None),
    ("invalidProfile", FailureKind::Refused, Remedy::None),
    ("rateLimited", FailureKind::RateLimited, Remedy::None),
    ("rejectedIdentifier", FailureKind::Refused, Remedy::None),
    ("unauthorized", FailureKind::Refused, Remedy::None),
    ("unsupportedContact", FailureKind::Refused, Remedy::None),
    ("unsupportedIdentifier", FailureKind::Refused, Remedy::None),
    ("userActionRequired", FailureKind::Refused, Remedy::None),
];

impl AcmeError {
    pub(super) fn new(doing: &'static str, kind: FailureKind, reason: impl fmt::Display) -> Self {
        Self { doing, reason: reason.to_string(), failure: Failure { kind, retry_after_s: None }, remedy: Remedy::None }
    }

    /// Creates the error of what gateways share.
    pub(crate) fn of_the_store(error: &dyn fmt::Display) -> Self {
        Self::new("what gateways share", FailureKind::Transient, error)
    }

    /// Replaces the remedy.
    pub(super) fn remedy(self, remedy: Remedy) -> Self {
        Self { remedy, ..self }
    }

    pub(super) fn problem(doing: &'static str, problem: &Problem) -> Self {
        let known = PROBLEMS
            .iter()
            .find(|(name, ..)| problem.r#type.as_deref().is_some_and(|found| found.rsplit(':').next() == Some(*name)));
        let (kind, remedy) = known.map_or((FailureKind::Transient, Remedy::None), |(_, kind, remedy)| (*kind, *remedy));
        Self { remedy, ..Self::new(doing, kind, Shown(problem)) }
    }

    fn other(doing: &'static str, error: &Error) -> Self {
        match error {
            Error::Crypto | Error::KeyRejected | Error::Unsupported(_) => Self::new(doing, FailureKind::Refused, error),
            _ => Self::new(doing, FailureKind::Transient, error).remedy(Remedy::Again),
        }
    }

    /// Creates an error from instant-acme's, with the status and the Retry-After of the last answer.
    pub(super) fn of(doing: &'static str, error: &Error, last: Option<LastAnswer>) -> Self {
        let document = last.as_ref().and_then(|last| serde_json::from_slice(last.problem.as_ref()?).ok());
        let mut own = match (error, document) {
            (Error::Api(problem), _) => Self::problem(doing, problem),
            (Error::Json(_), Some(problem)) => Self::problem(doing, &problem),
            (error, _) => Self::other(doing, error),
        };
        if let Some(last) = last {
            own.failure.retry_after_s = last.retry_after_s;
            match last.status {
                // RFC 6585 section 4; the status overrides the document.
                429 => own.failure.kind = FailureKind::RateLimited,
                500.. if last.retry_after_s.is_none() && own.remedy == Remedy::None => own.remedy = Remedy::Again,
                _ => {}
            }
        }
        own
    }
}

/// Shows the kind and place of a fault in our JSON files; serde_json's text could repeat the file's, such as a key.
pub(super) struct JsonFault<'a>(pub(super) &'a serde_json::Error);

impl fmt::Display for JsonFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.classify() {
            Category::Io => "cannot be read",
            Category::Syntax => "malformed JSON",
            Category::Data => "found other members than expected",
            Category::Eof => "truncated",
        };
        write!(f, "line {} column {}: {what}", self.0.line(), self.0.column())
    }
}

/// Shows a problem document in one line.
pub(super) struct Shown<'a>(pub(super) &'a Problem);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { r#type, detail, status, subproblems } = self.0;
        f.write_str(detail.as_deref().unwrap_or("no detail"))?;
        match (r#type, status) {
            (Some(kind), Some(status)) => write!(f, " ({kind}, status {status})")?,
            (Some(kind), None) => write!(f, " ({kind})")?,
            (None, Some(status)) => write!(f, " (status {status})")?,
            (None, None) => {}
        }
        for subproblem in subproblems {
            write!(f, "; {subproblem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str) -> Problem {
        let json = format!(
            r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "why", "status": 400, "subproblems":
                [{{"type": "urn:x", "detail": "this one", "identifier": {{"type": "dns", "value": "a.example"}}}}]}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn problems_are_shown_whole() {
        assert_eq!(
            AcmeError::problem("new order", &problem("rateLimited")).to_string(),
            "new order: why (urn:ietf:params:acme:error:rateLimited, status 400); for \"a.example\": this one (urn:x)"
        );
    }

    #[test]
    fn kinds_are_told_apart() {
        for (kind, failure, remedy) in [
            ("badNonce", FailureKind::Transient, Remedy::AnotherNonce),
            ("rateLimited", FailureKind::RateLimited, Remedy::None),
            ("rejectedIdentifier", FailureKind::Refused, Remedy::None),
            ("accountDoesNotExist", FailureKind::Transient, Remedy::NewAccount),
            ("connection", FailureKind::Transient, Remedy::None),
        ] {
            let error = AcmeError::problem("x", &problem(kind));
            assert_eq!((error.failure.kind, error.remedy), (failure, remedy), "{kind}");
        }
        let last = |status, retry_after_s| Some(LastAnswer { status, retry_after_s, problem: None });
        let error = AcmeError::of("x", &Error::Api(problem("serverInternal")), last(503, Some(7)));
        assert_eq!((error.failure.retry_after_s, error.remedy), (Some(7), Remedy::None));
        let error = AcmeError::of("x", &Error::Api(problem("serverInternal")), last(500, None));
        assert_eq!(error.remedy, Remedy::Again);
        let error = AcmeError::of("x", &Error::Api(problem("malformed")), last(429, Some(9)));
        assert_eq!(error.failure, Failure { kind: FailureKind::RateLimited, retry_after_s: Some(9) });
    }
}
