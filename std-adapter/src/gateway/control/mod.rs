//! The control channel: gateways of a mesh bring each other its newest signed text, over the addresses of their tunnels.
//!
//! Whoever dials a tunnel of a service keeps one connection to the same address, as HTTP/1.1 (RFC 9112) over mutual
//! TLS 1.3 with the protocol `edgetrust/1`:
//!
//! | request | who may | does |
//! |---|---|---|
//! | `GET /mesh` | gateways of the sites of the mesh in force | returns the signed text; waits for another one where `If-None-Match` has the present one |
//! | `PUT /mesh` | these, and certificates under a root of the mesh whose issuer no site has: a new site's gateway | offers a signed text |
//!
//! Both answer with the edition in force as `ETag` (RFC 9110 section 8.8.3).

mod dialer;
mod guests;
mod server;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use edgetrust_core::mesh::Edition;
use edgetrust_core::x509::KeyHash;
use pki_types::ServerName;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::mesh_in_force::MeshKeeper;
use super::tunnel::GatewayError;
use super::{Address, Limits};
use crate::tls::{ClientSettings, ClientVerifier, ServerSettings, TlsClient, TlsServer, TrustStore, provider};
use guests::Guests;

pub(super) use server::serve;

/// What a gateway says and asks on the control channel, as its configuration and the mesh have it.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlan {
    pub(super) shown: ShownMesh,
    /// The settings of the server tunnels of services, by the tunnels' names. They let in all certificates under the
    /// roots.
    pub(super) servers: Vec<(String, ServerSettings)>,
    /// The same trust.
    pub(super) under_roots: Arc<TrustStore>,
    /// The gateways of all sites.
    pub(super) members: Arc<TrustStore>,
    /// The keys of the CAs of all sites.
    pub(super) issuers: HashSet<KeyHash>,
    pub(super) dials: Vec<Dial<ClientSettings>>,
    pub(super) keeper: MeshKeeper,
}

/// The mesh in force, as others see it.
#[derive(Clone, Debug)]
pub(super) struct ShownMesh {
    /// The signed text.
    pub(super) text: Arc<str>,
    pub(super) edition: Edition,
}

impl ShownMesh {
    /// Returns the entity tag of the text (RFC 9110 section 8.8.3).
    fn tag(&self) -> String {
        let Edition { generation, sequence, digest } = self.edition;
        format!("\"{generation}.{sequence}.{digest}\"")
    }
}

/// A gateway to keep a connection to.
#[derive(Clone, Debug)]
pub(super) struct Dial<T> {
    /// The tunnel that leads there.
    pub(super) tunnel: String,
    pub(super) address: Address,
    pub(super) server_name: ServerName<'static>,
    pub(super) tls: T,
}

/// The control channel of a gateway, over all reloads.
#[derive(Debug)]
pub(super) struct Control {
    /// What is in force; none while the channel is off.
    now: watch::Sender<Option<Arc<Speaking>>>,
    guests: Guests,
    /// One text is judged at a time, so that the work of strangers takes one processor at most.
    judging: Semaphore,
    /// Notified when another mesh has come.
    news: Notify,
    dialers: Mutex<JoinSet<()>>,
}

/// The control channel as one configuration has it.
#[derive(Debug)]
pub(super) struct Speaking {
    shown: ShownMesh,
    servers: HashMap<String, TlsServer>,
    under_roots: ClientVerifier,
    members: ClientVerifier,
    issuers: HashSet<KeyHash>,
    keeper: MeshKeeper,
}

/// A channel that is ready but not yet in force.
#[derive(Debug)]
pub(crate) struct PreparedControl {
    speaking: Arc<Speaking>,
    dials: Vec<Dial<TlsClient>>,
}

impl PreparedControl {
    /// Makes all that can fail.
    ///
    /// # Errors
    /// Fails if settings are refused.
    pub(crate) fn new(plan: ControlPlan) -> Result<Self, GatewayError> {
        let ControlPlan { shown, servers, under_roots, members, issuers, dials, keeper } = plan;
        let servers = servers.into_iter().map(|(tunnel, settings)| {
            let server = TlsServer::for_control(settings).map_err(|error| GatewayError::Tls(tunnel.clone(), error))?;
            Ok((tunnel, server))
        });
        let dials = dials.into_iter().map(|Dial { tunnel, address, server_name, tls }| {
            let tls = TlsClient::for_control(tls).map_err(|error| GatewayError::Tls(tunnel.clone(), error))?;
            Ok(Dial { tunnel, address, server_name, tls })
        });
        let verifier = |store| ClientVerifier::new(store, true, provider());
        let speaking = Speaking {
            shown,
            servers: servers.collect::<Result<_, _>>()?,
            under_roots: verifier(&under_roots),
            members: verifier(&members),
            issuers,
            keeper,
        };
        Ok(Self { speaking: Arc::new(speaking), dials: dials.collect::<Result<_, _>>()? })
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            now: watch::Sender::new(None),
            guests: Guests::default(),
            judging: Semaphore::new(1),
            news: Notify::new(),
            dialers: Mutex::default(),
        }
    }
}

impl Control {
    /// Puts a channel in force. Gateways are dialled anew: what they should hear has changed.
    pub(super) fn speak(self: &Arc<Self>, prepared: Option<PreparedControl>, limits: &Limits) {
        let (speaking, dials) = prepared.map_or((None, Vec::new()), |it| (Some(it.speaking), it.dials));
        self.now.send_replace(speaking);
        let mut dialers = self.dialers.lock().unwrap_or_else(PoisonError::into_inner);
        dialers.abort_all();
        // The last ones end by themselves.
        *dialers = JoinSet::new();
        for (number, dial) in (0_u32..).zip(dials) {
            dialers.spawn(dialer::keep(dial, self.clone(), number, limits.handshake_timeout));
        }
    }

    /// Stops dialling, and ends the waiting of others.
    pub(super) fn fall_silent(&self) {
        self.now.send_replace(None);
        self.dialers.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Waits until another mesh has come, which is then to be loaded.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Returns whether a tunnel's address takes control connections.
    pub(super) fn is_on(&self) -> bool {
        self.now.borrow().is_some()
    }

    /// Returns the server of a tunnel's control connections.
    pub(super) fn server(&self, tunnel: &str) -> Option<TlsServer> {
        self.speaking()?.servers.get(tunnel).cloned()
    }

    fn speaking(&self) -> Option<Arc<Speaking>> {
        self.now.borrow().clone()
    }
}
