//! The files of one site: all that its CA and its gateway need to run.

mod ca_json;
mod gateway_json;
mod names;
mod nats;
mod services;

use std::path::Path;

use super::mesh::{Mesh, Site};
use super::place::{PUBLIC, SECRET, look, replace};

use gateway_json::gateway_json;
use names::Names;

pub(super) use gateway_json::{RESERVED, Revision, Tunnels, client_name, revise};
pub(super) use names::port;

/// A gateway's configuration, which follows from the mesh, and which people change.
pub(super) const GATEWAY: &str = "gateway.json";
/// The instructions for a site.
pub(super) const README: &str = "README.txt";

/// The certificates and the encrypted key of a site's CA.
pub(super) struct Authority<'a> {
    pub(super) root_pem: &'a str,
    pub(super) ca_pem: &'a str,
    /// None if the key is at the site.
    pub(super) key_pem: Option<&'a str>,
}

/// Writes all files of a site but the mesh into its folder.
pub(super) fn write(folder: &Path, mesh: &Mesh, site: &Site, authority: &Authority<'_>) -> Result<(), String> {
    let (names, tunnels) = (Names::of(site)?, Tunnels::of(mesh, site)?);
    if let Some(key) = authority.key_pem {
        replace(&folder.join("ca.key"), key.as_bytes(), SECRET)?;
    }
    for (name, text) in [
        ("root.pem", authority.root_pem),
        ("ca.json", &ca_json::ca_json(&names)),
        (GATEWAY, &gateway_json(site, &tunnels)?),
        ("step-ca.service", &services::step_ca()),
        ("edgetrust.service", &services::edgetrust()),
        ("compose.yaml", services::COMPOSE),
        (README, &readme(mesh, site, &tunnels)?),
        // With it all is there.
        ("ca.pem", authority.ca_pem),
    ] {
        replace(&folder.join(name), text.as_bytes(), PUBLIC)?;
    }
    write_nats(folder, mesh, site)
}

/// Writes what NATS needs, where the mesh has it as a service: the server's own file once, and the leaf nodes as they
/// follow from the gateway's configuration.
pub(super) fn write_nats(folder: &Path, mesh: &Mesh, site: &Site) -> Result<(), String> {
    if !nats::is_wanted(mesh) {
        return Ok(());
    }
    let own = folder.join(nats::NATS);
    if look(&own)?.is_none() {
        replace(&own, nats::nats_conf(&site.name).as_bytes(), PUBLIC)?;
    }
    let Some(gateway) = look(&folder.join(GATEWAY))? else { return Ok(()) };
    let (file, text) = (folder.join(nats::LEAFNODES_FILE), nats::leafnodes_conf(&String::from_utf8_lossy(&gateway)));
    match look(&file)? {
        Some(found) if found == text.as_bytes() => Ok(()),
        _ => replace(&file, text.as_bytes(), PUBLIC),
    }
}

/// Checks that each site has room for its tunnels, and that NATS can use its links.
pub(super) fn check(mesh: &Mesh) -> Result<(), String> {
    nats::check(mesh)?;
    Tunnels::of_sites(mesh).try_for_each(|(_, tunnels)| tunnels.map(drop))
}

/// Returns what to do with the files.
pub(super) fn readme(mesh: &Mesh, site: &Site, tunnels: &Tunnels) -> Result<String, String> {
    let names = Names::of(site)?;
    Ok(services::readme(&names, tunnels.servers()) + &nats::readme(mesh, &names))
}
