//! Checks that a directory answers, and reads its metadata and its clock.

use std::fmt::Display;
use std::time::Duration;

use edgetrust_core::rotation::FailureKind;
use hyper::header::DATE;
use hyper::{Method, Request};
use instant_acme::{BodyWrapper, HttpClient};
use serde_json::Value;

use super::error::AcmeError;
use super::http::{Http, LastAnswers};
use super::settings::Settings;
use crate::clock;

/// The metadata of a directory (RFC 8555 section 7.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// The seconds by which our clock is behind the directory's (negative if ahead), if the answer has a date.
    pub clock_offset_s: Option<i64>,
    /// The directory has renewal information (RFC 9773).
    pub renewal_info: bool,
    /// The directory requires an external account.
    pub external_account_required: bool,
    /// The profiles that the directory offers.
    pub profiles: Vec<String>,
}

/// Requests the directory and returns its metadata.
///
/// # Errors
/// Fails if the server cannot be reached, the configured roots do not verify it, or it is not a directory.
pub async fn probe(settings: &Settings) -> Result<Directory, AcmeError> {
    let failed = |reason: &dyn Display| AcmeError::new("the directory", FailureKind::Transient, reason);
    let http = Http::new(settings, LastAnswers::default()).map_err(|error| failed(&error))?;
    let request = Request::builder().method(Method::GET).uri(&settings.directory_url).body(BodyWrapper::default());
    let request = request.map_err(|error| failed(&error))?;
    let mut answer = http.request(request).await.map_err(|error| failed(&error))?;
    let body = answer.body.into_bytes().await.map_err(|error| failed(&error))?;
    let status = answer.parts.status;
    let found: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() || found.get("newOrder").is_none() {
        let text: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        let (url, text) = (&settings.directory_url, text.escape_debug());
        return Err(failed(&format_args!("{url}: {status}, and no directory: {text}")));
    }
    let date = answer.parts.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let meta = found.get("meta");
    Ok(Directory {
        clock_offset_s: date.map(|theirs| match theirs.duration_since(clock::system()) {
            Ok(behind) => seconds(behind),
            Err(ahead) => seconds(ahead.duration()).saturating_neg(),
        }),
        renewal_info: found.get("renewalInfo").is_some(),
        external_account_required: meta.and_then(|meta| meta.get("externalAccountRequired"))
            == Some(&Value::Bool(true)),
        profiles: meta
            .and_then(|meta| meta.get("profiles"))
            .and_then(Value::as_object)
            .map(|profiles| profiles.keys().cloned().collect())
            .unwrap_or_default(),
    })
}
