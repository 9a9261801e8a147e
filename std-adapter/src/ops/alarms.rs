//! Decides what of a report needs somebody.
//!
//! | alarm | when |
//! |---|---|
//! | `NotReady` | new connections are not served, and the gateway does not stop |
//! | `RenewalLate`, `CertificateEnds` | less than a fifth, or a twentieth, of an own certificate's life is left |
//! | `AuthorityEnds` | a CA, pin or intermediate is in the last sixth of its life and its last 60 days |
//! | `CrlEnds`, `CrlEnded` | a CRL is in the last sixth of its life, or past its end, so that certificates of its CA are refused |
//! | `ReloadRefused` | the last reload was refused |
//! | `NotIssued` | an ACME credential shows the manual certificate (warning), an expired one or none (error) |
//! | `OrdersFail` | the last attempt of an ACME credential failed |
//! | `StoreAway` | for ten seconds, the store of a shared credential is away (warning); a certificate is due, or there is none (error) |
//! | `StoreUnusable` | what stands in the store of a shared credential cannot be used |
//! | `BehindOthers` | for 30 seconds, this gateway has kept an older certificate than the store of a shared credential has |
//! | `DevicesUnserved` | a device could not be served since the last one that got a certificate: the CA is away |
//! | `MeshFileRefused`, `MeshConflict`, `MeshEnds` | the mesh file is no mesh for this gateway; two texts have one sequence; fewer than 60 days are left |
//! | `GatewayUnreachable` | the control connection to another gateway failed |
//! | `TargetFails`, `LimitReached`, `PeersRefused`, `DeviceRefused` | within ten minutes: a target could not be reached, a limit turned a connection away, a peer or a device under a configured CA was refused |
//! | `ServerNotVerified` | a client tunnel accepts any server |
//! | `LogLinesLost` | log lines were lost |
//! | `AuditLinesLost` | the audit log cannot be written |
//!
//! The alert rules in `docs/deploy/alerts.yml` have the same names after `Edgetrust`, and the runbooks too.

use jiff::Timestamp;

use super::report::{Alarm, AuditLog, Authority, Credential, Report, RevocationList, Severity, Shared};

/// The time during which a refusal counts as present, in seconds.
const LATELY: i64 = 600;
/// The shares of a certificate's life in which its renewal is late, and its end near.
const LATE: i64 = 5;
const NEAR: i64 = 20;
/// The time before a mesh's end when it has to be signed again, in seconds.
const MESH_ENDS_SOON: i64 = 60 * 24 * 3600;
/// The time that the restart of a store takes, which concerns nobody, in seconds.
const STORE_RESTARTS: i64 = 10;
/// The time in which a gateway takes the certificate that another one ordered, in seconds.
const TAKES: i64 = 30;

/// Returns the alarms of a report, errors first.
pub(super) fn of(report: &Report) -> Vec<Alarm> {
    let now = seconds(&report.now).unwrap_or_default();
    let mut all = Alarms(Vec::new());
    gateway(report, &mut all);
    certificates(report, now, &mut all);
    revocation_lists(report, now, &mut all);
    credentials(report, now, &mut all);
    mesh(report, now, &mut all);
    refusals(report, now, &mut all);
    all.0.sort_by_key(|alarm| alarm.severity);
    all.0
}

/// Returns the seconds since 1970 of a time in a report.
fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

struct Alarms(Vec<Alarm>);

impl Alarms {
    fn raise(&mut self, severity: Severity, name: &str, subject: &str, message: String) {
        let known = self.0.iter().any(|alarm| alarm.name == name && alarm.subject == subject);
        if !known {
            let (name, subject, runbook) =
                (name.to_owned(), subject.to_owned(), format!("edgetrust{}", name.to_lowercase()));
            self.0.push(Alarm { name, severity, subject, message, runbook });
        }
    }

    fn error(&mut self, name: &str, subject: &str, message: impl Into<String>) {
        self.raise(Severity::Error, name, subject, message.into());
    }

    fn warning(&mut self, name: &str, subject: &str, message: impl Into<String>) {
        self.raise(Severity::Warning, name, subject, message.into());
    }
}

fn gateway(report: &Report, all: &mut Alarms) {
    if let Some(reason) = report.not_ready_because.as_deref().filter(|reason| *reason != "draining") {
        all.error("NotReady", "", reason);
    }
    if let Some(reason) = &report.reloads.last_refusal {
        all.error("ReloadRefused", "", format!("the configuration before stays in force: {reason}"));
    }
    for tunnel in report.tunnels.iter().filter(|tunnel| tunnel.insecure_skip_verify) {
        all.warning("ServerNotVerified", &tunnel.name, "whoever answers is believed (insecure_skip_verify)");
    }
    if report.log_lines_lost > 0 {
        all.warning("LogLinesLost", "", format!("{} log lines were lost since the start", report.log_lines_lost));
    }
    if let Some(AuditLog { file, lines_lost, fault: Some(reason), .. }) = &report.audit_log {
        all.error("AuditLinesLost", file, format!("{lines_lost} lines were lost since the start: {reason}"));
    }
}

fn certificates(report: &Report, now: i64, all: &mut Alarms) {
    let own = report.tunnels.iter().map(|tunnel| {
        (tunnel.name.as_str(), &tunnel.certificate_not_before, &tunnel.certificate_expires, &tunnel.authorities)
    });
    let est =
        report.est.iter().map(|est| ("est", &est.certificate_not_before, &est.certificate_expires, &est.authorities));
    for (name, not_before, expires, authorities) in own.chain(est) {
        if let (Some(not_before), Some(end), Some(expires)) =
            (not_before.as_deref().and_then(seconds), expires.as_deref().and_then(seconds), expires)
        {
            let (life, left) = (end.saturating_sub(not_before), end.saturating_sub(now));
            let is_within = |share| left < life.checked_div(share).unwrap_or(life);
            let tense = if left < 0 { "expired" } else { "expires" };
            let message = format!("its own certificate {tense} at {expires}, and there is no newer one");
            if is_within(NEAR) {
                all.error("CertificateEnds", name, message);
            } else if is_within(LATE) {
                all.warning("RenewalLate", name, message);
            }
        }
        for authority in authorities.iter().filter(|authority| authority.ends_soon) {
            ends_soon(authority, now, all);
        }
    }
}

fn ends_soon(authority: &Authority, now: i64, all: &mut Alarms) {
    let Authority { role, subject, serial, expires, .. } = authority;
    let tense = if seconds(expires).is_some_and(|end| end < now) { "expired" } else { "expires" };
    all.warning("AuthorityEnds", &format!("{subject}, serial {serial}"), format!("{role}: {tense} at {expires}"));
}

fn revocation_lists(report: &Report, now: i64, all: &mut Alarms) {
    for list in &report.revocation_lists {
        let RevocationList { file, issuer, next_update, ends_soon, .. } = list;
        if seconds(next_update).is_some_and(|end| end < now) {
            let message = format!("the CRL of {issuer} ended at {next_update}: certificates of this CA are refused");
            all.error("CrlEnded", file, message);
        } else if *ends_soon {
            let message = format!("the CRL of {issuer} ends at {next_update}, and there is no newer one");
            all.warning("CrlEnds", file, message);
        }
    }
}

fn credentials(report: &Report, now: i64, all: &mut Alarms) {
    for credential in &report.credentials {
        let name = credential.name.as_str();
        match credential.serving.as_str() {
            "issued" => {}
            "fallback" => all.warning("NotIssued", name, "peers see the manual certificate"),
            "expired" => all.error("NotIssued", name, "peers see an expired certificate, and refuse it"),
            _ => all.error("NotIssued", name, "there is no certificate to show"),
        }
        if let Some(error) = &credential.last_error {
            let next = credential.next.as_ref().map(|next| format!("; the next attempt is at {next}"));
            all.warning("OrdersFail", name, format!("{error}{}", next.unwrap_or_default()));
        }
        if let Some(shared) = &credential.shared {
            sharing(credential, shared, now, all);
        }
    }
    if let Some(error) = report.est.as_ref().and_then(|est| est.last_error.as_ref()) {
        all.warning("DevicesUnserved", "est", error);
    }
    let first = report.est.as_ref().and_then(|est| est.first_enrollment.as_ref());
    if let Some(error) = first.and_then(|first| first.error.as_ref()) {
        all.warning("DevicesUnserved", "first enrollments", error);
    }
}

fn sharing(credential: &Credential, shared: &Shared, now: i64, all: &mut Alarms) {
    let name = credential.name.as_str();
    let for_longer = |since: &Option<String>, than: i64| {
        since.as_deref().and_then(seconds).is_some_and(|since| now.saturating_sub(since) >= than)
    };
    if let Some(since) = shared.away_since.as_ref().filter(|_| for_longer(&shared.away_since, STORE_RESTARTS)) {
        let reason = shared.error.as_deref().unwrap_or_default();
        let message = format!("the store that gateways share is away since {since}: {reason}");
        let is_due = matches!(credential.phase.as_str(), "issuing" | "backing_off");
        if is_due || credential.serving != "issued" {
            all.error("StoreAway", name, format!("{message}; a certificate is due, and no other gateway can be asked"));
        } else {
            all.warning("StoreAway", name, message);
        }
    }
    if let Some(fault) = &shared.fault {
        all.error("StoreUnusable", name, format!("what gateways share cannot be used: {fault}"));
    }
    if for_longer(&shared.behind_since, TAKES) {
        let Shared { generation, generation_in_use, .. } = shared;
        let message = format!("this gateway keeps generation {generation_in_use}, and the store has {generation}");
        all.warning("BehindOthers", name, message);
    }
}

fn mesh(report: &Report, now: i64, all: &mut Alarms) {
    let Some(mesh) = &report.mesh else { return };
    if let Some(reason) = &mesh.file_refused {
        all.error("MeshFileRefused", &mesh.name, format!("the mesh before stays in force: {reason}"));
    }
    if mesh.conflict {
        let message = format!("two meshes are signed with sequence {}; what either denies is denied", mesh.sequence);
        all.error("MeshConflict", &mesh.name, message);
    }
    if let Some(expires) = &mesh.not_after
        && seconds(expires).is_some_and(|end| end.saturating_sub(now) < MESH_ENDS_SOON)
    {
        all.warning("MeshEnds", &mesh.name, format!("it ends at {expires}: sign it again"));
    }
    for contact in mesh.contacts.iter().filter(|contact| contact.state == "failed") {
        let reason = contact.reason.as_deref().unwrap_or_default();
        let tunnels = contact.tunnels.join(", ");
        all.warning("GatewayUnreachable", &contact.gateway, format!("tunnel {tunnels}: {reason}"));
    }
}

fn refusals(report: &Report, now: i64, all: &mut Alarms) {
    let est = report.est.iter().flat_map(|est| &est.refusals).map(|refusal| ("est", refusal));
    let tunnels = report.refusals.iter().map(|refusal| (refusal.tunnel.as_deref().unwrap_or_default(), refusal));
    for (name, refusal) in tunnels.chain(est) {
        if seconds(&refusal.at).is_none_or(|at| now.saturating_sub(at) > LATELY) {
            continue;
        }
        let message = format!("{}, last at {} from {}", refusal.reason, refusal.at, refusal.remote);
        match refusal.kind.as_str() {
            "target" => all.error("TargetFails", name, message),
            "limit" => all.warning("LimitReached", name, message),
            // That is DevicesUnserved: the CA's, not the device's.
            "unavailable" => {}
            _ if refusal.verified && refusal.tunnel.is_none() => all.warning("DeviceRefused", name, message),
            _ if refusal.verified => all.warning("PeersRefused", name, message),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Returns the report of a gateway where all is well, changed.
    fn report(change: impl FnOnce(&mut Value)) -> Report {
        let life = json!({"not_before": "2026-01-01T00:00:00Z", "expires": "2036-01-01T00:00:00Z"});
        let authority = json!({
            "role": "ca", "subject": "CN=Root", "serial": "01", "not_before": life["not_before"],
            "expires": life["expires"], "ends_soon": false,
        });
        let shared = json!({
            "gateway": "a-1", "gateways": 2, "holder": "b-2", "generation": 4, "generation_in_use": 4, "behind": 0,
            "behind_since": null, "store": "reached", "away_since": null, "error": null, "fault": null,
            "sealed_by": "k", "seals_with": "k",
            "others": [{"gateway": "b-2", "generation": 4, "heard": "2026-06-01T11:59:55Z"}],
        });
        let mut report = json!({
            "format": 1, "version": "0", "now": "2026-06-01T12:00:00Z", "started": "2026-06-01T00:00:00Z",
            "ready": true, "not_ready_because": null, "alarms": [], "configuration": null,
            "reloads": {"taken": 3, "refused": 1, "last_refusal": null},
            "tunnels": [{
                "name": "feed", "address": "127.0.0.1:1", "target": "127.0.0.1:2", "targets": [], "limits": {},
                "certificate_not_before": "2026-06-01T00:00:00Z", "certificate_expires": "2026-06-02T00:00:00Z",
                "certificate_issuer": null, "certificate_token": null, "authorities": [authority], "insecure_skip_verify": false, "open": 0,
                "accepted": 0, "accepted_by_rule": {}, "refused": {}, "bytes_up": 0, "bytes_down": 0,
            }],
            "sessions": {"open": 0, "newest": []},
            "credentials": [{
                "name": "a.example", "storage_path": "/s", "serving": "issued", "phase": "waiting", "not_before": null,
                "expires": null, "next": null, "issued": 1, "failed": 0, "last_error": null,
                "shared": shared,
            }],
            "est": {
                "address": "127.0.0.1:3", "certificate_not_before": null, "certificate_expires": null,
                "authorities": [], "requests": {}, "last_error": null, "refusals": [],
            },
            "mesh": {
                "name": "mesh", "site": "a", "sequence": 4, "signer_generation": 1, "digest": "sha256:00",
                "not_after": "2027-06-01T00:00:00Z", "file_refused": null, "conflict": false, "denied_keys": 0,
                "sites": [], "links": [],
                "contacts": [{
                    "gateway": "b.example", "site": "b", "tunnels": ["feed-b"], "state": "connected",
                    "since": "2026-06-01T00:00:00Z", "reason": null,
                }],
            },
            "revocation_lists": [{
                "file": "/site.crl", "issuer": "CN=Site CA", "this_update": "2026-06-01T00:00:00Z",
                "next_update": "2026-06-02T00:00:00Z", "ends_soon": false,
            }],
            "refusals": [], "log_lines_lost": 0,
            "audit_log": {"file": "/audit.log", "lines": 7, "lines_lost": 2, "fault": null},
        });
        change(&mut report);
        serde_json::from_value(report).unwrap()
    }

    /// Returns a refusal so many seconds before now.
    fn refusal(kind: &str, verified: bool, ago: i64) -> Value {
        let now = seconds("2026-06-01T12:00:00Z").unwrap();
        let at = Timestamp::from_second(now - ago).unwrap().to_string();
        json!({
            "at": at, "tunnel": "feed", "remote": "192.0.2.1:5", "kind": kind, "reason": "why", "verified": verified,
            "certificate": null, "count": 1,
        })
    }

    #[test]
    fn where_all_is_well_there_is_no_alarm() {
        assert_eq!(of(&report(|_| {})), []);
        assert_eq!(of(&report(|all| all["not_ready_because"] = json!("draining"))), [], "a stop is no alarm");
        let strangers =
            json!([refusal("peer", false, 5), refusal("handshake", false, 5), refusal("target", true, 601)]);
        assert_eq!(of(&report(|all| all["refusals"] = strangers)), [], "strangers knock everywhere");
        let mut of_devices = json!([refusal("unavailable", true, 5)]);
        of_devices[0]["tunnel"] = Value::Null;
        assert_eq!(of(&report(|all| all["est"]["refusals"] = of_devices)), [], "the CA's fault, and no device's");
        let restarts = of(&report(|all| away(all, "2026-06-01T11:59:51Z")));
        assert_eq!(restarts, [], "the store restarts");
        assert_eq!(of(&report(|all| behind(all, "2026-06-01T11:59:31Z"))), [], "the certificate is being taken");
        let alone = of(&report(|all| all["credentials"][0]["shared"] = Value::Null));
        assert_eq!(alone, [], "the credential is not shared");
    }

    /// Makes the store away since this time.
    fn away(all: &mut Value, since: &str) {
        let shared = &mut all["credentials"][0]["shared"];
        (shared["store"], shared["away_since"], shared["error"]) = (json!("away"), json!(since), json!("why"));
    }

    /// Makes the gateway behind the others since this time.
    fn behind(all: &mut Value, since: &str) {
        let shared = &mut all["credentials"][0]["shared"];
        (shared["generation"], shared["behind"], shared["behind_since"]) = (json!(5), json!(1), json!(since));
    }

    #[test]
    fn each_fault_is_an_alarm() {
        type Change = fn(&mut Value);
        let cases: [(&str, Severity, &str, Change); 27] = [
            ("NotReady", Severity::Error, "", |all| all["not_ready_because"] = json!("no tunnel")),
            ("ReloadRefused", Severity::Error, "", |all| all["reloads"]["last_refusal"] = json!("why")),
            ("ServerNotVerified", Severity::Warning, "feed", |all| {
                all["tunnels"][0]["insecure_skip_verify"] = json!(true);
            }),
            ("LogLinesLost", Severity::Warning, "", |all| all["log_lines_lost"] = json!(1)),
            ("AuditLinesLost", Severity::Error, "/audit.log", |all| {
                all["audit_log"]["fault"] = json!("No space left on device");
            }),
            ("CrlEnds", Severity::Warning, "/site.crl", |all| {
                all["revocation_lists"][0]["ends_soon"] = json!(true);
            }),
            ("CrlEnded", Severity::Error, "/site.crl", |all| {
                all["revocation_lists"][0]["ends_soon"] = json!(true);
                all["revocation_lists"][0]["next_update"] = json!("2026-06-01T11:59:59Z");
            }),
            ("RenewalLate", Severity::Warning, "feed", |all| {
                all["tunnels"][0]["certificate_expires"] = json!("2026-06-01T14:59:00Z");
            }),
            ("CertificateEnds", Severity::Error, "feed", |all| {
                all["tunnels"][0]["certificate_expires"] = json!("2026-06-01T12:30:00Z");
            }),
            ("CertificateEnds", Severity::Error, "est", |all| {
                all["est"]["certificate_not_before"] = json!("2026-05-01T00:00:00Z");
                all["est"]["certificate_expires"] = json!("2026-06-01T00:00:00Z");
            }),
            ("AuthorityEnds", Severity::Warning, "CN=Root, serial 01", |all| {
                all["tunnels"][0]["authorities"][0]["ends_soon"] = json!(true);
            }),
            ("NotIssued", Severity::Warning, "a.example", |all| all["credentials"][0]["serving"] = json!("fallback")),
            ("NotIssued", Severity::Error, "a.example", |all| all["credentials"][0]["serving"] = json!("expired")),
            ("NotIssued", Severity::Error, "a.example", |all| all["credentials"][0]["serving"] = json!("nothing")),
            ("OrdersFail", Severity::Warning, "a.example", |all| all["credentials"][0]["last_error"] = json!("why")),
            ("StoreAway", Severity::Warning, "a.example", |all| away(all, "2026-06-01T11:59:50Z")),
            ("StoreAway", Severity::Error, "a.example", |all| {
                away(all, "2026-06-01T11:59:50Z");
                all["credentials"][0]["phase"] = json!("backing_off");
            }),
            ("StoreUnusable", Severity::Error, "a.example", |all| {
                all["credentials"][0]["shared"]["fault"] = json!("found a text that was changed");
            }),
            ("BehindOthers", Severity::Warning, "a.example", |all| behind(all, "2026-06-01T11:59:30Z")),
            ("DevicesUnserved", Severity::Warning, "est", |all| all["est"]["last_error"] = json!("why")),
            ("MeshFileRefused", Severity::Error, "mesh", |all| all["mesh"]["file_refused"] = json!("why")),
            ("MeshConflict", Severity::Error, "mesh", |all| all["mesh"]["conflict"] = json!(true)),
            ("MeshEnds", Severity::Warning, "mesh", |all| all["mesh"]["not_after"] = json!("2026-07-01T00:00:00Z")),
            ("GatewayUnreachable", Severity::Warning, "b.example", |all| {
                all["mesh"]["contacts"][0]["state"] = json!("failed");
            }),
            ("TargetFails", Severity::Error, "feed", |all| all["refusals"] = json!([refusal("target", false, 599)])),
            ("LimitReached", Severity::Warning, "feed", |all| all["refusals"] = json!([refusal("limit", false, 0)])),
            ("PeersRefused", Severity::Warning, "feed", |all| {
                all["refusals"] = json!([refusal("peer", true, 1), refusal("peer", true, 2)]);
            }),
        ];
        for (name, severity, subject, change) in cases {
            let alarms = of(&report(change));
            let told: Vec<_> =
                alarms.iter().map(|one| (one.name.as_str(), one.severity, one.subject.as_str())).collect();
            assert_eq!(told, [(name, severity, subject)]);
            assert_eq!(alarms[0].runbook, format!("edgetrust{}", name.to_lowercase()));
        }
        let both = of(&report(|all| {
            all["log_lines_lost"] = json!(1);
            all["mesh"]["conflict"] = json!(true);
        }));
        assert_eq!(both.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Error, Severity::Warning]);
        // Without a certificate the store is missed at once.
        let first = of(&report(|all| {
            away(all, "2026-06-01T11:59:50Z");
            (all["credentials"][0]["serving"], all["credentials"][0]["phase"]) = (json!("nothing"), json!("starting"));
        }));
        let told: Vec<_> = first.iter().map(|one| (one.name.as_str(), one.severity)).collect();
        assert_eq!(told, [("NotIssued", Severity::Error), ("StoreAway", Severity::Error)]);
    }
}
