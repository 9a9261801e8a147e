//! Serves one connection, from the first octet to the last.

use std::fmt;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::field::display;
use tracing::{debug, info, warn};

use super::control;
use super::leaving::leave_told;
use super::opening::{Opening, Refused, Visitor, open, through_balancer};
use super::refusals::Refusal;
use super::session::{Carried, End, carry};
use super::socket::Remote;
use super::state::{Common, ListenerState};
use super::status::Status;
use super::tunnel::{Route, RouteKind};
use crate::accept::AddressPhase;
use crate::audit::Recorded;
use crate::tls::{AcceptError, Peer};

/// Counts a connection that carried nothing, and logs the reason.
pub(super) fn refuse(route: Option<&Route>, remote: Remote, reason: &Refused, status: &Status) -> Recorded {
    let tunnel = route.map_or("", |route| route.name.as_str());
    route.map_or(status.unmatched(), |route| &route.counters).refuse(reason.kind());
    let shown = reason.shown();
    let mut refusal = Refusal::new(remote.0, reason.kind().name(), reason, shown);
    (refusal.verified, refusal.tunnel) = (reason.is_of_verified(), tunnel.to_owned());
    refusal.is_unread = reason.is_of_unread();
    let recorded = refusal.record(status.audit(), "tunnel");
    status.refusals().note(refusal);
    let field = |name| shown.and_then(|shown| shown.field(name));
    warn!(
        %tunnel,
        %remote,
        subject = field("subject"),
        names = field("names"),
        issuer = field("issuer"),
        serial = field("serial"),
        spki_sha256 = field("spki_sha256"),
        certificate_sha256 = field("certificate_sha256"),
        "refused: {reason}"
    );
    recorded
}

pub(super) async fn serve(
    visitor: Visitor,
    mut state: watch::Receiver<Arc<ListenerState>>,
    common: Common,
    phase: watch::Receiver<AddressPhase>,
) {
    let Visitor { mut socket, mut remote, mut guest, permit, balanced } = visitor;
    // Any state after this one, during the handshake too, is a change.
    let now = state.borrow_and_update().clone();
    let mut told = None;
    // On the heap, to be freed early: a handshake needs seven times the space of the session after it.
    let opened = async {
        let mut ends = None;
        if balanced {
            let through = through_balancer(&mut socket, &mut guest, &mut remote).await;
            ends = through.map_err(|refused| (now.only_route().cloned(), refused))?;
        }
        open(&now, socket, &mut guest, permit, &common, ends, &mut told).await
    };
    let opened = Box::pin(timeout(now.limits.handshake_timeout, opened));
    let opened = match opened.await {
        Ok(opened) => opened,
        Err(_) => Err((now.only_route().cloned(), Refused::Deadline)),
    };
    guest.stand_up();
    // A session keeps its route, and not the whole state from its beginning.
    drop(now);
    match opened {
        Ok(Opening::Validation(name)) => info!(%remote, %name, "tls-alpn-01 answered"),
        Ok(Opening::Control(stream, admission)) => {
            control::serve(*stream, &admission, remote, &common.control, phase).await;
        }
        Err((_, Refused::Peer(AcceptError::LeftSilently))) => debug!(%remote, "left without a word"),
        Err((route, reason)) => {
            let recorded = refuse(route.as_deref(), remote, &reason, &common.status);
            drop((route, reason));
            recorded.taken().await;
            if let Some(told) = told {
                Box::pin(leave_told(told)).await;
            }
        }
        Ok(Opening::Session(opened, _permit)) => {
            let (route, admission) = (opened.route.clone(), opened.admission.clone());
            let dialled = opened.dialled.as_ref().map(|one| one.health.clone());
            let peer = admission.peer().map(|peer| &**peer);
            let rule = peer.and_then(Peer::rule).map(display);
            let (tunnel, peer) = (&route.name, Shown(peer));
            debug!(%tunnel, %remote, %peer, rule, "open");
            let since = Instant::now();
            let Carried { end, bytes: (up, down), leaving, _counted } = carry(opened, remote, state, &common).await;
            let seconds = since.elapsed().as_secs();
            if let (RouteKind::Client { servers, .. }, Some(health)) = (&route.kind, &dialled) {
                let refused = if let End::Refused(error) = &end { Some(error) } else { None };
                servers.judged(health, refused);
            }
            match end {
                End::Refused(error) => {
                    let target =
                        dialled.map_or_else(|| route.target.to_string(), |health| health.address().to_string());
                    refuse(Some(&route), remote, &Refused::Target(target, error), &common.status).taken().await;
                }
                End::Over(_) => {
                    route.counters.end();
                    let ended = json!({
                        "tunnel": tunnel, "remote": remote.to_string(), "peer": peer.to_string(),
                        "rule": peer.0.and_then(Peer::rule), "reason": end.to_string(), "seconds": seconds,
                    });
                    common.status.audit().record("session_ended", &ended).taken().await;
                    warn!(%tunnel, %remote, %peer, rule, up, down, seconds, "closed: {end}");
                }
                End::Both => info!(%tunnel, %remote, %peer, rule, up, down, seconds, "closed: {end}"),
                End::Failed(_) | End::Idle | End::HalfClosed | End::Aged => {
                    route.counters.cut();
                    info!(%tunnel, %remote, %peer, rule, up, down, seconds, "closed: {end}");
                }
            }
            if let Some(leaving) = leaving {
                leaving.await;
            }
        }
    }
}

/// Shows a peer in the log; a dash if no certificate was requested or shown.
struct Shown<'a>(Option<&'a Peer>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => peer.fmt(f),
            None => f.write_str("-"),
        }
    }
}
