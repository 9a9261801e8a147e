//! Reads files of CAs, of which one can have others in its place.

use std::path::{Path, PathBuf};

use pki_types::CertificateDer;

use super::{PemError, read_certificates};

/// Files of CAs. The roots of a mesh in force stand for the file that its first text was proved by: they change by
/// themselves, and the file stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CaFiles {
    replaced: Option<(PathBuf, Vec<CertificateDer<'static>>)>,
}

impl CaFiles {
    /// Puts certificates in the place of a file.
    pub(crate) fn replacing(file: &str, certificates: Vec<CertificateDer<'static>>) -> Self {
        Self { replaced: Some((PathBuf::from(file), certificates)) }
    }

    /// Returns the certificates of a file, or those in its place.
    ///
    /// # Errors
    /// As [`read_certificates`].
    pub(crate) fn read(&self, file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
        match &self.replaced {
            Some((replaced, certificates)) if replaced == file => Ok(certificates.clone()),
            _ => read_certificates(file),
        }
    }
}
