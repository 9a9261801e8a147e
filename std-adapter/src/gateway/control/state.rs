//! The control channel as one configuration and its mesh have it: the mesh that is served, who may ask, and who is dialled.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use edgetrust_core::path::DeniedKey;
use edgetrust_core::x509::KeyHash;
use pki_types::ServerName;

use crate::egress::Egress;
use crate::gateway::Address;
use crate::gateway::mesh_in_force::MeshKeeper;
use crate::gateway::served_mesh::ServedMesh;
use crate::gateway::targets::ServerAddress;
use crate::gateway::tunnel::GatewayError;
use crate::replica::Bucket;
use crate::replica::settings::NatsSettings;
use crate::tls::{ClientSettings, ClientVerifier, ServerSettings, TlsClient, TlsServer, TrustStore, provider};

/// The settings of the control channel, as a configuration and its mesh have them.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlan {
    pub(in crate::gateway) served: ServedMesh,
    /// The settings of the server tunnels of services, by the tunnels' names. They let in all certificates under the
    /// roots.
    pub(in crate::gateway) servers: Vec<(String, ServerSettings)>,
    /// The same trust.
    pub(in crate::gateway) under_roots: Arc<TrustStore>,
    /// The gateways of all sites.
    pub(in crate::gateway) members: Arc<TrustStore>,
    /// The keys of the CAs of all sites.
    pub(in crate::gateway) issuers: HashSet<KeyHash>,
    pub(in crate::gateway) dials: Vec<Dial<ClientSettings>>,
    pub(in crate::gateway) keeper: MeshKeeper,
    /// The store that the newest mesh is shared by.
    pub(in crate::gateway) storage: Option<Arc<NatsSettings>>,
    /// The keys that the store's servers may not have.
    pub(in crate::gateway) denied: Vec<DeniedKey>,
}

/// A gateway to keep a connection to.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Dial<T> {
    /// The tunnels that lead there, under one certificate of ours: one connection is enough for all.
    pub(in crate::gateway) tunnels: Vec<String>,
    /// The addresses of the gateway where they lead, one for each service: each is tried after a failure of the one before.
    pub(in crate::gateway) addresses: Vec<Address>,
    pub(in crate::gateway) server_name: ServerName<'static>,
    /// The proxy that leads there.
    pub(in crate::gateway) via: Option<Arc<Egress>>,
    pub(in crate::gateway) tls: T,
}

impl<T> Dial<T> {
    /// Returns the name of the first tunnel, for logs.
    pub(in crate::gateway) fn tunnel(&self) -> &str {
        self.tunnels.first().map_or("", String::as_str)
    }
}

impl<T> Dial<T> {
    /// Returns the address of an attempt, counted round and round.
    pub(super) fn address(&self, attempt: usize) -> Option<&Address> {
        self.addresses.get(attempt.checked_rem(self.addresses.len())?)
    }
}

impl Dial<ClientSettings> {
    /// Returns whether a connection with these settings is enough for a tunnel with others too: it reaches the same gateway,
    /// and shows it the same certificate.
    fn serves(&self, server_name: &ServerName<'_>, tls: &ClientSettings, via: Option<&Arc<Egress>>) -> bool {
        let is_same = match (&self.tls.credential, &tls.credential) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => true,
            _ => false,
        };
        is_same && self.server_name == *server_name && self.via.as_ref() == via
    }

    /// Adds a tunnel and the gateway where it leads.
    pub(in crate::gateway) fn add(
        dials: &mut Vec<Self>,
        tunnel: &str,
        server: &ServerAddress,
        tls: &ClientSettings,
        via: Option<&Arc<Egress>>,
    ) {
        let (address, server_name) = server;
        if let Some(dial) = dials.iter_mut().find(|dial| dial.serves(server_name, tls, via)) {
            dial.tunnels.push(tunnel.to_owned());
            if !dial.addresses.contains(address) {
                dial.addresses.push(address.clone());
            }
            return;
        }
        let (tunnels, addresses) = (vec![tunnel.to_owned()], vec![address.clone()]);
        dials.push(Self { tunnels, addresses, server_name: server_name.clone(), via: via.cloned(), tls: tls.clone() });
    }
}

/// The control channel as one configuration has it.
#[derive(Debug)]
pub struct ControlState {
    pub(super) served: ServedMesh,
    pub(super) servers: HashMap<String, TlsServer>,
    pub(super) under_roots: ClientVerifier,
    pub(super) members: ClientVerifier,
    pub(super) issuers: HashSet<KeyHash>,
    pub(super) keeper: MeshKeeper,
}

impl ControlState {
    /// Returns the mesh that is served.
    #[cfg(feature = "rehearsal")]
    pub fn served(&self) -> &ServedMesh {
        &self.served
    }
}

/// A channel that is ready but not yet in force.
#[derive(Debug)]
pub(crate) struct PreparedControl {
    plan: ControlPlan,
    pub(super) state: Arc<ControlState>,
    pub(super) dials: Vec<Dial<TlsClient>>,
    /// The store that the newest mesh is shared by.
    pub(super) store: Option<Arc<dyn Bucket>>,
}

impl PreparedControl {
    pub(crate) fn state(&self) -> Arc<ControlState> {
        self.state.clone()
    }

    /// Returns the plan that this was made from.
    pub(in crate::gateway) fn plan(&self) -> &ControlPlan {
        &self.plan
    }

    /// Makes all that can fail.
    ///
    /// # Errors
    /// Fails if settings are refused.
    pub(crate) fn new(plan: ControlPlan) -> Result<Self, GatewayError> {
        let ControlPlan { served, servers, under_roots, members, issuers, dials, keeper, storage, denied } =
            plan.clone();
        let servers = servers.into_iter().map(|(tunnel, settings)| {
            let server = TlsServer::for_control(settings).map_err(|error| GatewayError::Tls(tunnel.clone(), error))?;
            Ok((tunnel, server))
        });
        let dials = dials.into_iter().map(|dial| {
            let refused = |error| GatewayError::Tls(dial.tunnel().to_owned(), error);
            let tls = TlsClient::for_control(dial.tls.clone()).map_err(refused)?;
            let Dial { tunnels, addresses, server_name, via, .. } = dial;
            Ok(Dial { tunnels, addresses, server_name, via, tls })
        });
        let store = storage.map(|storage| storage.open(&denied).map(|(bucket, _)| bucket));
        let store = store.transpose().map_err(GatewayError::MeshStorage)?;
        let verifier = |store| ClientVerifier::new(store, true, provider());
        let state = ControlState {
            served,
            servers: servers.collect::<Result<_, _>>()?,
            under_roots: verifier(&under_roots),
            members: verifier(&members),
            issuers,
            keeper,
        };
        Ok(Self { plan, state: Arc::new(state), dials: dials.collect::<Result<_, _>>()?, store })
    }
}
