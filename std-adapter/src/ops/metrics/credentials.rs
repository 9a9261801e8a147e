//! Lists the metrics of credentials that renew themselves by ACME.

use std::sync::Arc;

use crate::agent::CredentialStatus;
use crate::ops::exposition::{Exposition, Kind};
use crate::ops::report::Shared;

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
    write_shared(out, credentials);
}

/// Writes how this gateway stands among those that share its credentials.
fn write_shared(out: &mut Exposition, credentials: &[Arc<CredentialStatus>]) {
    type Value = fn(&Shared) -> u64;
    let families: [(&str, &str, Value); 6] = [
        ("edgetrust_shared_generation", "The generation of the certificate in the store; 0 for none.", |shared| {
            shared.generation
        }),
        (
            "edgetrust_shared_generation_in_use",
            "The generation that this gateway keeps; 0 for none that was shared.",
            |shared| shared.generation_in_use,
        ),
        ("edgetrust_shared_lease_held", "1 at the gateway that orders now.", |shared| shared.orders().into()),
        ("edgetrust_shared_store_up", "0 while the store is away.", |shared| shared.away_since.is_none().into()),
        ("edgetrust_shared_store_unusable", "1 where what stands in the store cannot be used.", |shared| {
            shared.fault.is_some().into()
        }),
        ("edgetrust_shared_gateways", "Gateways heard within 25 s, this one included.", |shared| shared.gateways),
    ];
    let shared: Vec<_> = credentials.iter().filter_map(|one| Some((one, Shared::of(&one.stood()?)))).collect();
    for (name, help, value) in families {
        let mut family = out.family(name, Kind::Gauge, help);
        for (credential, shared) in &shared {
            family.sample(&[("credential", &credential.name), ("storage", &credential.home)], value(shared));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::replica::Standing;

    /// Returns the samples of a credential's families of sharing, without what their names begin with.
    fn samples(standing: Option<Standing>) -> String {
        let mut out = Exposition::default();
        write(&mut out, &[Arc::new(CredentialStatus::sharing("a.example", standing))]);
        let text = out.into_text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("edgetrust_shared_"));
        lines.map(|line| line.replace("{credential=\"a.example\",storage=\"/s\"}", "") + "\n").collect()
    }

    #[test]
    fn a_shared_credential_has_its_samples() {
        let mut standing = Standing {
            name: "a-1".to_owned(),
            published: 17,
            kept: 16,
            holder: Some("a-1".to_owned()),
            others: vec![
                ("b-2".to_owned(), 17, Duration::from_secs(3)),
                ("c-3".to_owned(), 17, Duration::from_secs(25)),
            ],
            ..Standing::default()
        };
        assert_eq!(
            samples(Some(standing.clone())),
            "generation 17\ngeneration_in_use 16\nlease_held 1\nstore_up 1\nstore_unusable 0\ngateways 2\n"
        );
        standing.holder = Some("b-2".to_owned());
        standing.away = Some((Duration::ZERO, "why".to_owned()));
        standing.fault = Some("why".to_owned());
        assert_eq!(
            samples(Some(standing)),
            "generation 17\ngeneration_in_use 16\nlease_held 0\nstore_up 0\nstore_unusable 1\ngateways 2\n"
        );
        assert_eq!(samples(None), "");
    }
}
