//! Validates the stores that several gateways share: servers that are reached over TLS, and keys that seal secrets.

use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::nats::{DEFAULT_BUCKET, NatsStore};
use super::raw::RawStore;
use super::validate_place::ConfigPlace;
use crate::json::Found;

/// The form of a server, for errors.
const SERVER: &str = "tls://HOST:PORT, as tls://nats.example:4222";

/// The owner of a `storage`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageOf {
    /// An `acme`: keys are stored.
    Acme,
    /// `gateway.mesh`: what is stored is public, and signed.
    Mesh,
}

/// Validates the `storage` with this index in the section at `at`; none if the section has none.
pub(super) fn storage<'a>(
    at: &ConfigPlace<'a>,
    index: Option<u8>,
    stores: &[RawStore<'a>],
    of: StorageOf,
) -> Result<Option<NatsStore<'a>>, ConfigError<'a>> {
    let Some(index) = index else { return Ok(None) };
    let at = at.inside("storage");
    // Whoever wrote a store must not get none.
    let Some(raw) = stores.get(usize::from(index)) else { return at.fail("nats", Found::Nothing, NATS) };
    let Some(offset) = raw.nats else { return at.at(raw.offset).fail("nats", Found::Nothing, NATS) };
    let at = at.inside("nats").at(offset);
    servers(&at, raw)?;
    let credential = at.files(raw.cert_file, raw.key_file)?;
    if raw.ca_files.written && raw.ca_files.items.is_empty() {
        return at.fail("ca_files", Found::Array, "a file at least; without ca_files the system's CAs are trusted");
    }
    // Operators easily put a secret itself where the file's name belongs. It is not repeated.
    if raw.credentials_file.is_some_and(|file| file.trim_ascii_start().starts_with("-----BEGIN")) {
        return at.fail("credentials_file", Found::Literal("credentials"), "a file name");
    }
    sealing_keys(&at, raw, of)?;
    Ok(Some(NatsStore {
        servers: raw.servers.items.clone(),
        bucket: raw.bucket.unwrap_or(DEFAULT_BUCKET),
        cert_file: credential.map(|files| files.cert_file),
        key_file: credential.map(|files| files.key_file),
        ca_files: raw.ca_files.items.clone(),
        credentials_file: raw.credentials_file,
        sealing_key_files: raw.sealing_key_files.items.clone(),
        replicas: raw.replicas.unwrap_or(1),
    }))
}

const NATS: &str = "an object with servers: the bucket that is shared";

/// Requires servers, each once, and TLS on every way out of this machine.
fn servers<'a>(at: &ConfigPlace<'a>, raw: &RawStore<'a>) -> Result<(), ConfigError<'a>> {
    if raw.servers.items.is_empty() {
        let found = if raw.servers.written { Found::Array } else { Found::Nothing };
        return at.fail("servers", found, "a list with a server at least, as tls://nats.example:4222");
    }
    for (index, text) in raw.servers.items.iter().enumerate() {
        // A password must not be in a message.
        if text.contains('@') {
            let found = Found::Literal("a URL with a user");
            return at.fail("servers", found, "URLs without: a user is in credentials_file");
        }
        let Some((plain, endpoint)) = server(text) else { return at.fail("servers", Found::Text(text), SERVER) };
        if plain && !endpoint.is_local() {
            return at.fail(
                "servers",
                Found::Text(text),
                "tls://, or nats:// to a loopback address: user and data would travel in the clear",
            );
        }
        let same = |other: &&str| server(other).is_some_and(|(_, other)| other == endpoint);
        if raw.servers.items.iter().take(index).any(same) {
            return at.fail("servers", Found::Text(text), "each server once");
        }
    }
    Ok(())
}

/// Reads a server, with a port that can be connected to; true for one without TLS.
fn server(text: &str) -> Option<(bool, Endpoint<'_>)> {
    let tls = text.strip_prefix("tls://").map(|rest| (false, rest));
    let (plain, rest) = tls.or_else(|| text.strip_prefix("nats://").map(|rest| (true, rest)))?;
    let endpoint = Endpoint::parse(rest).filter(|endpoint| match endpoint {
        Endpoint::Tcp(address) => address.port() > 0,
        Endpoint::Host(_, port) => *port > 0,
        Endpoint::Unix(_) => false,
    })?;
    Some((plain, endpoint))
}

/// Returns whether a text is 32 octets in base64 (RFC 4648 section 4).
fn is_sealing_key(text: &str) -> bool {
    let digits = text.strip_suffix('=').unwrap_or_default();
    digits.len() == 43 && digits.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/'))
}

/// Requires keys where secrets are stored, each file once, and refuses them where nothing is sealed.
fn sealing_keys<'a>(at: &ConfigPlace<'a>, raw: &RawStore<'a>, of: StorageOf) -> Result<(), ConfigError<'a>> {
    let keys = &raw.sealing_key_files;
    if keys.items.iter().any(|file| is_sealing_key(file)) {
        return at.fail("sealing_key_files", Found::Literal("a key"), "file names");
    }
    let found = if keys.written { Found::Array } else { Found::Nothing };
    match of {
        StorageOf::Mesh if keys.written => {
            at.fail("sealing_key_files", found, "none: the mesh file is signed and public")
        }
        StorageOf::Mesh => Ok(()),
        StorageOf::Acme if keys.items.is_empty() => {
            at.fail("sealing_key_files", found, "a file at least: private keys are stored, and sealed")
        }
        StorageOf::Acme => {
            let twice = keys
                .items
                .iter()
                .enumerate()
                .find(|(index, file)| keys.items.iter().take(*index).any(|other| other == *file));
            match twice {
                Some((_, file)) => at.fail("sealing_key_files", Found::Text(file), "each file once"),
                None => Ok(()),
            }
        }
    }
}
