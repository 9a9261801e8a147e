//! Reads certificate and key files in PEM (RFC 7468).
//!
//! Every certificate of a file counts, or an error names the line. No error holds octets of a file, which may be a
//! key.

mod blocks;
#[cfg(feature = "cli")]
mod ca_files;
mod marker;
mod revocation_lists;

use std::fmt;
use std::path::{Path, PathBuf};

use edgetrust_core::revocation::RevocationListError;
use edgetrust_core::x509::{Certificate, ParseError};
use pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use blocks::blocks;
pub use blocks::{PemFault, PemFaultKind};
#[cfg(feature = "cli")]
pub(crate) use ca_files::CaFiles;
pub use revocation_lists::{read_revocation_lists, revocation_lists};

/// The size limit of a file, in octets.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// A fault of a certificate or key file.
#[derive(Debug)]
pub struct PemError {
    /// The file.
    pub file: PathBuf,
    /// The kind of fault.
    pub kind: PemErrorKind,
}

/// The kind of fault of a file.
#[derive(Debug)]
pub enum PemErrorKind {
    /// The file cannot be read.
    Unreadable(std::io::Error),
    /// The file is larger than 8 MiB.
    TooLarge,
    /// A PEM text was given in place of a file's name; the error omits the name.
    Inline,
    /// The file's PEM is malformed.
    Malformed(PemFault),
    /// The file has no certificate; holds the line and the label of another block, if any.
    NoCertificate(Option<(usize, &'static str)>),
    /// The file has no private key of PKCS #8, SEC 1 or PKCS #1; the line and the label of another block, if any.
    NoKey(Option<(usize, &'static str)>),
    /// The file has no revocation list; the line and the label of another block, if any.
    NoRevocationList(Option<(usize, &'static str)>),
    /// A revocation list of the file does not parse, or is of a kind that is not processed.
    RevocationList {
        /// The list's place in the file, from 1.
        number: usize,
        /// The line of its BEGIN, from 1; `None` for DER.
        line: Option<usize>,
        /// The parser's error.
        error: RevocationListError,
    },
    /// A certificate of the file does not parse.
    Certificate {
        /// The certificate's place in the file, from 1.
        number: usize,
        /// The line of its BEGIN, from 1.
        line: usize,
        /// The parser's error.
        error: ParseError,
    },
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}: ", self.file.display())?;
        }
        fmt::Display::fmt(&self.kind, f)
    }
}

impl fmt::Display for PemErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::TooLarge => write!(f, "found more than {MAX_FILE} bytes, expected at most {MAX_FILE}"),
            Self::Inline => f.write_str("found PEM, expected the name of a file that holds it"),
            Self::Malformed(fault) => fmt::Display::fmt(fault, f),
            Self::NoCertificate(other) => {
                write!(f, "found no certificate{}, expected PEM with BEGIN CERTIFICATE", Other(*other))
            }
            Self::NoKey(other) => write!(
                f,
                "found no private key{}, expected PEM with BEGIN PRIVATE KEY, BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY",
                Other(*other)
            ),
            Self::NoRevocationList(other) => {
                write!(f, "found no CRL{}, expected DER, or PEM with BEGIN X509 CRL", Other(*other))
            }
            Self::RevocationList { number, line: Some(line), error } => {
                write!(f, "line {line}: CRL {number}: {error}")
            }
            Self::RevocationList { line: None, error, .. } => write!(f, "the CRL: {error}"),
            Self::Certificate { number, line, error } => {
                write!(f, "line {line}: certificate {number}: {error}")
            }
        }
    }
}

impl std::error::Error for PemError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.kind)
    }
}

impl std::error::Error for PemErrorKind {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Malformed(fault) => Some(fault),
            Self::Certificate { error, .. } => Some(error),
            Self::RevocationList { error, .. } => Some(error),
            Self::TooLarge | Self::Inline | Self::NoCertificate(_) | Self::NoKey(_) | Self::NoRevocationList(_) => None,
        }
    }
}

/// A block that was found where another was expected.
struct Other(Option<(usize, &'static str)>);

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |(line, label)| write!(f, " but {label} on line {line}"))
    }
}

/// Reads all certificates of a file: a chain, or a bundle of CAs. The core parses each.
///
/// # Errors
/// Returns the file's name and the fault; a file without a certificate is an error.
pub fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let text = read(file)?;
    certificates(&text).map_err(|kind| PemError { file: file.to_owned(), kind })
}

/// Returns all certificates of a PEM text, and at least one. The core parses each.
///
/// # Errors
/// Returns the fault and its line.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemErrorKind> {
    let (mut all, mut other) = (Vec::new(), None);
    for block in blocks(text).map_err(PemErrorKind::Malformed)? {
        other = other.or(Some((block.line, block.shown_label())));
        if block.is_certificate() {
            let number = all.len().saturating_add(1);
            Certificate::from_der(&block.der).map_err(|error| PemErrorKind::Certificate {
                number,
                line: block.line,
                error,
            })?;
            all.push(CertificateDer::from(block.der));
        } else if !block.is_key() && !block.is_company() {
            return Err(PemErrorKind::Malformed(block.misplaced()));
        }
    }
    if all.is_empty() { Err(PemErrorKind::NoCertificate(other)) } else { Ok(all) }
}

/// Reads the private key of a file: PKCS #8, SEC 1 or PKCS #1. The file may also hold certificates.
///
/// # Errors
/// Returns the file's name and the fault.
pub fn read_private_key(file: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let text = read(file)?;
    private_key(&text).map_err(|kind| PemError { file: file.to_owned(), kind })
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemErrorKind> {
    let (mut found, mut other) = (None, None);
    for block in blocks(text).map_err(PemErrorKind::Malformed)? {
        let line = block.line;
        let fault = |kind| Err(PemErrorKind::Malformed(PemFault { line, kind }));
        if block.is_certificate() || block.is_company() {
            other = other.or(Some((line, block.shown_label())));
            continue;
        }
        // RFC 7468 section 11; openssl's traditional forms have a header instead.
        if block.encrypted || block.label == "ENCRYPTED PRIVATE KEY" {
            return fault(PemFaultKind::Encrypted);
        }
        let make: fn(Vec<u8>) -> PrivateKeyDer<'static> = match block.label.as_str() {
            "PRIVATE KEY" => |der| PrivatePkcs8KeyDer::from(der).into(),
            "EC PRIVATE KEY" => |der| PrivateSec1KeyDer::from(der).into(),
            "RSA PRIVATE KEY" => |der| PrivatePkcs1KeyDer::from(der).into(),
            _ => return Err(PemErrorKind::Malformed(block.misplaced())),
        };
        if !block.is_sequence() {
            return fault(PemFaultKind::NotDer);
        }
        if let Some((first, _)) = found {
            return fault(PemFaultKind::SecondKey(first));
        }
        found = Some((line, make(block.der)));
    }
    found.map(|(_, key)| key).ok_or(PemErrorKind::NoKey(other))
}

/// Returns a warning if others may read a file with a secret.
#[cfg(feature = "cli")]
pub(crate) fn secret_permissions(file: &Path, secret: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0)
        .then(|| format!("{}: mode {mode:03o} lets others use the {secret}, expected 600", file.display()))
}

/// Reads a file, which may hold a key: its text is wiped when it is dropped.
fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, PemError> {
    use std::io::Read;
    if file.to_string_lossy().contains("-----BEGIN") {
        return Err(PemError { file: PathBuf::new(), kind: PemErrorKind::Inline });
    }
    let unreadable = |error| PemError { file: file.to_owned(), kind: PemErrorKind::Unreadable(error) };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    // Room for all of it, since a text that is moved while it grows leaves copies.
    let size = opened.metadata().map_or(0, |found| found.len().min(MAX_FILE)).saturating_add(1);
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0)));
    opened.take(MAX_FILE.saturating_add(1)).read_to_end(&mut text).map_err(unreadable)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(PemError { file: file.to_owned(), kind: PemErrorKind::TooLarge });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
