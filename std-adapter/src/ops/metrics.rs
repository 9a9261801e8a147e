//! Lists the metrics of a gateway. docs/OPERATIONS.md has a row for each family. No label has a text that a stranger
//! can make up: names come from the configuration, the mesh and verified CAs, reasons from fixed lists.

mod certificates;
mod credentials;
mod tunnels;

use pki_types::UnixTime;

use super::exposition::{Exposition, Kind};
use crate::agent::Credentials;
use crate::est;
use crate::gateway::{ListStatus, MeshStatus, Status};

/// Returns all metrics of a gateway.
pub fn metrics(status: &Status, credentials: &Credentials, devices: &est::Status) -> String {
    let mut out = Exposition::default();
    tunnels::write(&mut out, status);
    certificates::write(&mut out, status, credentials, devices);
    credentials::write(&mut out, &credentials.all());
    enrolments(&mut out, devices);
    revocation_lists(&mut out, status);
    mesh(&mut out, status);
    gateway(&mut out, status);
    out.into_text()
}

fn enrolments(out: &mut Exposition, devices: &est::Status) {
    if devices.address().is_none() {
        return;
    }
    let help = "Requests of devices for certificates, and connections of those that were not let in.";
    let mut family = out.family("edgetrust_est_requests_total", Kind::Counter, help);
    for outcome in est::Outcome::ALL {
        family.sample(&[("result", &outcome.name())], devices.total(outcome));
    }
    let Some((_, counts)) = devices.first() else { return };
    let help = "1 if the vouchers of first certificates can be read, else 0: nobody gets one then.";
    out.family("edgetrust_est_vouchers_readable", Kind::Gauge, help).sample(&[], u64::from(counts.is_ok()));
    let Ok(counts) = counts else { return };
    let help = "Vouchers of first certificates, by their state.";
    let mut family = out.family("edgetrust_est_vouchers", Kind::Gauge, help);
    for (state, count) in counts {
        family.sample(&[("state", &state)], u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Writes a sample for each revocation list in force, and one for duplicates.
fn revocation_lists(out: &mut Exposition, status: &Status) {
    type Time = fn(&ListStatus) -> UnixTime;
    let families: [(&str, &str, Time); 2] = [
        ("edgetrust_crl_update_timestamp_seconds", "When a CRL was made, in seconds since 1970.", |list| {
            list.this_update
        }),
        (
            "edgetrust_crl_expiration_timestamp_seconds",
            "When a CRL ends, and certificates of its CA are refused, in seconds since 1970.",
            |list| list.next_update,
        ),
    ];
    let lists = status.lists();
    for (name, help, time) in families {
        let mut family = out.family(name, Kind::Gauge, help);
        let mut told = Vec::new();
        for list in lists.iter() {
            if !told.contains(&(&list.file, &list.issuer)) {
                family.sample(&[("file", &list.file), ("issuer", &list.issuer)], time(list).as_secs());
                told.push((&list.file, &list.issuer));
            }
        }
    }
}

/// Writes the metrics of the mesh in force, if there is one.
fn mesh(out: &mut Exposition, status: &Status) {
    type Value = fn(&MeshStatus) -> u64;
    let families: [(&str, &str, Value); 4] = [
        ("edgetrust_mesh_sequence", "The sequence of the mesh in force.", |mesh| mesh.edition.sequence),
        (
            "edgetrust_mesh_signer_generation",
            "The generation of its signer; 0 for a mesh that is not signed.",
            |mesh| mesh.edition.generation.into(),
        ),
        ("edgetrust_mesh_file_refused", "1 where the mesh file is refused, and another mesh is in force.", |mesh| {
            mesh.file_refused.is_some().into()
        }),
        ("edgetrust_mesh_conflict", "1 where two meshes are signed with one sequence.", |mesh| mesh.conflict.into()),
    ];
    let Some(mesh) = status.mesh() else { return };
    for (name, help, value) in families {
        out.family(name, Kind::Gauge, help).sample(&[("mesh", &mesh.name), ("site", &mesh.site)], value(&mesh));
    }
}

fn gateway(out: &mut Exposition, status: &Status) {
    let (taken, refused) = status.reloads();
    let help = "Reloads; a refused one leaves the last good configuration in force.";
    let mut family = out.family("edgetrust_reloads_total", Kind::Counter, help);
    family.sample(&[("result", &"taken")], taken);
    family.sample(&[("result", &"refused")], refused);
    let help = "1 where the configuration in force is not that of the files.";
    let refused = u8::from(status.last_refusal().is_some());
    out.family("edgetrust_last_reload_refused", Kind::Gauge, help).sample(&[], refused);
    let help = "Log lines that standard error did not take.";
    out.family("edgetrust_log_lines_lost_total", Kind::Counter, help).sample(&[], super::lost_lines());
    if let Some(audit) = status.audit().status() {
        let help = "Lines of the audit log.";
        out.family("edgetrust_audit_lines_total", Kind::Counter, help).sample(&[], audit.written);
        let help = "Lines of the audit log that the disk did not take.";
        out.family("edgetrust_audit_lines_lost_total", Kind::Counter, help).sample(&[], audit.lost);
        let help = "1 while the disk takes no lines of the audit log.";
        let fails = u8::from(audit.fault.is_some());
        out.family("edgetrust_audit_log_fails", Kind::Gauge, help).sample(&[], fails);
    }
    let version: &str = env!("CARGO_PKG_VERSION");
    out.family("edgetrust_build_info", Kind::Gauge, "The program.").sample(&[("version", &version)], 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let text = metrics(&Status::default(), &Credentials::default(), &est::Status::default());
        for line in text.lines() {
            let sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
            assert!(line.starts_with("# HELP edgetrust_") || line.starts_with("# TYPE edgetrust_") || sample, "{line}");
        }
    }
}
