//! The file that says what a mesh is: `mesh.json`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::name;

/// The size limit of the file, in octets.
const MAX_TEXT: usize = 1024 * 1024;

/// The size limit of a text that is signed as it is, in octets: with a third more, and the signer's certificates, the signed
/// form stays below 1 MiB.
const MAX_WHOLE: usize = 760 * 1024;

/// The port of a service that no option names.
pub(super) const DEFAULT_SERVICE: (&str, u16) = ("feed", 8443);

/// Every site, where a list of sites is expected.
pub(super) const EVERY: &str = "*";

/// A mesh, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mesh {
    /// The name.
    pub(crate) mesh: String,
    /// Raised by each change.
    pub(crate) sequence: u64,
    /// The digest of the file before the last change. The first file has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<String>,
    /// The time after which no gateway takes this file (RFC 3339).
    pub(crate) not_after: String,
    /// Certificates in DER, in base64.
    pub(crate) roots: Vec<String>,
    pub(crate) sites: Vec<Site>,
    pub(crate) services: Vec<Service>,
    pub(crate) links: Vec<Link>,
    #[serde(default)]
    pub(crate) denied_keys: Vec<DeniedKey>,
}

/// A location with a CA of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) domains: Vec<String>,
    /// Certificates in DER, in base64, or hashes of keys.
    pub(crate) issuers: Vec<String>,
    pub(crate) gateways: Vec<Gateway>,
}

/// A gateway of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    pub(crate) host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// Ports that differ from those of the services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<std::collections::BTreeMap<String, u16>>,
}

/// A service that sites reach at other sites, by a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// A permission: each site of `from` reaches each site of `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) service: String,
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
}

/// A key that nobody accepts any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeniedKey {
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
}

impl Mesh {
    /// Returns whether a certificate is one of the roots.
    pub(super) fn has_root(&self, der: &CertificateDer<'_>) -> bool {
        self.roots.iter().any(|root| BASE64_STANDARD.decode(root).is_ok_and(|root| root == der.as_ref()))
    }

    /// Returns the roots in DER.
    pub(super) fn root_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.roots.iter().filter_map(|root| BASE64_STANDARD.decode(root).ok()).map(CertificateDer::from).collect()
    }

    /// Returns whether a key is denied at this time.
    pub(super) fn denies(&self, key: &KeyHash, now: UnixTime) -> bool {
        let holds = |until: &String| time("until", until).is_ok_and(|until| until >= now);
        let mut denied = self.denied_keys.iter().filter(|denied| KeyHash::parse(&denied.key) == Some(*key));
        denied.any(|denied| denied.until.as_ref().is_none_or(holds))
    }

    /// Reads the file's text and checks it.
    ///
    /// # Errors
    /// Names the field, what was found and what was expected.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("found {} octets, expected at most {MAX_TEXT}", text.len()));
        }
        let mut mesh: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        mesh.check()?;
        takes_effect(text)?;
        mesh.sites.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(mesh)
    }

    /// Returns the file's text, sites in the order of their names. It is indented if it fits so.
    ///
    /// # Errors
    /// Fails if the mesh is not valid or too large.
    pub(super) fn text(&self) -> Result<String, String> {
        self.check()?;
        let mut text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        text.push('\n');
        if text.len() > MAX_TEXT {
            // Whoever wrote the file by a program may have left out the spaces.
            text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        }
        if text.len() > MAX_TEXT {
            return Err(format!("the mesh has {} octets, expected at most {MAX_TEXT}", text.len()));
        }
        takes_effect(text.as_bytes())?;
        Ok(text)
    }

    /// Returns a site by its name.
    pub(super) fn site(&self, name: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.name == name)
    }

    /// Returns the names of all sites.
    pub(super) fn site_names(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().map(|site| site.name.as_str())
    }

    /// Checks that a site of this name exists, which `what` names in the error.
    pub(super) fn known_site(&self, what: &str, name: &str) -> Result<&Site, String> {
        self.site(name).ok_or_else(|| {
            let names: Vec<_> = self.site_names().collect();
            format!("{what}: found site {name:?}, expected one of {}", names.join(", "))
        })
    }

    /// Checks that a service of this name exists, which `what` names in the error.
    pub(super) fn known_service(&self, what: &str, name: &str) -> Result<(), String> {
        if self.services.iter().any(|service| service.name == name) {
            return Ok(());
        }
        let names: Vec<_> = self.services.iter().map(|service| service.name.as_str()).collect();
        Err(format!("{what}: found service {name:?}, expected one of {}", names.join(", ")))
    }

    fn check(&self) -> Result<(), String> {
        name::mesh("mesh", &self.mesh)?;
        if self.sequence == 0 {
            return Err("sequence: found 0, expected 1 or more".to_owned());
        }
        if let Some(previous) = &self.previous {
            key_hash("previous", previous)?;
        }
        time("not_after", &self.not_after)?;
        self.check_services()?;
        self.check_sites()?;
        self.check_keys()?;
        for (number, link) in self.links.iter().enumerate() {
            self.check_link(&format!("links[{number}]"), link)?;
        }
        for (number, denied) in self.denied_keys.iter().enumerate() {
            let what = format!("denied_keys[{number}]");
            key_hash(&format!("{what}.key"), &denied.key)?;
            denied.reason.as_deref().map_or(Ok(()), |reason| name::reason(&format!("{what}.reason"), reason))?;
            denied.until.as_deref().map_or(Ok(()), |until| time(&format!("{what}.until"), until).map(drop))?;
        }
        Ok(())
    }

    fn check_services(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for service in &self.services {
            name::label("services", &service.name)?;
            if service.port == 0 {
                return Err(format!("services: found port 0 for {}, expected 1 to 65535", service.name));
            }
            if !seen.insert(&service.name) {
                return Err(format!("services: found {} twice, expected each service once", service.name));
            }
        }
        Ok(())
    }

    fn check_sites(&self) -> Result<(), String> {
        let mut domains: Vec<(&str, &str)> = Vec::new();
        for (number, site) in self.sites.iter().enumerate() {
            let what = format!("sites[{number}]");
            name::label(&format!("{what}.name"), &site.name)?;
            if self.sites.iter().take(number).any(|other| other.name == site.name) {
                return Err(format!("{what}.name: found {} again, expected each site once", site.name));
            }
            if site.domains.is_empty() || site.issuers.is_empty() {
                return Err(format!("{what}: found no domain or no issuer for {}, expected one or more", site.name));
            }
            for domain in &site.domains {
                name::domain(&format!("{what}.domains"), domain)?;
                apart(&format!("{what}.domains"), domain, &domains)?;
                domains.push((domain, &site.name));
            }
            for gateway in &site.gateways {
                name::host(&format!("{what}.gateways"), &gateway.host, &site.domains)?;
                if let Some(address) = &gateway.address {
                    name::address(&format!("{what}.gateways"), address)?;
                }
                for (service, port) in gateway.ports.iter().flatten() {
                    self.known_service(&format!("{what}.gateways.ports"), service)?;
                    if *port == 0 {
                        return Err(format!("{what}.gateways.ports: found 0 for {service}, expected 1 to 65535"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that no two CAs share a key.
    fn check_keys(&self) -> Result<(), String> {
        let mut keys: Vec<(KeyHash, String)> = Vec::new();
        for (number, root) in self.roots.iter().enumerate() {
            keys.push((issuer_key(&format!("roots[{number}]"), root)?, "the root".to_owned()));
        }
        for (number, site) in self.sites.iter().enumerate() {
            for issuer in &site.issuers {
                let what = format!("sites[{number}].issuers");
                let key = issuer_key(&what, issuer)?;
                let owner = format!("site {}", site.name);
                if let Some((_, other)) = keys.iter().find(|(known, other)| *known == key && *other != owner) {
                    let name = &site.name;
                    return Err(format!(
                        "{what}: found the key of {other} for {name}, expected a key of its own: {key}"
                    ));
                }
                keys.push((key, owner));
            }
        }
        Ok(())
    }

    fn check_link(&self, what: &str, link: &Link) -> Result<(), String> {
        self.known_service(&format!("{what}.service"), &link.service)?;
        for (field, names) in [("from", &link.from), ("to", &link.to)] {
            if names.is_empty() {
                return Err(format!("{what}.{field}: found no site, expected one or more"));
            }
            for name in names.iter().filter(|name| *name != EVERY) {
                self.known_site(&format!("{what}.{field}"), name)?;
            }
        }
        Ok(())
    }
}

/// Checks that a gateway can read a file: it is stricter than what is checked here by the words of people.
fn takes_effect(text: &[u8]) -> Result<(), String> {
    edgetrust_core::mesh::Mesh::parse(text).map(drop).map_err(|error| error.to_string())
}

/// Checks that a domain shares no name with those of other sites.
pub(super) fn apart(what: &str, domain: &str, others: &[(&str, &str)]) -> Result<(), String> {
    match others.iter().find(|(other, _)| name::overlap(domain, other)) {
        Some((other, site)) => Err(format!(
            "{what}: found {domain:?}, expected a domain that shares no name with {other:?} of site {site}"
        )),
        None => Ok(()),
    }
}

/// Returns the key of an issuer: of a certificate, or the hash itself.
pub(super) fn issuer_key(what: &str, issuer: &str) -> Result<KeyHash, String> {
    if issuer.starts_with("sha256:") {
        return key_hash(what, issuer);
    }
    let der = certificate(what, issuer)?;
    let certificate = Certificate::from_der(&der).map_err(|error| format!("{what}: {error}"))?;
    Ok(KeyHash::of(&certificate.subject_public_key_info()))
}

/// Returns what is signed of a text: the text itself, or, if it is large, the same mesh with the hashes of the CAs' keys for
/// their certificates. Rules are bound to keys, and gateways send the certificates of their CAs.
///
/// # Errors
/// Fails if the mesh is not valid.
pub(super) fn published(text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if text.len() <= MAX_WHOLE {
        return Ok(Cow::Borrowed(text));
    }
    let mut mesh = Mesh::parse(text)?;
    for issuers in mesh.sites.iter_mut().map(|site| &mut site.issuers) {
        for issuer in issuers.iter_mut() {
            *issuer = issuer_key("issuers", issuer)?.to_string();
        }
        issuers.dedup();
    }
    serde_json::to_vec(&mesh).map(Cow::Owned).map_err(|error| error.to_string())
}

/// Returns whether an issuer or a root has a key.
pub(super) fn is_of(issuer: &str, key: &KeyHash) -> bool {
    issuer_key("", issuer).is_ok_and(|known| known == *key)
}

/// Returns the DER of a certificate in base64.
pub(super) fn certificate(what: &str, text: &str) -> Result<Vec<u8>, String> {
    BASE64_STANDARD.decode(text).map_err(|_| format!("{what}: found no base64, expected a certificate in base64"))
}

/// Returns a certificate in base64.
pub(super) fn base64(der: &[u8]) -> String {
    BASE64_STANDARD.encode(der)
}

/// Reads the hash of a key.
pub(super) fn key_hash(what: &str, text: &str) -> Result<KeyHash, String> {
    let expected = || format!("{what}: found {text:?}, expected sha256: and 64 hexadecimal digits");
    KeyHash::parse(text).ok_or_else(expected)
}

/// Reads a time (RFC 3339), or the beginning of a day.
pub(super) fn time(what: &str, text: &str) -> Result<UnixTime, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let seconds = whole.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_second()).ok());
    let seconds = seconds
        .ok_or_else(|| format!("{what}: found {text:?}, expected a time as 2027-06-01T00:00:00Z or 2027-06-01"))?;
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

/// Returns a time as the file has it.
pub(super) fn shown(time: UnixTime) -> String {
    Utc(time).to_string()
}

/// Returns the digest that `previous` has, of a file's octets.
pub(super) fn digest(text: &[u8]) -> String {
    KeyHash::new(Sha256::digest(text).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::certificate::{Root, Uris};
    use super::super::key;
    use super::*;
    use crate::clock;

    fn site(name: &str, domain: &str, issuer: u8) -> Site {
        Site {
            name: name.to_owned(),
            domains: vec![domain.to_owned()],
            issuers: vec![KeyHash::new([issuer; 32]).to_string()],
            gateways: vec![Gateway { host: format!("gateway.{domain}"), address: None, ports: None }],
        }
    }

    fn mesh() -> Mesh {
        let root = Root::make("Example Mesh", key::generate().unwrap(), clock::now()).unwrap();
        Mesh {
            mesh: "Example Mesh".to_owned(),
            sequence: 1,
            previous: None,
            not_after: "2027-06-01T00:00:00Z".to_owned(),
            roots: vec![base64(root.certificate())],
            sites: vec![site("b", "b.example", 2), site("a", "a.example", 1)],
            services: vec![Service { name: "feed".to_owned(), port: 8443 }],
            links: vec![Link { service: "feed".to_owned(), from: vec![EVERY.to_owned()], to: vec!["b".to_owned()] }],
            denied_keys: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = mesh().text().unwrap();
        let read = Mesh::parse(text.as_bytes()).unwrap();
        assert_eq!(read.site_names().collect::<Vec<_>>(), ["a", "b"]);
        assert!(!text.contains('\\'), "{text}");
    }

    #[test]
    fn a_mesh_that_fits_only_without_indentation_is_written_so() {
        let mut mesh = mesh();
        let link = || Link { service: "feed".to_owned(), from: vec!["a".to_owned()], to: vec!["b".to_owned()] };
        mesh.links = (0..10_000).map(|_| link()).collect();
        let indented = serde_json::to_string_pretty(&mesh).unwrap();
        assert!(indented.len() > MAX_TEXT, "{}", indented.len());
        let text = mesh.text().unwrap();
        assert!(text.len() <= MAX_TEXT && !text.contains('\n'), "{}", text.len());
        assert_eq!(Mesh::parse(text.as_bytes()).unwrap().links.len(), mesh.links.len());
        mesh.links = (0..40_000).map(|_| link()).collect();
        let length = serde_json::to_string(&mesh).unwrap().len();
        let expected = format!("the mesh has {length} octets, expected at most {MAX_TEXT}");
        assert_eq!(mesh.text().unwrap_err(), expected);
    }

    #[test]
    fn a_large_mesh_is_signed_without_the_certificates_of_its_cas() {
        let now = crate::clock::now();
        let root = Root::make("Mesh", crate::federation::key::generate().unwrap(), now).unwrap();
        let key = crate::federation::key::generate().unwrap();
        let authority = base64(&root.site("Mesh", ("a", "a.example"), Uris::None, &key, now).unwrap());
        let key = issuer_key("", &authority).unwrap();
        let mut mesh = mesh();
        mesh.sites[0].issuers = vec![authority];
        let text = mesh.text().unwrap();
        assert_eq!(published(text.as_bytes()).unwrap(), text.as_bytes());
        let link = || Link { service: "feed".to_owned(), from: vec!["a".to_owned()], to: vec!["b".to_owned()] };
        mesh.links = (0..8_000).map(|_| link()).collect();
        let text = mesh.text().unwrap();
        let published = published(text.as_bytes()).unwrap();
        mesh.sites[0].issuers = vec![key.to_string()];
        mesh.sites.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(Mesh::parse(&published).unwrap() == mesh, "it differs in more than the issuers");
    }

    #[test]
    fn each_fault_is_named() {
        let fault = |change: fn(&mut Mesh)| {
            let mut mesh = mesh();
            change(&mut mesh);
            mesh.text().unwrap_err()
        };
        for (found, expected) in [
            (fault(|mesh| mesh.sites[0].name = "A".to_owned()), "sites[0].name: found \"A\""),
            (fault(|mesh| mesh.sites[0].name = "a".to_owned()), "sites[1].name: found a again"),
            (
                fault(|mesh| mesh.sites[1].domains[0] = "x.b.example".to_owned()),
                "sites[1].domains: found \"x.b.example\"",
            ),
            (
                fault(|mesh| mesh.sites[1].issuers = mesh.sites[0].issuers.clone()),
                "sites[1].issuers: found the key of site b for a",
            ),
            (
                fault(|mesh| mesh.sites[1].gateways[0].host = "gateway.b.example".to_owned()),
                "expected a host name below a.example",
            ),
            (
                fault(|mesh| mesh.links[0].service = "nats".to_owned()),
                "links[0].service: found service \"nats\", expected one of feed",
            ),
            (
                fault(|mesh| mesh.links[0].to = vec!["c".to_owned()]),
                "links[0].to: found site \"c\", expected one of b, a",
            ),
            (fault(|mesh| mesh.not_after = "soon".to_owned()), "not_after: found \"soon\""),
            (fault(|mesh| mesh.previous = Some("sha256:1".to_owned())), "previous: found \"sha256:1\""),
            (fault(|mesh| mesh.roots = vec!["?".to_owned()]), "roots[0]: found no base64"),
        ] {
            assert!(found.contains(expected), "{found}");
        }
        let error = Mesh::parse(b"{\"mesh\": \"x\", \"secuence\": 1}").unwrap_err();
        assert!(error.contains("secuence"), "{error}");
    }

    #[test]
    fn times_have_one_form() {
        let day = time("--until", "2027-06-01").unwrap();
        assert_eq!(shown(day), "2027-06-01T00:00:00Z");
        assert_eq!(shown(time("--until", "2027-06-01T02:00:00+02:00").unwrap()), "2027-06-01T00:00:00Z");
        for found in ["", "2027", "2027-13-01", "1969-01-01", "2027-06-01T00:00:00"] {
            assert!(time("--until", found).is_err(), "{found}");
        }
    }
}
