//! Answers the gateways that dial.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use edgetrust_core::mesh::MAX_SIGNED_MESH;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::answers::{self, HOLD, OfRequest, Terms};
use super::body;
use super::callers::{Caller, CallerError, CallerPermit};
use super::channel::Control;
use super::continued::continue_sessions;
use super::state::ControlState;
use crate::accept::AddressPhase;
use crate::audit::Recorded;
use crate::gateway::continuation::{MAX_CONTINUE_REQUEST, Proven};
use crate::gateway::mesh_kept::Offered;
use crate::gateway::served_mesh::{ServedMesh, ServedTag, SignedText};
use crate::gateway::socket::{Remote, Socket};
use crate::tls::{Admission, ServerStream};

/// The size limit of a request's head, in octets.
const MAX_HEAD: usize = 8 * 1024;
/// The time for the head of a request, and for its body.
const ARRIVAL: Duration = Duration::from_secs(20);

/// The resources.
/// The number of characters of a reason that the audit log holds.
const MAX_REASON: usize = 512;

pub(super) const MESH: &str = "/mesh";
pub(super) const CONTINUE: &str = "/continue";

/// Serves a gateway until it leaves, or this one drains.
pub(in crate::gateway) async fn serve(
    stream: ServerStream<Socket>,
    admission: &Admission,
    remote: Remote,
    control: &Control,
    mut phase: watch::Receiver<AddressPhase>,
) {
    let proven = Proven::of(stream.get_ref().1, stream.get_ref().1.peer_certificates());
    // The channel speaks TLS 1.3 alone.
    let Some(proven) = proven else { return };
    let peer = admission.peer().map_or_else(|| "-".to_owned(), ToString::to_string);
    // From here on no change is missed.
    let mut now = control.in_force.subscribe();
    let Some(state) = now.borrow_and_update().clone() else { return };
    let caller = match Caller::of(&state, &proven.chain) {
        Ok(caller) => caller,
        Err(reason) => {
            warn!(%remote, %peer, "control: refused: {reason}");
            drop(state);
            return record(control, (&remote, &peer), "refused", &reason).taken().await;
        }
    };
    drop(state);
    let permit = control.callers.permit(&caller);
    let Terms { lifetime, requests } = Terms::of(&caller);
    let connection = Connection {
        control,
        proven,
        remote,
        peer,
        permit,
        since: Instant::now(),
        lifetime,
        left: AtomicU32::new(requests),
    };
    let answer = service_fn(|request| async { Ok::<_, Infallible>(connection.answer(request).await) });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(ARRIVAL).max_buf_size(MAX_HEAD);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), answer));
    let mut over = pin!(sleep(lifetime.saturating_add(HOLD).saturating_add(ARRIVAL)));
    loop {
        tokio::select! {
            // What is no HTTP is answered by hyper, and nothing is to be said of it.
            _ = serving.as_mut() => return,
            () = over.as_mut() => return,
            () = connection.permit.displaced() => {
                info!(%remote, peer = %connection.peer, "control: closed: its peer has opened a newer connection");
                return;
            }
            changed = now.changed() => {
                // Another mesh, or other denials: whoever may no longer speak is cut, whatever it waits for.
                let state = now.borrow_and_update().clone();
                match state.map(|state| Caller::of(&state, &connection.proven.chain)) {
                    Some(Ok(_)) if changed.is_ok() => {}
                    Some(Err(reason)) => {
                        warn!(%remote, peer = %connection.peer, "control: closed: {reason}");
                        return record(control, (&remote, &connection.peer), "session_ended", &reason).taken().await;
                    }
                    _ => return,
                }
            }
            changed = phase.changed() => {
                if changed.is_err() || *phase.borrow_and_update() != AddressPhase::Accept {
                    return;
                }
            }
        }
    }
}

/// One connection.
struct Connection<'a> {
    control: &'a Control,
    proven: Proven,
    remote: Remote,
    peer: String,
    permit: CallerPermit,
    since: Instant,
    lifetime: Duration,
    left: AtomicU32,
}

/// The media type of what people read.
const TEXT: &str = "text/plain; charset=utf-8";

/// An answer before it has its headers.
struct Answer {
    code: StatusCode,
    kind: &'static str,
    body: Bytes,
    /// True if nothing more is to be said to this peer.
    last: bool,
}

impl Answer {
    fn of(code: StatusCode, kind: &'static str, body: Bytes) -> Self {
        Self { code, kind, body, last: false }
    }

    fn text(code: StatusCode, text: impl fmt::Display) -> Self {
        Self::of(code, TEXT, Bytes::from(format!("{text}\n")))
    }

    fn empty(code: StatusCode) -> Self {
        Self::of(code, TEXT, Bytes::new())
    }
}

impl Connection<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (Answer { code, kind, body, last }, tag) = match self.control.state() {
            None => (Answer::text(StatusCode::SERVICE_UNAVAILABLE, "no mesh is in force"), None),
            Some(state) => {
                let answer = self.judged(request, &state).await;
                // What is in force by now: news for gateways alone.
                let now = self
                    .control
                    .state()
                    .filter(|state| Caller::of(state, &self.proven.chain).is_ok_and(|caller| !caller.is_stranger()));
                (answer, now.map(|state| state.served.tag().text()))
            }
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
            headers.insert(ETAG, tag);
        }
        let enough = self.left.fetch_sub(1, Ordering::Relaxed) <= 1 || self.since.elapsed() > self.lifetime;
        if last || enough {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Judges the peer anew for each request.
    async fn judged(&self, request: Request<Incoming>, state: &Arc<ControlState>) -> Answer {
        let caller = match Caller::of(state, &self.proven.chain) {
            Ok(caller) => caller,
            Err(reason) => return self.forbid(&reason).await,
        };
        match (request.method(), request.uri().path(), &caller) {
            (&Method::GET, MESH, Caller::Gateway(_)) => self.get(&request, state).await,
            (&Method::GET, MESH, Caller::Stranger(_)) => {
                Answer::text(StatusCode::FORBIDDEN, "no gateway of a site of the mesh in force")
            }
            (&Method::PUT, MESH, _) => self.put(request, state, &caller).await,
            (&Method::POST, CONTINUE, Caller::Gateway(_)) => self.continue_sessions(request).await,
            (&Method::POST, CONTINUE, Caller::Stranger(_)) => {
                Answer::text(StatusCode::FORBIDDEN, "no gateway of a site of the mesh in force")
            }
            (_, CONTINUE, _) => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "POST"),
            (_, MESH, _) => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT"),
            _ => Answer::text(StatusCode::NOT_FOUND, format_args!("{MESH}, {CONTINUE}")),
        }
    }

    async fn continue_sessions(&self, request: Request<Incoming>) -> Answer {
        let octets = match received(request, MAX_CONTINUE_REQUEST).await {
            Ok(octets) => octets,
            Err(answer) => return answer,
        };
        self.permit.turn_to_continue().await;
        let (sessions, caller) = (&self.control.sessions, (&self.remote, self.peer.as_str()));
        match continue_sessions(sessions, &octets, &self.proven, caller).await {
            Ok(answer) => Answer::of(StatusCode::OK, "application/octet-stream", Bytes::from(answer)),
            Err(malformed) => Answer::text(StatusCode::BAD_REQUEST, malformed),
        }
    }

    async fn forbid(&self, reason: &CallerError) -> Answer {
        warn!(remote = %self.remote, peer = %self.peer, "control: refused: {reason}");
        record(self.control, (&self.remote, &self.peer), "refused", reason).taken().await;
        Answer { last: true, ..Answer::text(StatusCode::FORBIDDEN, reason) }
    }

    /// Returns a text that the peer does not know, once there is one.
    async fn get(&self, request: &Request<Incoming>, state: &ControlState) -> Answer {
        let known = request.headers().get(IF_NONE_MATCH).and_then(|tag| ServedTag::parse(tag.as_bytes()));
        if let Some(answer) = at_once(&state.served, known.as_ref()) {
            return answer;
        }
        let mut now = self.control.in_force.subscribe();
        let before = state.served.tag();
        let other = |now: &Option<Arc<ControlState>>| now.as_ref().is_none_or(|now| now.served.tag() != before);
        let now = {
            let changed = timeout(HOLD, now.wait_for(other)).await;
            match changed {
                Err(_) => return Answer::empty(StatusCode::NOT_MODIFIED),
                Ok(Err(_)) => None,
                Ok(Ok(now)) => now.clone(),
            }
        };
        let Some(now) = now else { return Answer::text(StatusCode::SERVICE_UNAVAILABLE, "no mesh is in force") };
        // The peer may be the one that the new mesh denies.
        match Caller::of(&now, &self.proven.chain) {
            Ok(Caller::Gateway(_)) => {
                at_once(&now.served, known.as_ref()).unwrap_or_else(|| Answer::empty(StatusCode::NOT_MODIFIED))
            }
            Ok(Caller::Stranger(_)) => Answer::text(StatusCode::FORBIDDEN, "no gateway of a site of the mesh in force"),
            Err(reason) => self.forbid(&reason).await,
        }
    }

    /// Takes an offer.
    async fn put(&self, request: Request<Incoming>, state: &ControlState, caller: &Caller) -> Answer {
        let busy = |text: &str| Answer::text(StatusCode::TOO_MANY_REQUESTS, text);
        let _permit = match self.control.callers.offer_permit(&self.permit, Instant::now()) {
            Ok(permit) => permit,
            Err(reason) => return busy(reason),
        };
        let text = match received(request, MAX_SIGNED_MESH).await {
            Ok(text) => text,
            Err(answer) => return answer,
        };
        let (remote, peer) = (&self.remote, &self.peer);
        let judged = self.control.judge(state, text).await;
        let code = answers::of_offer(&judged);
        match judged {
            Ok(Offered::Taken(edition)) => {
                info!(%remote, %peer, "control: another mesh was brought: {edition}");
                let taken = record(self.control, (remote, peer), "mesh_brought", &edition);
                taken.taken().await;
                Answer::empty(code)
            }
            Ok(Offered::Conflict(_) | Offered::InForce) => Answer::empty(code),
            // A stranger hears nothing of the mesh in force.
            Ok(Offered::Older(_)) if caller.is_stranger() => Answer::text(code, "older"),
            Ok(Offered::Older(reason)) => Answer::text(code, reason),
            Err(reason) => {
                warn!(%remote, %peer, "control: the mesh that was brought is refused: {reason}");
                record(self.control, (remote, peer), "mesh_refused", &reason).taken().await;
                Answer::text(code, reason)
            }
        }
    }
}

/// Records in the audit log what a gateway did, or what was refused to it.
fn record(control: &Control, (remote, peer): (&Remote, &str), event: &str, reason: &dyn fmt::Display) -> Recorded {
    let reason: String = reason.to_string().chars().take(MAX_REASON).collect();
    let fields = json!({"at": "control", "remote": remote.to_string(), "peer": peer, "reason": reason});
    control.audit.record(event, &fields)
}

/// Returns the answer to a gateway that does not know all texts, or knows others of the same sequence.
fn at_once(served: &ServedMesh, known: Option<&ServedTag>) -> Option<Answer> {
    match answers::of_request(served, known) {
        OfRequest::Wait => None,
        OfRequest::Show(SignedText { text, .. }) => {
            let text = Bytes::copy_from_slice(text.as_bytes());
            Some(Answer::of(StatusCode::OK, "application/jose+json", text))
        }
        OfRequest::Bring => {
            Some(Answer::text(StatusCode::CONFLICT, "here is no other text of this sequence: bring it"))
        }
    }
}

/// Reads the body of a request.
///
/// # Errors
/// Returns the answer where it is too long, or does not arrive.
async fn received(request: Request<Incoming>, limit: usize) -> Result<Vec<u8>, Answer> {
    match timeout(ARRIVAL, body::read(request.into_body(), limit)).await {
        Err(_) => Err(Answer::text(StatusCode::REQUEST_TIMEOUT, "the body did not arrive")),
        Ok(Err(error)) => Err(Answer::text(StatusCode::PAYLOAD_TOO_LARGE, error)),
        Ok(Ok(body)) => Ok(body),
    }
}
