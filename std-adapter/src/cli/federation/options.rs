//! Defines options that several subcommands of `edgetrust federation` share.

use std::path::PathBuf;

use edgetrust_core::x509::KeyHash;

use crate::federation::{NewSite, Pair};

/// The folder of a mesh.
#[derive(clap::Args)]
pub(super) struct Place {
    /// Folder of the mesh
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The password of the root's key.
#[derive(clap::Args)]
pub(super) struct RootKey {
    /// Password file of the root's key; by default passwords/root in DIR, or asked for at a terminal
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

/// The password of the signer's key.
#[derive(clap::Args)]
pub(super) struct SignerKey {
    /// Password file of the signer's key; by default passwords/signer-N in DIR, or asked for at a terminal. Without one,
    /// the mesh stays unsigned until `sign-mesh`
    #[arg(long, value_name = "FILE")]
    pub(super) signer_passphrase_file: Option<PathBuf>,
}

/// Reads `NAME=VALUE`.
pub(super) fn named(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("found {text:?}, expected NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads `SERVICE=PORT`.
pub(super) fn service(text: &str) -> Result<(String, u16), String> {
    let (name, port) = named(text)?;
    let port = port.parse().map_err(|_| format!("found port {port:?}, expected 1 to 65535"))?;
    Ok((name, port))
}

/// Reads `FROM:TO:SERVICE`.
pub(super) fn pair(text: &str) -> Result<Pair, String> {
    Pair::parse(text)
}

/// Reads the hash of a key.
pub(super) fn key(text: &str) -> Result<KeyHash, String> {
    KeyHash::parse(text).ok_or_else(|| "expected sha256: and 64 hexadecimal digits".to_owned())
}

/// Returns the sites with what other options say of them.
pub(super) fn sites(
    sites: Vec<(String, String)>,
    addresses: &[(String, String)],
    spiffe: &[String],
) -> Result<Vec<NewSite>, String> {
    let known = |name: &String| sites.iter().any(|(site, _)| site == name);
    let of_addresses = addresses.iter().map(|(site, _)| ("--address", site));
    for (option, name) in of_addresses.chain(spiffe.iter().map(|site| ("--spiffe", site))) {
        if !known(name) {
            let names: Vec<_> = sites.iter().map(|(site, _)| site.as_str()).collect();
            return Err(format!("{option}: found site {name:?}, expected one of {}", names.join(", ")));
        }
    }
    let all = sites.into_iter().map(|(name, domain)| NewSite {
        address: addresses.iter().find(|(site, _)| *site == name).map(|(_, address)| address.clone()),
        spiffe: spiffe.contains(&name),
        name,
        domain,
    });
    Ok(all.collect())
}
