//! The part of a report on a credential that several gateways share.

use std::time::{Duration, SystemTime};

use edgetrust_core::time::Utc;
use pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use crate::agent::Stood;

/// A credential that several gateways share, as this one sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Shared {
    /// The name of this gateway.
    pub gateway: String,
    /// The number of gateways that were heard within 25 seconds, this one included.
    pub gateways: u64,
    /// The gateway that orders now; null if none does.
    pub holder: Option<String>,
    /// The generation of the certificate in the store; 0 for none.
    pub generation: u64,
    /// The generation that this gateway keeps; 0 for none that was shared.
    pub generation_in_use: u64,
    /// The number of generations that this gateway is behind the store.
    pub behind: u64,
    /// The time since which it is behind; null if it is not.
    pub behind_since: Option<String>,
    /// `reached` or `away`.
    pub store: String,
    /// The time since which the store is away; null while it is reached.
    pub away_since: Option<String>,
    /// The reason that the store is away; null while it is reached.
    pub error: Option<String>,
    /// The reason that what stands in the store cannot be used; null if it can.
    pub fault: Option<String>,
    /// The name of the key that sealed what stands in the store; null for nothing.
    pub sealed_by: Option<String>,
    /// The name of the key that seals what this gateway writes.
    pub seals_with: Option<String>,
    /// The other gateways, by name; one that was not heard for a day is left out.
    pub others: Vec<Other>,
}

/// Another gateway that shares the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Other {
    /// Its name.
    pub gateway: String,
    /// The generation that it keeps; 0 for none that was shared.
    pub generation: u64,
    /// The time at which it was heard last.
    pub heard: String,
}

impl Shared {
    pub(in crate::ops) fn of(stood: &Stood) -> Self {
        let Stood { standing, at, behind_since } = stood;
        let (since, reason) = standing.away.clone().unzip();
        let mut others: Vec<_> = standing.others.iter().collect();
        others.sort();
        Self {
            gateway: standing.name.clone(),
            gateways: standing.present(),
            holder: standing.holder.clone(),
            generation: standing.published,
            generation_in_use: standing.kept,
            behind: standing.behind(),
            behind_since: behind_since.map(|since| before(since, Duration::ZERO)),
            store: if since.is_some() { "away" } else { "reached" }.to_owned(),
            away_since: since.map(|since| before(*at, since)),
            error: reason,
            fault: standing.fault.clone(),
            sealed_by: standing.sealed_by.clone(),
            seals_with: standing.seals_with.clone(),
            others: others
                .into_iter()
                .map(|(name, generation, silent)| Other {
                    gateway: name.clone(),
                    generation: *generation,
                    heard: before(*at, *silent),
                })
                .collect(),
        }
    }

    /// Returns whether this gateway is the one that orders.
    pub(crate) fn orders(&self) -> bool {
        self.holder.as_ref() == Some(&self.gateway)
    }
}

/// Returns the time so long before another one. Its fraction of a second counts, lest each look finds another second.
fn before(at: SystemTime, ago: Duration) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Utc(UnixTime::since_unix_epoch(since.saturating_sub(ago))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Standing;

    /// Returns the moment of the tests, 2026-06-01T12:00:00.25Z.
    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_780_315_200_250)
    }

    fn standing() -> Standing {
        Standing {
            name: "a-1".to_owned(),
            published: 17,
            kept: 17,
            sealed_by: Some("k1".to_owned()),
            seals_with: Some("k2".to_owned()),
            others: vec![
                ("c-3".to_owned(), 16, Duration::from_secs(25)),
                ("b-2".to_owned(), 17, Duration::from_millis(3_500)),
            ],
            ..Standing::default()
        }
    }

    #[test]
    fn a_standing_is_reported_with_times() {
        let shared = Shared::of(&Stood { standing: standing(), at: at(), behind_since: None });
        let other = |name: &str, generation, heard: &str| Other {
            gateway: name.to_owned(),
            generation,
            heard: heard.to_owned(),
        };
        let expected = Shared {
            gateway: "a-1".to_owned(),
            gateways: 2,
            generation: 17,
            generation_in_use: 17,
            store: "reached".to_owned(),
            sealed_by: Some("k1".to_owned()),
            seals_with: Some("k2".to_owned()),
            others: vec![other("b-2", 17, "2026-06-01T11:59:56Z"), other("c-3", 16, "2026-06-01T11:59:35Z")],
            ..Shared::default()
        };
        assert_eq!(shared, expected);
        assert!(!shared.orders());
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_reason() {
        let standing = Standing {
            holder: Some("a-1".to_owned()),
            kept: 15,
            away: Some((Duration::from_secs(40), "connection refused".to_owned())),
            fault: Some("another key".to_owned()),
            ..standing()
        };
        let shared = Shared::of(&Stood { standing, at: at(), behind_since: Some(at() - Duration::from_secs(60)) });
        assert!(shared.orders());
        assert_eq!((shared.behind, shared.behind_since.as_deref()), (2, Some("2026-06-01T11:59:00Z")));
        assert_eq!((shared.store.as_str(), shared.away_since.as_deref()), ("away", Some("2026-06-01T11:59:20Z")));
        assert_eq!(shared.error.as_deref(), Some("connection refused"));
        assert_eq!(shared.fault.as_deref(), Some("another key"));
    }
}
