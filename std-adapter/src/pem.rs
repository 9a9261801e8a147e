//! Certificate and key files in PEM (RFC 7468).

use std::fmt;
use std::path::{Path, PathBuf};

use edgetrust_core::x509::{Certificate, ParseError};
use pki_types::pem::PemObject;
use pki_types::{CertificateDer, PrivateKeyDer};

/// No certificate or key file is larger.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// What is wrong with a file.
#[derive(Debug)]
pub struct PemError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub kind: PemErrorKind,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum PemErrorKind {
    /// It cannot be read.
    Unreadable(std::io::Error),
    /// It is larger than 8 MiB.
    TooLarge(u64),
    /// Its PEM is malformed.
    Malformed(pki_types::pem::Error),
    /// There is no certificate in it.
    NoCertificate,
    /// There is no private key in it, of PKCS #8, SEC 1 or PKCS #1.
    NoKey,
    /// Its private key is encrypted: there is nobody to ask for a password.
    EncryptedKey,
    /// A certificate in it, counted from 1, does not parse.
    Certificate(usize, ParseError),
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        match &self.kind {
            PemErrorKind::Unreadable(error) => write!(f, "cannot be read: {error}"),
            PemErrorKind::TooLarge(size) => write!(f, "{size} bytes, expected at most {MAX_FILE}"),
            PemErrorKind::Malformed(error) => write!(f, "malformed PEM: {error}"),
            PemErrorKind::NoCertificate => f.write_str("found no certificate, expected PEM with BEGIN CERTIFICATE"),
            PemErrorKind::NoKey => f.write_str(
                "found no private key, expected PEM with BEGIN PRIVATE KEY, BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY",
            ),
            PemErrorKind::EncryptedKey => f.write_str("found an encrypted private key, expected one without a password"),
            PemErrorKind::Certificate(number, error) => write!(f, "certificate {number}: {error}"),
        }
    }
}

impl std::error::Error for PemError {}

/// Reads all certificates of a file: a chain, or a bundle of CAs. Each parses with the core.
///
/// # Errors
/// The file's name and what is wrong with it; a file without a certificate is an error.
pub fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let fail = |kind| PemError { file: file.to_owned(), kind };
    let text = read(file)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fail(PemErrorKind::Malformed(error)))?;
    if certificates.is_empty() {
        return Err(fail(PemErrorKind::NoCertificate));
    }
    for (number, der) in (1..).zip(&certificates) {
        Certificate::from_der(der).map_err(|error| fail(PemErrorKind::Certificate(number, error)))?;
    }
    Ok(certificates)
}

/// Reads the first private key of a file: PKCS #8, SEC 1 or PKCS #1.
///
/// # Errors
/// The file's name and what is wrong with it.
pub fn read_private_key(file: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let fail = |kind| PemError { file: file.to_owned(), kind };
    let text = read(file)?;
    // RFC 7468 section 11; before it, openssl put a header into the traditional forms.
    let encrypted = || {
        [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
            .iter()
            .any(|mark| text.windows(mark.len()).any(|window| window == *mark))
    };
    match PrivateKeyDer::from_pem_slice(&text) {
        _ if encrypted() => Err(fail(PemErrorKind::EncryptedKey)),
        Ok(key) => Ok(key),
        Err(pki_types::pem::Error::NoItemsFound) => Err(fail(PemErrorKind::NoKey)),
        Err(error) => Err(fail(PemErrorKind::Malformed(error))),
    }
}

/// What to say of a key file that others than its owner may read.
#[cfg(unix)]
pub fn key_permissions(file: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0)
        .then(|| format!("{}: mode {mode:03o} lets others use the private key, expected 600", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>, PemError> {
    let fail = |kind| PemError { file: file.to_owned(), kind };
    let size = std::fs::metadata(file).map_err(|error| fail(PemErrorKind::Unreadable(error)))?.len();
    if size > MAX_FILE {
        return Err(fail(PemErrorKind::TooLarge(size)));
    }
    std::fs::read(file).map_err(|error| fail(PemErrorKind::Unreadable(error)))
}
