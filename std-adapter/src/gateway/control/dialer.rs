//! Keeps a connection to another gateway: brings what that one lacks, and asks for what this one lacks.
//!
//! The other side may be faulty, or somebody else with its key. So requests keep their distance, what answers one is
//! bounded, a mesh is brought once on each connection, and whatever leads nowhere ends the connection: the next one comes
//! after a wait that doubles.

use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::mesh::Edition;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::allowance::{Allowance, Allowed};
use super::channel::Control;
use super::close_reason::{CloseReason, shown};
use super::continuing::{continue_sessions, due};
use super::requests::{Requests, whole};
use super::server::{HOLD, MESH};
use super::state::{ControlState, Dial};
use crate::gateway::continuation::{OwnCertificate, Proven};
use crate::gateway::mesh_kept::Offered;
use crate::gateway::target;
use crate::tls::{TlsClient, speaks_control};

/// The waits after a failure, which double from the first to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait where the other side does not know the control channel: its program may be updated after this one.
const LAST_UNKNOWN_WAIT: Duration = Duration::from_secs(3600);
/// The wait where nothing can be agreed on for now.
const PAUSE: Duration = Duration::from_secs(10);
/// Gateways are dialled one after the other, at this distance.
const APART: Duration = Duration::from_millis(5);
/// A connection that lasted for so long was a good one.
const GOOD: Duration = Duration::from_secs(60);
/// Whoever waits for less than this was not waiting for another mesh.
const AT_ONCE: Duration = Duration::from_secs(HOLD.as_secs() / 2);

/// The progress of a connection.
#[derive(Debug, Default)]
struct Progress {
    /// The time when the other side agreed to speak.
    since: Option<Instant>,
    /// True if the other side has waited for another mesh.
    waited: bool,
}

/// Keeps the connection until it is aborted, or the control channel is switched off.
pub(super) async fn keep(dial: Dial<TlsClient>, control: Arc<Control>, number: u32, patience: Duration) {
    sleep(APART.saturating_mul(number)).await;
    // The failures in a row, and the last one that was warned of.
    let (mut failures, mut told) = (0_u32, String::new());
    loop {
        let (mut progress, began) = (Progress::default(), Instant::now());
        let Err(ended) = connect(&dial, &control, patience, &mut progress).await else { return };
        if matches!(ended, CloseReason::Due) {
            // A new handshake shows the present certificates.
            sleep_until(began.checked_add(FIRST_WAIT).unwrap_or(began)).await;
            continue;
        }
        let (tunnel, address, reason) = (dial.tunnel(), &dial.address, ended.to_string());
        let lasted = progress.since.is_some_and(|since| since.elapsed() >= GOOD);
        let good = (progress.waited || lasted) && !ended.is_fault();
        if progress.waited || good {
            failures = 0;
        }
        failures = failures.saturating_add(1);
        match &ended {
            CloseReason::Unknown => info!(%tunnel, %address, "control: {reason}"),
            // A restart there, or the end of the connection's time.
            _ if good => {
                debug!(%tunnel, %address, "control: {reason}");
                told.clear();
            }
            ended if failures <= ended.tolerated() || reason == told => debug!(%tunnel, %address, "control: {reason}"),
            ended => {
                match ended {
                    CloseReason::Refused(reason) => {
                        warn!(%tunnel, %address, "control: the mesh that was fetched is refused: {reason}");
                    }
                    CloseReason::Refuses(reason) => {
                        warn!(%tunnel, %address, "control: it refuses the mesh in force here: {reason}");
                    }
                    _ => warn!(%tunnel, %address, "control: {reason}"),
                }
                told = reason;
            }
        }
        sleep(wait_after(&ended, failures)).await;
    }
}

/// Returns the wait after so many failures in a row.
fn wait_after(ended: &CloseReason, failures: u32) -> Duration {
    let doubled = |first: Duration| first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    match ended {
        CloseReason::Unknown => doubled(LAST_WAIT).min(LAST_UNKNOWN_WAIT),
        // Somebody has to do something before this changes.
        CloseReason::Refused(_) | CloseReason::Refuses(_) => LAST_WAIT,
        _ => doubled(FIRST_WAIT).min(LAST_WAIT),
    }
}

/// Connects, and speaks until the connection ends.
async fn connect(
    dial: &Dial<TlsClient>,
    control: &Control,
    patience: Duration,
    progress: &mut Progress,
) -> Result<(), CloseReason> {
    let own = OwnCertificate::of(dial.tls.credential());
    let connected = async {
        let socket = target::connect(&dial.address, target::share_of(patience)).await.map_err(CloseReason::Target)?;
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
    progress.since = Some(Instant::now());
    let allowance = Allowance::new();
    let stream = TokioIo::new(Allowed::new(stream, allowance.clone()));
    let (sender, connection) = handshake(stream).await.map_err(CloseReason::Http)?;
    let mut connection = Box::pin(connection);
    let host = dial.server_name.to_str().into_owned();
    let mut exchange =
        Exchange { requests: Requests::new(sender, allowance, host), control, dial, progress, brought: None };
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
    progress: &'a mut Progress,
    /// The mesh that was brought last, and the answer.
    brought: Option<(Edition, StatusCode)>,
}

impl Exchange<'_> {
    /// Continues sessions, then asks for the other side's mesh again and again. Returns if the control channel is
    /// switched off.
    async fn run(&mut self, proven: &Proven, own: Option<OwnCertificate>) -> Result<(), CloseReason> {
        continue_sessions(&mut self.requests, &self.control.sessions, self.dial, proven, own).await?;
        let (tunnel, address) = (self.dial.tunnel(), &self.dial.address);
        let mut was_known = false;
        loop {
            self.requests.turn().await;
            let Some(state) = self.control.state() else { return Ok(()) };
            let (since, tag) = (Instant::now(), state.served.tag());
            let response = tokio::select! {
                response = self.requests.get(MESH, &tag) => response?,
                () = due(self.dial, &self.control.sessions) => return Err(CloseReason::Due),
            };
            match response.status() {
                StatusCode::NOT_MODIFIED if since.elapsed() < AT_ONCE => return Err(CloseReason::AtOnce),
                StatusCode::NOT_MODIFIED => self.progress.waited = true,
                StatusCode::OK => match self.control.judge(&state, whole(response).await?).await {
                    Ok(Offered::Taken(edition)) => {
                        info!(%tunnel, %address, "control: another mesh was fetched: {edition}");
                        // It comes into force with a reload, which dials anew.
                        sleep(PAUSE).await;
                    }
                    Ok(Offered::Conflict(true) | Offered::InForce) if was_known => return Err(CloseReason::Known),
                    Ok(Offered::Conflict(true) | Offered::InForce) => {
                        was_known = true;
                        sleep(PAUSE).await;
                    }
                    Ok(Offered::Older(_) | Offered::Conflict(false)) => self.bring(&state, StatusCode::OK).await?,
                    Err(reason) => return Err(CloseReason::Refused(shown(&reason))),
                },
                // The other side does not know this gateway yet.
                StatusCode::FORBIDDEN => self.bring(&state, StatusCode::FORBIDDEN).await?,
                other => return Err(CloseReason::Answer(other)),
            }
        }
    }

    /// Brings the mesh in force after an answer that asks for it, once.
    async fn bring(&mut self, state: &ControlState, asked: StatusCode) -> Result<(), CloseReason> {
        let edition = state.served.edition;
        if let Some((_, answer)) = self.brought.filter(|(brought, _)| *brought == edition) {
            return Err(CloseReason::InVain(answer, asked));
        }
        let text = Bytes::copy_from_slice(state.served.text.as_bytes());
        let response = self.requests.put(MESH, "application/jose+json", text).await?;
        let (tunnel, address) = (self.dial.tunnel(), &self.dial.address);
        match response.status() {
            StatusCode::NO_CONTENT => debug!(%tunnel, %address, "control: brought the mesh"),
            // It has another one by now, and is asked for that.
            StatusCode::CONFLICT => {}
            StatusCode::TOO_MANY_REQUESTS => return Err(CloseReason::Busy),
            StatusCode::UNPROCESSABLE_ENTITY => {
                return Err(CloseReason::Refuses(shown(&String::from_utf8_lossy(&whole(response).await?))));
            }
            other => return Err(CloseReason::Answer(other)),
        }
        self.brought = Some((edition, response.status()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let wait = |failures| wait_after(&CloseReason::AtOnce, failures).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 99, u32::MAX].map(wait), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait_after(&CloseReason::Refuses(String::new()), 1), LAST_WAIT);
        assert_eq!(wait_after(&CloseReason::Unknown, 9), Duration::from_secs(3600));
    }
}
