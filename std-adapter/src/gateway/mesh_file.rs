//! Reads mesh files, and says what is wrong with one.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use edgetrust_core::mesh::{EncodedCertificate, MAX_CERTIFICATE};
use pki_types::CertificateDer;

use crate::pem::PemError;
use crate::store::StorageError;

/// The reason that a mesh file cannot be used.
#[derive(Debug)]
pub enum MeshFileError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file has more octets than this number.
    TooLong(PathBuf, usize),
    /// The file was read but refused, for this reason.
    Refused(PathBuf, String),
    /// The roots that the first signed file must come from cannot be read.
    Roots(PemError),
    /// The folder of the mesh in force cannot be used.
    Storage(StorageError),
}

impl fmt::Display for MeshFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => write!(f, "{}: cannot be read: {error}", file.display()),
            Self::TooLong(file, limit) => write!(f, "{}: found more than {limit} octets", file.display()),
            Self::Refused(file, reason) => write!(f, "{}: {reason}", file.display()),
            Self::Roots(error) => write!(f, "ca_bundle: {error}"),
            Self::Storage(error) => write!(f, "storage_path: {error}"),
        }
    }
}

impl Error for MeshFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            Self::Roots(error) => Some(error),
            Self::Storage(error) => Some(error),
            Self::TooLong(..) | Self::Refused(..) => None,
        }
    }
}

/// Reads a file of at most `limit` octets.
pub(super) fn read(file: &Path, limit: usize) -> Result<Vec<u8>, MeshFileError> {
    use std::io::Read;
    let unreadable = |error| MeshFileError::Unreadable(file.to_owned(), error);
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let (opened, mut text) = (std::fs::File::open(file).map_err(unreadable)?, Vec::new());
    opened.take(most.saturating_add(1)).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() > limit {
        return Err(MeshFileError::TooLong(file.to_owned(), limit));
    }
    Ok(text)
}

/// Returns whether a text that is refused looks like a signed mesh. It is not parsed for this: a signed text is parsed
/// after its signature was verified, and any other one where it is expected.
pub(super) fn is_signed(text: &[u8]) -> bool {
    contains(text, b"\"payload\"") && contains(text, b"\"signature\"")
}

/// Returns whether a text that is refused looks like a mesh without a signature.
pub(super) fn is_unsigned(text: &[u8]) -> bool {
    contains(text, b"\"sites\"") && !is_signed(text)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Decodes a certificate that was decoded when the mesh was checked.
pub(super) fn decoded(certificate: EncodedCertificate<'_>) -> CertificateDer<'static> {
    let mut out = [0; MAX_CERTIFICATE];
    let der = certificate.decode(&mut out);
    debug_assert!(der.is_some(), "the mesh was checked");
    CertificateDer::from(der.unwrap_or_default().to_vec())
}
