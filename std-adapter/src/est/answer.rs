//! Answers EST requests (RFC 7030 sections 3.2 and 4).

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::request::write_certs_only;
use edgetrust_core::x509::Certificate;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use pki_types::CertificateDer;
use tokio::time::timeout;

use super::attributes::csr_attributes;
use super::denial::Denial;
use super::reenroll::{Orders, reenroll};
use super::state::EstState;
use super::status::Outcome;
use crate::tls::ShownRequest;

/// The size limit of a request's body, in octets.
const MAX_BODY: usize = 16 * 1024;
/// The time limit for a request to arrive.
pub(super) const ARRIVAL: Duration = Duration::from_secs(10);

/// The limit of a path, and of a header's name or value, in octets: clients send tokens and dates.
const MAX_VALUE: usize = 1024;
/// The number of characters of a request that an answer repeats.
const SHOWN: usize = 64;
/// The length of a line of base64 (RFC 7468 section 2), as tools from before RFC 8951 read it.
const LINE: usize = 64;

pub(super) const FOLDER: &str = "/.well-known/est/";
const PKCS10: &str = "application/pkcs10";
/// The media type of CSR attributes (RFC 7030 section 4.5.2).
const CSR_ATTRS: &str = "application/csrattrs";
/// The media type of issued certificates (RFC 7030 section 4.2.3).
const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// The context of a request.
pub(super) struct Desk<'a> {
    pub(super) state: &'a EstState,
    pub(super) orders: &'a Orders,
    /// The certificate that the device presented.
    pub(super) shown: &'a CertificateDer<'static>,
}

/// An answer with its outcome.
pub(super) struct Answer {
    pub(super) response: Response<Full<Bytes>>,
    pub(super) outcome: Outcome,
    /// The text for the log.
    pub(super) note: String,
    /// The requested certificate, if it is refused.
    pub(super) requested: Option<Box<ShownRequest>>,
    /// The issued certificate, if there is one.
    pub(super) issued: Option<Box<CertificateDer<'static>>>,
    /// The name of the voucher by which it was issued.
    pub(super) voucher: Option<String>,
}

impl Answer {
    pub(super) fn given(response: Response<Full<Bytes>>, outcome: Outcome, note: &str) -> Self {
        Self { response, outcome, note: note.to_owned(), requested: None, issued: None, voucher: None }
    }

    /// Creates the answer of a denial.
    pub(super) fn denied(denial: Denial, outcome: Outcome) -> Self {
        let response = refusal(&denial);
        Self { requested: denial.requested, ..Self::given(response, outcome, &denial.reason) }
    }
}

impl Desk<'_> {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        if let Err(denial) = short_enough(&request) {
            return Answer::denied(denial, Outcome::Malformed);
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let operation = path.strip_prefix(FOLDER);
        let answered = match (method, operation) {
            (Method::GET, Some("cacerts")) => self.authorities().await,
            (Method::GET, Some("csrattrs")) => self.attributes(),
            (Method::POST, Some("simplereenroll")) => self.reenroll(request).await,
            // RFC 7030 section 4.2.1 leaves it to the server whom it enrols.
            (Method::POST, Some("simpleenroll")) => Err(Denial::forbidden(
                "devices come here with a certificate and use simplereenroll; the first one is from elsewhere, or from gateway.est.first_enrollment",
            )),
            (_, Some("cacerts" | "csrattrs")) => Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "GET")),
            (_, Some("simplereenroll" | "simpleenroll")) => Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "POST")),
            _ => Err(Denial::new(
                StatusCode::NOT_FOUND,
                "found here: /.well-known/est/cacerts, /.well-known/est/csrattrs and /.well-known/est/simplereenroll",
            )),
        };
        answered.unwrap_or_else(|denial| {
            let outcome = denial.outcome();
            Answer::denied(denial, outcome)
        })
    }

    /// Answers `cacerts` (RFC 7030 section 4.1.3).
    async fn authorities(&self) -> Result<Answer, Denial> {
        authorities(self.state).await
    }

    /// Answers `csrattrs` (RFC 7030 section 4.5.2).
    fn attributes(&self) -> Result<Answer, Denial> {
        let current = Certificate::from_der(self.shown).map_err(Denial::forbidden)?;
        Ok(attributes(self.state, Some(&current)))
    }

    async fn reenroll(&self, request: Request<Incoming>) -> Result<Answer, Denial> {
        let body = certification_request(request).await?;
        let EstState { issuer, own_names, authorities, .. } = self.state;
        let chain = reenroll((issuer, own_names), self.orders, self.shown, &body).await?;
        authorities.learn(chain.get(1..).unwrap_or_default()).await;
        let response = certificates(self.state.answer(&chain))?;
        let issued = chain.first().cloned().map(Box::new);
        Ok(Answer { issued, ..Answer::given(response, Outcome::Issued, "a certificate was issued") })
    }
}

/// Answers `cacerts` (RFC 7030 section 4.1.3).
pub(super) async fn authorities(state: &EstState) -> Result<Answer, Denial> {
    state.authorities.ask(&state.issuer).await;
    let response = certificates(&state.authorities.all())?;
    Ok(Answer::given(response, Outcome::CaCerts, "cacerts"))
}

/// Answers `csrattrs` (RFC 7030 section 4.5.2).
pub(super) fn attributes(state: &EstState, current: Option<&Certificate<'_>>) -> Answer {
    let body = csr_attributes(current, state.issuer.settings().key_type);
    Answer::given(base64(&body, CSR_ATTRS), Outcome::CsrAttrs, "csrattrs")
}

/// Encodes the certificates of an answer (RFC 7030 section 4.2.3).
pub(super) fn certificates(sent: &[CertificateDer<'_>]) -> Result<Response<Full<Bytes>>, Denial> {
    Ok(base64(&bag(sent)?, CERTS_ONLY))
}

/// Reads the body of a request for a certificate (RFC 7030 section 4.2.1).
pub(super) async fn certification_request(request: Request<Incoming>) -> Result<Bytes, Denial> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(PKCS10) {
        let found: String = kind.chars().take(SHOWN).collect();
        let reason = format!("Content-Type: found {:?}, expected {PKCS10}", found.escape_debug().to_string());
        return Err(Denial::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    // RFC 8951 section 3.1: Content-Transfer-Encoding is ignored, the body is base64.
    match timeout(ARRIVAL, Limited::new(request.into_body(), MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let reason = format!("the body is longer than {MAX_BODY} octets");
            Err(Denial::new(StatusCode::PAYLOAD_TOO_LARGE, reason))
        }
        Ok(Err(error)) => Err(Denial::malformed(error)),
        Err(_) => Err(Denial::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

/// Refuses a path or header that is longer than any client's, without repeating it.
pub(super) fn short_enough(request: &Request<Incoming>) -> Result<(), Denial> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_VALUE {
        let reason = format!("the path has {target} octets, expected at most {MAX_VALUE}");
        return Err(Denial::new(StatusCode::URI_TOO_LONG, reason));
    }
    for (name, value) in request.headers() {
        let length = name.as_str().len().max(value.len());
        if length > MAX_VALUE {
            let name: String = name.as_str().chars().take(SHOWN).collect();
            let reason = format!("{name}: found {length} octets, expected at most {MAX_VALUE}");
            return Err(Denial::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason));
        }
    }
    Ok(())
}

/// Encodes a bag of certificates (RFC 7030 section 4.1.3).
fn bag(certificates: &[CertificateDer<'_>]) -> Result<Vec<u8>, Denial> {
    let slices: Vec<&[u8]> = certificates.iter().map(|der| der.as_ref()).collect();
    let mut out = vec![0; slices.iter().fold(64, |sum, der| der.len().saturating_add(sum))];
    write_certs_only(&slices, &mut out).map(<[u8]>::to_vec).map_err(Denial::later)
}

/// Encodes base64 in lines: RFC 8951 section 3.1 has none but lets clients read them, and older clients need them.
fn base64(der: &[u8], kind: &'static str) -> Response<Full<Bytes>> {
    let text = BASE64_STANDARD.encode(der);
    let mut lines = String::with_capacity(text.len().saturating_add(text.len() / LINE).saturating_add(1));
    for (place, character) in (1_usize..).zip(text.chars()) {
        lines.push(character);
        if place % LINE == 0 && place != text.len() {
            lines.push('\n');
        }
    }
    lines.push('\n');
    let mut response = Response::new(Full::new(Bytes::from(lines)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Clients from before RFC 8951 look for this header.
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("base64"));
    response
}

fn refusal(denial: &Denial) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{denial}\n"))));
    *response.status_mut() = denial.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(seconds) = denial.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if denial.status == StatusCode::UNAUTHORIZED {
        // RFC 7617 section 2
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"edgetrust\", charset=\"UTF-8\""));
    }
    if denial.status == StatusCode::METHOD_NOT_ALLOWED {
        // The reason of this denial is the allowed method.
        headers.insert(ALLOW, HeaderValue::from_str(&denial.reason).unwrap_or(HeaderValue::from_static("GET")));
    }
    response
}
