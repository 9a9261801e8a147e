//! Keeps a connection to another gateway: brings what that one lacks, and asks for what this one lacks.
//!
//! The other side may be faulty, or somebody else with its key. So requests keep their distance, what answers one is
//! bounded, a mesh is brought once on each connection, and whatever leads nowhere ends the connection: the next one comes
//! after a wait that doubles.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::ETAG;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::allowance::{Allowance, Allowed};
use super::channel::Control;
use super::close_reason::CloseReason;
use super::continuing::{BETWEEN, continue_sessions, due};
use super::dialogue::{Dialogue, Got, PAUSE, Step};
use super::requests::{Requests, whole};
use super::retry::{Ended, Notice, Retry};
use super::server::MESH;
use super::state::{ControlState, Dial};
use crate::gateway::contacts::ContactState;
use crate::gateway::continuation::{OwnCertificate, Proven};
use crate::gateway::mesh_kept::Offered;
use crate::gateway::served_mesh::{ServedTag, SignedText};
use crate::gateway::{Address, target};
use crate::tls::{TlsClient, speaks_control};

/// Keeps the connection until it is aborted, or the control channel is switched off.
pub(super) async fn keep(dial: Dial<TlsClient>, control: Arc<Control>, number: u32, patience: Duration) {
    sleep(Retry::first_wait(number)).await;
    let (mut retry, mut attempt) = (Retry::default(), 0_usize);
    while let Some(address) = dial.address(attempt) {
        let (mut dialogue, began) = (None, Instant::now());
        let Err(ended) = connect(&dial, address, &control, patience, &mut dialogue).await else { return };
        if matches!(ended, CloseReason::Due) {
            // A new handshake shows the present certificates; this one was a good connection.
            retry.succeeded();
            sleep_until(began.checked_add(BETWEEN).unwrap_or(began)).await;
            continue;
        }
        attempt = attempt.wrapping_add(1);
        let (tunnel, reason) = (dial.tunnel(), ended.to_string());
        control.contacts.set(&dial.server_name.to_str(), tunnel, ContactState::Failed(reason.clone()));
        let Ended { notice, wait } = retry.ended(&ended, dialogue.as_ref(), Instant::now());
        match (notice, &ended) {
            (Notice::Info, _) => info!(%tunnel, %address, "control: {reason}"),
            (Notice::Debug, _) => debug!(%tunnel, %address, "control: {reason}"),
            (Notice::Warn, CloseReason::Refused(reason)) => {
                warn!(%tunnel, %address, "control: the mesh that was fetched is refused: {reason}");
            }
            (Notice::Warn, CloseReason::Refuses(reason)) => {
                warn!(%tunnel, %address, "control: it refuses the mesh in force here: {reason}");
            }
            (Notice::Warn, _) => warn!(%tunnel, %address, "control: {reason}"),
        }
        sleep(wait).await;
    }
}

/// Connects, and speaks until the connection ends.
async fn connect(
    dial: &Dial<TlsClient>,
    address: &Address,
    control: &Control,
    patience: Duration,
    dialogue: &mut Option<Dialogue>,
) -> Result<(), CloseReason> {
    let own = OwnCertificate::of(dial.tls.credential());
    let connected = async {
        let socket = target::connect(address, dial.via.as_deref(), target::share_of(patience))
            .await
            .map_err(CloseReason::Target)?;
        dial.tls.connect(dial.server_name.clone(), socket).await.map_err(CloseReason::Tls)
    };
    let connected = timeout(patience, Box::pin(connected)).await;
    let (stream, _) = connected.map_err(|_| CloseReason::Silent(patience))??;
    // Nothing was said to a server that takes this for a connection of its service.
    if !speaks_control(stream.get_ref().1) {
        return Err(CloseReason::Unknown);
    }
    let connection = stream.get_ref().1;
    let proven = Proven::of(connection, connection.peer_certificates()).ok_or(CloseReason::Unknown)?;
    control.contacts.set(&dial.server_name.to_str(), dial.tunnel(), ContactState::Connected);
    let dialogue = dialogue.insert(Dialogue::new(Instant::now()));
    let allowance = Allowance::new();
    let stream = TokioIo::new(Allowed::new(stream, allowance.clone()));
    let (sender, connection) = handshake(stream).await.map_err(CloseReason::Http)?;
    let mut connection = Box::pin(connection);
    let host = dial.server_name.to_str().into_owned();
    let mut exchange = Exchange { requests: Requests::new(sender, allowance, host), control, dial, address, dialogue };
    let mut exchange = std::pin::pin!(exchange.run(&proven, own));
    let ended = tokio::select! {
        ended = exchange.as_mut() => return ended,
        ended = connection.as_mut() => ended,
    };
    // While it is there, the exchange would wait for it.
    drop(connection);
    match ended {
        Err(error) => Err(CloseReason::Http(error)),
        // The rest of the last answer may still be there to be read.
        Ok(()) => exchange.await,
    }
}

/// The requests and answers of one connection.
struct Exchange<'a> {
    requests: Requests,
    control: &'a Control,
    dial: &'a Dial<TlsClient>,
    address: &'a Address,
    dialogue: &'a mut Dialogue,
}

impl Exchange<'_> {
    /// Continues sessions, then asks for the other side's mesh again and again. Returns if the control channel is
    /// switched off.
    async fn run(&mut self, proven: &Proven, own: Option<OwnCertificate>) -> Result<(), CloseReason> {
        let (sessions, there) = (&self.control.sessions, (self.dial, self.address));
        continue_sessions(&mut self.requests, sessions, there, proven, own).await?;
        let (tunnel, address) = (self.dial.tunnel(), self.address);
        loop {
            sleep_until(self.dialogue.next()).await;
            let Some(state) = self.control.state() else { return Ok(()) };
            let (since, own) = (Instant::now(), self.dialogue.tag(&state.served));
            let known = own.text();
            self.dialogue.sent(since);
            let response = tokio::select! {
                response = self.requests.get(MESH, &known) => response?,
                () = due(self.dial, &self.control.sessions) => return Err(CloseReason::Due),
            };
            let there = response.headers().get(ETAG).and_then(|tag| ServedTag::parse(tag.as_bytes()));
            let step = match self.dialogue.answered(response.status(), since.elapsed())? {
                Got::Nothing(step) => step,
                Got::Mesh => {
                    let judged = self.control.judge(&state, whole(response).await?).await;
                    if let Ok(Offered::Taken(edition)) = &judged {
                        info!(%tunnel, %address, "control: another mesh was fetched: {edition}");
                    }
                    self.dialogue.judged(judged, &own, there.as_ref())?
                }
            };
            match step {
                Step::Ask => {}
                Step::Pause => sleep(PAUSE).await,
                Step::Bring(asked) => self.bring(&state, there.as_ref(), asked).await?,
            }
        }
    }

    /// Brings what the other side does not know, after an answer that asks for it, once.
    async fn bring(
        &mut self,
        state: &ControlState,
        there: Option<&ServedTag>,
        asked: StatusCode,
    ) -> Result<(), CloseReason> {
        let SignedText { text, edition } = self.dialogue.to_bring(&state.served, there);
        let (edition, is_rival) = (*edition, *edition != state.served.in_force.edition);
        self.dialogue.may_bring(edition, asked)?;
        sleep_until(self.dialogue.next()).await;
        self.dialogue.sent(Instant::now());
        let text = Bytes::copy_from_slice(text.as_bytes());
        let response = self.requests.put(MESH, "application/jose+json", text).await?;
        let code = response.status();
        let reason = if code == StatusCode::UNPROCESSABLE_ENTITY { whole(response).await? } else { Vec::new() };
        self.dialogue.brought((edition, is_rival), code, &reason)?;
        if code == StatusCode::NO_CONTENT {
            let (tunnel, address) = (self.dial.tunnel(), self.address);
            debug!(%tunnel, %address, "control: brought the mesh");
        }
        Ok(())
    }
}
