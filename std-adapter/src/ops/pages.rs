//! Serves `/healthz`, `/readyz`, `/metrics` and `/status`, read only, over HTTP/1.1.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::time::Utc;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use pki_types::UnixTime;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tracing::{info, warn};

use super::metrics::metrics;
use crate::accept::{Accepting, Few};
use crate::agent::Credentials;
use crate::clock;
use crate::est;
use crate::gateway::{Refusal, Refusals, Status};
use crate::sandbox;
use crate::tls::{Authority, ShownRequest};

/// The maximum number of concurrent requests.
const CONNECTIONS: usize = 32;
/// The time limit for a request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pages, which are served until this value is dropped.
#[derive(Debug)]
pub struct Pages {
    asked: SocketAddr,
    _accepting: Accepting,
}

impl Pages {
    /// Serves the pages of a gateway.
    ///
    /// # Errors
    /// Fails if the address cannot be bound.
    pub async fn serve(
        address: SocketAddr,
        status: Arc<Status>,
        credentials: Credentials,
        devices: Arc<est::Status>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        if !bound.ip().is_loopback() {
            warn!(address = %bound, "the pages are for everybody who can reach this address");
        }
        info!(address = %bound, "pages");
        let sources = Arc::new(Sources { status, credentials, devices });
        let pages = Few::new(
            listener,
            CONNECTIONS,
            move |stream, _| serve(stream, sources.clone()),
            |error| warn!("pages: accept: {error}"),
        );
        Ok(Self { asked: address, _accepting: Accepting::begin(pages) })
    }

    /// Returns the address that was configured.
    pub fn asked(&self) -> SocketAddr {
        self.asked
    }
}

/// The sources of the pages' content.
struct Sources {
    status: Arc<Status>,
    credentials: Credentials,
    devices: Arc<est::Status>,
}

async fn serve(stream: TcpStream, sources: Arc<Sources>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let answer = answer(&sources, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
    // A client that has gone away needs no answer.
    let _ = tokio::time::timeout(PATIENCE, http.serve_connection(TokioIo::new(stream), answer)).await;
}

fn answer(sources: &Sources, method: &Method, path: &str) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let (code, kind, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") => match not_ready(sources) {
            None => (StatusCode::OK, TEXT, "ready\n".to_owned()),
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        },
        (&Method::GET | &Method::HEAD, "/metrics") => (
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics(&sources.status, &sources.credentials, &sources.devices),
        ),
        (&Method::GET | &Method::HEAD, "/status") => (StatusCode::OK, "application/json", page(sources)),
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, TEXT, "/healthz /readyz /metrics /status\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

/// Returns why a new connection would fail: the gateway stops, or presents a certificate that no peer accepts.
fn not_ready(sources: &Sources) -> Option<String> {
    let status = &sources.status;
    if status.is_draining() {
        return Some("draining".to_owned());
    }
    let now = clock::now();
    let tunnels = status.tunnels();
    let bad = |who: &dyn fmt::Display, shows: bool, validity: Option<(UnixTime, UnixTime)>| match validity {
        Some((_, not_after)) if now > not_after => {
            Some(format!("{who}: its certificate expired at {}", Utc(not_after)))
        }
        Some((not_before, _)) if now < not_before => {
            Some(format!("{who}: its certificate is valid only from {}", Utc(not_before)))
        }
        None if shows => Some(format!("{who}: it has no certificate yet")),
        _ => None,
    };
    let tunnel = tunnels.iter().find_map(|tunnel| {
        bad(&format_args!("tunnel {}", tunnel.name), tunnel.certificates.credential.is_some(), tunnel.validity())
    });
    let devices = &sources.devices;
    let bad = tunnel.or_else(|| bad(&"est", devices.address().is_some(), devices.validity()));
    bad.or_else(|| tunnels.is_empty().then(|| "no tunnel".to_owned()))
}

/// Returns the certificates that peers are verified by, as JSON.
fn authorities<'a>(all: impl Iterator<Item = &'a Authority>) -> serde_json::Value {
    let now = clock::now();
    let all = all.map(|authority| {
        json!({
            "role": authority.role.name(),
            "subject": authority.subject,
            "serial": authority.serial,
            "expires": Utc(authority.not_after).to_string(),
            "ends_soon": authority.ends_soon(now),
        })
    });
    all.collect()
}

/// Returns the EST server's part of the page, or `None` if there is no server.
fn devices(devices: &est::Status) -> Option<serde_json::Value> {
    let address = devices.address()?.to_string();
    let requests = est::Outcome::ALL.map(|outcome| (outcome.name().to_owned(), devices.total(outcome).into()));
    Some(json!({
        "address": address,
        "certificate_expires": devices.validity().map(|(_, not_after)| Utc(not_after).to_string()),
        "authorities": authorities(devices.authorities().iter()),
        "requests": serde_json::Map::from_iter(requests),
        "last_error": devices.last_error(),
        "refusals": refusals(devices.refusals(), |refusal| {
            let asked = |asked: &ShownRequest| json!({"subject": asked.subject, "names": asked.names});
            ("requested", refusal.requested.as_ref().map_or(serde_json::Value::Null, asked))
        }),
    }))
}

/// Returns the refusals as JSON, newest first; `more` adds the field that only tunnels or only EST have.
fn refusals(all: &Refusals, more: impl Fn(&Refusal) -> (&'static str, serde_json::Value)) -> serde_json::Value {
    let all = all.all().into_iter().map(|refusal| {
        let shown = refusal.shown.as_ref().map(|shown| {
            let fields = shown.fields().map(|(name, text)| (name.to_owned(), text.into()));
            serde_json::Value::Object(fields.collect())
        });
        let (name, value) = more(&refusal);
        json!({
            "at": Utc(refusal.at).to_string(),
            name: value,
            "remote": refusal.remote,
            "kind": refusal.kind,
            "reason": refusal.reason,
            "certificate": shown,
            "count": refusal.count,
        })
    });
    all.collect()
}

fn page(sources: &Sources) -> String {
    let Sources { status, credentials, devices: device_status } = sources;
    let tunnels: Vec<_> = status
        .tunnels()
        .iter()
        .map(|tunnel| {
            json!({
                "name": tunnel.name,
                "address": tunnel.address.to_string(),
                "target": tunnel.target.to_string(),
                "certificate_expires": tunnel.validity().map(|(_, not_after)| Utc(not_after).to_string()),
                "certificate_issuer": tunnel.certificates.issuer().map(|digest| digest.to_string()),
                "authorities": authorities(tunnel.certificates.authorities().iter()),
                "insecure_skip_verify": tunnel.insecure,
                "open": tunnel.counters.open_now(),
                "accepted": tunnel.counters.accepted_total(),
                "accepted_by_rule": tunnel.counters.by_rule().into_iter().collect::<BTreeMap<_, _>>(),
                "bytes_up": tunnel.counters.up_total(),
                "bytes_down": tunnel.counters.down_total(),
            })
        })
        .collect();
    let credentials: Vec<_> = credentials
        .all()
        .iter()
        .map(|credential| {
            let now = credential.now();
            json!({
                "name": credential.name,
                "storage_path": credential.home.to_string(),
                "serving": now.serving,
                "phase": now.phase,
                "expires": now.not_after.map(|at| Utc(at).to_string()),
                "next": now.next.map(|at| Utc(at).to_string()),
                "issued": credential.issued_total(),
                "failed": credential.failed_total(),
                "last_error": now.last_error,
            })
        })
        .collect();
    let mesh = status.mesh().map(|mesh| {
        json!({
            "name": mesh.name,
            "site": mesh.site,
            "sequence": mesh.edition.sequence,
            "signer_generation": mesh.edition.generation,
            "digest": mesh.edition.digest.to_string(),
            "not_after": mesh.not_after.map(|at| Utc(at).to_string()),
            "file_refused": mesh.file_refused,
            "conflict": mesh.conflict,
        })
    });
    let (taken, refused) = status.reloads();
    let page = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": not_ready(sources).is_none(),
        "not_ready_because": not_ready(sources),
        "tunnels": tunnels,
        "credentials": credentials,
        "est": devices(device_status),
        "mesh": mesh,
        "sandbox": sandbox::in_force().map(|sandbox| BTreeMap::from(sandbox.fields())),
        "refusals": refusals(status.refusals(), |refusal| ("tunnel", refusal.tunnel.as_str().into())),
        "reloads": {"taken": taken, "refused": refused, "last_refusal": status.last_refusal()},
    });
    format!("{page:#}\n")
}
