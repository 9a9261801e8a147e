//! Answers requests for pages.
//!
//! | page | |
//! |---|---|
//! | `/` | for people |
//! | `/events` | its reports, as server-sent events |
//! | `/status` | a report, as JSON |
//! | `/metrics` | Prometheus' text format |
//! | `/healthz`, `/readyz` | for supervisors and load balancers |

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use super::events::{self, Places};
use super::host::foreign;
use super::metrics::metrics;
use super::page::{PAGE, POLICY};
use super::readiness::not_ready;
use super::report::Sources;
use super::targets::TargetCheck;
use crate::audit::AuditLog;
use crate::gateway::AdminPlan;
use crate::tls::{TlsError, TlsServer};

/// The sources of answers, and who may ask.
pub(crate) struct Desk {
    sources: Arc<Sources>,
    hosts: Vec<String>,
    tls: Option<TlsServer>,
    targets: Option<TargetCheck>,
    places: Places,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

const TEXT: &str = "text/plain; charset=utf-8";

impl Desk {
    /// Makes all that can fail.
    ///
    /// # Errors
    /// Fails if rustls refuses the settings.
    pub(crate) fn new(plan: AdminPlan, sources: Sources) -> Result<Self, TlsError> {
        let AdminPlan { listen: _, hosts, tls, check_targets } = plan;
        Ok(Self {
            sources: Arc::new(sources),
            hosts,
            tls: tls.map(TlsServer::new).transpose()?,
            targets: check_targets.then(TargetCheck::default),
            places: Places::default(),
        })
    }

    /// Returns the audit log.
    pub(super) fn audit(&self) -> &AuditLog {
        self.sources.status.audit()
    }

    /// Returns the server for handshakes; `None` where the pages are plaintext.
    pub(super) fn tls(&self) -> Option<&TlsServer> {
        self.tls.as_ref()
    }

    /// Answers a request, and tells whether the answer has no end before `ended` is true.
    pub(super) async fn answer(
        &self,
        request: &Request<Incoming>,
        ended: &watch::Receiver<bool>,
    ) -> (Response<Body>, bool) {
        if let Some(host) = foreign(request, &self.hosts) {
            let host: String = host.chars().take(128).collect();
            let reason = format!(
                "found the host {host:?}, expected an IP address, localhost, or a name of gateway.admin.hosts\n"
            );
            return (whole(StatusCode::MISDIRECTED_REQUEST, TEXT, reason), false);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = whole(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET\n".to_owned());
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return (refused, false);
        }
        let Sources { status, credentials, devices } = &*self.sources;
        let answer = match request.uri().path() {
            "/" => {
                let mut page = whole(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned());
                if let Ok(policy) = HeaderValue::from_str(&POLICY) {
                    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
                }
                page
            }
            "/events" if *request.method() == Method::GET => {
                match events::events(self.sources.clone(), &self.places, ended) {
                    Some(events) => {
                        let events = StreamBody::new(events).boxed_unsync();
                        return (response(StatusCode::OK, "text/event-stream", events), true);
                    }
                    None => {
                        whole(StatusCode::SERVICE_UNAVAILABLE, TEXT, "too many listeners: ask /status\n".to_owned())
                    }
                }
            }
            "/healthz" => whole(StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => match self.not_ready().await {
                None => whole(StatusCode::OK, TEXT, "ready\n".to_owned()),
                Some(reason) => whole(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
            },
            "/metrics" => {
                whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics(status, credentials, devices))
            }
            "/status" => match serde_json::to_string_pretty(&self.sources.report()) {
                Ok(text) => whole(StatusCode::OK, "application/json", format!("{text}\n")),
                Err(error) => whole(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
            },
            _ => whole(StatusCode::NOT_FOUND, TEXT, "/ /events /healthz /readyz /metrics /status\n".to_owned()),
        };
        (answer, false)
    }

    async fn not_ready(&self) -> Option<String> {
        let Sources { status, devices, .. } = &*self.sources;
        match (not_ready(status, devices), &self.targets) {
            (None, Some(targets)) => targets.failed(status).await,
            (reason, _) => reason,
        }
    }
}

fn whole(code: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    response(code, kind, Full::new(Bytes::from(text)).boxed_unsync())
}

fn response(code: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    const ALL: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    for (name, value) in ALL.into_iter().chain([(header::CONTENT_TYPE, kind)]) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
