//! Holds an `acme` section of the configuration, with the files that the section names.

use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use edgetrust_core::config::{Acme, AcmeOrdering};
use edgetrust_core::path::DeniedKey;
use pki_types::CertificateDer;

use crate::egress::{Egress, EgressError};
use crate::pem::{CaFiles, PemError};
use crate::replica::settings::{NatsSettings, NatsSettingsError};
use crate::store::Home;
use crate::tls::{Anchors, system_roots};
use crate::token::{KeyUri, UriError};

/// The purposes of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purposes {
    /// The certificate is presented to clients.
    pub server: bool,
    /// The certificate is presented to servers.
    pub client: bool,
}

/// An external account binding (RFC 8555 section 7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Eab {
    /// The key identifier.
    pub kid: String,
    /// The MAC key.
    pub hmac_key: Vec<u8>,
}

impl fmt::Debug for Eab {
    /// Formats the binding without its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eab").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The reason that an `acme` section cannot be used.
#[derive(Debug)]
pub enum SettingsError {
    /// A file with roots is faulty.
    Bundle(PemError),
    /// There is no root to verify the directory and its certificates with.
    NoRoots,
    /// The MAC key's file, by this name, cannot be read.
    Unreadable(String, io::Error),
    /// The MAC key's file, by this name, holds something else.
    NoMacKey(String, &'static str),
    /// The proxy cannot be used.
    Egress(EgressError),
    /// The URI of the key in a token has a fault.
    Key(UriError),
    /// The store that gateways share cannot be used.
    Storage(NatsSettingsError),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(error) => error.fmt(f),
            Self::NoRoots => f.write_str("acme.ca_bundle: found neither it nor a usable CA of this system"),
            Self::Egress(error) => write!(f, "acme: {error}"),
            Self::Key(error) => write!(f, "acme.key: {error}"),
            Self::Storage(error) => write!(f, "acme.{error}"),
            Self::Unreadable(file, error) => write!(f, "{file}: cannot be read: {error}"),
            Self::NoMacKey(file, found) => {
                write!(f, "{file}: found {found}, expected the MAC key in base64url, as the CA gave it")
            }
        }
    }
}

impl Error for SettingsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bundle(error) => Some(error),
            Self::Unreadable(_, error) => Some(error),
            Self::Egress(error) => Some(error),
            Self::Key(error) => Some(error),
            Self::Storage(error) => Some(error),
            Self::NoRoots | Self::NoMacKey(..) => None,
        }
    }
}

/// The credential that a log line is about.
#[derive(Clone, Debug)]
pub(crate) struct Which {
    /// The first name of the credential.
    pub(crate) name: String,
    pub(crate) home: Home,
}

/// An `acme` section, owned, with its files read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names, in lower case; the first is also the common name.
    pub domains: Vec<String>,
    /// The home of the credential and its account.
    pub home: Home,
    /// The trust anchors for the directory's own server.
    pub roots: Anchors,
    /// The trust anchors that issued certificates must lead to.
    pub anchors: Vec<CertificateDer<'static>>,
    /// The keys that are denied: of the directory's server, of issued certificates, and of the CAs above both.
    pub denied_keys: Vec<DeniedKey>,
    /// The external account binding.
    pub eab: Option<Eab>,
    /// The store that account, orders and certificates are shared by; none for a gateway alone.
    pub storage: Option<Arc<NatsSettings>>,
    /// The proxy that leads to the directory.
    pub via: Option<Arc<Egress>>,
    /// The settings for ordering certificates.
    pub ordering: AcmeOrdering<String>,
    /// The certificate's purposes.
    pub purposes: Purposes,
}

impl Deref for Settings {
    type Target = AcmeOrdering<String>;

    fn deref(&self) -> &Self::Target {
        &self.ordering
    }
}

impl Settings {
    /// Reads the files that a section names, each given to `note` first; of CAs by `ca_files`.
    ///
    /// # Errors
    /// Returns which file is faulty.
    pub fn read(
        acme: &Acme<'_>,
        purposes: Purposes,
        denied_keys: Vec<DeniedKey>,
        ca_files: &CaFiles,
        mut note: impl FnMut(&Path),
    ) -> Result<Self, SettingsError> {
        let mut bundle = |file: &str| {
            note(Path::new(file));
            ca_files.read(Path::new(file)).map_err(SettingsError::Bundle)
        };
        let roots = match acme.ca_bundle {
            Some(file) => bundle(file)?.into(),
            None => Anchors { system: system_roots().usable, ..Anchors::default() },
        };
        let anchors = match acme.issuer_bundle {
            Some(file) => bundle(file)?,
            None => [&roots.stated[..], &roots.system[..]].concat(),
        };
        if roots.is_empty() || anchors.is_empty() {
            return Err(SettingsError::NoRoots);
        }
        if let Some(uri) = acme.key {
            let key = KeyUri::parse(uri).map_err(SettingsError::Key)?;
            key.pin_file().iter().for_each(|file| note(file));
        }
        let eab = match acme.eab {
            None => None,
            Some(eab) => {
                note(Path::new(eab.hmac_key_file));
                Some(Eab { kid: eab.kid.to_owned(), hmac_key: mac_key(eab.hmac_key_file)? })
            }
        };
        Ok(Self {
            domains: acme.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
            home: Home::folder(acme.storage_path),
            roots,
            anchors,
            denied_keys,
            eab,
            storage: NatsSettings::read(acme.storage.as_ref(), ca_files, &mut note).map_err(SettingsError::Storage)?,
            via: Egress::read(acme.proxy.as_ref(), &mut note).map_err(SettingsError::Egress)?,
            ordering: acme.ordering.clone().map(str::to_owned),
            purposes,
        })
    }

    /// Returns the credential that these settings are for.
    pub(crate) fn which(&self) -> Which {
        Which { name: self.domains.first().cloned().unwrap_or_default(), home: self.home.clone() }
    }

    /// Returns whether a key is of the kind that these settings have: the key in a token, or one that was made.
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        KeyUri::in_place_of(key) == self.key.as_deref()
    }

    /// Returns whether an order made for this directory and these names may be resumed.
    pub(super) fn is_for(&self, directory_url: &str, domains: &[String]) -> bool {
        self.directory_url == directory_url && self.domains == domains
    }
}

/// The size limit of a MAC key's file, in octets.
const MAX_MAC_KEY: u64 = 4096;

/// Reads the MAC key of RFC 8555 section 7.3.4: base64url, as CAs hand it out; padding is tolerated.
fn mac_key(file: &str) -> Result<Vec<u8>, SettingsError> {
    // Operators easily put the key itself where the file's name belongs.
    let shown = if file.contains(['/', '.']) { file } else { "acme.eab.hmac_key_file" };
    let unreadable = |error| SettingsError::Unreadable(shown.to_owned(), error);
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(MAX_MAC_KEY).read_to_end(&mut text).map_err(unreadable)?;
    let line = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text).trim_ascii();
    let found =
        match BASE64_URL_SAFE_NO_PAD.decode(line.strip_suffix(b"==").or(line.strip_suffix(b"=")).unwrap_or(line)) {
            Ok(key) if !key.is_empty() => return Ok(key),
            Ok(_) => "nothing",
            Err(_) if line.starts_with(b"-----") => "line 1: PEM",
            Err(_) if line.contains(&b'\n') => "line 2: a second line",
            Err(_) if line.iter().any(|octet| matches!(octet, b'+' | b'/')) => "line 1: base64",
            Err(_) => "line 1: no base64url",
        };
    Err(SettingsError::NoMacKey(shown.to_owned(), found))
}
