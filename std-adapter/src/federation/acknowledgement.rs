//! Tells which gateways have the mesh in force that is signed in a folder, and certificates of which CA they show.
//!
//! A gateway speaks of itself over its control channel, or by a file with its `/status`. Both are believed in no more
//! than this: a gateway that lies harms itself.

use std::collections::BTreeSet;
use std::path::Path;

use edgetrust_core::mesh::{Digest, Edition};
use edgetrust_core::path::DeniedKey;
use edgetrust_core::x509::KeyHash;
use pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::folder::{self, Signed};
use super::layout::SIGNED;
use super::links::pairs;
use super::mesh::{self, Mesh};
use super::place::look;
use super::site;

/// The gateways of a mesh, and what is known of it to ask them.
pub(crate) struct Inquiry {
    /// The edition that is signed in the folder.
    pub(crate) edition: Edition,
    pub(crate) gateways: Vec<Member>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) denied: Vec<DeniedKey>,
    name: String,
}

/// A gateway of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) site: String,
    pub(crate) host: String,
    /// The place to which tunnels of services lead: an address or its host name, and the ports.
    pub(crate) place: String,
    pub(crate) ports: Vec<u16>,
    /// The keys of its site's CAs.
    pub(crate) issuers: Vec<KeyHash>,
    /// The certificates of these CAs, as far as the mesh has them.
    pub(crate) known: Vec<CertificateDer<'static>>,
    /// That of the CA in use, if the mesh has it.
    pub(crate) in_use: Option<CertificateDer<'static>>,
}

/// The statement of a gateway about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// The mesh that it has in force.
    pub(crate) edition: Edition,
    /// Digests of the certificates above those that it shows.
    pub(crate) above: BTreeSet<[u8; 32]>,
}

/// A gateway, and whether it has acknowledged the mesh.
#[derive(Debug, Serialize)]
pub(crate) struct Acknowledgement {
    pub(crate) site: String,
    pub(crate) host: String,
    /// True if it has the mesh in force.
    pub(crate) acknowledged: bool,
    /// True if all certificates that it shows are of the CA in use, false if one is not.
    pub(crate) shows_ca_in_use: Option<bool>,
    pub(crate) what: String,
}

/// Returns what is to be asked for the mesh of a folder.
///
/// # Errors
/// Fails if the mesh is not signed as it is.
pub(crate) fn inquiry(path: &Path, now: UnixTime) -> Result<Inquiry, String> {
    let (mesh, text) = folder::mesh(path)?;
    let Signed::By(generation) = folder::signed(path, now)? else {
        let file = path.join(SIGNED);
        return Err(format!(
            "{}: is not mesh.json as it is, which no gateway can have then: run edgetrust federation sign-mesh {} first",
            file.display(),
            path.display()
        ));
    };
    let edition = Edition { generation, sequence: mesh.sequence, digest: Digest::of(&mesh::published(&text)?) };
    let denied = edgetrust_core::mesh::Mesh::parse(&text).map_err(|error| error.to_string())?;
    let denied = denied.denied_keys().map(DeniedKey::from).collect();
    let gateways = members(&mesh)?;
    Ok(Inquiry { edition, gateways, roots: mesh.root_certificates(), denied, name: mesh.mesh })
}

fn certificates(issuers: &[String]) -> impl Iterator<Item = CertificateDer<'static>> {
    issuers.iter().filter_map(|issuer| mesh::certificate("issuers", issuer).ok()).map(CertificateDer::from)
}

fn members(mesh: &Mesh) -> Result<Vec<Member>, String> {
    let pairs = pairs(mesh);
    let mut all = Vec::new();
    for entry in &mesh.sites {
        let services: BTreeSet<&str> =
            pairs.iter().filter(|pair| pair.to == entry.name).map(|pair| pair.service.as_str()).collect();
        let keys = entry.issuers.iter().map(|issuer| mesh::issuer_key("issuers", issuer));
        let keys: Vec<KeyHash> = keys.collect::<Result<_, _>>()?;
        for gateway in &entry.gateways {
            all.push(Member {
                site: entry.name.clone(),
                host: gateway.host.clone(),
                place: gateway.address.clone().unwrap_or_else(|| gateway.host.clone()),
                ports: services.iter().map(|service| site::port(mesh, Some(gateway), service)).collect(),
                issuers: keys.clone(),
                known: certificates(&entry.issuers).collect(),
                in_use: entry.issuers.first().and_then(|first| certificates(std::slice::from_ref(first)).next()),
            });
        }
    }
    Ok(all)
}

/// The part of a gateway's `/status` that says something here.
#[derive(Deserialize)]
struct Status {
    mesh: Option<InForce>,
    #[serde(default)]
    tunnels: Vec<Tunnel>,
}

#[derive(Deserialize)]
struct InForce {
    name: String,
    site: String,
    sequence: u64,
    signer_generation: u32,
    digest: String,
}

#[derive(Deserialize)]
struct Tunnel {
    #[serde(default)]
    certificate_issuer: Option<String>,
}

impl Inquiry {
    /// Returns the place of the gateway that a name is for: its host, or its site if that has one gateway.
    ///
    /// # Errors
    /// Fails if there is no such gateway, or the site has several.
    pub(crate) fn named(&self, name: &str) -> Result<usize, String> {
        let mut found = self.gateways.iter().enumerate().filter(|(_, one)| one.host == name || one.site == name);
        match (found.next(), found.next()) {
            (Some((place, _)), None) => Ok(place),
            (Some(_), Some(_)) => {
                Err(format!("--status: found site {name:?}, which has several gateways, expected the host of one"))
            }
            (None, _) => Err(format!("--status: found {name:?}, expected a site of the mesh or the host of a gateway")),
        }
    }

    /// Reads a file with the `/status` of a gateway.
    ///
    /// # Errors
    /// Names the file, and what was found in place of what was expected.
    pub(crate) fn read(&self, place: usize, file: &Path) -> Result<Sighting, String> {
        let at = |what: String| format!("{}: {what}", file.display());
        let text = look(file)?.ok_or_else(|| at("not there, expected the /status of a gateway".to_owned()))?;
        let status: Status =
            serde_json::from_slice(&text).map_err(|error| at(format!("{error}, expected the /status of a gateway")))?;
        let found = status.mesh.ok_or_else(|| at("mesh: found none, expected the mesh in force".to_owned()))?;
        let site = self.gateways.get(place).map(|one| one.site.as_str()).unwrap_or_default();
        if (found.name.as_str(), found.site.as_str()) != (&self.name, site) {
            return Err(at(format!(
                "mesh: found site {:?} of mesh {:?}, expected site {site:?} of mesh {:?}",
                found.site, found.name, self.name
            )));
        }
        let digest = |field: &str, text: &str| {
            Digest::parse(text).ok_or_else(|| at(format!("{field}: found {text:?}, expected sha256: and 64 digits")))
        };
        let above = status.tunnels.iter().filter_map(|tunnel| tunnel.certificate_issuer.as_deref());
        let above = above.map(|text| digest("tunnels.certificate_issuer", text).map(|digest| *digest.octets()));
        let edition = Edition {
            generation: found.signer_generation,
            sequence: found.sequence,
            digest: digest("mesh.digest", &found.digest)?,
        };
        Ok(Sighting { edition, above: above.collect::<Result<_, _>>()? })
    }

    /// Judges what gateways have said, in their order; none for one that could not be asked, for the reason given.
    pub(crate) fn judge(&self, heard: &[Result<Sighting, String>]) -> Vec<Acknowledgement> {
        self.gateways.iter().zip(heard).map(|(member, heard)| self.judged(member, heard)).collect()
    }

    fn judged(&self, member: &Member, heard: &Result<Sighting, String>) -> Acknowledgement {
        let (site, host) = (member.site.clone(), member.host.clone());
        let Sighting { edition, above } = match heard {
            Ok(sighting) => sighting,
            Err(reason) => {
                let what = reason.clone();
                return Acknowledgement { site, host, acknowledged: false, shows_ca_in_use: None, what };
            }
        };
        let acknowledged = *edition == self.edition;
        let rank = |edition: &Edition| (edition.generation, edition.sequence);
        let mut what = match (acknowledged, rank(edition).cmp(&rank(&self.edition))) {
            (true, _) => format!("has {edition} in force"),
            (false, std::cmp::Ordering::Less) => format!("has {edition} in force, expected {}", self.edition),
            (false, std::cmp::Ordering::Equal) => {
                format!("has another mesh in force that is signed as {edition}: make a change that has both")
            }
            (false, std::cmp::Ordering::Greater) => {
                format!("has {edition} in force, and here is {}: this folder is not the newest", self.edition)
            }
        };
        let in_use = member.in_use.as_ref().filter(|_| !above.is_empty()).map(|one| Digest::of(one));
        let shows = in_use.map(|in_use| above.iter().all(|one| one == in_use.octets()));
        what.push_str(match shows {
            Some(true) => "; shows a certificate of the CA in use",
            Some(false) => "; shows a certificate of another CA than the one in use",
            None => "; does not say of which CA its certificate is, or the mesh does not have that CA",
        });
        Acknowledgement { site, host, acknowledged, shows_ca_in_use: shows, what }
    }
}
