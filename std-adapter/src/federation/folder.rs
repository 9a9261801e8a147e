//! The folder of a mesh, and how it changes: `mesh.json` is replaced, and all other files follow.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use pki_types::{CertificateDer, UnixTime};
use rcgen::KeyPair;

use super::certificate::{Root, first_certificate, generation, key_hash};
use super::changing;
use super::key::{self, Password};
use super::layout::{
    MESH, NEW_SIGNER, PASSWORDS, REMOVED, RETIRED, ROOT, ROOT_PASSWORD, SIGNED, SIGNER, SIGNER_BEFORE, SIGNER_FOLDER,
    SIGNER_PASSWORD, SITES, is_unfinished, later_password, signer_password, site_password, unfinished,
};
use super::mesh::{Mesh, published};
use super::name;
use super::place::{PUBLIC, SECRET, SECRET_FOLDER, failed, free, look, make, move_to, names, remove_all, replace};
use super::root_key::RootKey;
use super::signature::{self, Signer, Stated};
use super::site;
use crate::token::KeyUri;

/// The sources of passwords of keys: a file that an option names, the file in `passwords/`, or a person.
pub(crate) struct Passwords<'a> {
    pub(crate) root: Option<&'a Path>,
    pub(crate) signer: Option<&'a Path>,
    /// Asks for the password of this key file; `None` if there is no terminal to ask at.
    pub(crate) ask: &'a dyn Fn(&Path) -> Result<Option<Password>, String>,
}

/// The state of `mesh.signed.json`, compared with `mesh.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    /// It holds it, by a signer of this generation.
    By(u32),
    /// It holds an earlier `mesh.json`, or another signer's signature than the present one's.
    Outdated,
    /// No gateway takes it, for this reason.
    Refused(String),
    /// There is no such file.
    Not,
}

impl Signed {
    /// Returns the word for it in JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::By(_) => "yes",
            Self::Outdated => "outdated",
            Self::Refused(_) => "refused",
            Self::Not => "no",
        }
    }
}

/// A folder of a mesh that no other command changes meanwhile.
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock of the folder, which the system releases however the process ends.
    _lock: File,
}

impl Folder {
    /// Locks the folder, and finishes what an interrupted command has left.
    ///
    /// # Errors
    /// Fails if there is no mesh in the folder, another command uses it, or it cannot be written to.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let folder = Self { path: path.to_owned(), _lock: lock(path)? };
        folder.finish()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the mesh, and the octets of its file.
    pub(super) fn mesh(&self) -> Result<(Mesh, Vec<u8>), String> {
        mesh(&self.path)
    }

    /// Opens the root's key.
    ///
    /// # Errors
    /// Fails if the key is not here, or nothing opens it.
    pub(super) fn root(&self, passwords: &Passwords<'_>) -> Result<Root, String> {
        let [certificate, key] = ROOT.map(|name| self.path.join(name));
        if !key.exists() {
            return Err(not_here(&key));
        }
        let der = first_certificate(&certificate)?;
        let root = self.root_of(der, &key, passwords)?;
        if !self.mesh()?.0.has_root(root.certificate()) {
            return Err(format!("{}: is no root of mesh.json, expected one of its roots", certificate.display()));
        }
        Ok(root)
    }

    /// Opens the key of a root's certificate, which lies in a file.
    ///
    /// # Errors
    /// Fails if the file is not here, nothing opens it, or it has another key.
    pub(super) fn root_of(
        &self,
        certificate: CertificateDer<'static>,
        key: &Path,
        passwords: &Passwords<'_>,
    ) -> Result<Root, String> {
        if !key.exists() {
            return Err(not_here(key));
        }
        if let Some(uri) = look(key)?.as_deref().and_then(KeyUri::in_place_of) {
            let root = RootKey::in_token(uri).and_then(|opened| Root::open(certificate, opened));
            return root.map_err(|error| format!("{}: {error}", key.display()));
        }
        let later = later_password(ROOT_PASSWORD, &key_hash(&certificate)?);
        let name = if self.path.join(PASSWORDS).join(&later).exists() { later } else { ROOT_PASSWORD.to_owned() };
        let opened = self.open_key(key, &name, passwords.root, passwords)?;
        Root::open(certificate, opened).map_err(|error| format!("{}: {error}", key.display()))
    }

    /// Opens a key, whose password an option names, or is kept by a name.
    ///
    /// # Errors
    /// Fails if there is no password, or it does not open the key.
    pub(super) fn open_key(
        &self,
        key: &Path,
        name: &str,
        option: Option<&Path>,
        passwords: &Passwords<'_>,
    ) -> Result<KeyPair, String> {
        let password = self.password(name, option, key, passwords)?.ok_or_else(|| {
            let kept = self.path.join(PASSWORDS).join(name);
            format!(
                "{}: found no password, expected --passphrase-file, {} or a terminal",
                key.display(),
                kept.display()
            )
        })?;
        key::open(key, &password)
    }

    /// Opens the signer's key; `None` if it is not here or there is no password for it.
    ///
    /// # Errors
    /// Fails if the password is wrong or a file cannot be read.
    pub(super) fn signer(&self, passwords: &Passwords<'_>) -> Result<Option<Signer>, String> {
        let [certificate, key] = SIGNER.map(|name| self.path.join(name));
        if !key.exists() {
            return Ok(None);
        }
        // Nothing is signed by a signer whose certificate is lost; `Signed::Refused` says so.
        let Ok(certificate) = first_certificate(&certificate) else { return Ok(None) };
        let kept = signer_password(generation(&certificate).map_err(|error| format!("{}: {error}", SIGNER[0]))?);
        let Some(password) = self.password(&kept, passwords.signer, &key, passwords)? else { return Ok(None) };
        let opened = key::open(&key, &password)?;
        let parsed = edgetrust_core::x509::Certificate::from_der(&certificate).map_err(|error| error.to_string())?;
        key::belongs(&opened, &parsed).map_err(|error| format!("{}: {error}", key.display()))?;
        Ok(Some(Signer { certificate, key: opened }))
    }

    fn password(
        &self,
        name: &str,
        option: Option<&Path>,
        key: &Path,
        passwords: &Passwords<'_>,
    ) -> Result<Option<Password>, String> {
        let kept = self.path.join(PASSWORDS).join(name);
        match option {
            Some(file) => Password::read(file).map(Some),
            None if kept.exists() => Password::read(&kept).map(Some),
            None => (passwords.ask)(key),
        }
    }

    /// Replaces `mesh.json`: from then on the change is made, whatever happens. Then everything follows from it. Returns
    /// what [`Folder::settle`] does.
    pub(super) fn commit(&self, text: &[u8], signed: Option<&str>) -> Result<Vec<PathBuf>, String> {
        replace(&self.path.join(MESH), text, PUBLIC)?;
        if let Some(signed) = signed {
            replace(&self.path.join(SIGNED), signed.as_bytes(), PUBLIC)?;
        }
        self.settle()
    }

    /// Finishes what a command has committed before it was interrupted: sites and a signer without their names.
    /// It changes nothing that only an edit by hand asks for.
    fn finish(&self) -> Result<(), String> {
        let (mesh, _) = self.mesh()?;
        let (sites, passwords) = (self.path.join(SITES), self.path.join(PASSWORDS));
        for site in mesh.site_names() {
            let (there, staged) = (sites.join(site), sites.join(unfinished(site)));
            if !there.exists() && staged.exists() {
                let password = passwords.join(unfinished(&site_password(site)));
                if password.exists() {
                    move_to(&password, &passwords.join(site_password(site)))?;
                }
                move_to(&staged, &there)?;
            }
        }
        changing::finish(&self.path, &mesh)?;
        self.settle_signer()
    }

    /// Makes the folder what `mesh.json` says: finishes what was committed, writes the files of sites that follow from
    /// it, puts away what was removed, and throws away what no `mesh.json` has come to name. Only a command that does
    /// something may call this, since `mesh.json` may have been edited by hand. Returns the configurations of gateways
    /// that lack tunnels, or have more, because people have changed them otherwise too.
    pub(crate) fn settle(&self) -> Result<Vec<PathBuf>, String> {
        self.finish()?;
        let (mesh, text) = self.mesh()?;
        // Gateways know nothing of what is not signed yet.
        let signed = self.stated()?.is_some_and(|stated| published(&text).is_ok_and(|text| *stated.payload == *text));
        let signed = if signed { look(&self.path.join(SIGNED))? } else { None };
        changing::settle_root(&self.path, &mesh)?;
        let mut left = Vec::new();
        for (site, tunnels) in site::Tunnels::of_sites(&mesh) {
            let there = self.path.join(SITES).join(&site.name);
            if !there.exists() {
                continue;
            }
            let tunnels = tunnels?;
            changing::settle_site(&self.path, &mesh, site)?;
            let readme = site::readme(&mesh, site, &tunnels)?.into_bytes();
            for (name, text) in [(SIGNED, signed.as_deref()), (site::README, Some(readme.as_slice()))] {
                let Some(text) = text else { continue };
                if look(&there.join(name))?.as_deref() != Some(text) {
                    replace(&there.join(name), text, PUBLIC)?;
                }
            }
            let gateway = there.join(site::GATEWAY);
            let Some(found) = look(&gateway)? else { continue };
            match site::revise(&String::from_utf8_lossy(&found), site, &tunnels)? {
                site::Revision::Same => {}
                site::Revision::Another(text) => replace(&gateway, text.as_bytes(), PUBLIC)?,
                site::Revision::ByHand => left.push(gateway),
            }
            site::write_nats(&there, &mesh, site)?;
        }
        self.put_away(&mesh)?;
        Ok(left)
    }

    /// Moves the folders of sites that the mesh no longer has to `removed/`, and deletes unfinished ones.
    fn put_away(&self, mesh: &Mesh) -> Result<(), String> {
        let (sites, passwords) = (self.path.join(SITES), self.path.join(PASSWORDS));
        for name in names(&sites)? {
            if is_unfinished(&name) {
                remove_all(&sites.join(&name))?;
            } else if mesh.site(&name).is_none() && is_site(&sites.join(&name)) {
                let removed = self.path.join(REMOVED);
                make(&removed, SECRET_FOLDER)?;
                let after = format!("{name}-{}", mesh.sequence);
                let first = site_password(&name);
                let is_of_site = |password: &&String| **password == first || password.starts_with(&format!("{first}."));
                for password in names(&passwords)?.iter().filter(is_of_site) {
                    move_to(&passwords.join(password), &free(&passwords, &format!("removed-{after}")))?;
                }
                move_to(&sites.join(&name), &free(&removed, &after))?;
            }
        }
        changing::put_away(&self.path, mesh)?;
        let mut unfinished = names(&passwords)?.into_iter().filter(|name| is_unfinished(name));
        unfinished.try_for_each(|name| remove_all(&passwords.join(name)))
    }

    fn settle_signer(&self) -> Result<(), String> {
        let [there, staged] = [SIGNER_FOLDER, NEW_SIGNER].map(|name| self.path.join(name));
        match (there.exists(), staged.exists()) {
            (_, false) => Ok(()),
            // With its certificate all is there.
            (false, true) if staged.join("signer.pem").exists() => move_to(&staged, &there),
            (_, true) => remove_all(&staged),
        }
    }

    /// Puts a new signer in the place of the present one, which is kept in `retired/`.
    pub(super) fn replace_signer(&self, certificate: &str, key: &str, generation: u32) -> Result<(), String> {
        let [there, staged] = [SIGNER_FOLDER, NEW_SIGNER].map(|name| self.path.join(name));
        make(&staged, SECRET_FOLDER)?;
        replace(&staged.join("signer.key"), key.as_bytes(), SECRET)?;
        replace(&staged.join("signer.pem"), certificate.as_bytes(), PUBLIC)?;
        if there.exists() {
            let retired = self.path.join(RETIRED);
            make(&retired, SECRET_FOLDER)?;
            move_to(&there, &free(&retired, &format!("{SIGNER_BEFORE}{generation}")))?;
        }
        self.settle_signer()
    }

    /// Returns the generation of the last signer, 0 if there was none. The signer may be elsewhere, and `mesh.signed.json`
    /// from a backup: so what earlier ones left counts too.
    pub(super) fn last_generation(&self) -> Result<u32, String> {
        let certificate = self.path.join(SIGNER[0]);
        // Of a certificate that cannot be read, the others say the generation.
        let present = first_certificate(&certificate).and_then(|certificate| generation(&certificate)).unwrap_or(0);
        let of = |folder: &str, prefix: &str| -> Result<u32, String> {
            let names = names(&self.path.join(folder))?;
            let digits = names.iter().filter_map(|name| name.strip_prefix(prefix)?.split('-').next()?.parse().ok());
            Ok(digits.max().unwrap_or_default())
        };
        let left = of(PASSWORDS, SIGNER_PASSWORD)?.max(of(RETIRED, SIGNER_BEFORE)?);
        Ok(self.stated()?.map_or(0, |stated| stated.generation).max(present).max(left))
    }

    /// Returns what the signed file says of itself, if there is one.
    pub(super) fn stated(&self) -> Result<Option<Stated>, String> {
        stated(&self.path)
    }

    /// Returns whether the mesh is signed.
    pub(crate) fn signed(&self, now: UnixTime) -> Result<Signed, String> {
        signed(&self.path, now)
    }
}

fn not_here(key: &Path) -> String {
    format!("{}: not here, expected the root's key for this command", key.display())
}

/// Locks a folder, until the file is dropped or the process ends.
pub(super) fn lock(path: &Path) -> Result<File, String> {
    let lock = File::open(path).map_err(failed(path, "opened"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(format!("{}: another command uses it", path.display())),
        Err(TryLockError::Error(error)) => Err(failed(path, "locked")(error)),
    }
}

/// Returns the mesh of a folder, and the octets of its file.
pub(super) fn mesh(path: &Path) -> Result<(Mesh, Vec<u8>), String> {
    let file = path.join(MESH);
    let text = look(&file)?.ok_or_else(|| format!("{}: not there, expected the file of a mesh", file.display()))?;
    let mesh = Mesh::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok((mesh, text))
}

/// Returns whether the mesh of a folder is signed.
pub(super) fn signed(path: &Path, now: UnixTime) -> Result<Signed, String> {
    let file = path.join(SIGNED);
    let Some(signed) = look(&file)? else { return Ok(Signed::Not) };
    let stated = signature::stated(&signed).map_err(|error| format!("{}: {error}", file.display()))?;
    let certificate = path.join(SIGNER[0]);
    let present = match certificate.exists() {
        true => match first_certificate(&certificate).and_then(|certificate| generation(&certificate)) {
            Ok(generation) => Some(generation),
            Err(error) => {
                return Ok(Signed::Refused(format!("{error}; edgetrust federation signer makes another signer")));
            }
        },
        false => None,
    };
    let (mesh, text) = mesh(path)?;
    if *stated.payload != *published(&text)? || present.is_some_and(|present| present != stated.generation) {
        return Ok(Signed::Outdated);
    }
    Ok(match signature::verify(&signed, &mesh.root_certificates(), now) {
        Ok(_) => Signed::By(stated.generation),
        Err(error) => Signed::Refused(error),
    })
}

fn stated(path: &Path) -> Result<Option<Stated>, String> {
    let file = path.join(SIGNED);
    let text = look(&file)?;
    let stated = text.map(|text| signature::stated(&text)).transpose();
    stated.map_err(|error| format!("{}: {error}", file.display()))
}

/// Returns whether [`site::write`] made a folder. Others in `sites/` are not ours.
fn is_site(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name::label("", name).is_ok()) && folder.join("ca.pem").exists()
}
