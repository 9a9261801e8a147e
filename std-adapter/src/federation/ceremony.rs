//! A site whose CA's key never travels: the request is made at the site, and the certificate comes back.

use std::path::{Path, PathBuf};

use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};

use super::certificate::{first_certificate, issued_by, key_hash, pem};
use super::changing;
use super::folder::lock;
use super::key::{self, Password};
use super::layout::{MESH, PASSWORDS, SIGNED, SITES, site_password, unfinished};
use super::mesh::Mesh;
use super::place::{PUBLIC, PUBLIC_FOLDER, SECRET, SECRET_FOLDER, look, make, move_to, remove_all, replace};
use super::{name, requested, signature, site};
use crate::pem;

/// The name of a request in the folder of its site.
const REQUEST: &str = "ca.csr";

/// A request that was made.
pub(crate) struct Requested {
    pub(crate) request: PathBuf,
    pub(crate) key: KeyHash,
}

/// A certificate that was put beside its key.
pub(crate) struct Installed {
    pub(crate) folder: PathBuf,
    /// The keys of the roots that came along, to be compared with what the root's holder says.
    pub(crate) roots: Vec<KeyHash>,
}

/// Makes the key of a site's CA, its password, and a request.
///
/// # Errors
/// Fails if the folder is that of a mesh, or has this site already.
pub(crate) fn request(folder: &Path, site: &str) -> Result<Requested, String> {
    name::label("SITE", site)?;
    let (there, staged) = (folder.join(SITES).join(site), folder.join(SITES).join(unfinished(site)));
    let free = || {
        let password = folder.join(PASSWORDS).join(site_password(site));
        for (path, what, counts) in [
            (folder.join(MESH), "is the folder of a mesh", true),
            (there.clone(), "exists already", true),
            // A key that is elsewhere now may have this password, unless a request was interrupted.
            (password, "exists already", staged.symlink_metadata().is_err()),
        ] {
            if counts && path.symlink_metadata().is_ok() {
                return Err(format!("{}: {what}, expected a folder of the site's own", path.display()));
            }
        }
        Ok(())
    };
    free()?;
    make(folder, SECRET_FOLDER)?;
    let _lock = lock(folder)?;
    // Another command may have been here before the lock.
    free()?;
    let (sites, passwords) = (folder.join(SITES), folder.join(PASSWORDS));
    for (folder, mode) in [(&sites, PUBLIC_FOLDER), (&passwords, SECRET_FOLDER)] {
        make(folder, mode)?;
    }
    let (key, password) = (key::generate()?, Password::random()?);
    remove_all(&staged)?;
    make(&staged, PUBLIC_FOLDER)?;
    replace(&staged.join("ca.key"), key::encrypt(&key, &password)?.as_bytes(), SECRET)?;
    replace(&staged.join(REQUEST), requested::write(site, &key)?.as_bytes(), PUBLIC)?;
    // Without the folder nothing has this password: a command that is run again writes another.
    replace(&passwords.join(site_password(site)), password.file().as_bytes(), SECRET)?;
    move_to(&staged, &there)?;
    let request = there.join(REQUEST);
    let spki = requested::key_of(&request)?;
    Ok(Requested { key: key::hash_of(&spki), request })
}

/// Puts the certificate of a site's CA beside its key, with the root's certificate and the signed mesh that lie beside
/// it. All other files are made here: whoever carries the folder must not choose what runs at the site.
///
/// # Errors
/// Fails if the certificate is for another key or by another root than the one beside it, if this root does not prove the
/// mesh beside it or that mesh does not have the certificate, or if another certificate is there already and the root
/// beside that one does not prove the mesh.
pub(crate) fn install(folder: &Path, file: &Path, now: UnixTime) -> Result<Installed, String> {
    let at = |error: String| format!("{}: {error}", file.display());
    let certificate = first_certificate(file)?;
    let parsed = Certificate::from_der(&certificate).map_err(|error| at(error.to_string()))?;
    let from = file.parent().unwrap_or(Path::new("."));
    let beside = from.join("root.pem");
    let roots = pem::read_certificates(&beside).map_err(|error| error.to_string())?;
    let is_issuer = |root: &CertificateDer<'_>| Certificate::from_der(root).is_ok_and(|root| issued_by(&parsed, &root));
    if !roots.iter().any(is_issuer) {
        let issuer = parsed.issuer();
        return Err(at(format!("found a certificate by {issuer}, expected one by the root.pem beside it")));
    }
    let signed = from.join(SIGNED);
    let text = look(&signed)?.ok_or_else(|| at(format!("found no {SIGNED} beside it: sign-mesh makes it")))?;
    let mesh = signature::verify(&text, &roots, now);
    let mesh = mesh.and_then(|mesh| Mesh::parse(&mesh)).map_err(|error| format!("{}: {error}", signed.display()))?;
    let spki = parsed.subject_public_key_info();
    let key = key::hash_of(spki.der);
    let site = mesh.sites.iter().find(|site| {
        site.issuers.iter().any(|issuer| super::mesh::issuer_key("issuers", issuer).is_ok_and(|known| known == key))
    });
    let site = site.ok_or_else(|| at(format!("found key {key}, which no site of the mesh beside it has")))?;
    let there = folder.join(SITES).join(&site.name);
    if requested::key_of(&there.join(REQUEST))? != spki.der {
        return Err(at(format!("found key {key}, expected that of {}", there.join(REQUEST).display())));
    }
    let ca_pem: String = changing::chain(&mesh, &certificate)?.iter().map(pem).collect();
    let root_pem = changing::bundle(&mesh);
    let mut keys: Vec<KeyHash> = roots.iter().map(key_hash).collect::<Result<_, _>>()?;
    keys.dedup();
    let installed = Installed { folder: there.clone(), roots: keys };
    let present = there.join("ca.pem");
    let _lock = lock(folder)?;
    if present.exists() && first_certificate(&present)? != certificate {
        // Another certificate for the same key, as after a rollover of the root: what is here proves what comes.
        let held = pem::read_certificates(&there.join("root.pem")).unwrap_or_default();
        signature::verify(&text, &held, now).map_err(|error| {
            format!(
                "{}: exists already, expected no other certificate there, or one of a mesh that {} proves: {error}",
                present.display(),
                there.join("root.pem").display()
            )
        })?;
        for (name, text) in
            [(SIGNED, text.as_slice()), ("root.pem", root_pem.as_bytes()), ("ca.pem", ca_pem.as_bytes())]
        {
            replace(&there.join(name), text, PUBLIC)?;
        }
        return Ok(installed);
    }
    replace(&there.join(SIGNED), &text, PUBLIC)?;
    let authority = site::Authority { root_pem: &root_pem, ca_pem: &ca_pem, key_pem: None };
    site::write(&there, &mesh, site, &authority)?;
    Ok(installed)
}
