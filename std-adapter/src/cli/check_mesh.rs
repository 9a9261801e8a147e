//! Reports for `edgetrust check` on the mesh that a gateway belongs to.

use edgetrust_core::config::{Gateway, Tunnel};

use super::check_files::Files;
use super::findings::{Findings, Level};
use crate::gateway::{MeshKeeper, MeshRemark, MeshText, SiteMesh, Watched, ca_files_of};
use crate::replica::settings::{NatsSettings, permissions};

/// Reads the mesh, takes its CAs and denied keys into account, and reports on it.
pub(super) fn read(gateway: &Gateway<'_>, files: &mut Files, findings: &mut Findings) -> Option<MeshText> {
    let mesh = gateway.mesh.as_ref()?;
    let text = match MeshText::read(mesh, &files.denied_keys, &mut Watched::default(), &MeshKeeper::viewer()) {
        Ok(text) => text,
        Err(error) => {
            findings.add(Level::Error, error.to_string());
            return None;
        }
    };
    for remark in text.remarks() {
        let level = match remark {
            MeshRemark::Taken(_) => continue,
            MeshRemark::Older(_) => Level::Ok,
            // The gateway starts with the mesh that it has.
            MeshRemark::Ends(_) | MeshRemark::Refused(_) | MeshRemark::Conflict(_) | MeshRemark::NotKept(_) => {
                Level::Warning
            }
        };
        findings.add(level, remark.to_string());
    }
    match text.open() {
        Ok(mesh) => {
            if let Some(edition) = text.edition() {
                findings.add(Level::Ok, format!("{}: {edition}", mesh.name()));
            }
            let denied = files.denied_keys.len();
            files.take_mesh(&mesh);
            files.ca_files = ca_files_of(gateway, &mesh);
            let denied = files.denied_keys.len().saturating_sub(denied);
            findings.add(Level::Ok, format!("{}: keys denied by the mesh: {denied}", mesh.name()));
            if !mesh.has_site() {
                findings.add(Level::Error, format!("site: found {:?}, which is no site of the mesh", mesh.site()));
            }
        }
        Err(error) => {
            findings.add(Level::Error, error.to_string());
            return None;
        }
    }
    mesh.storage.iter().flat_map(permissions).for_each(|warning| findings.add(Level::Warning, warning));
    if let Err(error) = NatsSettings::read(mesh.storage.as_ref(), &files.ca_files, |_| {}) {
        findings.add(Level::Error, error.to_string());
    }
    Some(text)
}

/// Reports on a tunnel of a service: whom it lets in, or where it leads.
pub(super) fn tunnel(tunnel: &Tunnel<'_>, mesh: Option<&SiteMesh<'_>>, findings: &mut Findings) {
    let (Some(service), Some(mesh)) = (tunnel.service, mesh) else { return };
    match mesh.described(service) {
        Ok(lines) if lines.is_empty() => {
            findings.add(Level::Warning, format!("{} lets nobody in: no link of the mesh leads here", service.name));
        }
        Ok(lines) => lines.into_iter().for_each(|line| findings.add(Level::Ok, format!("{} {line}", service.name))),
        // The gateway runs without it, as it does when a link is withdrawn while it runs.
        Err(unreachable) => findings.add(Level::Warning, format!("the tunnel is left out: {unreachable}")),
    }
}
