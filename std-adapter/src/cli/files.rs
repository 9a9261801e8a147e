//! Reads certificate files named on the command line.

use std::path::PathBuf;

use pki_types::CertificateDer;

use super::Failure;
use crate::pem;

/// Returns all certificates of all files.
pub(crate) fn certificates(files: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let mut all = Vec::new();
    for file in files {
        all.extend(pem::read_certificates(file)?);
    }
    Ok(all)
}
