//! Seals what several gateways share, so that whoever stores it can neither read a key nor put one text in the place of
//! another: ChaCha20-Poly1305 (RFC 8439) with a key from a file.

use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use edgetrust_core::mesh::Digest;
use zeroize::Zeroizing;

/// The size of a sealing key, in octets.
const KEY: usize = 32;

/// The size limit of a key's file, in octets.
const MAX_FILE: u64 = 4096;

/// The size of a nonce, in octets (RFC 8439 section 2.8). Each is random: with a few writes a renewal, the bound of
/// 2^32 texts a key is out of reach.
const NONCE: usize = 12;

/// The name of a sealing key: the first half of the SHA-256 of the key, hexadecimal.
pub(crate) type KeyId = String;

/// The keys that seal and open; the first one seals.
#[derive(Clone)]
pub(crate) struct SealingKeys(Vec<SealingKey>);

#[derive(Clone)]
struct SealingKey {
    id: KeyId,
    key: Zeroizing<[u8; KEY]>,
}

impl fmt::Debug for SealingKeys {
    /// Formats the names of the keys alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl PartialEq for SealingKeys {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|key| &key.id).eq(other.0.iter().map(|key| &key.id))
    }
}

impl Eq for SealingKeys {}

/// The reason that a file holds no sealing key.
#[derive(Debug)]
pub enum SealingKeyError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file holds something else. What it holds is not said, since it may be a key.
    NoKey(PathBuf, &'static str),
    /// The file may be read by others.
    Mode(PathBuf, u32),
    /// Two files hold one key.
    Twice(PathBuf),
}

impl fmt::Display for SealingKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => write!(f, "{}: cannot be read: {error}", file.display()),
            Self::NoKey(file, found) => write!(
                f,
                "{}: found {found}, expected a sealing key: 32 random octets in base64 (openssl rand -base64 32)",
                file.display()
            ),
            Self::Mode(file, mode) => {
                write!(f, "{}: mode {mode:03o} lets others use the sealing key, expected 600", file.display())
            }
            Self::Twice(file) => write!(f, "{}: found the key of the file before, expected another", file.display()),
        }
    }
}

impl Error for SealingKeyError {}

/// The reason that a text is not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// The text is sealed with a key that is not here.
    UnknownKey(KeyId, Vec<KeyId>),
    /// The text, or what stands beside it, was changed, or belongs elsewhere.
    Changed,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(found, known) => {
                write!(f, "found a text sealed with the key {found}, expected one of {}", known.join(", "))
            }
            Self::Changed => f.write_str("found a text that was changed, or that belongs elsewhere"),
        }
    }
}

impl SealingKeys {
    /// Reads the keys of files; the first one seals, and all of them open.
    ///
    /// # Errors
    /// Returns which file is faulty.
    pub(crate) fn read<'f>(files: impl Iterator<Item = &'f Path>) -> Result<Self, SealingKeyError> {
        let mut keys: Vec<SealingKey> = Vec::new();
        for file in files {
            let key = read(file)?;
            let id = id(&key);
            if keys.iter().any(|known| known.id == id) {
                return Err(SealingKeyError::Twice(file.to_owned()));
            }
            keys.push(SealingKey { id, key });
        }
        Ok(Self(keys))
    }

    /// Returns the name of the key that seals.
    pub(crate) fn current(&self) -> Option<&str> {
        self.0.first().map(|key| key.id.as_str())
    }

    /// Seals a text; `beside` is authenticated with it and stays readable.
    pub(crate) fn seal(&self, text: &[u8], beside: &[u8]) -> Option<Sealed> {
        let SealingKey { id, key } = self.0.first()?;
        let nonce = ChaCha20Poly1305::generate_nonce(&mut OsRng);
        let sealed = cipher(key).encrypt(&nonce, Payload { msg: text, aad: beside }).ok()?;
        let octets = [&nonce[..], &sealed].concat();
        Some(Sealed { key: id.clone(), octets: BASE64_STANDARD.encode(octets) })
    }

    /// Opens a text that was sealed with this beside it.
    pub(crate) fn open(&self, sealed: &Sealed, beside: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let known = self.0.iter().find(|key| key.id == sealed.key);
        let SealingKey { key, .. } = known.ok_or_else(|| {
            OpenError::UnknownKey(
                sealed.key.chars().take(64).collect(),
                self.0.iter().map(|key| key.id.clone()).collect(),
            )
        })?;
        let octets = BASE64_STANDARD.decode(&sealed.octets).map_err(|_| OpenError::Changed)?;
        let (nonce, text) = octets.split_at_checked(NONCE).ok_or(OpenError::Changed)?;
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| OpenError::Changed)?;
        let opened = cipher(key).decrypt(&Nonce::from(nonce), Payload { msg: text, aad: beside });
        opened.map(Zeroizing::new).map_err(|_| OpenError::Changed)
    }
}

/// A sealed text with the name of its key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    pub(crate) key: KeyId,
    /// Nonce and ciphertext, base64.
    octets: String,
}

fn cipher(key: &[u8; KEY]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*key))
}

fn id(key: &[u8; KEY]) -> KeyId {
    Digest::of(key).octets().iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

fn read(file: &Path) -> Result<Zeroizing<[u8; KEY]>, SealingKeyError> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |error| SealingKeyError::Unreadable(file.to_owned(), error);
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let mode = opened.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SealingKeyError::Mode(file.to_owned(), mode));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(256));
    opened.take(MAX_FILE).read_to_end(&mut text).map_err(unreadable)?;
    let no_key = |found| SealingKeyError::NoKey(file.to_owned(), found);
    let octets = BASE64_STANDARD.decode(text.trim_ascii()).map(Zeroizing::new);
    match octets {
        Ok(octets) if octets.is_empty() => Err(no_key("nothing")),
        Ok(octets) => octets[..].try_into().map(Zeroizing::new).map_err(|_| no_key("base64 of another length")),
        Err(_) if text.len() == KEY => Err(no_key("32 octets that are no base64")),
        Err(_) => Err(no_key("no base64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    fn keys(files: &[&PathBuf]) -> Result<SealingKeys, SealingKeyError> {
        SealingKeys::read(files.iter().map(|file| file.as_path()))
    }

    #[test]
    fn what_is_sealed_is_opened_with_the_same_beside_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = [(1, "old"), (2, "new")]
            .map(|(octet, name)| written(folder.path(), name, &format!("{}\n", BASE64_STANDARD.encode([octet; KEY]))));
        let (before, both, after) = (keys(&[&old]).unwrap(), keys(&[&new, &old]).unwrap(), keys(&[&new]).unwrap());
        let sealed = before.seal(b"a key", b"a.example 7").unwrap();
        for opener in [&before, &both] {
            assert_eq!(&opener.open(&sealed, b"a.example 7").unwrap()[..], b"a key");
            assert_eq!(opener.open(&sealed, b"a.example 8"), Err(OpenError::Changed));
        }
        let unknown = after.open(&sealed, b"a.example 7").unwrap_err().to_string();
        assert!(unknown.contains(before.current().unwrap()) && unknown.contains(after.current().unwrap()), "{unknown}");
        assert_eq!(both.seal(b"", b"").unwrap().key, after.current().unwrap());
        assert_ne!(before.seal(b"a key", b"").unwrap(), before.seal(b"a key", b"").unwrap(), "nonces differ");
        // Each octet counts.
        let octets = BASE64_STANDARD.decode(&sealed.octets).unwrap();
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 1;
            let changed = Sealed { octets: BASE64_STANDARD.encode(changed), ..sealed.clone() };
            assert_eq!(before.open(&changed, b"a.example 7"), Err(OpenError::Changed), "octet {at}");
        }
        for octets in ["", "AAAA", "no base64!"] {
            let short = Sealed { octets: octets.to_owned(), ..sealed.clone() };
            assert_eq!(before.open(&short, b"a.example 7"), Err(OpenError::Changed), "{octets}");
        }
    }

    #[test]
    fn a_file_without_a_key_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("", "found nothing"),
            ("hunter2!", "found no base64"),
            ("aHVudGVy", "found base64 of another length"),
            ("0123456789abcdef0123456789abcdef", "found base64 of another length"),
            ("!123456789abcdef0123456789abcdef", "found 32 octets that are no base64"),
        ] {
            let file = written(folder.path(), "key", text);
            let error = keys(&[&file]).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("openssl rand -base64 32"), "{text}: {error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        let file = written(folder.path(), "key", &BASE64_STANDARD.encode([3; KEY]));
        let same = written(folder.path(), "same", &BASE64_STANDARD.encode([3; KEY]));
        assert!(matches!(keys(&[&file, &same]), Err(SealingKeyError::Twice(_))));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(keys(&[&file]).unwrap_err().to_string().contains("mode 640"));
    }
}
