//! What a gateway says on the control channel, and whom it dials, as its configuration and the mesh have it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use edgetrust_core::mesh::Edition;
use edgetrust_core::x509::KeyHash;
use pki_types::ServerName;

use crate::gateway::Address;
use crate::gateway::mesh_in_force::MeshKeeper;
use crate::gateway::tunnel::GatewayError;
use crate::tls::{ClientSettings, ClientVerifier, ServerSettings, TlsClient, TlsServer, TrustStore, provider};

/// What a gateway says and asks on the control channel, as its configuration and the mesh have it.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlan {
    pub(in crate::gateway) shown: ShownMesh,
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
}

/// The mesh in force, as others see it.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct ShownMesh {
    /// The signed text.
    pub(in crate::gateway) text: Arc<str>,
    pub(in crate::gateway) edition: Edition,
}

impl ShownMesh {
    /// Returns the entity tag of the text (RFC 9110 section 8.8.3).
    pub(super) fn tag(&self) -> String {
        let Edition { generation, sequence, digest } = self.edition;
        format!("\"{generation}.{sequence}.{digest}\"")
    }
}

/// A gateway to keep a connection to.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Dial<T> {
    /// The tunnel that leads there.
    pub(in crate::gateway) tunnel: String,
    pub(in crate::gateway) address: Address,
    pub(in crate::gateway) server_name: ServerName<'static>,
    pub(in crate::gateway) tls: T,
}

/// The control channel as one configuration has it.
#[derive(Debug)]
pub(in crate::gateway) struct Speaking {
    pub(super) shown: ShownMesh,
    pub(super) servers: HashMap<String, TlsServer>,
    pub(super) under_roots: ClientVerifier,
    pub(super) members: ClientVerifier,
    pub(super) issuers: HashSet<KeyHash>,
    pub(super) keeper: MeshKeeper,
}

/// A channel that is ready but not yet in force.
#[derive(Debug)]
pub(crate) struct PreparedControl {
    plan: ControlPlan,
    pub(super) speaking: Arc<Speaking>,
    pub(super) dials: Vec<Dial<TlsClient>>,
}

impl PreparedControl {
    /// Returns what is said.
    pub(in crate::gateway) fn speaking(&self) -> Arc<Speaking> {
        self.speaking.clone()
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
        let ControlPlan { shown, servers, under_roots, members, issuers, dials, keeper } = plan.clone();
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
        Ok(Self { plan, speaking: Arc::new(speaking), dials: dials.collect::<Result<_, _>>()? })
    }
}
