//! What gateways that share a credential tell each other of themselves. It decides nothing: a holder waits a little for
//! those who are there, and pages show them.

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

/// The size limit of what a gateway says, in octets.
const MAX_TEXT: usize = 1024;

/// What a gateway says of itself.
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
        let text = text.get(..).filter(|text| text.len() <= MAX_TEXT)?;
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

    /// Notes what was heard of a gateway.
    pub(super) fn note(all: &mut BTreeMap<String, Gateway>, id: &str, heard: Option<Gateway>) {
        all.retain(|_, gateway| gateway.heard.elapsed() < FORGOTTEN);
        match heard {
            Some(gateway) if all.len() < GATEWAYS || all.contains_key(id) => drop(all.insert(id.to_owned(), gateway)),
            Some(_) => {}
            None => drop(all.remove(id)),
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
            Presence::note(&mut all, &number.to_string(), Some(heard.clone()));
        }
        assert_eq!(all.len(), GATEWAYS);
        Presence::note(&mut all, "0", None);
        assert_eq!(all.len(), GATEWAYS - 1);
    }
}
