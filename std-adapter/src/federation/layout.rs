//! The names of what lies in the folder of a mesh.
//!
//! | entry | holds |
//! |---|---|
//! | `mesh.json`, `mesh.signed.json` | what the mesh is, and the same signed |
//! | `root/`, `signer/` | a certificate and its encrypted key each |
//! | `sites/NAME/` | all that a site needs to run |
//! | `passwords/` | `root`, `signer-GENERATION` and `site-NAME`, apart from the keys that they open; `root.HASH` and `site-NAME.HASH` open keys that came later |
//! | `changing/root/`, `changing/site-NAME/` | the keys of a CA that comes and of the one that goes, while one is not in use |
//! | `removed/`, `retired/` | folders of sites, signers and CAs that the mesh no longer has |
//!
//! Names as `.NAME.new` are unfinished.

use edgetrust_core::x509::KeyHash;

use super::name;

pub(super) const MESH: &str = "mesh.json";
pub(super) const SIGNED: &str = "mesh.signed.json";
pub(super) const ROOT: [&str; 2] = ["root/root.pem", "root/root.key"];
pub(super) const SIGNER: [&str; 2] = ["signer/signer.pem", "signer/signer.key"];
pub(super) const SITES: &str = "sites";
pub(super) const PASSWORDS: &str = "passwords";
pub(super) const CHANGING: &str = "changing";
pub(super) const RETIRED: &str = "retired";
pub(super) const REMOVED: &str = "removed";
pub(super) const SIGNER_FOLDER: &str = "signer";
pub(super) const NEW_SIGNER: &str = ".signer.new";
pub(super) const ROOT_PASSWORD: &str = "root";
/// The names of passwords of signers, and of folders of signers, without the generation.
pub(super) const SIGNER_PASSWORD: &str = "signer-";
pub(super) const SIGNER_BEFORE: &str = "signer-before-";
/// The names of folders in `retired/` with keys of CAs, without the CA.
pub(super) const RETIRED_CA: &str = "ca-";

/// Returns the name of what is not yet finished.
pub(super) fn unfinished(name: &str) -> String {
    format!(".{name}.new")
}

/// Returns whether [`unfinished`] made a name. Other names with a dot in front are not ours.
pub(super) fn is_unfinished(name: &str) -> bool {
    let of = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
    of.is_some_and(|of| of.split('.').all(|part| name::label("", part).is_ok()) || is_unfinished(of))
}

/// Returns the name of the password of the first key of a site's CA, and of its folder in `changing/`.
pub(super) fn site_password(site: &str) -> String {
    format!("site-{site}")
}

pub(super) fn signer_password(generation: u32) -> String {
    format!("{SIGNER_PASSWORD}{generation}")
}

/// Returns the name of the password of a key that came later than the first one of this name.
pub(super) fn later_password(first: &str, key: &KeyHash) -> String {
    format!("{first}.{}", short(key))
}

/// Returns the name of a key's file in `changing/`.
pub(super) fn key_file(key: &KeyHash) -> String {
    format!("{}.key", short(key))
}

/// Returns the first digits of a hash.
fn short(key: &KeyHash) -> String {
    key.octets().iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}
