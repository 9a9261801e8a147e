//! Collects the gateway's own names. No device gets a certificate for one, with which it could impersonate the
//! gateway.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use edgetrust_core::config::{Acme, CredentialSource, Est, Files, Gateway, Paths, Server, TunnelKind};
use edgetrust_core::identity::common_name;
use edgetrust_core::x509::{Certificate, GeneralName, Name};

use crate::gateway::{PlanError, Watched, certificates};

/// The names of a gateway: those of the certificates that it presents or orders, and those that select a tunnel. They
/// are in lower case, and addresses in canonical form.
#[derive(Clone, Debug, Default)]
pub struct OwnNames(BTreeSet<String>);

impl OwnNames {
    /// Reads the certificates that tunnels and the EST server present, each noted in `watched` first.
    pub(super) fn read(gateway: &Gateway<'_>, est: &Est<'_>, watched: &mut Watched) -> Result<Self, PlanError> {
        let mut names = Self::default();
        names.add_credential(&est.tls.credential, watched)?;
        for tunnel in &gateway.tunnels {
            match &tunnel.kind {
                TunnelKind::Server { tls, sni, .. } => {
                    if let Server::Tls(tls) | Server::MutualTls(tls, _) = tls {
                        names.add_credential(&tls.credential, watched)?;
                    }
                    names.add_all(sni);
                }
                TunnelKind::Client { tls, .. } => {
                    if let Some(credential) = &tls.credential {
                        names.add_credential(credential, watched)?;
                    }
                }
            }
        }
        Ok(names)
    }

    pub(super) fn add_all(&mut self, names: &[&str]) {
        self.0.extend(names.iter().map(|name| normal(name)));
    }

    fn add_credential(&mut self, source: &CredentialSource<'_>, watched: &mut Watched) -> Result<(), PlanError> {
        let mut of_acme = |acme: &Acme<'_>| self.add_all(&acme.domains);
        let files = match source {
            CredentialSource::Acme(acme) => {
                of_acme(acme);
                return Ok(());
            }
            CredentialSource::AcmeWithFallback(acme, files) => {
                of_acme(acme);
                files
            }
            CredentialSource::Files(files) => files,
        };
        self.add_files(files, watched)
    }

    fn add_files(&mut self, files: &Files<'_>, watched: &mut Watched) -> Result<(), PlanError> {
        let mut paths = Paths::new();
        // The list is empty, so it has room for one.
        let _ = paths.push(files.cert_file);
        let chain = certificates(&paths, watched)?;
        let Some(leaf) = chain.first().and_then(|leaf| Certificate::from_der(leaf).ok()) else { return Ok(()) };
        self.0.extend(text_of(&leaf.subject()));
        for name in leaf.extensions().subject_alt_name.into_iter().flatten() {
            self.0.extend(match name {
                GeneralName::Dns(name) => Some(normal(name)),
                GeneralName::Ip(octets) => address(octets),
                _ => None,
            });
        }
        Ok(())
    }

    /// Returns the gateway's name that a certificate for `name` would be valid for; a wildcard covers several.
    pub(super) fn covered_by(&self, name: &str) -> Option<&str> {
        let name = normal(name);
        let covers = |own: &String| {
            *own == name
                || name.strip_prefix("*.").is_some_and(|base| own.split_once('.').is_some_and(|(_, rest)| rest == base))
        };
        self.0.iter().find(|own| covers(own)).map(String::as_str)
    }
}

/// Returns a name in lower case without the root's dot, and an address in canonical form.
fn normal(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.to_ascii_lowercase(),
    }
}

/// Returns a subject's common name in lower case, if there is one.
pub(super) fn text_of(subject: &Name<'_>) -> Option<String> {
    let text: String = common_name(subject).ok()?.chars().filter_map(Result::ok).collect();
    Some(normal(&text)).filter(|text| !text.is_empty())
}

/// Returns the address in an iPAddress (RFC 5280 section 4.2.1.6).
pub(super) fn address(octets: &[u8]) -> Option<String> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
        _ => <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_gateway_is_found_however_it_is_written() {
        let mut own = OwnNames::default();
        own.add_all(&["Gateway.a.example", "*.b.example", "192.0.2.1", "2001:DB8:0::1", "location-a"]);
        for (name, found) in [
            ("gateway.a.example", Some("gateway.a.example")),
            ("GATEWAY.A.example.", Some("gateway.a.example")),
            ("*.a.example", Some("gateway.a.example")),
            ("*.b.example", Some("*.b.example")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("Location-A", Some("location-a")),
            ("sensor-7.a.example", None),
            ("sensor-7.b.example", None),
            ("x.gateway.a.example", None),
            ("*.gateway.a.example", None),
            ("a.example", None),
            ("", None),
        ] {
            assert_eq!(own.covered_by(name), found, "{name}");
        }
    }
}
