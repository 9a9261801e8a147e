//! Exchanges HTTP/1.1 requests with a directory over TLS that the core verifies, with a deadline.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use edgetrust_core::identity::without_root;
use edgetrust_core::x509::ParseError;
use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::settings::{Settings, Which};
use crate::clock;
use crate::egress::{Destination, Egress, ProxyFault};
use crate::tls::{
    ClientSettings, Credential, MinVersion, ServerTrust, TlsClient, TlsError, TrustSettings, TrustStore, server_name,
};

/// The time limit from the first packet to the last octet of the answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The size limit of a directory's answer, in octets; certificate chains are the largest.
const MAX_ANSWER: usize = 1024 * 1024;

/// The reason that there is no client for a directory.
#[derive(Debug)]
pub enum HttpError {
    /// A root of the directory's server does not parse.
    Root(ParseError),
    /// rustls refuses the settings.
    Tls(TlsError),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl StdError for HttpError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Root(error) => Some(error),
            Self::Tls(error) => Some(error),
        }
    }
}

/// The parts of an answer that instant-acme does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastAnswer {
    pub(super) status: u16,
    pub(super) retry_after_s: Option<u32>,
    /// The problem document of a failure, which instant-acme ignores when it requests the directory.
    pub(super) problem: Option<Bytes>,
}

/// The last answer; each request clears the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct LastAnswers(Arc<Mutex<Option<LastAnswer>>>);

impl LastAnswers {
    fn set(&self, answer: Option<LastAnswer>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    pub(super) fn get(&self) -> Option<LastAnswer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An HTTP client with one connection for each request: there are a handful a day, and none goes stale.
#[derive(Clone, Debug)]
pub(super) struct Http {
    which: Which,
    via: Option<Arc<Egress>>,
    tls: TlsClient,
    last: LastAnswers,
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl Http {
    pub(super) fn new(settings: &Settings, last: LastAnswers) -> Result<Self, HttpError> {
        Self::showing(None, settings, last)
    }

    /// Creates a client that presents a certificate.
    pub(super) fn showing(
        credential: Option<Credential>,
        settings: &Settings,
        last: LastAnswers,
    ) -> Result<Self, HttpError> {
        let denied_keys = settings.denied_keys.clone();
        let trust = TrustStore::new(TrustSettings { denied_keys, ..settings.roots.clone().into() });
        let tls = TlsClient::new(ClientSettings {
            trust: ServerTrust::Verified(trust.map_err(HttpError::Root)?),
            credential,
            min_version: MinVersion::Tls12,
            alpn: vec![b"http/1.1".to_vec()],
        });
        Ok(Self { which: settings.which(), via: settings.via.clone(), tls: tls.map_err(HttpError::Tls)?, last })
    }

    async fn exchange(&self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, BoxError> {
        let authority = request.uri().authority().ok_or("a URL without a host")?.clone();
        let port = authority.port_u16().unwrap_or(443);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // A lookup in the hosts file would not find a name with the root's dot.
        let host = without_root(host).to_owned();
        let to = host.parse().map_or(Destination::Name(&host, port), |ip| Destination::Ip(SocketAddr::new(ip, port)));
        let stream = match self.via.as_ref().filter(|via| via.leads_to(&to)) {
            None => TcpStream::connect((host.as_str(), port)).await?,
            Some(via) => {
                let connected = TcpStream::connect(via.host()).await;
                let mut stream = connected.map_err(|error| via.fault(ProxyFault::Io(error)))?;
                via.ask(&mut stream, &to).await?;
                stream
            }
        };
        stream.set_nodelay(true)?;
        let (stream, _) = self.tls.connect(server_name(&host)?, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let _ended = AbortOnDrop(connection.abort_handle());
        let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        // RFC 8555 section 6.1
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("edgetrust/", env!("CARGO_PKG_VERSION"))));
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        let retry_after_s = parts.headers.get(RETRY_AFTER).and_then(|value| retry_after(value, clock::system()));
        let failed = parts.status.is_client_error() || parts.status.is_server_error();
        let body = if failed { problem(&parts.status, body) } else { body };
        let problem = failed.then(|| body.clone());
        self.last.set(Some(LastAnswer { status: parts.status.as_u16(), retry_after_s, problem }));
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns the seconds of a Retry-After header, which holds seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<u32> {
    let text = value.to_str().ok()?.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(u32::try_from(seconds).unwrap_or(u32::MAX)),
        Err(_) => {
            let wait = httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default();
            Some(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX))
        }
    }
}

/// Makes a problem document, which instant-acme expects, from proxies' pages and step-ca's objects without a status.
fn problem(status: &hyper::StatusCode, body: Bytes) -> Bytes {
    let found = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body);
    let text = match found {
        Ok(mut problem) if problem.contains_key("type") || problem.contains_key("detail") => {
            problem.entry("status").or_insert_with(|| status.as_u16().into());
            serde_json::Value::from(problem).to_string()
        }
        _ => {
            let page: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            let detail = format!("{status}, without a problem document: {}", page.escape_debug());
            json!({"detail": detail, "status": status.as_u16()}).to_string()
        }
    };
    Bytes::from(text)
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            http.last.set(None);
            let what = format!("{} {}", request.method(), request.uri());
            let answer = match timeout(PATIENCE, http.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs()).into()),
            };
            match answer {
                Ok(answer) => {
                    log!(debug, http.which, %what, status = answer.parts.status.as_u16(), "the directory answered");
                    Ok(answer)
                }
                Err(error) => {
                    log!(debug, http.which, %what, %error, "the directory did not answer");
                    Err(Error::Other(format!("{what}: {error}").into()))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Wed, 25 Nov 2026 12:00:00 GMT").unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            ("99999999999999", Some(u32::MAX)),
            ("Wed, 25 Nov 2026 12:01:00 GMT", Some(60)),
            ("Wed, 25 Nov 2026 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(&HeaderValue::from_static(text), now), seconds, "{text}");
        }
    }

    #[test]
    fn every_error_becomes_a_problem_document() {
        let shown = |body: &'static str| {
            let problem: instant_acme::Problem =
                serde_json::from_slice(&problem(&StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(body.as_bytes())))
                    .unwrap();
            super::super::error::Shown(&problem).to_string()
        };
        assert_eq!(shown(r#"{"type": "urn:x", "detail": "why"}"#), "why (urn:x, status 503)");
        assert_eq!(shown("<html>\n"), "503 Service Unavailable, without a problem document: <html>\\n (status 503)");
        assert!(shown("[]").starts_with("503 Service Unavailable, without"));
        assert!(shown("").starts_with("503 Service Unavailable, without"));
    }
}
