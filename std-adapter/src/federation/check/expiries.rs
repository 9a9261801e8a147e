//! Lists what ends when: roots, CAs of sites, the signer, the file of the mesh.

use std::time::Duration;

use edgetrust_core::time::Utc;
use edgetrust_core::x509::Certificate;
use pki_types::UnixTime;
use serde::Serialize;

use super::index::{Index, Issuer};
use crate::federation::tree::Signer;

const DAY: u64 = 86_400;

/// The end of something.
#[derive(Debug, Serialize)]
pub(crate) struct Expiry {
    pub(crate) what: String,
    pub(crate) until: String,
    /// True if less time is left than is wanted.
    pub(crate) ends_soon: bool,
    #[serde(skip)]
    end: UnixTime,
    /// The step to take before the end, and who takes it.
    #[serde(skip)]
    remedy: String,
}

impl Expiry {
    /// Returns what to say of an end that is near or over.
    pub(super) fn warning(&self, now: UnixTime) -> Option<String> {
        let Self { what, until, remedy, .. } = self;
        match self.end.as_secs().checked_sub(now.as_secs()) {
            _ if !self.ends_soon => None,
            None => Some(format!("{what} has ended at {until}: {remedy}")),
            Some(left) => Some(format!("{what} ends at {until}, in {} days: {remedy}", left / DAY)),
        }
    }
}

/// Returns all ends, the earliest first.
pub(super) fn expiries(
    index: &Index<'_>,
    signer: Option<(&Signer, UnixTime)>,
    mesh: Option<UnixTime>,
    min_left: Duration,
    now: UnixTime,
) -> Vec<Expiry> {
    let soon = now.as_secs().saturating_add(min_left.as_secs());
    let expiry = |what: String, end: UnixTime, remedy: String| Expiry {
        what,
        until: Utc(end).to_string(),
        ends_soon: end.as_secs() < soon,
        end,
        remedy,
    };
    let roots = index.roots.iter().filter_map(|root| Certificate::from_der(root).ok()).map(|root| {
        let end = root.validity().not_after;
        if root.subject() != root.issuer() {
            let remedy = "whoever holds the other root alone has to hold this one until then".to_owned();
            return expiry(format!("the certificate of the root {} by {}", root.subject(), root.issuer()), end, remedy);
        }
        let remedy = "the root's holder has to run edgetrust federation rollover, while all gateways hold this one";
        expiry(format!("the root {}", root.subject()), end, remedy.to_owned())
    });
    let issuers = index.sites.iter().flat_map(|site| site.issuers.iter().map(|issuer| (site.name, issuer)));
    let sites = issuers.filter_map(|(site, issuer)| {
        let ca = Issuer::parsed(issuer)?;
        let remedy = format!("the root's holder has to run edgetrust federation renew for site {site}");
        Some(expiry(format!("the CA of site {site} ({})", ca.subject()), ca.validity().not_after, remedy))
    });
    let signer = signer.map(|(signer, end)| {
        let remedy = "the root's holder has to run edgetrust federation signer".to_owned();
        expiry(format!("the signer of generation {}", signer.generation), end, remedy)
    });
    let mesh = mesh.map(|end| {
        let remedy = "whoever has the signer's key has to run edgetrust federation sign-mesh".to_owned();
        expiry("mesh.json".to_owned(), end, remedy)
    });
    let mut all: Vec<_> = roots.chain(sites).chain(signer).chain(mesh).collect();
    all.sort_by(|one, other| (one.end.as_secs(), &one.what).cmp(&(other.end.as_secs(), &other.what)));
    all
}
