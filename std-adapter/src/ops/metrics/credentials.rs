//! Lists the metrics of credentials that renew themselves by ACME.

use std::sync::Arc;

use crate::agent::CredentialStatus;
use crate::ops::exposition::{Exposition, Kind};

/// The values of a credential's `serving` status.
const SERVING: [&str; 4] = ["issued", "fallback", "expired", "nothing"];

pub(super) fn write(out: &mut Exposition, credentials: &[Arc<CredentialStatus>]) {
    type Value = fn(&CredentialStatus) -> Option<u64>;
    let families: [(&str, Kind, &str, Value); 4] = [
        (
            "edgetrust_acme_certificates_issued_total",
            Kind::Counter,
            "Certificates obtained since the start.",
            |credential| Some(credential.issued_total()),
        ),
        ("edgetrust_acme_failures_total", Kind::Counter, "Attempts, writes and hooks that failed.", |credential| {
            Some(credential.failed_total())
        }),
        ("edgetrust_acme_last_attempt_failed", Kind::Gauge, "1 after an attempt that failed.", |credential| {
            Some(u64::from(credential.now().last_error.is_some()))
        }),
        ("edgetrust_acme_next_step_timestamp_seconds", Kind::Gauge, "When something is due.", |credential| {
            credential.now().next.map(|at| at.as_secs())
        }),
    ];
    // A server's and a client's credential may share a name, but never a home.
    for (name, kind, help, value) in families {
        let mut family = out.family(name, kind, help);
        for credential in credentials {
            if let Some(value) = value(credential) {
                family.sample(&[("credential", &credential.name), ("storage", &credential.home)], value);
            }
        }
    }
    let help = "1 at what is shown to peers: the issued certificate, the fallback, an expired one, nothing.";
    let mut family = out.family("edgetrust_acme_serving", Kind::Gauge, help);
    for credential in credentials {
        let now = credential.now().serving;
        for serving in SERVING {
            family.sample(
                &[("credential", &credential.name), ("storage", &credential.home), ("serving", &serving)],
                u8::from(serving == now),
            );
        }
    }
    let help = "How long orders took that the CA answered, with a certificate or an error.";
    let mut family = out.family("edgetrust_acme_order_duration_seconds", Kind::Histogram, help);
    for credential in credentials {
        let labels: [(&str, &dyn std::fmt::Display); 2] =
            [("credential", &credential.name), ("storage", &credential.home)];
        family.histogram(&labels, &credential.order_durations());
    }
}
