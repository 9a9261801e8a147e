//! `gateway.json`: the configuration of a site's gateway. What it trusts and whom it lets in follows from the mesh.

use std::collections::BTreeMap;

use edgetrust_core::config::MAX_TUNNELS;
use serde::Deserialize;

use super::names::{CA_PORT, Names, ports};
use super::nats;
use crate::federation::links::{Pair, pairs};
use crate::federation::mesh::{Mesh, Site};

/// The port at which the first service of a site itself listens, behind the gateway.
const TARGETS_FROM: u16 = 8081;

/// The port at which the first client tunnel listens.
const CLIENTS_FROM: u16 = 9001;

/// Ports of every gateway's machine: those of the ACME challenge, the site's CA, the admin server and NATS.
pub(in crate::federation) const RESERVED: [u16; 5] = [80, CA_PORT, 9090, nats::CLIENTS, nats::LEAFNODES];

/// The addresses of tunnels, by their names: what a file that is written again keeps.
#[derive(Clone, Debug, Default)]
struct Addresses(BTreeMap<String, Tunnel>);

#[derive(Clone, Debug, Deserialize)]
struct Tunnel {
    name: String,
    service: String,
    to: Option<String>,
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
    /// Returns an address of this machine that no tunnel has yet, at the first free port from `first` on.
    fn free(&self, first: u16) -> String {
        let port_of = |address: &str| address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let addresses = self.0.values().flat_map(|tunnel| [Some(&tunnel.listen), tunnel.target.as_ref()]).flatten();
        let taken: Vec<u16> = addresses.filter_map(|address| port_of(address)).chain(RESERVED).collect();
        let port = (first..=u16::MAX).find(|port| !taken.contains(port)).unwrap_or(first);
        format!("127.0.0.1:{port}")
    }

    /// Returns the server tunnel of a service.
    fn server(&mut self, service: &str, port: u16) -> String {
        let name = format!("{service}-in");
        let target = match service {
            nats::SERVICE => format!("127.0.0.1:{}", nats::LEAFNODES),
            _ => self.free(TARGETS_FROM),
        };
        let listen = format!("0.0.0.0:{port}");
        let new =
            Tunnel { name: name.clone(), service: service.to_owned(), to: None, listen, target: Some(target.clone()) };
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
        let listen = self.free(CLIENTS_FROM);
        let new = Tunnel { name: name.clone(), service: service.clone(), to: Some(to.clone()), listen, target: None };
        let listen = &self.0.entry(name.clone()).or_insert(new).listen;
        format!(r#"{{"name": "{name}", "mode": "client", "service": "{service}", "to": "{to}", "listen": "{listen}"}}"#)
    }
}

/// Returns the name of a link's client tunnel.
pub(in crate::federation) fn client_name(pair: &Pair) -> String {
    format!("{}-to-{}", pair.service, pair.to)
}

/// The configuration of a gateway after a change of the mesh.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::federation) enum Revision {
    /// It stays as it is.
    Same,
    /// This is the file's text.
    Another(String),
    /// It would be another, but people have changed more than addresses: so it stays.
    ByHand,
}

/// Returns the file of a new site: a server tunnel for each service that others reach here, and a client tunnel for each
/// service of another site that this one reaches.
pub(super) fn gateway_json(site: &Site, tunnels: &Tunnels) -> Result<String, String> {
    Ok(file(&Names::of(site)?, tunnels, Addresses::default()))
}

/// Returns what follows from the mesh's tunnels for a file that is there. Tunnels that had addresses keep them.
pub(in crate::federation) fn revise(found: &str, site: &Site, tunnels: &Tunnels) -> Result<Revision, String> {
    let names = Names::of(site)?;
    let Ok(File { gateway: Gateway { tunnels: present } }) = serde_json::from_str(found) else {
        return Ok(Revision::ByHand);
    };
    let of_file = Tunnels {
        servers: present
            .iter()
            .filter(|tunnel| tunnel.to.is_none())
            .map(|tunnel| (tunnel.service.clone(), 0))
            .collect(),
        clients: present
            .iter()
            .filter_map(|tunnel| Some(Pair::new(&site.name, tunnel.to.as_ref()?, &tunnel.service)))
            .collect(),
    };
    let addresses = Addresses(present.into_iter().map(|tunnel| (tunnel.name.clone(), tunnel)).collect());
    let same = of_file.names().eq(tunnels.names());
    Ok(match file(&names, &of_file, addresses.clone()) == found {
        _ if same => Revision::Same,
        true => Revision::Another(file(&names, tunnels, addresses)),
        false => Revision::ByHand,
    })
}

/// The tunnels of a site's gateway.
pub(in crate::federation) struct Tunnels {
    /// The services that others reach here, each with its port.
    servers: Vec<(String, u16)>,
    clients: Vec<Pair>,
}

impl Tunnels {
    /// Returns each site with its tunnels, in the order of the mesh. The links are read once for all sites.
    ///
    /// # Errors
    /// Each fails if there are more tunnels than a gateway has.
    pub(in crate::federation) fn of_sites(mesh: &Mesh) -> impl Iterator<Item = (&Site, Result<Self, String>)> {
        let (mut begins, mut ends) = (BTreeMap::<String, Vec<Pair>>::new(), BTreeMap::<String, Vec<String>>::new());
        for pair in pairs(mesh) {
            ends.entry(pair.to.clone()).or_default().push(pair.service.clone());
            begins.entry(pair.from.clone()).or_default().push(pair);
        }
        mesh.sites.iter().map(move |site| {
            let (clients, services) = (begins.remove(&site.name), ends.remove(&site.name));
            (site, Self::new(mesh, site, clients.unwrap_or_default(), services.unwrap_or_default()))
        })
    }

    /// Returns the tunnels of one site.
    ///
    /// # Errors
    /// Fails if there are more than a gateway has.
    pub(super) fn of(mesh: &Mesh, site: &Site) -> Result<Self, String> {
        let (mut clients, mut services) = (Vec::new(), Vec::new());
        for pair in pairs(mesh) {
            if pair.to == site.name {
                services.push(pair.service);
            } else if pair.from == site.name {
                clients.push(pair);
            }
        }
        Self::new(mesh, site, clients, services)
    }

    fn new(mesh: &Mesh, site: &Site, clients: Vec<Pair>, services: Vec<String>) -> Result<Self, String> {
        let tunnels = Self { servers: ports(mesh, site, services), clients };
        let count = tunnels.names().count();
        if count > MAX_TUNNELS {
            let name = &site.name;
            return Err(format!(
                "site {name}: found {count} tunnels, expected at most {MAX_TUNNELS}: link fewer sites, with --link"
            ));
        }
        Ok(tunnels)
    }

    /// Returns the services that others reach here, each with its port.
    pub(super) fn servers(&self) -> &[(String, u16)] {
        &self.servers
    }

    /// Returns the service of each tunnel, and where a client tunnel leads.
    pub(in crate::federation) fn names(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let servers = self.servers.iter().map(|(service, _)| (service.as_str(), None));
        servers.chain(self.clients.iter().map(|pair| (pair.service.as_str(), Some(pair.to.as_str()))))
    }
}

fn file(names: &Names<'_>, Tunnels { servers, clients }: &Tunnels, mut addresses: Addresses) -> String {
    let mut sides = Vec::new();
    // A gateway without any tunnel is a server to be.
    if !servers.is_empty() || clients.is_empty() {
        sides.push(server_side(names));
    }
    if !clients.is_empty() {
        sides.push(client_side(names));
    }
    let mut tunnels: Vec<String> = servers.iter().map(|(service, port)| addresses.server(service, *port)).collect();
    tunnels.extend(clients.iter().map(|pair| addresses.client(pair)));
    let tunnels: Vec<String> = tunnels.into_iter().map(|tunnel| format!("\n      {tunnel}")).collect();
    let end = if tunnels.is_empty() { "" } else { "\n    " };
    format!(
        r#"{{
  "security": {{"tls": {{
{sides}
  }}}},
  "gateway": {{
    "mesh": {{
      "file": "mesh.signed.json",
      "site": "{site}",
      "storage_path": "/var/lib/edgetrust/mesh",
      "ca_bundle": "root.pem"
    }},
    "admin": {{"listen": "127.0.0.1:9090"}},
    "tunnels": [{tunnels}{end}]
  }}
}}
"#,
        sides = sides.join(",\n"),
        site = names.site,
        tunnels = tunnels.join(","),
    )
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
