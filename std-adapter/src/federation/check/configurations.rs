//! Compares the files in the folders of sites with the mesh: each site's copy of it, and its gateway's configuration.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::federation::layout::{SIGNED, SITES};
use crate::federation::mesh::{Mesh, Site};
use crate::federation::place::look;
use crate::federation::site::{GATEWAY, Revision, Tunnels, revise};

/// Findings about the sites' files.
#[derive(Default)]
pub(super) struct Said {
    pub(super) warnings: Vec<String>,
    /// Differences that somebody made on purpose.
    pub(super) notes: Vec<String>,
}

/// The part of a configuration that names the mesh, whatever else it has.
#[derive(Deserialize)]
struct File {
    gateway: Gateway,
}

#[derive(Deserialize)]
struct Gateway {
    mesh: Option<OfMesh>,
    #[serde(default)]
    tunnels: Vec<Tunnel>,
}

#[derive(Deserialize)]
struct OfMesh {
    site: Option<String>,
}

#[derive(Deserialize)]
struct Tunnel {
    service: Option<String>,
    to: Option<String>,
}

/// Looks at the folders of all sites that are here.
///
/// # Errors
/// Fails if a file that is there cannot be read.
pub(super) fn configurations(folder: &Path, mesh: &Mesh) -> Result<Said, String> {
    let signed = look(&folder.join(SIGNED))?;
    let mut said = Said::default();
    for (site, tunnels) in Tunnels::of_sites(mesh) {
        let there = folder.join(SITES).join(&site.name);
        let copy = there.join(SIGNED);
        if look(&copy)?.is_some_and(|found| signed.as_ref() != Some(&found)) {
            let name = copy.display();
            said.warnings.push(format!("{name}: is not {SIGNED} as it is here; the next change of the mesh writes it"));
        }
        let tunnels = match tunnels {
            Ok(tunnels) => tunnels,
            Err(error) => {
                said.warnings.push(error);
                continue;
            }
        };
        let file = there.join(GATEWAY);
        let Some(found) = look(&file)? else { continue };
        let name = file.display().to_string();
        match revise(&String::from_utf8_lossy(&found), site, &tunnels) {
            Ok(Revision::Same) => {}
            Ok(Revision::Another(_)) => {
                said.warnings
                    .push(format!("{name}: has other tunnels than the mesh; the next change of it writes them"));
            }
            Ok(Revision::ByHand) => {
                let differences = differences(&found, site, &tunnels);
                said.notes
                    .push(format!("{name}: was changed by hand, and no change of the mesh writes it{differences}"));
            }
            Err(error) => said.warnings.push(format!("{name}: {error}")),
        }
    }
    Ok(said)
}

/// Returns in words what a file lacks and what it has in vain.
fn differences(found: &[u8], site: &Site, tunnels: &Tunnels) -> String {
    let Ok(File { gateway }) = serde_json::from_slice(found) else {
        return ": it is no configuration of a gateway".to_owned();
    };
    let mut parts = Vec::new();
    match gateway.mesh.and_then(|mesh| mesh.site) {
        Some(name) if name == site.name => {}
        Some(name) => parts.push(format!("it is for site {name:?}")),
        None => parts.push("it names no site of the mesh".to_owned()),
    }
    let present: BTreeSet<(&str, Option<&str>)> =
        gateway.tunnels.iter().filter_map(|tunnel| Some((tunnel.service.as_deref()?, tunnel.to.as_deref()))).collect();
    let expected: BTreeSet<(&str, Option<&str>)> = tunnels.names().collect();
    let shown = |tunnels: Vec<&(&str, Option<&str>)>| -> Vec<String> {
        let shown = tunnels.into_iter().map(|(service, to)| match to {
            Some(to) => format!("{service:?} to {to:?}"),
            None => format!("{service:?} from others"),
        });
        shown.collect()
    };
    let (missing, nowhere) =
        (shown(expected.difference(&present).collect()), shown(present.difference(&expected).collect()));
    if !missing.is_empty() {
        parts.push(format!("it lacks a tunnel for {}", missing.join(", ")));
    }
    if !nowhere.is_empty() {
        parts.push(format!("no link of the mesh is for its tunnel {}", nowhere.join(", ")));
    }
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}
