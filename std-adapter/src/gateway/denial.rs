//! Denies keys where a reload is refused: what is denied must not wait for the rest of a configuration.

use edgetrust_core::path::DeniedKey;

use super::control::{ControlPlan, Dial};
use super::served_mesh::ServedMesh;
use super::tunnel::{GatewayError, Tunnel, TunnelKind};
use crate::tls::TlsError;

/// The settings in force, to be put in force again with more denied keys.
#[derive(Debug, Default)]
pub(super) struct InForce {
    pub(super) tunnels: Vec<Tunnel>,
    pub(super) control: Option<ControlPlan>,
}

impl InForce {
    /// Returns the same with these keys denied too. `mesh` denies them, which others are to hear of.
    ///
    /// # Errors
    /// Fails if settings are refused.
    pub(super) fn denying(&self, keys: &[DeniedKey], mesh: Option<ServedMesh>) -> Result<Self, GatewayError> {
        let tunnels = self.tunnels.iter().cloned().map(|tunnel| tunnel.denying(keys));
        Ok(Self {
            tunnels: tunnels.collect::<Result<_, _>>()?,
            control: self.control.clone().map(|plan| plan.denying(keys, mesh)).transpose()?,
        })
    }
}

impl Tunnel {
    fn denying(self, keys: &[DeniedKey]) -> Result<Self, GatewayError> {
        let refused = |error| GatewayError::Tls(self.name.clone(), TlsError::from(error));
        let kind = match self.kind {
            TunnelKind::Server { tls: Some(tls), sni, proxy_protocol, accept_proxy, max_fragment_size, others } => {
                let tls = Some(tls.denying(keys).map_err(refused)?);
                TunnelKind::Server { tls, sni, proxy_protocol, accept_proxy, max_fragment_size, others }
            }
            TunnelKind::Client { tls, server_name, others, via } => {
                TunnelKind::Client { tls: tls.denying(keys).map_err(refused)?, server_name, others, via }
            }
            plain @ TunnelKind::Server { tls: None, .. } => plain,
        };
        Ok(Self { kind, ..self })
    }
}

impl ControlPlan {
    fn denying(self, keys: &[DeniedKey], mesh: Option<ServedMesh>) -> Result<Self, GatewayError> {
        let refused = |error| GatewayError::Tls("gateway.mesh".to_owned(), TlsError::from(error));
        let under_roots = self.under_roots.denying(keys).map_err(refused)?;
        let servers = self.servers.into_iter().map(|(tunnel, settings)| Ok((tunnel, settings.denying(keys)?)));
        let dials = self.dials.into_iter().map(|dial| Ok(Dial { tls: dial.tls.denying(keys)?, ..dial }));
        Ok(Self {
            served: mesh.unwrap_or(self.served),
            servers: servers.collect::<Result<_, _>>().map_err(refused)?,
            under_roots,
            members: self.members.denying(keys).map_err(refused)?,
            dials: dials.collect::<Result<_, _>>().map_err(refused)?,
            issuers: self.issuers,
            keeper: self.keeper,
            storage: self.storage,
            denied: self.denied.into_iter().chain(keys.iter().cloned()).collect(),
        })
    }
}
