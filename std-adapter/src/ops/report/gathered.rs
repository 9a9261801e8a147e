//! Makes the report of a running gateway.

use std::sync::Arc;

use edgetrust_core::time::Utc;
use pki_types::UnixTime;

use super::{
    AuditLog, Authority, Configuration, Contact, Credential, Est, FORMAT, FirstEnrollment, Limit, Link, Mesh, Refusal,
    Reloads, Report, Requested, RevocationList, Sandbox, Session, Sessions, Shared, Site, Target, Tunnel,
};
use crate::agent::Credentials;
use crate::clock;
use crate::est;
use crate::gateway::{self, ContactState, ListStatus, MeshStatus, RefusalReason, Status};
use crate::ops::{alarms, lost_lines, readiness};
use crate::sandbox::{self, Layers};
use crate::tls;

/// The number of sessions that are listed.
const LISTED: usize = 256;

/// The sources of a report.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) status: Arc<Status>,
    pub(crate) credentials: Credentials,
    pub(crate) devices: Arc<est::Status>,
}

impl Sources {
    /// Returns the report of this moment.
    pub(crate) fn report(&self) -> Report {
        let Self { status, credentials, devices } = self;
        let not_ready_because = readiness::not_ready(status, devices);
        let (taken, refused) = status.reloads();
        let mesh = status.mesh();
        let mut report = Report {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: text(clock::now()),
            started: text(status.started()),
            ready: not_ready_because.is_none(),
            not_ready_because,
            alarms: Vec::new(),
            configuration: status.configuration().map(|configuration| Configuration {
                file: configuration.file.display().to_string(),
                sha256: hexadecimal(configuration.digest.octets()),
                since: text(configuration.since),
            }),
            reloads: Reloads {
                taken,
                refused,
                last_taken: status.last_reload().map(text),
                last_refusal: status.last_refusal(),
            },
            tunnels: status.tunnels().iter().map(tunnel).collect(),
            sessions: sessions(status, mesh.as_deref()),
            credentials: credentials.all().iter().map(|one| credential(one)).collect(),
            est: est(devices),
            mesh: mesh.map(|mesh| self.mesh(&mesh)),
            sandbox: sandbox::in_force().map(|sandbox| confinement(sandbox.layers())),
            refusals: status.refusals().all().iter().map(|one| refusal(one, true)).collect(),
            revocation_lists: status.lists().iter().map(list).collect(),
            log_lines_lost: lost_lines(),
            audit_log: status.audit().status().map(|audit| AuditLog {
                file: audit.file.display().to_string(),
                lines: audit.written,
                lines_lost: audit.lost,
                fault: audit.fault,
            }),
        };
        report.alarms = alarms::of(&report);
        report
    }

    fn mesh(&self, mesh: &MeshStatus) -> Mesh {
        let contact = |contact: gateway::Contact| Contact {
            site: mesh.site_with(&contact.gateway).map(str::to_owned),
            gateway: contact.gateway,
            tunnels: contact.tunnels,
            state: contact.state.name().to_owned(),
            since: text(contact.since),
            reason: match contact.state {
                ContactState::Failed(reason) => Some(reason),
                ContactState::Trying | ContactState::Connected => None,
            },
        };
        let links = mesh.links.iter().map(|link| Link {
            service: link.service.clone(),
            from: link.from.clone(),
            to: link.to.clone(),
        });
        Mesh {
            name: mesh.name.clone(),
            site: mesh.site.clone(),
            sequence: mesh.edition.sequence,
            signer_generation: mesh.edition.generation,
            digest: mesh.edition.digest.to_string(),
            not_after: mesh.not_after.map(text),
            file_refused: mesh.file_refused.clone(),
            conflict: mesh.conflict,
            denied_keys: number(mesh.denied_keys),
            sites: mesh
                .sites
                .iter()
                .map(|site| Site { name: site.name.clone(), gateways: site.gateways.clone() })
                .collect(),
            links: links.collect(),
            contacts: self.status.contacts().all().into_iter().map(contact).collect(),
        }
    }
}

fn list(list: &ListStatus) -> RevocationList {
    RevocationList {
        file: list.file.clone(),
        issuer: list.issuer.clone(),
        this_update: text(list.this_update),
        next_update: text(list.next_update),
        ends_soon: list.ends_soon(clock::now()),
    }
}

fn text(at: UnixTime) -> String {
    Utc(at).to_string()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn tunnel(tunnel: &gateway::TunnelStatus) -> Tunnel {
    let counters = &tunnel.counters;
    Tunnel {
        name: tunnel.name.clone(),
        address: tunnel.address.to_string(),
        target: tunnel.targets.first().map(|target| target.address().to_string()).unwrap_or_default(),
        targets: tunnel.targets.iter().map(|target| target_of(target)).collect(),
        limits: tunnel.usages().iter().map(|usage| (usage.limit.to_owned(), limit(usage))).collect(),
        certificate_not_before: tunnel.validity().map(|(not_before, _)| text(not_before)),
        certificate_expires: tunnel.validity().map(|(_, not_after)| text(not_after)),
        certificate_issuer: tunnel.certificates.issuer().map(|digest| digest.to_string()),
        certificate_token: tunnel.certificates.token(),
        authorities: authorities(&tunnel.certificates.authorities()),
        insecure_skip_verify: tunnel.insecure,
        open: counters.open_now(),
        accepted: counters.accepted_total(),
        accepted_by_rule: counters.by_rule().into_iter().collect(),
        refused: RefusalReason::ALL.map(|why| (why.name().to_owned(), counters.refused_total(why))).into(),
        bytes_up: counters.up_total(),
        bytes_down: counters.down_total(),
    }
}

fn target_of(target: &gateway::Health) -> Target {
    Target { address: target.address().to_string(), up: target.is_up() }
}

fn limit(usage: &gateway::Usage) -> Limit {
    Limit { used: usage.used, limit: usage.at_most }
}

fn authorities(all: &[tls::Authority]) -> Vec<Authority> {
    let now = clock::now();
    let all = all.iter().map(|authority| Authority {
        role: authority.role.name().to_owned(),
        subject: authority.subject.clone(),
        serial: authority.serial.clone(),
        not_before: text(authority.not_before),
        expires: text(authority.not_after),
        ends_soon: authority.ends_soon(now),
    });
    all.collect()
}

fn sessions(status: &Status, mesh: Option<&MeshStatus>) -> Sessions {
    let (open, newest) = status.sessions().newest(LISTED);
    let newest = newest.into_iter().map(|session| {
        let (bytes_up, bytes_down) = session.moved_octets();
        let peer = session.peer();
        Session {
            tunnel: session.tunnel().to_owned(),
            remote: session.remote(),
            peer: peer.map(|peer| peer.to_string()),
            site: peer.and_then(|peer| mesh?.site_of(peer.keys())).map(str::to_owned),
            rule: peer.and_then(|peer| peer.rule()).map(str::to_owned),
            since: text(session.since()),
            until: session.valid_until().map(text),
            continued: session.continued(),
            bytes_up,
            bytes_down,
        }
    });
    Sessions { open: number(open), newest: newest.collect() }
}

fn credential(credential: &crate::agent::CredentialStatus) -> Credential {
    let now = credential.now();
    Credential {
        name: credential.name.clone(),
        storage_path: credential.home.to_string(),
        serving: now.serving.to_owned(),
        phase: now.phase.to_owned(),
        not_before: now.not_before.map(text),
        expires: now.not_after.map(text),
        next: now.next.map(text),
        issued: credential.issued_total(),
        failed: credential.failed_total(),
        last_error: now.last_error,
        shared: credential.stood().as_ref().map(Shared::of),
    }
}

/// Returns the EST server's part, or `None` if there is no server.
fn est(devices: &est::Status) -> Option<Est> {
    let address = devices.address()?.to_string();
    Some(Est {
        address,
        certificate_not_before: devices.validity().map(|(not_before, _)| text(not_before)),
        certificate_expires: devices.validity().map(|(_, not_after)| text(not_after)),
        authorities: authorities(&devices.authorities()),
        requests: est::Outcome::ALL.map(|outcome| (outcome.name().to_owned(), devices.total(outcome))).into(),
        last_error: devices.last_error(),
        refusals: devices.refusals().all().iter().map(|one| refusal(one, false)).collect(),
        first_enrollment: devices.first().map(|(address, counts)| {
            let (counts, error) = counts.map_or_else(|error| (None, Some(error)), |counts| (Some(counts), None));
            let vouchers = counts.into_iter().flatten().map(|(state, count)| (state.to_owned(), count)).collect();
            FirstEnrollment { address: address.to_string(), vouchers, error }
        }),
    })
}

fn confinement(layers: Layers) -> Sandbox {
    let Layers { landlock, read, written, listen, connect, signals, system_calls, capabilities, hooks } = layers;
    Sandbox { landlock, read, write: written, listen, connect, signals, system_calls, capabilities, hooks }
}

fn refusal(refusal: &gateway::Refusal, of_tunnel: bool) -> Refusal {
    let requested =
        |asked: &tls::ShownRequest| Requested { subject: asked.subject.clone(), names: asked.names.clone() };
    Refusal {
        at: text(refusal.at),
        tunnel: of_tunnel.then(|| refusal.tunnel.clone()),
        requested: refusal.requested.as_ref().map(requested),
        remote: refusal.remote.clone(),
        kind: refusal.kind.to_owned(),
        reason: refusal.reason.clone(),
        verified: refusal.verified,
        certificate: refusal
            .shown
            .as_ref()
            .map(|shown| shown.fields().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()),
        count: refusal.count,
    }
}
