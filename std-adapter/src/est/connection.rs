//! Serves one device: handshake, authorization, requests and answers.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pki_types::CertificateDer;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use super::answer::{ARRIVAL, Answer, Desk};
use super::denial::Denial;
use super::reenroll::{Orders, PATIENCE};
use super::refused::Refused;
use super::state::{Common, EST, EstState};
use super::status::{Outcome, Status};
use crate::accept::AddressPhase;
use crate::audit::Recorded;
use crate::gateway::{Guest, Turned, leave_told};
use crate::tls::{AcceptError, Described, Peer, ShownCertificate, ShownRequest};

/// The size limit of a request's head, in octets.
const MAX_HEAD: usize = 16 * 1024;
/// The bounds of a connection: the number of its requests, and the time during which new ones are accepted.
const MAX_REQUESTS: u32 = 32;
const LIFETIME: Duration = Duration::from_secs(60);
/// The number of a path's characters that are logged.
const MAX_SHOWN: usize = 128;
/// The longest wait for a device to close TLS.
const CLOSING: Duration = Duration::from_secs(5);

/// An accepted connection that passed the door.
pub(super) type Visitor = (TcpStream, SocketAddr, Guest);

/// The reason that a connection was not admitted.
enum NotAdmitted {
    Turned(Turned),
    Accept(AcceptError),
}

/// Runs a connection: handshake, authorization, requests and answers.
pub(super) async fn serve(
    shared: Arc<ArcSwap<EstState>>,
    (socket, remote, mut guest): Visitor,
    common: Common,
    mut phase: watch::Receiver<AddressPhase>,
) {
    let shared = &*shared;
    let Common { status, orders, counts } = &common;
    let state = shared.load_full();
    let tls = state.tls.load_full();
    // Answers are small, and the device waits for them.
    let _ = socket.set_nodelay(true);
    let mut told = None;
    let admitted = async {
        let accepted = tokio::select! {
            biased;
            turned = guest.shown_out() => return Err(NotAdmitted::Turned(turned)),
            accepted = tls.0.accept_telling(socket, &mut told) => accepted,
        };
        let (stream, admission) = accepted.map_err(NotAdmitted::Accept)?;
        guest.stand_up();
        let permit = counts.shares.take(EST).await.map_err(NotAdmitted::Turned)?;
        Ok((stream, admission, permit))
    };
    let (stream, admission, _permit) = match timeout(state.limits.handshake_timeout, Box::pin(admitted)).await {
        Ok(Ok(admitted)) => admitted,
        // Health checks do so.
        Ok(Err(NotAdmitted::Accept(AcceptError::LeftSilently))) => {
            return debug!(%remote, "est: left without a word");
        }
        Ok(Err(NotAdmitted::Turned(turned))) => return common.turn_away(remote, &turned).taken().await,
        Ok(Err(NotAdmitted::Accept(error))) => {
            let recorded = status.refuse(remote, &Refused::from(&error));
            drop(error);
            recorded.taken().await;
            if let Some(told) = told {
                guest.stand_up();
                Box::pin(leave_told(told.into())).await;
            }
            return;
        }
        Err(_) => return common.refuse(remote, &"no handshake within the deadline").taken().await,
    };
    drop((state, tls));
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let (Some(peer), false) = (admission.peer().cloned(), shown.is_empty()) else {
        return common.refuse(remote, &"the device showed no certificate").taken().await;
    };
    let device =
        Device { shared, orders, status, remote, shown, peer, since: Instant::now(), requests: AtomicU32::new(0) };
    let answer = service_fn(|request| async { Ok::<_, Infallible>(device.answer(request).await) });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(ARRIVAL).title_case_headers(true).max_buf_size(MAX_HEAD);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), answer));
    // A device that has gone away needs no answer, and its order ends with the connection.
    let mut over = pin!(sleep(LIFETIME.saturating_add(PATIENCE).saturating_add(ARRIVAL).saturating_add(CLOSING)));
    let mut draining = *phase.borrow_and_update() != AddressPhase::Accept;
    if draining {
        serving.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                // A malformed or oversized head was not answered by us.
                if let Err(error) = ended
                    && error.is_parse()
                {
                    let recorded = device.refuse(Outcome::Malformed, &format!("no HTTP: {error}"), None, None);
                    recorded.taken().await;
                }
                return;
            }
            changed = phase.changed(), if !draining => {
                // The server of a closed listener accepts no more requests either.
                draining = changed.is_err() || *phase.borrow_and_update() != AddressPhase::Accept;
                if draining {
                    serving.as_mut().graceful_shutdown();
                }
            }
            () = over.as_mut() => return,
        }
    }
}

/// The fields of an issued certificate in the audit log.
#[derive(Serialize)]
struct Enrolled {
    #[serde(flatten)]
    fields: serde_json::Value,
    #[serde(flatten)]
    certificate: Option<Described>,
}

/// A device on its connection.
struct Device<'a> {
    shared: &'a ArcSwap<EstState>,
    orders: &'a Orders,
    status: &'a Status,
    remote: SocketAddr,
    /// The device's certificate, and the chain sent with it.
    shown: Vec<CertificateDer<'static>>,
    /// The identity that the device was admitted as.
    peer: Arc<Peer>,
    since: Instant,
    requests: AtomicU32,
}

impl Device<'_> {
    async fn answer(&self, request: hyper::Request<hyper::body::Incoming>) -> hyper::Response<Full<Bytes>> {
        let path: String = request.uri().path().chars().take(MAX_SHOWN).collect();
        let path = path.escape_debug().to_string();
        let Answer { mut response, outcome, note, requested, issued } = self.judged(request).await;
        let last = self.requests.fetch_add(1, Ordering::Relaxed) >= MAX_REQUESTS || self.since.elapsed() > LIFETIME;
        if last || outcome == Outcome::NotAdmitted {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let (peer, remote, code) = (&self.peer, self.remote, response.status().as_u16());
        match outcome {
            Outcome::Issued | Outcome::CaCerts | Outcome::CsrAttrs => {
                self.status.count(outcome);
                info!(%peer, %remote, code, "est: {note}");
                if let Some(issued) = issued {
                    self.record(&issued).taken().await;
                }
            }
            _ => {
                let recorded = self.refuse(outcome, &note, Some((&path, code)), requested.as_deref());
                recorded.taken().await;
                if outcome == Outcome::Unavailable {
                    self.status.set_error(Some(format!("{peer}: {note}")));
                }
            }
        }
        if outcome == Outcome::Issued {
            self.status.set_error(None);
        }
        response
    }

    fn refuse(
        &self,
        outcome: Outcome,
        reason: &dyn fmt::Display,
        answered: Option<(&str, u16)>,
        requested: Option<&ShownRequest>,
    ) -> Recorded {
        let shown = self.shown.first().map(ShownCertificate::new);
        let (shown, peer) = (shown.as_ref(), Some(&*self.peer));
        let is_unread = false;
        let refused = Refused { outcome, reason, shown, peer, verified: true, answered, requested, is_unread };
        self.status.refuse(self.remote, &refused)
    }

    /// Records in the audit log that the device has got a certificate.
    fn record(&self, issued: &CertificateDer<'_>) -> Recorded {
        let remote = self.remote.to_string();
        let fields = json!({"remote": remote, "peer": self.peer.to_string(), "rule": self.peer.rule()});
        self.status.audit().record("device_enrolled", &Enrolled { fields, certificate: Described::of(issued) })
    }

    /// Answers a device that the current rules admit; they may have changed since its handshake, or its request.
    async fn judged(&self, request: hyper::Request<hyper::body::Incoming>) -> Answer {
        let state = self.shared.load_full();
        if let Err(answer) = self.admit(&state) {
            return answer;
        }
        let Some(shown) = self.shown.first() else { return not_admitted(&"the device showed no certificate") };
        let answer = Desk { state: &state, orders: self.orders, shown }.answer(request).await;
        if answer.outcome == Outcome::Issued
            && let Err(answer) = self.admit(&self.shared.load())
        {
            return answer;
        }
        answer
    }

    #[expect(clippy::result_large_err, reason = "an answer is what is wanted, and it is made once a request")]
    fn admit(&self, state: &EstState) -> Result<(), Answer> {
        state
            .tls
            .load()
            .0
            .admit_chain(Some(&self.shown), crate::clock::now())
            .map(drop)
            .map_err(|refusal| not_admitted(&refusal))
    }
}

fn not_admitted(reason: &dyn fmt::Display) -> Answer {
    Answer::denied(Denial::forbidden(format!("no longer let in: {reason}")), Outcome::NotAdmitted)
}
