//! Describes a change of the mesh, site by site.

use std::collections::BTreeSet;

use serde::Serialize;

use super::links::{Pair, pairs};
use super::mesh::{Mesh, Site, issuer_key};
use super::site::client_name;

/// One thing that is different afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// The site that it concerns; none stands for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<String>,
    pub(crate) what: String,
    /// True if it takes away what a site could do before.
    pub(crate) cuts: bool,
}

impl Change {
    pub(super) fn of(site: &str, what: String) -> Self {
        Self { site: Some(site.to_owned()), what, cuts: false }
    }

    pub(super) fn of_all(what: String) -> Self {
        Self { site: None, what, cuts: false }
    }

    pub(super) fn cutting(self) -> Self {
        Self { cuts: true, ..self }
    }
}

/// Returns what is different in the second mesh.
pub(super) fn changes(before: &Mesh, after: &Mesh) -> Vec<Change> {
    let mut changes = Vec::new();
    for site in after.sites.iter().filter(|site| before.site(&site.name).is_none()) {
        let domains = site.domains.join(", ");
        changes.push(Change::of(&site.name, format!("is a new site, for {domains}, with a CA of its own")));
    }
    for site in before.sites.iter().filter(|site| after.site(&site.name).is_none()) {
        let what = "is no site of the mesh any more: certificates of its CA are no longer accepted".to_owned();
        changes.push(Change::of(&site.name, what).cutting());
    }
    let (old, new) = (pairs(before), pairs(after));
    for pair in new.difference(&old) {
        changes.extend(linked(pair));
    }
    for pair in old.difference(&new) {
        changes.extend(unlinked(pair, after));
    }
    changes.extend(denied(before, after));
    changes
}

fn linked(pair: &Pair) -> [Change; 2] {
    let Pair { from, to, service } = pair;
    [
        Change::of(from, format!("reaches {to} for {service}, by a client tunnel {}", client_name(pair))),
        Change::of(to, format!("lets {from} in for {service}")),
    ]
}

fn unlinked(pair: &Pair, after: &Mesh) -> Vec<Change> {
    let Pair { from, to, service } = pair;
    // What a site loses that is gone needs no words.
    let mut changes = Vec::new();
    if after.site(from).is_some() {
        changes.push(Change::of(from, format!("no longer reaches {to} for {service}")).cutting());
    }
    if after.site(to).is_some() {
        changes.push(Change::of(to, format!("no longer lets {from} in for {service}")).cutting());
    }
    changes
}

fn denied(before: &Mesh, after: &Mesh) -> Vec<Change> {
    let keys = |mesh: &Mesh| -> BTreeSet<String> { mesh.denied_keys.iter().map(|denied| denied.key.clone()).collect() };
    let (old, new) = (keys(before), keys(after));
    let mut changes = Vec::new();
    for key in new.difference(&old) {
        let what = match owner(after, key) {
            Some(Owner::Root) => {
                Change::of_all(format!("no certificate under the root is accepted: its key {key} is denied")).cutting()
            }
            Some(Owner::Site(site)) => {
                Change::of(&site.name, format!("no certificate of its CA is accepted: its key {key} is denied"))
                    .cutting()
            }
            None => Change::of_all(format!("nobody accepts the key {key}, and sessions of its holder end")),
        };
        changes.push(what);
    }
    for key in old.difference(&new) {
        changes.push(Change::of_all(format!("the key {key} is accepted again, where a rule lets its holder in")));
    }
    changes
}

enum Owner<'a> {
    Root,
    Site(&'a Site),
}

/// Returns whose CA has a key.
fn owner<'a>(mesh: &'a Mesh, key: &str) -> Option<Owner<'a>> {
    let has = |issuer: &String| issuer_key("", issuer).is_ok_and(|known| known.to_string() == key);
    if mesh.roots.iter().any(has) {
        return Some(Owner::Root);
    }
    mesh.sites.iter().find(|site| site.issuers.iter().any(has)).map(Owner::Site)
}
