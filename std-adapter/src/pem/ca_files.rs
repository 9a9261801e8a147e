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
        self.in_place_of(file).map_or_else(|| read_certificates(file), |certificates| Ok(certificates.to_vec()))
    }

    /// Returns the certificates in the place of a file.
    pub(crate) fn in_place_of(&self, file: &Path) -> Option<&[CertificateDer<'static>]> {
        let (replaced, certificates) = self.replaced.as_ref()?;
        (replaced == file).then_some(certificates)
    }
}
