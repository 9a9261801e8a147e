//! Tells gateways that share a credential of each other. It decides nothing: a holder waits a little for those who are
//! there, and pages show them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::bucket::Revision;

/// The interval at which a gateway says that it is there.
pub(super) const PRESENCE: Duration = Duration::from_secs(10);

/// The time after which a gateway that says nothing is not waited for.
pub(super) const ABSENT: Duration = Duration::from_secs(25);

/// The time after which a gateway that says nothing is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// The largest number of gateways that are remembered.
const GATEWAYS: usize = 64;

/// The length limit of what tells gateways of one name apart, in characters.
const MAX_ID: usize = 32;

/// The size limit of what a gateway says, in octets.
const MAX_TEXT: usize = 1024;

/// A gateway, by its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Presence {
    pub(super) name: String,
    /// The generation of the certificate that it keeps.
    pub(super) generation: u64,
    /// The revision of the document whose answers it gives.
    pub(super) revision: Revision,
}

/// A gateway as it was heard of last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) name: String,
    pub(crate) generation: u64,
    pub(super) revision: Revision,
    pub(crate) heard: Instant,
}

impl Gateway {
    /// Reads what a gateway says. Others may write to the store: what is no such text is passed over.
    pub(super) fn heard(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let Presence { name, generation, revision } = serde_json::from_slice(text).ok()?;
        Some(Self { name: crate::tls::shown_name(&name), generation, revision, heard: Instant::now() })
    }

    pub(super) fn is_there(&self) -> bool {
        self.heard.elapsed() < ABSENT
    }
}

impl Presence {
    pub(super) fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Notes what was heard of a gateway. Where there are too many, the one that was heard longest ago is forgotten: a
    /// store tells first of those that are gone.
    pub(super) fn note(all: &mut BTreeMap<String, Gateway>, id: &str, heard: Option<Gateway>) {
        all.retain(|_, gateway| gateway.heard.elapsed() < FORGOTTEN);
        let id: String = id.chars().take(MAX_ID).collect();
        let Some(gateway) = heard else { return drop(all.remove(&id)) };
        all.insert(id, gateway);
        if all.len() > GATEWAYS
            && let Some(oldest) = all.iter().min_by_key(|(_, gateway)| gateway.heard).map(|(id, _)| id.clone())
        {
            all.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_others_fill_costs_no_more_than_its_bounds() {
        let said = Presence { name: "a".to_owned(), generation: 3, revision: 9 };
        let heard = Gateway::heard(&said.text()).unwrap();
        assert_eq!((heard.name.as_str(), heard.generation, heard.revision, heard.is_there()), ("a", 3, 9, true));
        assert_eq!(Gateway::heard(b"{}"), None);
        assert_eq!(Gateway::heard(&[b' '; MAX_TEXT + 1]), None);
        let mut all = BTreeMap::new();
        for number in 0..200 {
            let heard = Gateway { heard: heard.heard + Duration::from_millis(number), ..heard.clone() };
            Presence::note(&mut all, &number.to_string(), Some(heard));
        }
        assert_eq!(all.len(), GATEWAYS);
        // Those that were heard last are remembered.
        assert!(all.contains_key("199") && !all.contains_key("0"));
        Presence::note(&mut all, "199", None);
        assert_eq!(all.len(), GATEWAYS - 1);
    }
}
