//! A new root: the root that comes, and what it certifies when it is put in use. `key_change` has the steps.
//!
//! | step | `roots` of `mesh.json` | signer and CAs of sites are certified by |
//! |---|---|---|
//! | `start` | the root in use, the next one, the next one's certificate by the root in use | the root in use |
//! | `commit` | the next one, its certificate by the one before, the one before | the next root |
//! | `finish` | the next one, its certificate by the one before | the next root |
//!
//! The certificate by the one before stays: by it come gateways that were off all the time, and whoever holds the one
//! before alone.

use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};

use super::certificate::{Root, first_certificate, issued_by, key_hash};
use super::change::Change;
use super::changing::NextKey;
use super::edit::{Edit, NewSigner};
use super::folder::{Folder, Passwords};
use super::key::{self, Password};
use super::layout::{ROOT, SIGNER, SITES, key_file};
use super::mesh::{self, Mesh};
use super::requested::RequestedKey;
use super::root_key::RootKey;
use super::stage::{Stage, Whose, unrecorded};
use super::step::Step;

/// Makes the next root, which counts from then on beside the one in use, with a key in a token or a new one. Opens the
/// root's key.
///
/// # Errors
/// Fails if the root's key cannot be opened.
pub(crate) fn start(
    folder: &Folder,
    (chosen, in_token): (Option<&Password>, Option<RootKey>),
    passwords: &Passwords<'_>,
    now: UnixTime,
) -> Result<Step<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    match Stage::of(folder.path(), &edit.before, Whose::Root)? {
        Stage::Settled => {}
        Stage::Started { .. } | Stage::Committed { .. } => return Ok(Step::of(edit.worked_out()?)),
        Stage::Unrecorded { present, other, fault } => {
            return Err(unrecorded(folder.path(), Whose::Root, (&present, &other), &fault));
        }
    }
    let root = folder.root(passwords)?;
    let generated = if chosen.is_none() && in_token.is_none() { Some(Password::random()?) } else { None };
    let new = in_token.map_or_else(|| key::generate().map(RootKey::from), Ok)?;
    let encrypted = new.file(chosen.or(generated.as_ref()))?;
    let next = root.next(&edit.before.mesh, new, now)?;
    let cross = root.cross(&next, now)?;
    let key = key_hash(next.certificate())?;
    edit.after.roots.extend([next.certificate(), &cross].map(|one| mesh::base64(one)));
    edit.changes.push(Change::of_all(format!("certificates under the next root are accepted too, with the key {key}")));
    edit.next = Some(NextKey { whose: Whose::Root, key, encrypted: Some(encrypted), password: generated });
    Ok(Step::of(edit.worked_out()?))
}

/// Puts another root that the mesh has in use: it certifies a signer of the next generation and the keys of all sites'
/// CAs. Opens its key.
///
/// # Errors
/// Fails if the key cannot be opened, or the hash of a CA's key stands in the mesh for its certificate.
pub(super) fn put_in_use<'a>(
    mut edit: Edit<'a>,
    folder: &Folder,
    comes: &KeyHash,
    passwords: &Passwords<'_>,
    now: UnixTime,
) -> Result<Edit<'a>, String> {
    let root = opened(folder, &edit.before, comes, passwords)?;
    for site in &mut edit.after.sites {
        for issuer in &mut site.issuers {
            if issuer.starts_with("sha256:") {
                return Err(format!(
                    "mesh.json: found the hash alone of the CA of site {}, expected its certificate in issuers, as {} has \
                     it",
                    site.name,
                    folder.path().join(SITES).join(&site.name).join("ca.pem").display()
                ));
            }
            let present = CertificateDer::from(mesh::certificate("issuers", issuer)?);
            let parsed = Certificate::from_der(&present).map_err(|error| error.to_string())?;
            let key = RequestedKey::of(&parsed.subject_public_key_info());
            let key = key.map_err(|error| format!("issuers of site {}: {error}", site.name))?;
            *issuer = mesh::base64(&root.site_again(&present, &key, now)?);
        }
    }
    edit.after.roots.sort_by_key(|one| !mesh::is_of(one, comes));
    edit.changes
        .push(Change::of_all(format!("the root {comes} is in use: it certifies the signer and the CAs of all sites")));
    let file = folder.path().join(SIGNER[0]);
    let signer = if file.exists() { Some(first_certificate(&file)?) } else { None };
    let is_by_root = |signer: &CertificateDer<'_>| {
        Certificate::from_der(signer).is_ok_and(|signer| is_by(&signer, &edit.before, comes))
    };
    if !signer.as_ref().is_some_and(is_by_root) {
        edit.signer = Some(NewSigner::make(folder, &root, &edit.before.mesh, now)?);
    }
    Ok(edit)
}

/// Returns whether a root of a mesh with this key has issued a certificate.
pub(super) fn is_by(certificate: &Certificate<'_>, mesh: &Mesh, key: &KeyHash) -> bool {
    let roots = mesh.root_certificates();
    let root = roots.iter().find(|root| is_self_issued(root, key));
    root.is_some_and(|root| Certificate::from_der(root).is_ok_and(|root| issued_by(certificate, &root)))
}

/// Opens a root that is not in use, whose key lies in `changing/`.
fn opened(folder: &Folder, mesh: &Mesh, wanted: &KeyHash, passwords: &Passwords<'_>) -> Result<Root, String> {
    let mut file = Whose::Root.folder(folder.path()).join(key_file(wanted));
    let [in_place, key] = ROOT.map(|name| folder.path().join(name));
    // Somebody may have put it in its place already.
    if !file.exists() && in_place.exists() && key_hash(&first_certificate(&in_place)?)? == *wanted {
        file = key;
    }
    if !file.exists() {
        return Err(format!(
            "{}: not here, expected the key of the root {wanted}, which comes into use: bring it back",
            file.display()
        ));
    }
    let certificate = mesh.root_certificates().into_iter().find(|root| is_self_issued(root, wanted));
    let certificate = certificate.ok_or_else(|| format!("mesh.json: found no certificate of the root {wanted}"))?;
    folder.root_of(certificate, &file, passwords)
}

fn is_self_issued(root: &CertificateDer<'_>, key: &KeyHash) -> bool {
    let own = |parsed: Certificate<'_>| parsed.subject() == parsed.issuer();
    key_hash(root).is_ok_and(|found| found == *key) && Certificate::from_der(root).is_ok_and(own)
}
