//! Tells how a gateway stands among those that share its credential, for pages and metrics.

use std::time::Duration;

use super::presence::ABSENT;
use super::shared::Shared;

/// The standing of a gateway among those that share its credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The name of this gateway.
    pub(crate) name: String,
    /// The gateway that orders now.
    pub(crate) holder: Option<String>,
    /// The generation of the certificate in the store; 0 for none.
    pub(crate) published: u64,
    /// The generation that this gateway keeps; 0 for none that was shared.
    pub(crate) kept: u64,
    /// The time for which the store has been away, and why.
    pub(crate) away: Option<(Duration, String)>,
    /// The reason that what stands in the store cannot be used.
    pub(crate) fault: Option<String>,
    /// The name of the key that sealed it.
    pub(crate) sealed_by: Option<String>,
    /// The name of the key that seals what this gateway writes.
    pub(crate) seals_with: Option<String>,
    /// The other gateways: name, generation, and the time for which nothing was heard of them.
    pub(crate) others: Vec<(String, u64, Duration)>,
}

impl Standing {
    /// Returns the number of gateways that are there, this one included.
    pub(crate) fn present(&self) -> u64 {
        let others = self.others.iter().filter(|(.., silent)| *silent < ABSENT).count();
        u64::try_from(others).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Returns the number of generations that this gateway is behind the store.
    pub(crate) fn behind(&self) -> u64 {
        self.published.saturating_sub(self.kept)
    }
}

impl Shared {
    pub(crate) fn standing(&self) -> Standing {
        let seen = self.now();
        let gateways = self.gateways();
        let others = gateways.borrow();
        let others = others.values().filter(|gateway| gateway.name != self.name());
        Standing {
            name: self.name().to_owned(),
            holder: seen.document.header.holder.clone(),
            published: seen.document.header.generation,
            kept: self.own().generation,
            away: seen.away.as_ref().map(|(since, reason)| (since.elapsed(), reason.clone())),
            fault: seen.fault.as_ref().map(ToString::to_string),
            sealed_by: seen.document.sealed_by.clone(),
            seals_with: self.keys.current().map(str::to_owned),
            others: others.map(|one| (one.name.clone(), one.generation, one.heard.elapsed())).collect(),
        }
    }
}
