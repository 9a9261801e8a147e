//! `gateway.json`: the configuration of a site's gateway. What it trusts and whom it lets in follows from the mesh.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::names::{CA_PORT, Names, ports};
use crate::federation::links::{Pair, pairs};
use crate::federation::mesh::{Mesh, Site};

/// The port at which the first service of a site itself listens, behind the gateway.
const TARGETS_FROM: u16 = 8081;

/// The port at which the first client tunnel listens.
const CLIENTS_FROM: u16 = 9001;

/// The addresses of tunnels, by their names: what a file that is written again keeps.
#[derive(Clone, Debug, Default)]
pub(in crate::federation) struct Addresses(BTreeMap<String, Tunnel>);

#[derive(Clone, Debug, Deserialize)]
struct Tunnel {
    name: String,
    listen: String,
    target: Option<String>,
}

#[derive(Deserialize)]
struct File {
    gateway: Gateway,
}

#[derive(Deserialize)]
struct Gateway {
    tunnels: Vec<Tunnel>,
}

impl Addresses {
    /// Reads the addresses of a file that [`gateway_json`] wrote; `None` for any other.
    pub(in crate::federation) fn read(text: &str) -> Option<Self> {
        let file: File = serde_json::from_str(text).ok()?;
        let plain = |text: &str| !text.contains(['"', '\\']) && !text.chars().any(char::is_control);
        let tunnels = file.gateway.tunnels;
        let all_plain =
            tunnels.iter().all(|tunnel| plain(&tunnel.listen) && tunnel.target.as_deref().is_none_or(plain));
        all_plain.then(|| Self(tunnels.into_iter().map(|tunnel| (tunnel.name.clone(), tunnel)).collect()))
    }

    /// Returns an address of this machine that no tunnel has yet, at the first free port from `first` on.
    fn free(&self, first: u16) -> String {
        let taken = |address: &String| {
            self.0.values().any(|tunnel| tunnel.listen == *address || tunnel.target.as_ref() == Some(address))
        };
        let mut addresses = (first..=u16::MAX).map(|port| format!("127.0.0.1:{port}"));
        addresses.find(|address| !taken(address)).unwrap_or_else(|| format!("127.0.0.1:{first}"))
    }

    /// Returns the server tunnel of a service.
    fn server(&mut self, service: &str, port: u16) -> String {
        let name = format!("{service}-in");
        let target = self.free(TARGETS_FROM);
        let new = Tunnel { name: name.clone(), listen: format!("0.0.0.0:{port}"), target: Some(target.clone()) };
        let tunnel = self.0.entry(name).or_insert(new);
        let (name, listen, target) = (&tunnel.name, &tunnel.listen, tunnel.target.as_ref().unwrap_or(&target));
        format!(
            r#"{{"name": "{name}", "mode": "server", "service": "{service}", "listen": "{listen}", "target": "{target}"}}"#
        )
    }

    /// Returns the client tunnel of a link.
    fn client(&mut self, pair: &Pair) -> String {
        let Pair { to, service, .. } = pair;
        let name = client_name(pair);
        let new = Tunnel { name: name.clone(), listen: self.free(CLIENTS_FROM), target: None };
        let listen = &self.0.entry(name.clone()).or_insert(new).listen;
        format!(r#"{{"name": "{name}", "mode": "client", "service": "{service}", "to": "{to}", "listen": "{listen}"}}"#)
    }
}

/// Returns the name of a link's client tunnel.
pub(in crate::federation) fn client_name(pair: &Pair) -> String {
    format!("{}-to-{}", pair.service, pair.to)
}

/// Returns the file: a server tunnel for each service that others reach here, and a client tunnel for each service of
/// another site that this one reaches. Tunnels that had addresses keep them.
pub(in crate::federation) fn gateway_json(mesh: &Mesh, site: &Site, addresses: &Addresses) -> Result<String, String> {
    let names = Names::of(site)?;
    let mut addresses = addresses.clone();
    let servers = ports(mesh, site);
    let clients: Vec<Pair> = pairs(mesh).into_iter().filter(|pair| pair.from == site.name).collect();
    let mut sides = Vec::new();
    // A gateway without any tunnel is a server to be.
    if !servers.is_empty() || clients.is_empty() {
        sides.push(server_side(&names));
    }
    if !clients.is_empty() {
        sides.push(client_side(&names));
    }
    let mut tunnels: Vec<String> = servers.iter().map(|(service, port)| addresses.server(service, *port)).collect();
    tunnels.extend(clients.iter().map(|pair| addresses.client(pair)));
    let tunnels: Vec<String> = tunnels.into_iter().map(|tunnel| format!("\n      {tunnel}")).collect();
    let end = if tunnels.is_empty() { "" } else { "\n    " };
    Ok(format!(
        r#"{{
  "security": {{"tls": {{
{sides}
  }}}},
  "gateway": {{
    "mesh": {{"file": "mesh.json", "site": "{site}"}},
    "admin": {{"listen": "127.0.0.1:9090"}},
    "tunnels": [{tunnels}{end}]
  }}
}}
"#,
        sides = sides.join(",\n"),
        site = names.site,
        tunnels = tunnels.join(","),
    ))
}

fn server_side(names: &Names<'_>) -> String {
    format!(
        r#"    "server": {{
      "enabled": true,
      "min_version": "1.3",
      "mode": "acme",
      "acme": {acme},
      "mtls": {{"enabled": true}}
    }}"#,
        acme = acme("server", names)
    )
}

fn client_side(names: &Names<'_>) -> String {
    format!(
        r#"    "client": {{
      "min_version": "1.3",
      "use_system_roots": false,
      "mtls": {{
        "enabled": true,
        "acme": {acme}
      }}
    }}"#,
        acme = acme("client", names).replace('\n', "\n  ")
    )
}

/// Returns an `acme` section: the gateway's name from the CA of its own site.
fn acme(side: &str, names: &Names<'_>) -> String {
    format!(
        r#"{{
        "enabled": true,
        "directory_url": "https://{ca}:{CA_PORT}/acme/acme/directory",
        "domains": ["{gateway}"],
        "challenge_type": "http-01",
        "http_listen": "0.0.0.0:80",
        "renew_before": "8h",
        "storage_path": "/var/lib/edgetrust/acme-{side}",
        "ca_bundle": "root.pem"
      }}"#,
        ca = names.ca(),
        gateway = names.gateway,
    )
}
