//! Runs the EST server: listens, can be replaced while running, and drains.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use edgetrust_core::config::DEVICE_FRAGMENT_SIZE;
use edgetrust_core::path::DeniedKey;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::attempts::Attempts;
use super::authorities::Authorities;
use super::connection::{self, Shows, Visitor};
use super::first_orders::FirstOrders;
use super::plan::Plan;
use super::reenroll::Orders;
use super::state::{Common, Counts, EstState, FirstEnrollment};
use super::status::Status;
use crate::accept::{Accepting, AddressPhase, Reception};
use crate::acme::{DeviceIssuer, HttpError, Responders};
use crate::activation;
use crate::audit::AuditLog;
use crate::store::StorageError;
use crate::tls::{Certificates, ClientAuth, ServerSettings, TlsError, TlsServer};

/// The reason that an EST server cannot be prepared.
#[derive(Debug)]
pub enum ServerError {
    /// The home of the account cannot be taken.
    Home(StorageError),
    /// rustls refuses the settings.
    Tls(TlsError),
    /// No client for the ACME directory can be made.
    Directory(HttpError),
    /// The address cannot be listened on; with the key that names it.
    Listen(&'static str, SocketAddr, io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gateway.est: ")?;
        match self {
            Self::Home(error) => write!(f, "acme.storage_path: {error}"),
            Self::Tls(error) => error.fmt(f),
            Self::Directory(error) => error.fmt(f),
            Self::Listen(key, address, error) => write!(f, "{key}: cannot listen on {address}: {error}"),
        }
    }
}

impl Error for ServerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Home(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Directory(error) => Some(error),
            Self::Listen(_, _, error) => Some(error),
        }
    }
}

/// Makes the TLS of the server, whose records a device can take.
fn server_of_devices(settings: ServerSettings) -> Result<TlsServer, ServerError> {
    Ok(TlsServer::new(settings).map_err(ServerError::Tls)?.with_fragments_of(DEVICE_FRAGMENT_SIZE))
}

/// The EST server that the current configuration asks for, if any.
#[derive(Default)]
pub struct Server {
    running: Option<Running>,
    /// The address of first certificates.
    first: Option<Running>,
    status: Arc<Status>,
    orders: Orders,
    first_orders: FirstOrders,
    attempts: Arc<Attempts>,
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
    state: Arc<ArcSwap<EstState>>,
    counts: Counts,
    accepting: Accepting,
}

/// A server that is ready but not yet in force.
pub struct Prepared {
    asked: SocketAddr,
    certificates: Certificates,
    state: Arc<EstState>,
    /// The listener of a new address.
    listener: Option<TcpListener>,
    /// The address of first certificates, with its listener if it is new.
    first: Option<(SocketAddr, Option<TcpListener>)>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Server {
    /// Creates a value without a server; `responders` answer http-01.
    pub(crate) fn new(responders: Responders, audit: AuditLog) -> Self {
        Self { responders, status: Arc::new(Status::new(audit)), ..Self::default() }
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
        let Plan { listen, tls, anchors, pinned, known, own_names, chain_in_answer, acme, limits, own_limits, first } =
            plan;
        let state = self.running.as_ref().map(|running| running.state.load_full());
        let held = match state.filter(|state| state.issuer.settings().home == acme.home) {
            Some(state) => state.issuer.held().clone(),
            None => acme.home.take().await.map_err(ServerError::Home)?,
        };
        let (credential, certificates) = (tls.credential.clone(), tls.certificates());
        let of_first = ServerSettings { client_auth: ClientAuth::Off, ..tls.clone() };
        let tls = ArcSwap::from_pointee((server_of_devices(tls.clone())?, tls));
        let issuer = DeviceIssuer::new(acme, held, self.responders.clone()).map_err(ServerError::Directory)?;
        let listener = bind("listen", listen, self.running.as_ref()).await?;
        let (first, first_listener) = match first {
            None => (None, None),
            Some((listen, names, vouchers)) => {
                let tls = server_of_devices(of_first)?;
                // Without its vouchers the address refuses whoever comes, and all else goes on.
                let file = vouchers.clone();
                if let Ok(Err(error)) = tokio::task::spawn_blocking(move || file.read()).await {
                    error!("est: the vouchers: {error}");
                }
                let listener = bind("first_enrollment.listen", listen, self.first.as_ref()).await?;
                (Some(FirstEnrollment { tls, names, vouchers }), Some((listen, listener)))
            }
        };
        let authorities = Authorities::new(anchors, pinned, known, credential, &issuer).await;
        let state =
            Arc::new(EstState { tls, issuer, authorities, own_names, chain_in_answer, limits, own_limits, first });
        Ok(Some(Prepared { asked: listen, certificates, state, listener, first: first_listener }))
    }

    /// Puts the prepared server in force; a server that is no longer configured stops accepting.
    pub fn commit(&mut self, prepared: Option<Prepared>) {
        let Some(Prepared { asked, certificates, state, listener, first }) = prepared else {
            close(&mut self.running, Shows::Certificate);
            close(&mut self.first, Shows::Voucher);
            self.status.set_running(None);
            self.status.set_first(None);
            return;
        };
        let common = || Common {
            status: self.status.clone(),
            orders: self.orders.clone(),
            first_orders: self.first_orders.clone(),
            attempts: self.attempts.clone(),
            counts: Counts::new(&state.own_limits),
        };
        let address = open(&mut self.running, (asked, listener), state.clone(), common(), Shows::Certificate);
        self.status.set_running(address.map(|address| (address, certificates)));
        let Some(first) = first else {
            close(&mut self.first, Shows::Voucher);
            return self.status.set_first(None);
        };
        let address = open(&mut self.first, first, state.clone(), common(), Shows::Voucher);
        let vouchers = state.first.as_ref().map(|first| first.vouchers.clone());
        self.status.set_first(address.zip(vouchers));
    }

    /// Denies these keys too, for devices that connect, and for those that are connected.
    ///
    /// # Errors
    /// Fails if settings are refused; nothing changes then.
    pub fn deny(&self, keys: &[DeniedKey]) -> Result<(), ServerError> {
        let Some(running) = &self.running else { return Ok(()) };
        let state = running.state.load();
        let settings = state.tls.load().1.clone().denying(keys);
        let settings = settings.map_err(|error| ServerError::Tls(error.into()))?;
        let server = server_of_devices(settings.clone())?;
        state.tls.store(Arc::new((server, settings)));
        Ok(())
    }

    /// Stops accepting; pending answers end within the drain timeout.
    pub async fn drain(self) {
        let end = async |running: Option<Running>| {
            if let Some(running) = running {
                running.end().await;
            }
        };
        tokio::join!(end(self.running), end(self.first));
    }
}

/// Listens on an address, unless it is the one of `running`.
async fn bind(
    key: &'static str,
    listen: SocketAddr,
    running: Option<&Running>,
) -> Result<Option<TcpListener>, ServerError> {
    if running.is_some_and(|running| running.asked == listen) {
        return Ok(None);
    }
    let bound = match activation::passed().tcp(listen) {
        Ok(None) => TcpListener::bind(listen).await,
        Ok(Some(passed)) => Ok(passed),
        Err(error) => Err(error),
    };
    bound.map(Some).map_err(|error| ServerError::Listen(key, listen, error))
}

/// Puts a state in force at an address: the one that runs, or that of a new listener. Returns the address.
fn open(
    running: &mut Option<Running>,
    (asked, listener): (SocketAddr, Option<TcpListener>),
    state: Arc<EstState>,
    common: Common,
    shows: Shows,
) -> Option<SocketAddr> {
    match (listener, &running) {
        (None, Some(running)) => {
            running.counts.set(&state.own_limits);
            running.state.store(state);
            Some(running.address)
        }
        (None, None) => None,
        (Some(listener), _) => {
            let address = listener.local_addr().unwrap_or(asked);
            match shows {
                Shows::Certificate => info!(%address, "est: listening"),
                Shows::Voucher => info!(%address, "est: listening for first enrollments"),
            }
            let (state, counts) = (Arc::new(ArcSwap::new(state)), common.counts.clone());
            let accepting = Accepting::begin(Devices { listener, state: state.clone(), common, shows });
            let before = running.replace(Running { asked, address, state, counts, accepting });
            if let Some(before) = before {
                leave(before, shows);
            }
            Some(address)
        }
    }
}

/// Stops accepting at an address.
fn close(running: &mut Option<Running>, shows: Shows) {
    if let Some(running) = running.take() {
        leave(running, shows);
    }
}

/// Lets the connections at an address end.
fn leave(running: Running, shows: Shows) {
    match shows {
        Shows::Certificate => info!(address = %running.address, "est: no longer listening"),
        Shows::Voucher => info!(address = %running.address, "est: no longer listening for first enrollments"),
    }
    running.end_in_background();
}

impl Running {
    async fn end(self) {
        let deadline = self.state.load().limits.drain_timeout;
        self.accepting.enter(AddressPhase::Drain(deadline));
        self.accepting.over().await;
    }

    fn end_in_background(self) {
        tokio::spawn(self.end());
    }
}

/// The devices at the server's address.
struct Devices {
    listener: TcpListener,
    state: Arc<ArcSwap<EstState>>,
    common: Common,
    shows: Shows,
}

impl Reception for Devices {
    type Visitor = Visitor;

    /// Accepts a connection and counts it, or refuses it if its source has too many.
    async fn accept(&self) -> io::Result<Option<Visitor>> {
        let (socket, remote) = self.listener.accept().await?;
        Ok(match self.common.counts.door.enter(Some(remote), Instant::now()) {
            Ok(guest) => Some((socket, remote, guest)),
            Err(turned) => {
                // Nothing was read from it, so nothing waits: this may be cancelled.
                drop(self.common.turn_away(remote, &turned));
                None
            }
        })
    }

    fn failed(&self, error: &io::Error) {
        warn!("est: accept: {error}");
    }

    fn cut(connections: usize) {
        warn!(connections, "est: closed at the drain deadline");
    }

    /// Waits for a seat for the connection's handshake.
    async fn turn(&self, (_, _, guest): &mut Visitor) {
        self.common.counts.door.seat(guest).await;
    }

    fn serve(
        &self,
        visitor: Visitor,
        phase: &watch::Receiver<AddressPhase>,
    ) -> impl Future<Output = ()> + Send + 'static {
        connection::serve(self.state.clone(), visitor, (self.common.clone(), self.shows), phase.clone())
    }
}
