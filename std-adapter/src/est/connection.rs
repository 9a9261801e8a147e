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
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pki_types::CertificateDer;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::field::display;
use tracing::{debug, info};

use super::answer::{ARRIVAL, Answer, Desk};
use super::denial::Denial;
use super::first_desk::FirstDesk;
use super::reenroll::PATIENCE;
use super::refused::Refused;
use super::state::{Common, EST, EstState};
use super::status::Outcome;
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

/// The authentication of devices at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// By a certificate, in the handshake.
    Certificate,
    /// By a voucher, in a request.
    Voucher,
}

/// The reason that a connection was not admitted.
enum NotAdmitted {
    Turned(Turned),
    Accept(AcceptError),
}

/// Runs a connection: handshake, authorization, requests and answers.
pub(super) async fn serve(
    shared: Arc<ArcSwap<EstState>>,
    (socket, remote, mut guest): Visitor,
    (common, shows): (Common, Shows),
    mut phase: watch::Receiver<AddressPhase>,
) {
    let shared = &*shared;
    let Common { status, counts, .. } = &common;
    let state = shared.load_full();
    let tls = match (shows, &state.first) {
        (Shows::Certificate, _) => state.tls.load().0.clone(),
        (Shows::Voucher, Some(first)) => first.tls.clone(),
        // The address is about to be closed.
        (Shows::Voucher, None) => return,
    };
    // Answers are small, and the device waits for them.
    let _ = socket.set_nodelay(true);
    let mut told = None;
    let admitted = async {
        let accepted = tokio::select! {
            biased;
            turned = guest.shown_out() => return Err(NotAdmitted::Turned(turned)),
            accepted = tls.accept_telling(socket, &mut told) => accepted,
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
    let peer = admission.peer().cloned();
    if shows == Shows::Certificate && (peer.is_none() || shown.is_empty()) {
        return common.refuse(remote, &"the device showed no certificate").taken().await;
    }
    let (since, requests) = (Instant::now(), AtomicU32::new(0));
    let device = Device { shared, common: &common, remote, shown, peer, since, requests };
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
    common: &'a Common,
    remote: SocketAddr,
    /// The device's certificate, and the chain sent with it; empty where it has none yet.
    shown: Vec<CertificateDer<'static>>,
    /// The identity that the device was admitted as; none where it shows a voucher.
    peer: Option<Arc<Peer>>,
    since: Instant,
    requests: AtomicU32,
}

impl Device<'_> {
    async fn answer(&self, request: hyper::Request<hyper::body::Incoming>) -> hyper::Response<Full<Bytes>> {
        let path: String = request.uri().path().chars().take(MAX_SHOWN).collect();
        let path = path.escape_debug().to_string();
        let asks = self.peer.is_none() && !request.headers().contains_key(AUTHORIZATION);
        let Answer { mut response, outcome, note, requested, issued, voucher } = match &self.peer {
            Some(_) => self.judged(request).await,
            None => {
                let state = self.shared.load_full();
                FirstDesk { shared: self.shared, state: &state, common: self.common, remote: self.remote }
                    .answer(request)
                    .await
            }
        };
        let last = self.requests.fetch_add(1, Ordering::Relaxed) >= MAX_REQUESTS || self.since.elapsed() > LIFETIME;
        let guessed = matches!(outcome, Outcome::Unauthorized | Outcome::Limited) && !asks;
        if last || guessed || outcome == Outcome::NotAdmitted {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let (peer, remote, code) = (self.peer.as_ref().map(display), self.remote, response.status().as_u16());
        let status = &self.common.status;
        match outcome {
            Outcome::Issued | Outcome::FirstIssued | Outcome::CaCerts | Outcome::CsrAttrs | Outcome::Accepted => {
                status.count(outcome);
                info!(peer, %remote, code, "est: {note}");
                if let Some(issued) = issued {
                    self.record(&issued, voucher.as_deref()).taken().await;
                }
            }
            // A client that waits for the challenge, and comes again.
            Outcome::Unauthorized if asks => {
                status.count(outcome);
                debug!(%remote, code, "est: {note}");
            }
            _ => {
                let recorded = self.refuse(outcome, &note, Some((&path, code)), requested.as_deref());
                recorded.taken().await;
                if outcome == Outcome::Unavailable {
                    let who = self.peer.as_ref().map_or_else(|| remote.to_string(), ToString::to_string);
                    status.set_error(Some(format!("{who}: {note}")));
                }
            }
        }
        if matches!(outcome, Outcome::Issued | Outcome::FirstIssued) {
            status.set_error(None);
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
        let (shown, peer) = (shown.as_ref(), self.peer.as_deref());
        // One line for all of a source that guesses: what it sent was not looked at.
        let is_unread = outcome == Outcome::Limited;
        let verified = peer.is_some();
        let refused = Refused { outcome, reason, shown, peer, verified, answered, requested, is_unread };
        self.common.status.refuse(self.remote, &refused)
    }

    /// Records in the audit log that the device has got a certificate.
    fn record(&self, issued: &CertificateDer<'_>, voucher: Option<&str>) -> Recorded {
        let remote = self.remote.to_string();
        let fields = match &self.peer {
            Some(peer) => json!({"remote": remote, "peer": peer.to_string(), "rule": peer.rule()}),
            None => json!({"remote": remote, "voucher": voucher}),
        };
        self.common.status.audit().record("device_enrolled", &Enrolled { fields, certificate: Described::of(issued) })
    }

    /// Answers a device that the current rules admit; they may have changed since its handshake, or its request.
    async fn judged(&self, request: hyper::Request<hyper::body::Incoming>) -> Answer {
        let state = self.shared.load_full();
        if let Err(answer) = self.admit(&state) {
            return answer;
        }
        let Some(shown) = self.shown.first() else { return not_admitted(&"the device showed no certificate") };
        let answer = Desk { state: &state, orders: &self.common.orders, shown }.answer(request).await;
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
