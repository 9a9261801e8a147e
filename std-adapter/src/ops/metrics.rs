//! Writes metrics in Prometheus' text format, version 0.0.4.

use std::fmt::{self, Write};
use std::sync::Arc;

use pki_types::UnixTime;

use crate::agent::{CredentialStatus, Credentials};
use crate::est;
use crate::gateway::{Counters, MeshStatus, RefusalReason, Status, TunnelStatus};
use crate::tls::Authority;

/// Returns all metrics of a gateway.
pub fn metrics(status: &Status, credentials: &Credentials, devices: &est::Status) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, status)
        .and_then(|()| renewals(&mut text, &credentials.all()))
        .and_then(|()| enrolments(&mut text, devices));
    text
}

/// The times notBefore and notAfter.
type Validity = (UnixTime, UnixTime);

/// A metric with a line for each tunnel.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&Counters) -> u64,
}

const FAMILIES: [Family; 7] = [
    Family {
        name: "edgetrust_connections_accepted_total",
        kind: "counter",
        help: "Connections that were let in and reached the target.",
        value: Counters::accepted_total,
    },
    Family {
        name: "edgetrust_connections_open",
        kind: "gauge",
        help: "Connections that are open.",
        value: Counters::open_now,
    },
    Family {
        name: "edgetrust_sessions_ended_total",
        kind: "counter",
        help: "Sessions ended because the peer's certificate expired or its rule was withdrawn.",
        value: Counters::ended_total,
    },
    Family {
        name: "edgetrust_sessions_continued_total",
        kind: "counter",
        help: "Sessions continued under newer certificates of their peers, each time counted.",
        value: Counters::continued_total,
    },
    Family {
        name: "edgetrust_connections_cut_total",
        kind: "counter",
        help: "Connections that failed or stood still, rather than having both sides end.",
        value: Counters::cut_total,
    },
    Family {
        name: "edgetrust_bytes_up_total",
        kind: "counter",
        help: "Plaintext from clients to targets.",
        value: Counters::up_total,
    },
    Family {
        name: "edgetrust_bytes_down_total",
        kind: "counter",
        help: "Plaintext from targets to clients.",
        value: Counters::down_total,
    },
];

fn write(out: &mut String, status: &Status) -> fmt::Result {
    let tunnels = status.tunnels();
    for family in FAMILIES {
        head(out, family.name, family.kind, family.help)?;
        for tunnel in tunnels.iter() {
            writeln!(
                out,
                "{}{{tunnel=\"{}\"}} {}",
                family.name,
                Label(&tunnel.name),
                (family.value)(&tunnel.counters)
            )?;
        }
    }
    refused(out, status, &tunnels)?;
    type End = (&'static str, &'static str, fn(Validity) -> u64);
    let ends: [End; 2] = [
        (
            "edgetrust_certificate_not_before_timestamp_seconds",
            "When the tunnel's own certificate begins, in seconds since 1970.",
            |(not_before, _)| not_before.as_secs(),
        ),
        (
            "edgetrust_certificate_expiration_timestamp_seconds",
            "When the tunnel's own certificate expires, in seconds since 1970.",
            |(_, not_after)| not_after.as_secs(),
        ),
    ];
    for (name, help, value) in ends {
        head(out, name, "gauge", help)?;
        for tunnel in tunnels.iter() {
            if let Some(validity) = tunnel.validity() {
                writeln!(out, "{name}{{tunnel=\"{}\"}} {}", Label(&tunnel.name), value(validity))?;
            }
        }
    }
    let name = "edgetrust_connections_by_rule_total";
    head(out, name, "counter", "Connections by the allow rule that let their peer in.")?;
    for tunnel in tunnels.iter() {
        for (rule, count) in tunnel.counters.by_rule() {
            writeln!(out, "{name}{{tunnel=\"{}\",rule=\"{}\"}} {count}", Label(&tunnel.name), Label(&rule))?;
        }
    }
    let name = "edgetrust_ca_certificate_expiration_timestamp_seconds";
    head(out, name, "gauge", "When a CA, a pin or an intermediate of the tunnel expires, in seconds since 1970.")?;
    for tunnel in tunnels.iter() {
        let who = format!("tunnel=\"{}\",", Label(&tunnel.name));
        authorities(out, name, &who, &tunnel.certificates.authorities())?;
    }
    let name = "edgetrust_insecure_skip_verify";
    head(out, name, "gauge", "1 where no server is verified.")?;
    for tunnel in tunnels.iter() {
        writeln!(out, "{name}{{tunnel=\"{}\"}} {}", Label(&tunnel.name), u8::from(tunnel.insecure))?;
    }
    mesh(out, status)?;
    revocation_lists(out, status)?;
    let (taken, refused) = status.reloads();
    let name = "edgetrust_reloads_total";
    head(out, name, "counter", "Reloads; a refused one leaves the last good configuration in force.")?;
    writeln!(out, "{name}{{result=\"taken\"}} {taken}")?;
    writeln!(out, "{name}{{result=\"refused\"}} {refused}")?;
    let name = "edgetrust_last_reload_refused";
    head(out, name, "gauge", "1 where the configuration in force is not that of the files.")?;
    writeln!(out, "{name} {}", u8::from(status.last_refusal().is_some()))?;
    let name = "edgetrust_log_lines_lost_total";
    head(out, name, "counter", "Log lines that standard error did not take.")?;
    writeln!(out, "{name} {}", super::lost_lines())?;
    let name = "edgetrust_build_info";
    head(out, name, "gauge", "The program.")?;
    writeln!(out, "{name}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))
}

/// Writes one line for each revocation list in force, and one for duplicates.
fn revocation_lists(out: &mut String, status: &Status) -> fmt::Result {
    let name = "edgetrust_crl_expiration_timestamp_seconds";
    head(out, name, "gauge", "When a CRL ends, and certificates of its CA are refused, in seconds since 1970.")?;
    let mut told = Vec::new();
    for list in status.lists().iter() {
        let labels = format!("file=\"{}\",issuer=\"{}\"", Label(&list.file), Label(&list.issuer));
        if !told.contains(&labels) {
            writeln!(out, "{name}{{{labels}}} {}", list.next_update.as_secs())?;
            told.push(labels);
        }
    }
    Ok(())
}

/// Writes the metrics of the mesh in force, if there is one.
fn mesh(out: &mut String, status: &Status) -> fmt::Result {
    type Value = fn(&MeshStatus) -> Option<u64>;
    let families: [(&str, &str, Value); 5] = [
        ("edgetrust_mesh_sequence", "The sequence of the mesh in force.", |mesh| Some(mesh.edition.sequence)),
        (
            "edgetrust_mesh_signer_generation",
            "The generation of its signer; 0 for a mesh that is not signed.",
            |mesh| Some(mesh.edition.generation.into()),
        ),
        (
            "edgetrust_mesh_expiration_timestamp_seconds",
            "Until when the mesh can be taken, in seconds since 1970.",
            |mesh| mesh.not_after.map(|at| at.as_secs()),
        ),
        ("edgetrust_mesh_file_refused", "1 where the mesh file is refused, and another mesh is in force.", |mesh| {
            Some(mesh.file_refused.is_some().into())
        }),
        ("edgetrust_mesh_conflict", "1 where two meshes are signed with one sequence.", |mesh| {
            Some(mesh.conflict.into())
        }),
    ];
    let Some(mesh) = status.mesh() else { return Ok(()) };
    for (name, help, value) in families {
        head(out, name, "gauge", help)?;
        if let Some(value) = value(&mesh) {
            writeln!(out, "{name}{{mesh=\"{}\",site=\"{}\"}} {value}", Label(&mesh.name), Label(&mesh.site))?;
        }
    }
    Ok(())
}

/// A credential's labels: a server's and a client's credential may share a name, but never a home.
struct Which<'a>(&'a CredentialStatus);

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = self.0.home.to_string();
        write!(f, "credential=\"{}\",storage=\"{}\"", Label(&self.0.name), Label(&home))
    }
}

/// The values of a credential's `serving` status.
const SERVING: [&str; 4] = ["issued", "fallback", "expired", "nothing"];

fn renewals(out: &mut String, credentials: &[Arc<CredentialStatus>]) -> fmt::Result {
    type Value = fn(&CredentialStatus) -> Option<u64>;
    let families: [(&str, &str, &str, Value); 5] = [
        (
            "edgetrust_acme_certificates_issued_total",
            "counter",
            "Certificates obtained since the start.",
            |credential| Some(credential.issued_total()),
        ),
        ("edgetrust_acme_failures_total", "counter", "Attempts, writes and hooks that failed.", |credential| {
            Some(credential.failed_total())
        }),
        ("edgetrust_acme_last_attempt_failed", "gauge", "1 after an attempt that failed.", |credential| {
            Some(u64::from(credential.now().last_error.is_some()))
        }),
        (
            "edgetrust_acme_certificate_expiration_timestamp_seconds",
            "gauge",
            "When the newest issued certificate ends, in seconds since 1970.",
            |credential| credential.now().not_after.map(|at| at.as_secs()),
        ),
        ("edgetrust_acme_next_step_timestamp_seconds", "gauge", "When something is due.", |credential| {
            credential.now().next.map(|at| at.as_secs())
        }),
    ];
    for (name, kind, help, value) in families {
        head(out, name, kind, help)?;
        for credential in credentials {
            if let Some(value) = value(credential) {
                writeln!(out, "{name}{{{}}} {value}", Which(credential))?;
            }
        }
    }
    let name = "edgetrust_acme_serving";
    head(
        out,
        name,
        "gauge",
        "1 at what is shown to peers: the issued certificate, the fallback, an expired one, nothing.",
    )?;
    for credential in credentials {
        let now = credential.now().serving;
        for serving in SERVING {
            writeln!(out, "{name}{{{},serving=\"{serving}\"}} {}", Which(credential), u8::from(serving == now))?;
        }
    }
    Ok(())
}

fn enrolments(out: &mut String, devices: &est::Status) -> fmt::Result {
    if devices.address().is_none() {
        return Ok(());
    }
    let name = "edgetrust_est_requests_total";
    head(out, name, "counter", "Requests of devices for certificates, and connections of those that were not let in.")?;
    for outcome in est::Outcome::ALL {
        writeln!(out, "{name}{{result=\"{}\"}} {}", outcome.name(), devices.total(outcome))?;
    }
    let Some((not_before, not_after)) = devices.validity() else { return Ok(()) };
    let name = "edgetrust_est_certificate_not_before_timestamp_seconds";
    head(out, name, "gauge", "When the EST server's own certificate begins, in seconds since 1970.")?;
    writeln!(out, "{name} {}", not_before.as_secs())?;
    let name = "edgetrust_est_certificate_expiration_timestamp_seconds";
    head(out, name, "gauge", "When the EST server's own certificate expires, in seconds since 1970.")?;
    writeln!(out, "{name} {}", not_after.as_secs())?;
    let name = "edgetrust_est_ca_certificate_expiration_timestamp_seconds";
    head(out, name, "gauge", "When a CA, a pin or an intermediate of the EST server expires, in seconds since 1970.")?;
    authorities(out, name, "", &devices.authorities())
}

/// Writes one line for each certificate, and one for duplicates, since no two samples may have the same labels.
fn authorities(out: &mut String, name: &str, who: &str, all: &[Authority]) -> fmt::Result {
    let mut told = Vec::new();
    for authority in all {
        let Authority { role, subject, serial, not_after, .. } = authority;
        let labels = format!("{who}role=\"{}\",subject=\"{}\",serial=\"{serial}\"", role.name(), Label(subject));
        if !told.contains(&labels) {
            writeln!(out, "{name}{{{labels}}} {}", not_after.as_secs())?;
            told.push(labels);
        }
    }
    Ok(())
}

fn refused(out: &mut String, status: &Status, tunnels: &[TunnelStatus]) -> fmt::Result {
    let name = "edgetrust_connections_refused_total";
    head(out, name, "counter", "Connections that carried nothing; without a tunnel where none was found.")?;
    let all = tunnels.iter().map(|tunnel| (tunnel.name.as_str(), &*tunnel.counters)).chain([("", status.unmatched())]);
    for (tunnel, counters) in all {
        for reason in RefusalReason::ALL {
            let count = counters.refused_total(reason);
            writeln!(out, "{name}{{tunnel=\"{}\",reason=\"{}\"}} {count}", Label(tunnel), reason.name())?;
        }
    }
    Ok(())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A label's value with backslash, quote and newline escaped.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(Label("a\\b\"c\nd").to_string(), "a\\\\b\\\"c\\nd");
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let text = metrics(&Status::default(), &Credentials::default(), &est::Status::default());
        for line in text.lines() {
            let sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
            assert!(line.starts_with("# HELP edgetrust_") || line.starts_with("# TYPE edgetrust_") || sample, "{line}");
        }
    }
}
