//! Private keys of CAs and signers: PKCS #8 with a password, in the one form that openssl and step-ca both read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use edgetrust_core::x509::{Certificate, KeyHash};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument};
use pki_types::PrivatePkcs8KeyDer;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use sha2::{Digest as _, Sha256};

use super::place;
use crate::tls::provider;

/// Rounds of PBKDF2-HMAC-SHA256, as OWASP's password storage cheat sheet of 2023 has them. Tests of this crate open keys
/// hundreds of times.
const ROUNDS: u32 = if cfg!(test) { 1_000 } else { 600_000 };

/// The most rounds that a file may ask for: some seconds of work.
const MAX_ROUNDS: u32 = 10_000_000;

/// The fewest characters of a password that somebody chose.
const SHORTEST: usize = 8;

/// The size limit of a key or password file, in octets.
const MAX_FILE: u64 = 64 * 1024;

/// The label of an encrypted PKCS #8 key (RFC 7468 section 11).
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// A password of a private key.
pub(crate) struct Password(String);

impl fmt::Debug for Password {
    /// Leaves out the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// Makes one of 192 random bits.
    ///
    /// # Errors
    /// Fails if the system gives no random numbers.
    pub(super) fn random() -> Result<Self, String> {
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(random::<24>()?)))
    }

    /// Takes what somebody typed.
    ///
    /// # Errors
    /// Fails if the password is too short.
    pub(crate) fn new(text: String) -> Result<Self, String> {
        match text.chars().count() {
            length if length >= SHORTEST => Ok(Self(text)),
            length => Err(format!("found {length} characters, expected a password of at least {SHORTEST}")),
        }
    }

    /// Reads the first line of a file, as openssl does. A carriage return before the line feed is no part of it.
    ///
    /// # Errors
    /// Fails if the file cannot be read or its first line is no password.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        // A pipe is as good as a file: so a shell hands on a password that lies on no disk.
        let text = read(file, File::open(file))?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        Self::new(line).map_err(|error| format!("{}: {error} on the first line", file.display()))
    }

    /// Returns the contents of a password file.
    pub(super) fn file(&self) -> String {
        format!("{}\n", self.0)
    }
}

/// Generates a P-256 key.
pub(super) fn generate() -> Result<KeyPair, String> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| format!("no key was made: {error}"))
}

/// Returns random octets.
pub(super) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut octets = [0; N];
    let filled = provider().secure_random.fill(&mut octets);
    filled.map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(octets)
}

/// Returns the key as an EncryptedPrivateKeyInfo (RFC 5958 section 3) in PEM: PBES2 with PBKDF2-HMAC-SHA256 and
/// AES-256-CBC (RFC 8018 section 6.2). step-ca refuses scrypt.
pub(super) fn encrypt(key: &KeyPair, password: &Password) -> Result<String, String> {
    let (salt, iv) = (random::<16>()?, random::<16>()?);
    let failed = |error: &dyn fmt::Display| format!("the key cannot be encrypted: {error}");
    let parameters = Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, &salt, &iv).map_err(|error| failed(&error))?;
    let der = key.serialize_der();
    let info = PrivateKeyInfo::try_from(der.as_slice()).map_err(|error| failed(&error))?;
    let encrypted = info.encrypt_with_params(parameters, &password.0).map_err(|error| failed(&error))?;
    let pem = encrypted.to_pem(ENCRYPTED, LineEnding::LF).map_err(|error| failed(&error))?;
    Ok(pem.to_string())
}

/// Opens an encrypted key file.
///
/// # Errors
/// Fails if the file cannot be read, is of another form, or has another password.
pub(super) fn open(file: &Path, password: &Password) -> Result<KeyPair, String> {
    decrypt(&read(file, place::open(file))?, password).map_err(|error| format!("{}: {error}", file.display()))
}

fn decrypt(pem: &str, password: &Password) -> Result<KeyPair, String> {
    let expected = format!("expected PEM with BEGIN {ENCRYPTED}");
    let (label, der) = SecretDocument::from_pem(pem).map_err(|error| format!("{error}, {expected}"))?;
    if label != ENCRYPTED {
        return Err(format!("found {label}, {expected}"));
    }
    let info = EncryptedPrivateKeyInfo::try_from(der.as_bytes()).map_err(|error| format!("{error}, {expected}"))?;
    let derivation = match &info.encryption_algorithm {
        EncryptionScheme::Pbes2(parameters) => parameters.kdf.pbkdf2(),
        _ => None,
    };
    match derivation.map(|derivation| derivation.iteration_count) {
        Some(rounds) if rounds <= MAX_ROUNDS => {}
        Some(rounds) => return Err(format!("found {rounds} rounds, expected at most {MAX_ROUNDS}")),
        None => return Err("found another encryption, expected PBES2 with PBKDF2 (RFC 8018)".to_owned()),
    }
    let wrong = "this password does not open it";
    let der = info.decrypt(&password.0).map_err(|_| wrong.to_owned())?;
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(der.as_bytes())).map_err(|error| format!("{wrong}, or: {error}"))
}

/// Reads the DER of a PEM file that has this label alone.
pub(super) fn read_pem(file: &Path, label: &str) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn fmt::Display| format!("{}: {error}, expected PEM with BEGIN {label}", file.display());
    let text = read(file, place::open(file))?;
    let (found, der) = SecretDocument::from_pem(&text).map_err(|error| failed(&error))?;
    if found != label {
        return Err(failed(&format!("found {found}")));
    }
    Ok(der.as_bytes().to_vec())
}

/// Returns the hash of a key.
pub(super) fn hash(key: &impl PublicKeyData) -> KeyHash {
    hash_of(&key.subject_public_key_info())
}

/// Returns the hash of a SubjectPublicKeyInfo in DER.
pub(super) fn hash_of(spki: &[u8]) -> KeyHash {
    KeyHash::new(Sha256::digest(spki).into())
}

/// Checks that a key is that of a certificate.
pub(super) fn belongs(key: &impl PublicKeyData, certificate: &Certificate<'_>) -> Result<(), String> {
    let spki = certificate.subject_public_key_info();
    if key.subject_public_key_info() == spki.der {
        return Ok(());
    }
    Err(format!("found another key than that of its certificate, expected {}", KeyHash::of(&spki)))
}

/// Reads a small text file.
fn read(file: &Path, opened: io::Result<File>) -> Result<String, String> {
    let failed = |error: io::Error| format!("{}: cannot be read: {error}", file.display());
    let mut text = String::new();
    opened.map_err(failed)?.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("{}: found more than {MAX_FILE} octets, expected no more", file.display()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_with_its_password_alone() {
        let key = generate().unwrap();
        let password = Password::random().unwrap();
        let pem = encrypt(&key, &password).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{pem}");
        let opened = decrypt(&pem, &password).unwrap();
        assert_eq!(opened.serialize_der(), key.serialize_der());
        for _ in 0..3 {
            let error = decrypt(&pem, &Password::random().unwrap()).unwrap_err();
            assert!(error.starts_with("this password does not open it"), "{error}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let password = Password::random().unwrap();
        let open = generate().unwrap().serialize_pem();
        for (pem, expected) in [
            (open.as_str(), "found PRIVATE KEY, expected PEM with BEGIN ENCRYPTED PRIVATE KEY"),
            ("", "expected PEM with BEGIN"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n", "expected PEM with"),
        ] {
            let error = decrypt(pem, &password).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn more_work_than_a_key_is_worth_is_refused() {
        let (salt, iv) = ([1; 16], [2; 16]);
        let parameters = Parameters::pbkdf2_sha256_aes256cbc(MAX_ROUNDS, &salt, &iv).unwrap();
        let info = EncryptedPrivateKeyInfo {
            encryption_algorithm: EncryptionScheme::Pbes2(parameters),
            encrypted_data: &[0; 32],
        };
        let der: SecretDocument = info.try_into().unwrap();
        // More rounds: the number stands once in the text.
        let rounds = MAX_ROUNDS.to_be_bytes();
        let place = der.as_bytes().windows(3).position(|octets| octets == &rounds[1..]).unwrap();
        let mut octets = der.as_bytes().to_vec();
        octets[place] = 0xff;
        let more = SecretDocument::try_from(octets.as_slice()).unwrap().to_pem(ENCRYPTED, LineEnding::LF).unwrap();
        let error = decrypt(&more, &Password::random().unwrap()).unwrap_err();
        assert!(error.contains("rounds, expected at most 10000000"), "{error}");
    }

    #[test]
    fn passwords_are_not_shown() {
        let password = Password::new("correct horse".to_owned()).unwrap();
        assert_eq!(format!("{password:?}"), "Password");
        assert_eq!(
            Password::new("short".to_owned()).unwrap_err(),
            "found 5 characters, expected a password of at least 8"
        );
    }
}
