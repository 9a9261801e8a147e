//! Uses step-ca's intermediates and its renewal, beside ACME. For a renewal, the certificate is presented over mutual
//! TLS and returned with a new end, for the same key and names, without a challenge or a port. Whoever has the key can
//! renew it until it is revoked.

use edgetrust_core::rotation::FailureKind;
use hyper::header::CONTENT_LENGTH;
use hyper::{Method, Request, Uri};
use instant_acme::{BodyWrapper, HttpClient};
use pki_types::CertificateDer;
use serde::Deserialize;

use super::error::AcmeError;
use super::http::{Http, LastAnswers};
use super::issued::credential;
use super::settings::Settings;
use crate::pem;
use crate::store::Record;

/// The number of intermediates that are kept of one CA.
const MAX_INTERMEDIATES: usize = 8;

/// Returns the CA's intermediates, not verified. Only step-ca has this resource.
pub(super) async fn intermediates(settings: &Settings) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
    let failed = |reason: &dyn std::fmt::Display| AcmeError::new("its intermediates", FailureKind::Transient, reason);
    let directory: Uri = settings.directory_url.parse().map_err(|error| failed(&error))?;
    let authority = directory.authority().ok_or_else(|| failed(&"the directory's URL has no host"))?;
    let http = Http::new(settings, LastAnswers::default()).map_err(|error| failed(&error))?;
    let request = Request::builder().method(Method::GET).uri(format!("https://{authority}/intermediates.pem"));
    let request = request.body(BodyWrapper::default()).map_err(|error| failed(&error))?;
    let mut answer = http.request(request).await.map_err(|error| failed(&error))?;
    if !answer.parts.status.is_success() {
        return Err(failed(&answer.parts.status));
    }
    let body = answer.body.into_bytes().await.map_err(|error| failed(&error))?;
    let mut found = pem::certificates(&body).map_err(|error| failed(&error))?;
    found.truncate(MAX_INTERMEDIATES);
    Ok(found)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "certChain")]
    chain: Vec<String>,
}

fn failed(reason: impl std::fmt::Display) -> AcmeError {
    AcmeError::new("renewal by the certificate", FailureKind::Transient, reason)
}

/// Returns the new chain, not yet verified.
pub(super) async fn renew(settings: &Settings, current: &Record) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
    let directory: Uri = settings.directory_url.parse().map_err(failed)?;
    let authority = directory.authority().ok_or_else(|| failed("the directory's URL has no host"))?;
    let last = LastAnswers::default();
    let http = Http::showing(Some(credential(current).map_err(failed)?), settings, last.clone()).map_err(failed)?;
    let request = Request::builder().method(Method::POST).uri(format!("https://{authority}/1.0/renew"));
    let request = request.header(CONTENT_LENGTH, 0).body(BodyWrapper::default()).map_err(failed)?;
    let mut answer =
        http.request(request).await.map_err(|error| AcmeError::of("renewal by the certificate", &error, last.get()))?;
    let body = answer.body.into_bytes().await.map_err(failed)?;
    if !answer.parts.status.is_success() {
        let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
        return Err(failed(format!("{}: {}", answer.parts.status, text.escape_debug())));
    }
    let answer: Answer = serde_json::from_slice(&body).map_err(failed)?;
    let texts = answer.chain.iter().map(|text| pem::certificates(text.as_bytes()));
    Ok(texts.collect::<Result<Vec<_>, _>>().map_err(failed)?.concat())
}
