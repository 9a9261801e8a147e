//! Puts together all that is found of a mesh: of its text, and of the folder where it is made.

use std::path::Path;
use std::time::Duration;

use edgetrust_core::mesh::Mesh;
use edgetrust_core::path::{PathError, PathErrorKind};
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::UnixTime;
use serde::Serialize;

use super::authorities::{self, Impersonation, Unverifiable};
use super::configurations::{Said, configurations};
use super::expiries::{Expiry, expiries};
use super::index::Index;
use super::leaf::Assumption;
use super::links::{Known, Link};
use super::paths::{Judged, Leaf, Material};
use super::reasons;
use crate::federation::folder;
use crate::federation::layout::MESH;
use crate::federation::mesh;
use crate::federation::progress::{self, Progress};
use crate::federation::tree::{self, Signer};

/// The most ordered pairs of sites, for all services, that are judged although nobody wants them.
const MOST_PAIRS: usize = 4_096;

/// All findings about a mesh.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) mesh: String,
    pub(crate) sequence: u64,
    pub(crate) links: Vec<Link>,
    pub(crate) impersonations: Vec<Impersonation>,
    /// The earliest first.
    pub(crate) expiries: Vec<Expiry>,
    pub(crate) warnings: Vec<String>,
    /// The changes of keys that are under way.
    pub(crate) changes: Vec<Progress>,
    /// Findings that may be intended.
    pub(crate) notes: Vec<String>,
    #[serde(skip)]
    pub(crate) sites: Vec<String>,
    #[serde(skip)]
    pub(crate) unverifiable: Vec<Unverifiable>,
}

/// Judges the mesh of a folder.
///
/// # Errors
/// Fails if there is no mesh, or a file cannot be read.
pub(super) fn of_folder(path: &Path, min_left: Duration, now: UnixTime) -> Result<Report, String> {
    let (edited, text) = folder::mesh(path)?;
    let signed = folder::signed(path, now)?;
    let file = path.join(MESH);
    let mut report = of_text(&text, Some(path), tree::signer(path)?, min_left, now)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let Said { warnings: of_files, notes } = configurations(path, &edited)?;
    report.warnings.extend(progress::in_use_and_denied(&edited, progress::all(&edited), now)?);
    report.warnings.extend(of_files);
    report.warnings.extend(tree::of_place(path, edited.site_names(), &signed));
    report.changes = progress::under_way(path, &edited, now)?;
    report.notes.splice(0..0, notes);
    Ok(report)
}

/// Judges what follows from the text of a mesh and its signer alone. A folder has the certificates that the mesh names
/// by their keys.
pub(super) fn of_text(
    text: &[u8],
    folder: Option<&Path>,
    signer: Option<Signer>,
    min_left: Duration,
    now: UnixTime,
) -> Result<Report, String> {
    let mesh = Mesh::parse(text).map_err(|error| error.to_string())?;
    let signer_end = signer.as_ref().map(|signer| mesh::time("not_after", &signer.not_after)).transpose()?;
    let index = Index::new(&mesh, folder);
    let assumption = Assumption::new()?;
    let algorithms = assumption.algorithms();
    let material = Material::new(&index, &algorithms, now);
    let leafs = Leaf::of_sites(&index, &assumption);
    let judged = Judged::of_sites(&leafs, &material);
    let links = Known { index: &index, judged: &judged, now }.links(MOST_PAIRS);

    let signer_key = signer.as_ref().and_then(|signer| KeyHash::parse(&signer.key));
    let denied_signer = signer_key.filter(|key| index.denial(key, now).is_some());
    let generation = signer.as_ref().filter(|_| denied_signer.is_none()).map(|signer| signer.generation);
    let (impersonations, strange) = authorities::impersonations(&index, &material, &assumption, generation, MOST_PAIRS);
    let ends = signer.as_ref().zip(signer_end);
    let expiries = expiries(&index, ends, mesh.not_after(), min_left, now);

    let mut warnings = faults(&index, &judged, now);
    if let Some(key) = denied_signer {
        warnings.push(reasons::denied("the signer", &key, &index, now));
    }
    warnings.extend(strange);
    warnings.extend(authorities::excess(&index));
    warnings.extend(expiries.iter().filter_map(|expiry| expiry.warning(now)));
    Ok(Report {
        mesh: mesh.name().to_owned(),
        sequence: mesh.sequence(),
        sites: index.sites.iter().map(|site| site.name.to_owned()).collect(),
        unverifiable: authorities::unverifiable(&index),
        links,
        impersonations,
        expiries,
        changes: Vec::new(),
        warnings,
        notes: of_denials(&index, signer_key, now).into_iter().collect(),
    })
}

/// Returns what is wrong with the CAs of sites, whether a link needs them or not. That one has ended is said of all ends
/// alike.
fn faults(index: &Index<'_>, judged: &[Vec<Judged<'_>>], now: UnixTime) -> Vec<String> {
    let mut found = Vec::new();
    for (site, leafs) in index.sites.iter().zip(judged) {
        // One gateway is enough to see the faults of a CA itself.
        let first = leafs.first().map(|leaf| leaf.host);
        for leaf in leafs.iter().filter(|leaf| Some(leaf.host) == first) {
            match &leaf.client {
                Some(Ok(_)) => {}
                Some(Err(PathError { depth: 1, kind: PathErrorKind::Expired { .. } })) => {}
                Some(Err(error)) => found.push(reasons::of_path(error, site, leaf.issuer, index, now)),
                None => found.push(reasons::not_judged(site, leaf.issuer)),
            }
        }
    }
    found
}

/// Says of how many denied keys nothing here is known: those of gateways, and of CAs that are gone.
fn of_denials(index: &Index<'_>, signer: Option<KeyHash>, now: UnixTime) -> Option<String> {
    let roots = index.roots.iter().filter_map(|root| Certificate::from_der(root).ok());
    let roots: Vec<KeyHash> = roots.map(|root| KeyHash::of(&root.subject_public_key_info())).collect();
    let is_known = |key: &KeyHash| {
        roots.contains(key) || signer == Some(*key) || index.sites.iter().any(|site| site.keys.contains(key))
    };
    let others = index.denied.iter().filter(|denied| denied.key.holds(now) && !is_known(&denied.key.key)).count();
    (others > 0).then(|| {
        format!("{others} of the denied keys are none of these CAs: certificates of gateways with them are refused")
    })
}
