//! Serves the pages, read only, over HTTP/1.1.
//!
//! | page | |
//! |---|---|
//! | `/` | for people |
//! | `/events` | its reports, as server-sent events |
//! | `/status` | a report, as JSON |
//! | `/metrics` | Prometheus' text format |
//! | `/healthz`, `/readyz` | for supervisors and load balancers |

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::askers::{Asker, Askers};
use super::events::{self, Places};
use super::host::foreign;
use super::metrics::metrics;
use super::page::{PAGE, POLICY};
use super::readiness::not_ready;
use super::report::Sources;
use crate::accept::{Accepting, Few};

/// The maximum number of connections that wait for an answer; a newer one displaces the oldest.
const ASKERS: usize = 32;
/// The maximum number of connections: those, the listeners to events, and those that are just ending.
const CONNECTIONS: usize = 128;
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
    pub(crate) async fn serve(address: SocketAddr, hosts: Vec<String>, sources: Sources) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        if !bound.ip().is_loopback() {
            warn!(address = %bound, "the pages are for everybody who can reach this address");
        }
        info!(address = %bound, "pages");
        let desk = Arc::new(Desk { sources: Arc::new(sources), hosts, places: Places::default() });
        let askers = Askers::new(ASKERS);
        let pages = Few::new(
            listener,
            CONNECTIONS,
            move |stream, _| serve(stream, desk.clone(), askers.enter()),
            |error| warn!("pages: accept: {error}"),
        );
        Ok(Self { asked: address, _accepting: Accepting::begin(pages) })
    }

    /// Returns the address that was configured.
    pub fn asked(&self) -> SocketAddr {
        self.asked
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What answers are made of.
struct Desk {
    sources: Arc<Sources>,
    hosts: Vec<String>,
    places: Places,
}

async fn serve(stream: TcpStream, desk: Arc<Desk>, asker: Asker) {
    let (listens, mut listening) = watch::channel(false);
    let answer = service_fn(|request: Request<Incoming>| {
        let answer = desk.answer(&request, &listens);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
    let began = Instant::now();
    let until = |patience| began.checked_add(patience).unwrap_or(began);
    tokio::select! {
        // A client that has gone away needs no answer.
        _ = serving.as_mut() => return,
        _ = listening.wait_for(|listens| *listens) => {}
        () = asker.displaced() => return,
        () = sleep_until(until(PATIENCE)) => return,
    }
    // Listeners have places of their own.
    drop(asker);
    tokio::select! {
        _ = serving.as_mut() => {}
        () = sleep_until(until(events::LIFETIME)) => {}
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Desk {
    /// Answers a request; `listens` is told that the answer has no end.
    fn answer(&self, request: &Request<Incoming>, listens: &watch::Sender<bool>) -> Response<Body> {
        if let Some(host) = foreign(request, &self.hosts) {
            let host: String = host.chars().take(128).collect();
            let reason = format!(
                "found the host {host:?}, expected an IP address, localhost, or a name of gateway.admin.hosts\n"
            );
            return whole(StatusCode::MISDIRECTED_REQUEST, TEXT, reason);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return whole(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET\n".to_owned());
        }
        let Sources { status, credentials, devices } = &*self.sources;
        match request.uri().path() {
            "/" => {
                let mut page = whole(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned());
                if let Ok(policy) = HeaderValue::from_str(&POLICY) {
                    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
                }
                page
            }
            "/events" if *request.method() == Method::GET => match events::events(self.sources.clone(), &self.places) {
                Some(events) => {
                    listens.send_replace(true);
                    response(StatusCode::OK, "text/event-stream", StreamBody::new(events).boxed_unsync())
                }
                None => whole(StatusCode::SERVICE_UNAVAILABLE, TEXT, "too many listeners: ask /status\n".to_owned()),
            },
            "/healthz" => whole(StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => match not_ready(status, devices) {
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
