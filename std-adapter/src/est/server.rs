//! Runs the EST server: accepts and admits devices, answers requests, can be replaced while running, and drains.

use std::convert::Infallible;
use std::fmt;
use std::io;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::answer::{ARRIVAL, Answer, Desk};
use super::authorities::Authorities;
use super::denial::Denial;
use super::own_names::OwnNames;
use super::plan::Plan;
use super::reenroll::{Orders, PATIENCE};
use super::refused::Refused;
use super::status::{Outcome, Status};
use crate::acme::{DeviceIssuer, Responders};
use crate::gateway::{Door, Guest, Limits, Shares, TunnelLimits, Turned, leave_told};
use crate::tls::{AcceptError, Certificates, Peer, ShownCertificate, ShownRequest, TlsServer};

/// The default limit of devices admitted at a time; further devices wait until the handshake timeout.
const CONNECTIONS: usize = 256;
/// The name that the connections' shares are counted under.
const EST: &str = "est";
/// The pause after a failed accept, as for lack of descriptors: other connections end meanwhile and free theirs.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);
/// The size limit of a request's head, in octets.
const MAX_HEAD: usize = 16 * 1024;
/// The bounds of a connection: the number of its requests, and the time during which new ones are accepted.
const MAX_REQUESTS: u32 = 32;
const LIFETIME: Duration = Duration::from_secs(60);
/// The number of a path's characters that are logged.
const MAX_SHOWN: usize = 128;
/// The longest wait for a device to close TLS.
const CLOSING: Duration = Duration::from_secs(5);

/// The reason that an EST server cannot be prepared.
#[derive(Debug)]
pub struct ServerError(String);

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gateway.est: {}", self.0)
    }
}

impl std::error::Error for ServerError {}

/// The state that all connections share; replaced as a whole.
pub(super) struct State {
    tls: TlsServer,
    pub(super) issuer: DeviceIssuer,
    pub(super) authorities: Authorities,
    pub(super) own_names: OwnNames,
    pub(super) chain_in_answer: bool,
    limits: Limits,
    own_limits: TunnelLimits,
}

/// The counts of all connections, which outlive a replaced state.
#[derive(Clone)]
struct Counts {
    door: Arc<Door>,
    shares: Arc<Shares>,
}

impl Counts {
    fn new(limits: &TunnelLimits) -> Self {
        let shares = Shares::new(limits.connections.unwrap_or(CONNECTIONS), [(EST, None)].into_iter());
        Self { door: Door::new(limits.door()), shares }
    }

    fn set(&self, limits: &TunnelLimits) {
        self.door.set_limits(limits.door());
        self.shares.set(limits.connections.unwrap_or(CONNECTIONS), [(EST, None)].into_iter());
    }
}

/// The EST server that the current configuration asks for, if any.
#[derive(Default)]
pub struct Server {
    running: Option<Running>,
    status: Arc<Status>,
    orders: Orders,
    responders: Responders,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("status", &self.status).finish_non_exhaustive()
    }
}

struct Running {
    /// The configured address; port 0 stands for any port.
    asked: SocketAddr,
    address: SocketAddr,
    state: Arc<ArcSwap<State>>,
    counts: Counts,
    /// `None`: accept. `Some`: accept no more, and end within this time.
    drain: watch::Sender<Option<Duration>>,
    tasks: JoinSet<()>,
}

/// A server that is ready but not yet in force.
pub struct Prepared {
    asked: SocketAddr,
    certificates: Certificates,
    state: Arc<State>,
    /// The listener of a new address.
    listener: Option<TcpListener>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Server {
    /// Creates a value without a server; `responders` answer http-01.
    pub fn new(responders: Responders) -> Self {
        Self { responders, ..Self::default() }
    }

    /// Returns the server's status.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Prepares the server of a plan: everything that can fail happens here, before the first change.
    ///
    /// # Errors
    /// Fails if the address or the home cannot be had, or settings are refused; then nothing changes.
    pub async fn prepare(&self, plan: Option<Plan>) -> Result<Option<Prepared>, ServerError> {
        let Some(plan) = plan else { return Ok(None) };
        let Plan { listen, tls, anchors, pinned, known, own_names, chain_in_answer, acme, limits, own_limits } = plan;
        let state = self.running.as_ref().map(|running| running.state.load_full());
        let held = match state.filter(|state| state.issuer.settings().home == acme.home) {
            Some(state) => state.issuer.held().clone(),
            None => acme.home.take().await.map_err(|error| ServerError(format!("acme.storage_path: {error}")))?,
        };
        let (credential, certificates) = (tls.credential.clone(), tls.certificates());
        let tls = TlsServer::new(tls).map_err(|error| ServerError(error.to_string()))?;
        let issuer = DeviceIssuer::new(acme, held, self.responders.clone()).map_err(ServerError)?;
        let listener = match &self.running {
            Some(running) if running.asked == listen => None,
            _ => {
                let bound = TcpListener::bind(listen).await;
                Some(bound.map_err(|error| ServerError(format!("listen: cannot listen on {listen}: {error}")))?)
            }
        };
        let authorities = Authorities::new(anchors, pinned, known, credential, &issuer).await;
        let state = Arc::new(State { tls, issuer, authorities, own_names, chain_in_answer, limits, own_limits });
        Ok(Some(Prepared { asked: listen, certificates, state, listener }))
    }

    /// Puts the prepared server in force; a server that is no longer configured stops accepting.
    pub fn commit(&mut self, prepared: Option<Prepared>) {
        let Some(Prepared { asked, certificates, state, listener }) = prepared else {
            if let Some(running) = self.running.take() {
                info!(address = %running.address, "est: no longer listening");
                running.end_in_background();
            }
            self.status.set_running(None);
            return;
        };
        match (listener, &self.running) {
            (None, Some(running)) => {
                running.counts.set(&state.own_limits);
                running.state.store(state);
                self.status.set_running(Some((running.address, certificates)));
            }
            (None, None) => {}
            (Some(listener), _) => {
                let address = listener.local_addr().unwrap_or(asked);
                info!(%address, "est: listening");
                self.status.set_running(Some((address, certificates)));
                let counts = Counts::new(&state.own_limits);
                let state = Arc::new(ArcSwap::new(state));
                let (drain, drained) = watch::channel(None);
                let mut tasks = JoinSet::new();
                let common =
                    Common { status: self.status.clone(), orders: self.orders.clone(), counts: counts.clone() };
                tasks.spawn(serve(listener, state.clone(), drained, common));
                let running = Running { asked, address, state, counts, drain, tasks };
                if let Some(before) = self.running.replace(running) {
                    info!(address = %before.address, "est: no longer listening");
                    before.end_in_background();
                }
            }
        }
    }

    /// Stops accepting; pending answers end within the drain timeout.
    pub async fn drain(self) {
        if let Some(running) = self.running {
            running.end().await;
        }
    }
}

impl Running {
    async fn end(mut self) {
        let deadline = self.state.load().limits.drain_timeout;
        self.drain.send_replace(Some(deadline));
        while self.tasks.join_next().await.is_some() {}
    }

    fn end_in_background(self) {
        tokio::spawn(self.end());
    }
}

/// The parts that all connections share.
#[derive(Clone)]
struct Common {
    status: Arc<Status>,
    orders: Orders,
    counts: Counts,
}

impl Common {
    /// Refuses a peer of which nothing is known.
    fn refuse(&self, remote: SocketAddr, reason: &dyn fmt::Display) {
        self.status.refuse(remote, &Refused::not_admitted(reason, None));
    }
}

/// Serves until it is told to drain and the last connection has ended.
async fn serve(
    listener: TcpListener,
    state: Arc<ArcSwap<State>>,
    mut drain: watch::Receiver<Option<Duration>>,
    common: Common,
) {
    let mut connections = JoinSet::new();
    let deadline = loop {
        while connections.try_join_next().is_some() {}
        if let Some(deadline) = *drain.borrow_and_update() {
            break deadline;
        }
        let accepted = tokio::select! {
            changed = drain.changed() => if changed.is_err() { return } else { continue },
            accepted = accept(&listener, &common) => accepted,
        };
        match accepted {
            Ok(Some((socket, remote, guest))) => {
                let (state, common, drain) = (state.clone(), common.clone(), drain.clone());
                connections.spawn(async move { connection(&state, socket, remote, guest, &common, drain).await });
            }
            Ok(None) => {}
            Err(error) => {
                warn!("est: accept: {error}");
                tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
            }
        }
    };
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(deadline, all_ended).await.is_err() {
        warn!(connections = connections.len(), "est: closed at the drain deadline");
    }
}

/// Accepts a connection and waits for its handshake's seat; returns `None` if its source has too many connections.
async fn accept(listener: &TcpListener, common: &Common) -> io::Result<Option<(TcpStream, SocketAddr, Guest)>> {
    let (socket, remote) = listener.accept().await?;
    let door = &common.counts.door;
    match door.enter(Some(remote), Instant::now()) {
        Ok(mut guest) => {
            door.seat(&mut guest).await;
            Ok(Some((socket, remote, guest)))
        }
        Err(turned) => {
            common.refuse(remote, &turned);
            Ok(None)
        }
    }
}

/// The reason that a connection was not admitted.
enum NotAdmitted {
    Turned(Turned),
    Accept(AcceptError),
}

/// Runs a connection: handshake, authorization, requests and answers.
async fn connection(
    shared: &ArcSwap<State>,
    socket: TcpStream,
    remote: SocketAddr,
    mut guest: Guest,
    common: &Common,
    mut drain: watch::Receiver<Option<Duration>>,
) {
    let Common { status, orders, counts } = common;
    let state = shared.load_full();
    // Answers are small, and the device waits for them.
    let _ = socket.set_nodelay(true);
    let mut told = None;
    let admitted = async {
        let accepted = tokio::select! {
            biased;
            turned = guest.shown_out() => return Err(NotAdmitted::Turned(turned)),
            accepted = state.tls.accept_telling(socket, &mut told) => accepted,
        };
        let (stream, peer) = accepted.map_err(NotAdmitted::Accept)?;
        guest.stand_up();
        let permit = counts.shares.take(EST).await.map_err(NotAdmitted::Turned)?;
        Ok((stream, peer, permit))
    };
    let (stream, peer, _permit) = match timeout(state.limits.handshake_timeout, Box::pin(admitted)).await {
        Ok(Ok(admitted)) => admitted,
        // Health checks do so.
        Ok(Err(NotAdmitted::Accept(AcceptError::LeftSilently))) => {
            return debug!(%remote, "est: left without a word");
        }
        Ok(Err(NotAdmitted::Turned(turned))) => return common.refuse(remote, &turned),
        Ok(Err(NotAdmitted::Accept(error))) => {
            status.refuse(remote, &Refused::from(&error));
            if let Some(told) = told {
                guest.stand_up();
                Box::pin(leave_told(told.into())).await;
            }
            return;
        }
        Err(_) => return common.refuse(remote, &"no handshake within the deadline"),
    };
    drop(state);
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let (Some(peer), false) = (peer, shown.is_empty()) else {
        return common.refuse(remote, &"the device showed no certificate");
    };
    let device =
        Device { shared, orders, status, remote, shown, peer, since: Instant::now(), requests: AtomicU32::new(0) };
    let answer = service_fn(|request| async { Ok::<_, Infallible>(device.answer(request).await) });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(ARRIVAL).title_case_headers(true).max_buf_size(MAX_HEAD);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), answer));
    // A device that has gone away needs no answer, and its order ends with the connection.
    let mut over = pin!(sleep(LIFETIME.saturating_add(PATIENCE).saturating_add(ARRIVAL).saturating_add(CLOSING)));
    let mut draining = drain.borrow_and_update().is_some();
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
                    device.refuse(Outcome::Malformed, &format_args!("no HTTP: {error}"), None, None);
                }
                return;
            }
            changed = drain.changed(), if !draining => {
                // The server of a closed listener accepts no more requests either.
                draining = changed.is_err() || drain.borrow_and_update().is_some();
                if draining {
                    serving.as_mut().graceful_shutdown();
                }
            }
            () = over.as_mut() => return,
        }
    }
}

/// A device on its connection.
struct Device<'a> {
    shared: &'a ArcSwap<State>,
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
        let Answer { mut response, outcome, note, requested } = self.judged(request).await;
        let last = self.requests.fetch_add(1, Ordering::Relaxed) >= MAX_REQUESTS || self.since.elapsed() > LIFETIME;
        if last || outcome == Outcome::NotAdmitted {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let (peer, remote, code) = (&self.peer, self.remote, response.status().as_u16());
        match outcome {
            Outcome::Issued | Outcome::CaCerts | Outcome::CsrAttrs => {
                self.status.count(outcome);
                info!(%peer, %remote, code, "est: {note}");
            }
            _ => {
                self.refuse(outcome, &note, Some((&path, code)), requested.as_deref());
                self.status.set_error(Some(format!("{peer}: {note}")));
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
    ) {
        let shown = self.shown.first().map(ShownCertificate::new);
        let (shown, peer) = (shown.as_ref(), Some(&*self.peer));
        self.status.refuse(self.remote, &Refused { outcome, reason, shown, peer, verified: true, answered, requested });
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
    fn admit(&self, state: &State) -> Result<(), Answer> {
        state.tls.admit_again(&self.shown).map(drop).map_err(|refusal| not_admitted(&refusal))
    }
}

fn not_admitted(reason: &dyn fmt::Display) -> Answer {
    Answer::denied(Denial::forbidden(format!("no longer let in: {reason}")), Outcome::NotAdmitted)
}
