//! Resolves host names for `edgetrust check --online`.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::time::Duration;

use edgetrust_core::config::{Config, Egress, Endpoint, Tunnel, TunnelKind};

use super::findings::{Findings, Level};

/// The time limit of a look-up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Warns of targets that do not resolve now; they may later.
pub(super) fn targets(config: &Config<'_>, findings: &mut Findings) {
    for tunnel in &config.gateway.tunnels {
        findings.about(format!("tunnel {}", tunnel.name.escape_debug()));
        for target in tunnel.target.into_iter().chain(tunnel.other_targets.iter().map(|other| other.endpoint)) {
            let Endpoint::Host(host, _) = proxied(tunnel).unwrap_or(target) else { continue };
            if let Some(why) = unresolved(host) {
                findings.once(Level::Warning, why);
            }
        }
    }
    if let Some(device) = &config.device {
        findings.about("device");
        let hosts = [Some(device.gateway.host), device.enroll.as_ref().map(|enroll| enroll.server.host)];
        for why in hosts.into_iter().flatten().filter_map(unresolved) {
            findings.once(Level::Warning, why);
        }
    }
}

/// Returns the proxy that looks up the names of a tunnel's targets.
fn proxied<'a>(tunnel: &Tunnel<'a>) -> Option<Endpoint<'a>> {
    match &tunnel.kind {
        TunnelKind::Client { proxy: Some(Egress::Proxy(proxy)), .. } => Some(proxy.endpoint),
        TunnelKind::Client { .. } | TunnelKind::Server { .. } => None,
    }
}

/// Returns why a name does not resolve, or `None` if it resolves, is an address or is a wildcard.
pub(super) fn unresolved(host: &str) -> Option<String> {
    if host.parse::<IpAddr>().is_ok() || host.starts_with("*.") {
        return None;
    }
    let (sender, answer) = channel();
    let name = host.to_owned();
    // The system's resolver may take any time; this thread is not waited for.
    std::thread::spawn(move || sender.send((name.as_str(), 0).to_socket_addrs().map(|found| found.count())));
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(1..)) => None,
        Ok(Ok(_)) => Some(format!("{host}: does not resolve: no address")),
        Ok(Err(error)) => Some(format!("{host}: does not resolve: {error}")),
        Err(_) => Some(format!("{host}: does not resolve: no answer within {} s", PATIENCE.as_secs())),
    }
}
