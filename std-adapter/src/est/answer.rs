//! What is asked and what is answered (RFC 7030 sections 3.2 and 4).

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::request::write_certs_only;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use pki_types::CertificateDer;
use tokio::time::timeout;

use super::denial::Denial;
use super::reenroll::{Orders, reenroll};
use super::status::Outcome;
use crate::acme::DeviceIssuer;

/// No request is larger.
const MAX_BODY: usize = 16 * 1024;
/// For a request to arrive.
pub(super) const ARRIVAL: Duration = Duration::from_secs(10);

const FOLDER: &str = "/.well-known/est/";
const PKCS10: &str = "application/pkcs10";
/// RFC 7030 section 4.2.3
const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// What all requests see.
pub(super) struct Desk<'a> {
    pub(super) issuer: &'a DeviceIssuer,
    pub(super) orders: &'a Orders,
    pub(super) anchors: &'a [CertificateDer<'static>],
    /// The certificate that the device showed.
    pub(super) shown: &'a CertificateDer<'static>,
}

/// An answer, and what it was.
pub(super) struct Answer {
    pub(super) response: Response<Full<Bytes>>,
    pub(super) outcome: Outcome,
    /// What is said of it in the log.
    pub(super) note: String,
}

impl Desk<'_> {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let operation = path.strip_prefix(FOLDER);
        let answered = match (method, operation) {
            (Method::GET, Some("cacerts")) => bag(self.anchors).map(|body| (body, Outcome::CaCerts, "cacerts")),
            (Method::POST, Some("simplereenroll")) => {
                self.reenroll(request).await.map(|body| (body, Outcome::Issued, "a certificate was issued"))
            }
            // RFC 7030 section 4.2.1 leaves to the server whom it enrols.
            (Method::POST, Some("simpleenroll")) => Err(Denial::forbidden(
                "new devices are provisioned with a first certificate; with it they use simplereenroll",
            )),
            (_, Some("cacerts")) => Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "GET")),
            (_, Some("simplereenroll" | "simpleenroll")) => Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "POST")),
            _ => Err(Denial::new(
                StatusCode::NOT_FOUND,
                "found here: /.well-known/est/cacerts and /.well-known/est/simplereenroll",
            )),
        };
        match answered {
            Ok((body, outcome, note)) => Answer { response: certificates(body), outcome, note: note.to_owned() },
            Err(denial) => Answer { outcome: denial.outcome(), note: denial.to_string(), response: refusal(&denial) },
        }
    }

    async fn reenroll(&self, request: Request<Incoming>) -> Result<String, Denial> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case(PKCS10) {
            let reason = format!("Content-Type: found {:?}, expected {PKCS10}", kind.escape_debug().to_string());
            return Err(Denial::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
        }
        // RFC 8951 section 3.1: Content-Transfer-Encoding says nothing, the body is base64.
        let body = match timeout(ARRIVAL, Limited::new(request.into_body(), MAX_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let reason = format!("the body is longer than {MAX_BODY} octets");
                return Err(Denial::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
            }
            Ok(Err(error)) => return Err(Denial::malformed(error)),
            Err(_) => return Err(Denial::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
        };
        bag(&reenroll(self.issuer, self.orders, self.shown, &body).await?)
    }
}

/// A bag of certificates (RFC 7030 section 4.1.3), base64 in one line (RFC 8951 section 3.1, RFC 4648 section 4).
fn bag(certificates: &[CertificateDer<'_>]) -> Result<String, Denial> {
    let slices: Vec<&[u8]> = certificates.iter().map(|der| der.as_ref()).collect();
    let mut out = vec![0; slices.iter().fold(64, |sum, der| der.len().saturating_add(sum))];
    let bag = write_certs_only(&slices, &mut out).map_err(Denial::later)?;
    Ok(BASE64_STANDARD.encode(bag))
}

fn certificates(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CERTS_ONLY));
    // What clients from before RFC 8951 look for.
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
    if denial.status == StatusCode::METHOD_NOT_ALLOWED {
        // Its reason is the method.
        headers.insert(ALLOW, HeaderValue::from_str(&denial.reason).unwrap_or(HeaderValue::from_static("GET")));
    }
    response
}
