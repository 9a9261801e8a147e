//! What an `acme` section says, with the files that it names.

use std::fmt;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use edgetrust_core::config::{Acme, ChallengeType, KeyType, RenewVia};
use pki_types::CertificateDer;

use crate::pem;
use crate::tls::{Anchors, system_roots};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purposes {
    /// It is shown to clients.
    pub server: bool,
    /// It is shown to servers.
    pub client: bool,
}

/// An external account (RFC 8555 section 7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Eab {
    /// Its identifier.
    pub kid: String,
    /// Its MAC key.
    pub hmac_key: Vec<u8>,
}

impl fmt::Debug for Eab {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eab").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Which credential something is done for, as the log names it.
#[derive(Clone, Debug)]
pub(crate) struct Which {
    /// The first of its names.
    pub(crate) name: String,
    pub(crate) storage_path: PathBuf,
}

/// An `acme` section, owned, with its files read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directory.
    pub directory_url: String,
    /// The account's contact.
    pub email: Option<String>,
    /// Names, in lower case; the first is also the common name.
    pub domains: Vec<String>,
    /// How they are shown to be ours.
    pub challenge_type: ChallengeType,
    /// How long before its end a certificate is renewed, in seconds.
    pub renew_before_s: u32,
    /// Where everything is kept.
    pub storage_path: PathBuf,
    /// Roots of the directory's own server.
    pub roots: Anchors,
    /// Roots that issued certificates must lead to.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Where http-01 is answered.
    pub http_listen: SocketAddr,
    /// External account binding.
    pub eab: Option<Eab>,
    /// The kind of key.
    pub key_type: KeyType,
    /// How a certificate is renewed while it is valid.
    pub renew_via: RenewVia,
    /// The profile to ask for.
    pub profile: Option<String>,
    /// A command after each renewal.
    pub hook: Option<String>,
    /// A command that answers dns-01.
    pub dns_hook: Option<String>,
    /// What the certificate is for.
    pub purposes: Purposes,
}

impl Settings {
    /// Reads the files that a section names, each given to `note` first.
    ///
    /// # Errors
    /// Which file is not as it should be.
    pub fn read(acme: &Acme<'_>, purposes: Purposes, mut note: impl FnMut(&Path)) -> Result<Self, String> {
        let mut bundle = |file: &str| {
            note(Path::new(file));
            pem::read_certificates(Path::new(file)).map_err(|error| error.to_string())
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
            return Err("acme.ca_bundle: found neither it nor a usable CA of this system".to_owned());
        }
        let eab = match acme.eab {
            None => None,
            Some(eab) => {
                note(Path::new(eab.hmac_key_file));
                Some(Eab { kid: eab.kid.to_owned(), hmac_key: mac_key(eab.hmac_key_file)? })
            }
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            directory_url: acme.directory_url.to_owned(),
            email: owned(acme.email),
            domains: acme.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
            challenge_type: acme.challenge_type,
            renew_before_s: acme.renew_before_s,
            storage_path: PathBuf::from(acme.storage_path),
            roots,
            anchors,
            // RFC 8555 section 8.3
            http_listen: acme.http_listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80))),
            eab,
            key_type: acme.key_type,
            renew_via: acme.renew_via,
            profile: owned(acme.profile),
            hook: owned(acme.hook),
            dns_hook: owned(acme.dns_hook),
            purposes,
        })
    }

    /// Which credential they are of.
    pub(crate) fn which(&self) -> Which {
        Which { name: self.domains.first().cloned().unwrap_or_default(), storage_path: self.storage_path.clone() }
    }

    /// What an order must have been made for, to be resumed.
    pub(super) fn is_for(&self, directory_url: &str, domains: &[String]) -> bool {
        self.directory_url == directory_url && self.domains == domains
    }
}

/// No MAC key's file is larger.
const MAX_MAC_KEY: u64 = 4096;

/// RFC 8555 section 7.3.4: base64url, as CAs hand it out; padding is forgiven.
fn mac_key(file: &str) -> Result<Vec<u8>, String> {
    // The key itself is easily taken for what belongs here.
    let shown = if file.contains(['/', '.']) { file } else { "acme.eab.hmac_key_file" };
    let unreadable = |error| format!("{shown}: cannot be read: {error}");
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
    Err(format!("{shown}: found {found}, expected the MAC key in base64url, as the CA gave it"))
}
