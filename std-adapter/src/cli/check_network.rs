//! Says what stands between a tunnel and its peers: load balancers in front, proxies on the way out.

use edgetrust_core::config::{Network, Tunnel, TunnelKind};

use super::findings::{Findings, Level};
use crate::egress::Egress;
use crate::pem;

/// Says who a tunnel's clients come through, and what leads to its target.
pub(super) fn tunnel(tunnel: &Tunnel<'_>, findings: &mut Findings) {
    match &tunnel.kind {
        TunnelKind::Server { accept_proxy, .. } if !accept_proxy.is_empty() => balancers(accept_proxy, findings),
        TunnelKind::Client { proxy: Some(proxy), .. } => {
            let mut warnings = Vec::new();
            match Egress::read(Some(proxy), |file| warnings.extend(pem::secret_permissions(file, "password"))) {
                Ok(Some(egress)) => findings.add(Level::Ok, format!("leads through the proxy {egress}")),
                Ok(None) => {
                    findings.add(Level::Warning, "leads through no proxy: https_proxy of this environment is not set");
                }
                Err(error) => findings.add(Level::Error, error.to_string()),
            }
            warnings.into_iter().for_each(|warning| findings.add(Level::Warning, warning));
        }
        TunnelKind::Server { .. } | TunnelKind::Client { .. } => {}
    }
}

fn balancers(networks: &[Network], findings: &mut Findings) {
    let names: Vec<_> = networks.iter().map(ToString::to_string).collect();
    findings.add(Level::Ok, format!("clients come through load balancers, of {}", names.join(", ")));
    for network in networks.iter().filter(|network| network.is_everybody()) {
        findings.add(Level::Warning, format!("accept_proxy: {network} is everybody: whoever connects says who it is"));
    }
}
