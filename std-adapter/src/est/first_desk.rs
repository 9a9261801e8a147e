//! Answers devices without a certificate: `cacerts`, `csrattrs`, and `simpleenroll` with HTTP Basic
//! (RFC 7030 sections 3.2.3 and 4.2.1, RFC 7617).

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::answer::{Answer, FOLDER, attributes, authorities, certificates, certification_request, short_enough};
use super::attempts::TooMany;
use super::denial::Denial;
use super::first::{Claimant, Given, Work};
use super::secret::KeptHash;
use super::state::{Common, EstState};
use super::status::Outcome;

/// The number of a name's characters that are logged.
const SHOWN: usize = 64;

/// The context of a request.
pub(super) struct FirstDesk<'a> {
    pub(super) shared: &'a ArcSwap<EstState>,
    pub(super) state: &'a Arc<EstState>,
    pub(super) common: &'a Common,
    pub(super) remote: SocketAddr,
}

impl FirstDesk<'_> {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        if let Err(denial) = short_enough(&request) {
            return Answer::denied(denial, Outcome::Malformed);
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answered = match (method, path.strip_prefix(FOLDER)) {
            // RFC 7030 section 4.1.2: no authentication.
            (Method::GET, Some("cacerts")) => authorities(self.state).await,
            (Method::GET, Some("csrattrs")) => Ok(attributes(self.state, None)),
            (Method::POST, Some("simpleenroll")) => self.enroll(request).await,
            (_, Some("cacerts" | "csrattrs")) => Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "GET")),
            (_, Some("simpleenroll")) => Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "POST")),
            (_, Some("simplereenroll")) => Err(Denial::forbidden(
                "here devices get their first certificate; with one they use simplereenroll at gateway.est.listen",
            )),
            _ => Err(Denial::new(
                StatusCode::NOT_FOUND,
                "found here: /.well-known/est/cacerts, /.well-known/est/csrattrs and /.well-known/est/simpleenroll",
            )),
        };
        answered.unwrap_or_else(|denial| {
            let outcome = denial.outcome();
            Answer::denied(denial, outcome)
        })
    }

    async fn enroll(&self, request: Request<Incoming>) -> Result<Answer, Denial> {
        let Some(shown) = request.headers().get(AUTHORIZATION) else {
            // Clients that wait for the challenge come so (RFC 7235 section 2.1): this is no attempt.
            return Err(Denial::unauthorized("no name and password: clients may ask so first"));
        };
        let attempts = &self.common.attempts;
        let attempt = attempts.begin(self.remote, Instant::now()).map_err(limited)?;
        let checked = match claimant(shown) {
            Ok(mut claimant) => claimant.check(self.state.first()?).await.map(|()| claimant),
            Err(denial) => Err(denial),
        };
        match &checked {
            Err(denial) if denial.status == StatusCode::UNAUTHORIZED => {
                attempts.was_wrong(Instant::now()).map_err(limited)?;
            }
            _ => attempts.give_back(attempt),
        }
        let claimant = checked?;
        let body = certification_request(request).await?;
        let Common { first_orders, orders, .. } = self.common;
        let work = Work { shared: self.shared, first_orders, orders };
        let given = claimant.enroll(self.state, &work, &body).await;
        if given.as_ref().is_err_and(|denial| denial.status == StatusCode::UNAUTHORIZED) {
            // It counts as well, whether there was room for it or not.
            drop(attempts.begin(self.remote, Instant::now()));
        }
        let Given { answer, is_repeat } = given?;
        let name = claimant.name;
        let note = match is_repeat {
            false => format!("a first certificate was issued by the voucher for {name}"),
            true => format!("the first certificate was given again by the voucher for {name}, to the same key"),
        };
        let issued = answer.first().cloned().map(Box::new);
        let response = certificates(&answer)?;
        Ok(Answer { issued, voucher: Some(name), ..Answer::given(response, Outcome::FirstIssued, &note) })
    }
}

fn limited(too_many: TooMany) -> Denial {
    // At least a second, since a device that comes at once would be refused again.
    let wait = u32::try_from(too_many.wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    Denial { retry_after_s: Some(wait), ..Denial::new(StatusCode::TOO_MANY_REQUESTS, too_many) }
}

/// Reads name and password (RFC 7617 section 2).
fn claimant(shown: &HeaderValue) -> Result<Claimant, Denial> {
    let read = || {
        let (scheme, token) = shown.as_bytes().split_at_checked("Basic ".len())?;
        let token = scheme.eq_ignore_ascii_case(b"Basic ").then_some(token)?;
        let pair = Zeroizing::new(BASE64_STANDARD.decode(token.trim_ascii()).ok()?);
        let colon = pair.iter().position(|octet| *octet == b':')?;
        let (name, password) = (pair.get(..colon)?, pair.get(colon.checked_add(1)?..)?);
        let name: String = std::str::from_utf8(name).ok()?.to_owned();
        let (cut, secret) = (name.chars().take(SHOWN).collect(), KeptHash::of_password(password));
        Some(Claimant { name: cut, secret })
    };
    read().ok_or_else(|| Denial::unauthorized("found another Authorization than Basic with a name and a password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<(String, bool), String> {
        let read = claimant(&HeaderValue::from_str(value).unwrap());
        let is = |secret: &KeptHash| secret.is(&KeptHash::of_password(b"pass:word"));
        read.map(|read| (read.name, is(&read.secret))).map_err(|denial| denial.to_string())
    }

    #[test]
    fn name_and_password_are_read_as_rfc_7617_has_them() {
        for scheme in ["Basic", "basic", "BASIC"] {
            let value = format!("{scheme} {}", BASE64_STANDARD.encode("sensor-7.a.example:PASS:word"));
            assert_eq!(read(&value), Ok(("sensor-7.a.example".to_owned(), true)));
        }
        let long = BASE64_STANDARD.encode(format!("{}:pass:word", "a".repeat(500)));
        assert_eq!(read(&format!("Basic {long}")).unwrap().0.len(), SHOWN);
        for none in ["", "Basic", "Basic ", "Basic !", "Basic YQ==", "Digest YTpi", "Bearer a:b", "Basic gDo="] {
            assert_eq!(read(none), Err("not authorized".to_owned()), "{none}");
        }
    }
}
