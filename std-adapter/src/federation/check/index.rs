//! A mesh read once: its sites, what they want to reach, and the keys that are denied.
//!
//! The core reads each list from the text again where it is asked for one. So nothing asks it for each link.

use std::path::Path;

use edgetrust_core::mesh::{EncodedCertificate, MAX_CERTIFICATE, Mesh, SiteIssuer};
use edgetrust_core::path::DeniedKey;
use edgetrust_core::x509::KeyHash;

use crate::federation::certificate::{first_certificate, key_hash};
use crate::federation::layout::SITES;
use crate::federation::mesh::EVERY;

/// A mesh, by the numbers of its sites and services. Both are in the order of their names.
pub(super) struct Index<'m> {
    pub(super) sites: Vec<Site<'m>>,
    pub(super) services: Vec<Service<'m>>,
    /// The certificates of the roots.
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) denied: Vec<Denied<'m>>,
}

/// A site.
pub(super) struct Site<'m> {
    pub(super) name: &'m str,
    /// The names of its gateways; others dial the first.
    pub(super) hosts: Vec<&'m str>,
    pub(super) issuers: Vec<Issuer>,
    /// The keys of all issuers.
    pub(super) keys: Vec<KeyHash>,
}

/// A CA of a site.
pub(super) struct Issuer {
    pub(super) key: KeyHash,
    /// `None` if the mesh has the hash alone, and the folder of the site no certificate of that key.
    pub(super) certificate: Option<Vec<u8>>,
    /// True if the certificate is the mesh's, which a gateway takes for the peer that sends none.
    pub(super) in_mesh: bool,
}

/// A service, and who wants to reach it where.
pub(super) struct Service<'m> {
    pub(super) name: &'m str,
    /// By the number of the site that has the service: whether each site is linked to it. Empty if none is.
    linked: Vec<Vec<bool>>,
}

/// A key that is denied.
pub(super) struct Denied<'m> {
    pub(super) key: DeniedKey,
    pub(super) reason: Option<&'m str>,
}

impl Service<'_> {
    /// Returns the numbers of the sites that a link lets reach the service at a site.
    pub(super) fn linked(&self, to: usize) -> impl Iterator<Item = usize> {
        let row = self.linked.get(to).map(Vec::as_slice).unwrap_or_default();
        row.iter().enumerate().filter(|(_, linked)| **linked).map(|(from, _)| from)
    }

    fn link(&mut self, from: usize, to: usize, sites: usize) {
        if from == to {
            return;
        }
        if let Some(row) = self.linked.get_mut(to) {
            row.resize(sites, false);
            if let Some(linked) = row.get_mut(from) {
                *linked = true;
            }
        }
    }
}

/// One side of a link.
enum Side {
    EveryOther,
    Of(Vec<usize>),
}

impl<'m> Index<'m> {
    /// Reads a mesh. Certificates that it names by their keys alone are looked for in the folders of their sites.
    pub(super) fn new(mesh: &Mesh<'m>, folder: Option<&Path>) -> Self {
        let mut sites: Vec<Site<'m>> = mesh.sites().map(|site| Site::new(&site, folder)).collect();
        sites.sort_by_key(|site| site.name);
        let unlinked = vec![Vec::new(); sites.len()];
        let services = mesh.services().map(|service| Service { name: service.name(), linked: unlinked.clone() });
        let mut index = Self {
            services: services.collect(),
            roots: mesh.roots().map(decoded).collect(),
            denied: mesh.denied_keys().map(|denied| Denied { key: denied.into(), reason: denied.reason() }).collect(),
            sites,
        };
        index.services.sort_by_key(|service| service.name);
        index.link(mesh);
        index
    }

    /// Returns the number of the ordered pairs of sites, for all services.
    pub(super) fn pairs(&self) -> usize {
        let sites = self.sites.len();
        sites.saturating_mul(sites.saturating_sub(1)).saturating_mul(self.services.len())
    }

    /// Returns why a key is denied now, or `None` if it is not.
    pub(super) fn denial(&self, key: &KeyHash, now: pki_types::UnixTime) -> Option<&Denied<'m>> {
        self.denied.iter().find(|denied| denied.key.key == *key && denied.key.holds(now))
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.sites.binary_search_by_key(&name, |site| site.name).ok()
    }

    fn side<'n>(&self, names: impl Iterator<Item = &'n str>) -> Side {
        let mut numbers = Vec::new();
        for name in names {
            if name == EVERY {
                return Side::EveryOther;
            }
            numbers.extend(self.number(name));
        }
        Side::Of(numbers)
    }

    fn link(&mut self, mesh: &Mesh<'m>) {
        let all = self.sites.len();
        let mut every_pair = vec![false; self.services.len()];
        for link in mesh.links() {
            let (from, to) = (self.side(link.from()), self.side(link.to()));
            let Ok(number) = self.services.binary_search_by_key(&link.service(), |service| service.name) else {
                continue;
            };
            let Some(service) = self.services.get_mut(number) else { continue };
            match (from, to) {
                // Once for each service is enough: a text can say it thousands of times.
                (Side::EveryOther, Side::EveryOther) => {
                    if let Some(every) = every_pair.get_mut(number) {
                        *every = true;
                    }
                }
                (Side::EveryOther, Side::Of(to)) => {
                    to.iter().for_each(|to| (0..all).for_each(|from| service.link(from, *to, all)));
                }
                (Side::Of(from), Side::EveryOther) => {
                    from.iter().for_each(|from| (0..all).for_each(|to| service.link(*from, to, all)));
                }
                (Side::Of(from), Side::Of(to)) => {
                    to.iter().for_each(|to| from.iter().for_each(|from| service.link(*from, *to, all)));
                }
            }
        }
        let every = self.services.iter_mut().zip(every_pair).filter(|(_, every)| *every);
        every.for_each(|(service, _)| (0..all).for_each(|to| (0..all).for_each(|from| service.link(from, to, all))));
    }
}

impl<'m> Site<'m> {
    fn new(site: &edgetrust_core::mesh::Site<'m>, folder: Option<&Path>) -> Self {
        let kept = folder.map(|folder| folder.join(SITES).join(site.name()).join("ca.pem"));
        let kept = || kept.as_deref().and_then(|file| first_certificate(file).ok());
        let issuers: Vec<Issuer> = site
            .issuers()
            .zip(site.issuer_keys())
            .map(|(issuer, key)| match issuer {
                SiteIssuer::Certificate(certificate) => {
                    Issuer { key, certificate: Some(decoded(certificate)), in_mesh: true }
                }
                SiteIssuer::Key(_) => {
                    let fits = |der: &pki_types::CertificateDer<'_>| key_hash(der).is_ok_and(|found| found == key);
                    let certificate = kept().filter(fits).map(|der| der.as_ref().to_vec());
                    Issuer { key, certificate, in_mesh: false }
                }
            })
            .collect();
        Self {
            name: site.name(),
            hosts: site.gateways().map(|gateway| gateway.host()).collect(),
            keys: issuers.iter().map(|issuer| issuer.key).collect(),
            issuers,
        }
    }
}

/// Decodes a certificate that was decoded when the mesh was checked.
fn decoded(certificate: EncodedCertificate<'_>) -> Vec<u8> {
    let mut out = [0; MAX_CERTIFICATE];
    certificate.decode(&mut out).map(<[u8]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(links: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let root = crate::federation::mesh::base64(params.self_signed(&key).unwrap().der());
        let site = |name: &str, number: usize| {
            format!(
                r#"{{"name": "{name}", "domains": ["{name}.example"], "issuers": ["sha256:{}"],
                "gateways": [{{"host": "one.{name}.example"}}, {{"host": "two.{name}.example"}}]}}"#,
                format!("{number:02x}").repeat(32)
            )
        };
        let sites: Vec<_> = ["c", "a", "d", "b"].iter().enumerate().map(|(number, name)| site(name, number)).collect();
        format!(
            r#"{{"mesh": "m", "sequence": 1, "roots": ["{root}"], "sites": [{}],
            "services": [{{"name": "nats", "port": 2}}, {{"name": "feed", "port": 1}}], "links": [{links}]}}"#,
            sites.join(",")
        )
    }

    /// The index agrees with the core on each pair: on those whom a gateway lets in, and on where its tunnels lead.
    #[test]
    fn the_index_says_what_the_core_says() {
        let link = |service: &str, from: &str, to: &str| {
            format!(r#"{{"service": "{service}", "from": ["{from}"], "to": ["{to}"]}}"#)
        };
        for links in [
            String::new(),
            link("feed", "a", "b"),
            link("feed", "a", r#"b","c"#),
            link("feed", "*", "c"),
            link("nats", "d", "*"),
            link("nats", "*", "*"),
            link("feed", "a", "a"),
            [link("feed", "*", "a"), link("feed", r#"a","b"#, r#"a","d"#), link("nats", "c", "*")].join(","),
        ] {
            let text = text(&links);
            let mesh = Mesh::parse(text.as_bytes()).unwrap();
            let index = Index::new(&mesh, None);
            assert_eq!(index.pairs(), 4 * 3 * 2);
            for service in &index.services {
                for (number, to) in index.sites.iter().enumerate() {
                    let indexed: Vec<_> = service.linked(number).map(|from| index.sites[from].name).collect();
                    let clients = mesh.clients(service.name, to.name).unwrap();
                    let mut said: Vec<_> = clients.map(|client| client.site().name()).collect();
                    said.sort_unstable();
                    said.dedup();
                    // A site reaches itself without leaving it: that is no pair.
                    said.retain(|from| *from != to.name);
                    assert_eq!(indexed, said, "{} at {}: {links}", service.name, to.name);
                    for from in index.sites.iter().filter(|from| from.name != to.name) {
                        let servers = mesh.servers(service.name, from.name, to.name);
                        let first = servers.ok().and_then(|mut servers| servers.next()).map(|server| server.host);
                        let expected = indexed.contains(&from.name).then(|| to.hosts[0]);
                        assert_eq!(first, expected, "{} from {} to {}: {links}", service.name, from.name, to.name);
                    }
                }
            }
        }
    }
}
