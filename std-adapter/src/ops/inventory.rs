//! Lists all that a gateway trusts, shows and denies, and records in the audit log how that changes.

use std::collections::{BTreeMap, BTreeSet};

use edgetrust_core::path::DeniedKey;
use edgetrust_core::time::Utc;
use serde::Serialize;

use crate::audit::{AuditLog, Recorded};
use crate::est;
use crate::gateway::Status;
use crate::tls::{Certificates, Described};

/// All that a gateway trusts, shows and denies.
#[derive(Debug, Default)]
pub(crate) struct Inventory(BTreeSet<Trusted>);

/// One of its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
enum Trusted {
    Certificate {
        role: &'static str,
        /// The tunnels that use it, `est` and `pages`.
        used_by: BTreeSet<String>,
        #[serde(flatten)]
        certificate: Described,
    },
    List {
        file: String,
        issuer: String,
        this_update: String,
        next_update: String,
    },
    DeniedKey {
        key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    },
}

impl Trusted {
    /// Returns the names of the events for its coming and its going.
    fn events(&self) -> (&'static str, &'static str) {
        match self {
            Self::Certificate { .. } => ("certificate_added", "certificate_removed"),
            Self::List { .. } => ("crl_added", "crl_removed"),
            Self::DeniedKey { .. } => ("denied_key_added", "denied_key_removed"),
        }
    }
}

impl Inventory {
    /// Returns what there is now. `pages` are the certificates of the pages.
    pub(crate) fn new(
        status: &Status,
        devices: &est::Status,
        pages: Option<&Certificates>,
        denied: &[DeniedKey],
    ) -> Self {
        let tunnels = status.tunnels();
        let est = devices.certificates();
        let tunnels = tunnels.iter().map(|tunnel| (tunnel.name.as_str(), &tunnel.certificates));
        let others = est.as_ref().map(|est| ("est", est)).into_iter().chain(pages.map(|pages| ("pages", pages)));
        let mut users: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for (user, certificates) in tunnels.chain(others) {
            for one in certificates.described() {
                users.entry(one).or_default().insert(user.to_owned());
            }
        }
        let certificates =
            users.into_iter().map(|((role, certificate), used_by)| Trusted::Certificate { role, used_by, certificate });
        let lists = status.lists();
        let lists = lists.iter().map(|list| Trusted::List {
            file: list.file.clone(),
            issuer: list.issuer.clone(),
            this_update: Utc(list.this_update).to_string(),
            next_update: Utc(list.next_update).to_string(),
        });
        let denied = denied.iter().map(|denied| Trusted::DeniedKey {
            key: denied.key.to_string(),
            until: denied.until.map(|until| Utc(until).to_string()),
        });
        Self(certificates.chain(lists).chain(denied).collect())
    }

    /// Records the differences between this and what there is now.
    pub(crate) fn record<'a>(
        &'a self,
        now: &'a Self,
        audit: &'a AuditLog,
    ) -> impl Iterator<Item = Recorded> + Send + 'a {
        let gone = self.0.difference(&now.0).map(|one| audit.record(one.events().1, one));
        let come = now.0.difference(&self.0).map(|one| audit.record(one.events().0, one));
        gone.chain(come)
    }
}
