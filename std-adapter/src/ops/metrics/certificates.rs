//! Lists when everything begins and ends that has an end: certificates of ours, those that peers are verified by, those
//! that renew themselves, and the mesh.

use std::collections::HashSet;

use pki_types::UnixTime;

use crate::agent::Credentials;
use crate::est;
use crate::gateway::{Side, Status};
use crate::ops::exposition::{Exposition, Kind, LabelPair};
use crate::tls::Authority;

/// Something that ends, and the labels that name it; empty ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Ending {
    role: &'static str,
    used_by: &'static str,
    tunnel: String,
    credential: String,
    storage: String,
    mesh: String,
    site: String,
    subject: String,
    serial: String,
    not_before: Option<UnixTime>,
    not_after: Option<UnixTime>,
}

impl Ending {
    fn of(authority: Authority, used_by: &'static str, tunnel: &str) -> Self {
        Self {
            role: authority.role.name(),
            used_by,
            tunnel: tunnel.to_owned(),
            subject: authority.subject,
            serial: authority.serial,
            not_before: Some(authority.not_before),
            not_after: Some(authority.not_after),
            ..Self::default()
        }
    }

    fn labels(&self) -> [LabelPair<'_>; 9] {
        [
            ("role", &self.role),
            ("used_by", &self.used_by),
            ("tunnel", &self.tunnel),
            ("credential", &self.credential),
            ("storage", &self.storage),
            ("mesh", &self.mesh),
            ("site", &self.site),
            ("subject", &self.subject),
            ("serial", &self.serial),
        ]
    }

    /// Returns what the labels say.
    fn name(&self) -> Self {
        Self { not_before: None, not_after: None, ..self.clone() }
    }
}

pub(super) fn write(out: &mut Exposition, status: &Status, credentials: &Credentials, devices: &est::Status) {
    let all = endings(status, credentials, devices);
    type Time = fn(&Ending) -> Option<UnixTime>;
    let families: [(&str, &str, Time); 2] = [
        (
            "edgetrust_certificate_not_before_timestamp_seconds",
            "When a certificate begins, in seconds since 1970.",
            |ending| ending.not_before,
        ),
        (
            "edgetrust_certificate_expiration_timestamp_seconds",
            "When a certificate or the mesh ends, in seconds since 1970.",
            |ending| ending.not_after,
        ),
    ];
    for (name, help, time) in families {
        let mut family = out.family(name, Kind::Gauge, help);
        for ending in &all {
            if let Some(time) = time(ending) {
                family.sample(&ending.labels(), time.as_secs());
            }
        }
    }
}

fn endings(status: &Status, credentials: &Credentials, devices: &est::Status) -> Vec<Ending> {
    let (mut all, mut known) = (Vec::<Ending>::new(), HashSet::new());
    // No two samples may have the same labels: a file may list a certificate twice.
    let mut add = |ending: Ending| {
        if known.insert(ending.name()) {
            all.push(ending);
        }
    };
    for tunnel in status.tunnels().iter() {
        if let Some((not_before, not_after)) = tunnel.validity() {
            // Named by the tunnel alone: the next certificate continues the series.
            let role = if tunnel.side == Side::Client { "client" } else { "server" };
            let (not_before, not_after) = (Some(not_before), Some(not_after));
            add(Ending {
                role,
                used_by: "tunnel",
                tunnel: tunnel.name.clone(),
                not_before,
                not_after,
                ..Ending::default()
            });
        }
        for authority in tunnel.certificates.authorities() {
            add(Ending::of(authority, "tunnel", &tunnel.name));
        }
    }
    if let Some((not_before, not_after)) = devices.validity() {
        let (not_before, not_after) = (Some(not_before), Some(not_after));
        add(Ending { role: "est", used_by: "est", not_before, not_after, ..Ending::default() });
    }
    for authority in devices.authorities() {
        add(Ending::of(authority, "est", ""));
    }
    for credential in credentials.all().iter() {
        let now = credential.now();
        add(Ending {
            role: "acme",
            used_by: "acme",
            credential: credential.name.clone(),
            storage: credential.home.to_string(),
            not_before: now.not_before,
            not_after: now.not_after,
            ..Ending::default()
        });
    }
    if let Some(mesh) = status.mesh() {
        add(Ending {
            role: "mesh",
            used_by: "mesh",
            mesh: mesh.name.clone(),
            site: mesh.site.clone(),
            // It has no begin of its own.
            not_before: mesh.taken.filter(|_| mesh.not_after.is_some()),
            not_after: mesh.not_after,
            ..Ending::default()
        });
    }
    all
}
