//! The shape of `/status`: what a gateway is doing, as JSON. `docs/status.schema.json` describes it, and a test compares.
//!
//! Times are RFC 3339 in UTC with whole seconds, digests and serial numbers hexadecimal, sizes octets of plaintext.

mod gathered;
mod shared;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use gathered::Sources;
pub use shared::Shared;

/// The version of the shape. It grows when a member changes its meaning or goes; new members leave it as it is.
pub const FORMAT: u32 = 1;

/// The report of a gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The version of the shape.
    pub format: u32,
    /// The version of the program.
    pub version: String,
    /// The time of the report.
    pub now: String,
    /// The time of the start.
    pub started: String,
    /// True if new connections are served.
    pub ready: bool,
    /// The reason that they are not.
    pub not_ready_because: Option<String>,
    /// The states that need somebody, errors first.
    pub alarms: Vec<Alarm>,
    /// The configuration file in force; null for `serve` and `connect`.
    pub configuration: Option<Configuration>,
    /// The reloads since the start.
    pub reloads: Reloads,
    /// The tunnels, by name.
    pub tunnels: Vec<Tunnel>,
    /// The open sessions.
    pub sessions: Sessions,
    /// The credentials that renew themselves.
    pub credentials: Vec<Credential>,
    /// The EST server; null if there is none.
    pub est: Option<Est>,
    /// The mesh in force; null if there is none.
    pub mesh: Option<Mesh>,
    /// The confinement of the process; null for none.
    #[serde(default)]
    pub sandbox: Option<Sandbox>,
    /// The revocation lists in force.
    #[serde(default)]
    pub revocation_lists: Vec<RevocationList>,
    /// The last refusals of tunnels, the newest first.
    pub refusals: Vec<Refusal>,
    /// The number of log lines that were lost since the start.
    pub log_lines_lost: u64,
    /// The audit log; null if there is none.
    pub audit_log: Option<AuditLog>,
}

/// The audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuditLog {
    /// The file.
    pub file: String,
    /// The number of lines written since the start.
    pub lines: u64,
    /// The number of lines lost since the start.
    pub lines_lost: u64,
    /// The reason that lines are lost now; null if none is.
    pub fault: Option<String>,
}

/// A revocation list (CRL).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RevocationList {
    /// The file.
    pub file: String,
    /// The name of the CA.
    pub issuer: String,
    /// The time at which the list was made.
    pub this_update: String,
    /// The last second at which the list tells what is revoked.
    pub next_update: String,
    /// True in the last sixth of its life, and after it.
    pub ends_soon: bool,
}

/// A state that needs somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Alarm {
    /// The name, as in the alert rules.
    pub name: String,
    /// The urgency.
    pub severity: Severity,
    /// The tunnel, credential, CA or gateway that it is about; empty for the gateway as a whole.
    pub subject: String,
    /// The state in a sentence.
    pub message: String,
    /// The heading of the runbook in `docs/OPERATIONS.md`, as a link has it.
    pub runbook: String,
}

/// The urgency of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something will not work, or needs a look.
    Warning,
}

/// A configuration file in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Configuration {
    /// The file.
    pub file: String,
    /// The SHA-256 of its text, as `sha256sum` prints it.
    pub sha256: String,
    /// The time since which this text is in force.
    pub since: String,
}

/// The layers that confine the process. A list is null where nothing is confined.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sandbox {
    /// The ABI of Landlock, or the reason that files and ports are not confined.
    pub landlock: String,
    /// The folders below which files are read.
    pub read: Option<Vec<String>>,
    /// The folders below which files or sockets are made.
    pub write: Option<Vec<String>>,
    /// The ports to listen on.
    pub listen: Option<Vec<u16>>,
    /// The ports to connect to.
    pub connect: Option<Vec<u16>>,
    /// True if other processes can be signalled.
    pub signals: bool,
    /// The number of refused system calls, or the reason that none is.
    pub system_calls: String,
    /// The capabilities that are left.
    pub capabilities: String,
    /// The number of hooks, which run outside.
    pub hooks: usize,
}

/// The reloads since the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reloads {
    /// The number that succeeded.
    pub taken: u64,
    /// The number that were refused.
    pub refused: u64,
    /// The time of the last one that was taken; null for none.
    #[serde(default)]
    pub last_taken: Option<String>,
    /// The reason that the last one was refused; null if it was not.
    pub last_refusal: Option<String>,
}

/// A tunnel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tunnel {
    /// The name.
    pub name: String,
    /// The address that it listens on.
    pub address: String,
    /// The target that it prefers.
    pub target: String,
    /// All targets, the preferred one first.
    pub targets: Vec<Target>,
    /// The limits of the tunnel and of its address, by their keys.
    pub limits: BTreeMap<String, Limit>,
    /// The first second of its own certificate; null without one.
    pub certificate_not_before: Option<String>,
    /// The last second of its own certificate; null without one.
    pub certificate_expires: Option<String>,
    /// The SHA-256 of the certificate above its own; null if it shows none.
    pub certificate_issuer: Option<String>,
    /// The token and the object that its certificate's key is in; null if the key is in a file or made.
    pub certificate_token: Option<String>,
    /// The certificates that peers, or its own, are verified by.
    pub authorities: Vec<Authority>,
    /// True if it verifies no server.
    pub insecure_skip_verify: bool,
    /// The number of open sessions.
    pub open: u64,
    /// The number of sessions since the start.
    pub accepted: u64,
    /// These by the allow rule that admitted their peer.
    pub accepted_by_rule: BTreeMap<String, u64>,
    /// The number of connections that carried nothing, by reason.
    pub refused: BTreeMap<String, u64>,
    /// The octets from clients to targets.
    pub bytes_up: u64,
    /// The octets from targets to clients.
    pub bytes_down: u64,
}

/// A target of a tunnel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Target {
    /// The address.
    pub address: String,
    /// False after a connection to it, or a probe of it, has failed.
    pub up: bool,
}

/// A limit, and how much of it is used.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Limit {
    /// The number in use; of a limit for each source, by the one that uses most.
    pub used: u64,
    /// The limit; null for none.
    pub limit: Option<u64>,
}

/// A certificate that others are verified by.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Authority {
    /// `ca`, `pin`, `known_intermediate`, `peer_intermediate` or `intermediate`.
    pub role: String,
    /// The subject.
    pub subject: String,
    /// The serial number.
    pub serial: String,
    /// The first second of validity.
    pub not_before: String,
    /// The last second of validity.
    pub expires: String,
    /// True in the last sixth of its life and its last 60 days.
    pub ends_soon: bool,
}

/// The open sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sessions {
    /// The number of them.
    pub open: u64,
    /// The newest of them, the newest first, at most 256.
    pub newest: Vec<Session>,
}

/// An open session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Session {
    /// The tunnel.
    pub tunnel: String,
    /// The address of the client, or `unix`.
    pub remote: String,
    /// The names of the authorized peer; null if the tunnel authenticates none.
    pub peer: Option<String>,
    /// The site of the mesh whose CA issued the peer's certificate; null if it is of none.
    pub site: Option<String>,
    /// The allow rule that admitted the peer; null where every verified peer is admitted.
    pub rule: Option<String>,
    /// The time of the beginning.
    pub since: String,
    /// The last second of the certificates that it runs under; null without a peer.
    pub until: Option<String>,
    /// The number of times that it was continued under newer certificates.
    pub continued: u64,
    /// The octets from the client.
    pub bytes_up: u64,
    /// The octets to the client.
    pub bytes_down: u64,
}

/// A credential that renews itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Credential {
    /// The first of its names.
    pub name: String,
    /// The place where it is stored.
    pub storage_path: String,
    /// `issued`, `fallback`, `expired` or `nothing`.
    pub serving: String,
    /// `starting`, `waiting`, `issuing`, `backing_off`, `persisting` or `on_trial`.
    pub phase: String,
    /// The first second of the newest certificate.
    pub not_before: Option<String>,
    /// The last second of the newest certificate.
    pub expires: Option<String>,
    /// The time of the next step: the renewal, or another attempt.
    pub next: Option<String>,
    /// The number of certificates since the start.
    pub issued: u64,
    /// The number of failures since the start.
    pub failed: u64,
    /// The reason that the last attempt failed; null after one that succeeded.
    pub last_error: Option<String>,
    /// Its state among the gateways that share it by a store; null if this one has it alone.
    #[serde(default)]
    pub shared: Option<Shared>,
}

/// The EST server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Est {
    /// The address that it listens on.
    pub address: String,
    /// The first second of its own certificate.
    pub certificate_not_before: Option<String>,
    /// The last second of its own certificate.
    pub certificate_expires: Option<String>,
    /// The certificates that devices, or its own, are verified by.
    pub authorities: Vec<Authority>,
    /// The requests and refused connections since the start, by outcome.
    pub requests: BTreeMap<String, u64>,
    /// The reason that a device could not be served since the last one that got a certificate.
    pub last_error: Option<String>,
    /// The last refusals of devices, the newest first.
    pub refusals: Vec<Refusal>,
    /// The server of first certificates; null if devices get theirs from elsewhere.
    #[serde(default)]
    pub first_enrollment: Option<FirstEnrollment>,
}

/// The address of first certificates.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FirstEnrollment {
    /// The address that it listens on.
    pub address: String,
    /// The number of vouchers in each state: open, claimed, used, expired, revoked.
    pub vouchers: BTreeMap<String, usize>,
    /// The reason that no voucher is good now: the file of vouchers cannot be read.
    pub error: Option<String>,
}

/// The mesh in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mesh {
    /// The name.
    pub name: String,
    /// The site of this gateway.
    pub site: String,
    /// The sequence number.
    pub sequence: u64,
    /// The generation of its signer; 0 if it is not signed.
    pub signer_generation: u32,
    /// The SHA-256 of the text.
    pub digest: String,
    /// The last second at which it can be taken.
    pub not_after: Option<String>,
    /// The reason that the mesh file was refused, where another mesh is in force.
    pub file_refused: Option<String>,
    /// True if two texts are signed with its sequence.
    pub conflict: bool,
    /// The number of denied keys.
    pub denied_keys: u64,
    /// The sites.
    pub sites: Vec<Site>,
    /// The links: which sites may reach a service at which.
    pub links: Vec<Link>,
    /// The control connections to other gateways.
    pub contacts: Vec<Contact>,
}

/// A site of the mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Site {
    /// The name.
    pub name: String,
    /// The names of its gateways.
    pub gateways: Vec<String>,
}

/// A link of the mesh; `*` alone stands for every other site.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Link {
    /// The service.
    pub service: String,
    /// The sites that may reach it.
    pub from: Vec<String>,
    /// The sites that have it.
    pub to: Vec<String>,
}

/// The control connection to another gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Contact {
    /// The name of the gateway.
    pub gateway: String,
    /// Its site; null if the mesh in force has no such gateway.
    pub site: Option<String>,
    /// The tunnels that lead there.
    pub tunnels: Vec<String>,
    /// `trying`, `connected` or `failed`.
    pub state: String,
    /// The time since which it has this state.
    pub since: String,
    /// The reason that it failed.
    pub reason: Option<String>,
}

/// A refusal, or several for one reason.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Refusal {
    /// The time of the last one.
    pub at: String,
    /// The tunnel; empty if none was found, absent at the EST server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// The certificate that a device requested; absent at tunnels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Requested>,
    /// The address that the last one came from, or `unix`.
    pub remote: String,
    /// The kind of reason, as in metrics.
    pub kind: String,
    /// The reason of the last one.
    pub reason: String,
    /// True if the certificate leads to a configured CA, or the peer had been authorized.
    pub verified: bool,
    /// The certificate that was shown, whose contents are not verified; null if none was.
    pub certificate: Option<BTreeMap<String, String>>,
    /// The number of refusals.
    pub count: u64,
}

/// A certificate that was requested.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Requested {
    /// The subject.
    pub subject: String,
    /// The names.
    pub names: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the schema of the shape with the document; `UPDATE_DOCUMENTS=1 cargo test --workspace --lib schema` writes
    /// it.
    #[test]
    fn the_schema_is_that_of_the_document() {
        let mut schema = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
        let mut schema = schema.root_schema_for::<Report>();
        // What a test validates against has no member that the document does not describe.
        schemars::transform::transform_subschemas(&mut closed, &mut schema);
        closed(&mut schema);
        schema.insert("title".to_owned(), "The report of an EdgeTrust gateway, as /status has it".into());
        let text = format!("{:#}\n", schema.to_value());
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/status.schema.json");
        if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
            std::fs::write(file, &text).unwrap();
        }
        assert!(text == std::fs::read_to_string(file).unwrap(), "docs/status.schema.json is of another shape");
    }

    fn closed(schema: &mut schemars::Schema) {
        if schema.get("properties").is_some() {
            schema.insert("additionalProperties".to_owned(), false.into());
        }
        schemars::transform::transform_subschemas(&mut closed, schema);
    }
}
