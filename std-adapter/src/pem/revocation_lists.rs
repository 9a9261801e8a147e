//! Reads files of revocation lists, in PEM (RFC 7468 section 6) or, as CAs publish them, in DER.

use std::path::Path;

use edgetrust_core::revocation::{RevocationList, RevocationListError};
use pki_types::CertificateRevocationListDer;

use super::blocks::blocks;
use super::{PemError, PemErrorKind, read};

/// Reads all revocation lists of a file: one in DER, or any number in PEM. The core parses each.
///
/// # Errors
/// Returns the file's name and the fault; a file without a list is an error.
pub fn read_revocation_lists(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    let mut octets = read(file)?;
    revocation_lists(std::mem::take(&mut octets)).map_err(|kind| PemError { file: file.to_owned(), kind })
}

/// Returns all revocation lists of these octets, and at least one. The core parses each.
///
/// # Errors
/// Returns the fault, and its line in PEM.
pub fn revocation_lists(octets: Vec<u8>) -> Result<Vec<CertificateRevocationListDer<'static>>, PemErrorKind> {
    let parse = |der: Vec<u8>, fault: &dyn Fn(RevocationListError) -> PemErrorKind| {
        RevocationList::from_der(&der).map_err(fault)?;
        Ok(CertificateRevocationListDer::from(der))
    };
    // A SEQUENCE with a long length (X.690 section 8.1.3.5); no text begins so.
    if let [0x30, 0x80..=0xff, ..] = *octets {
        let fault = |error| PemErrorKind::RevocationList { number: 1, line: None, error };
        return Ok(vec![parse(octets, &fault)?]);
    }
    let (mut all, mut other) = (Vec::new(), None);
    for block in blocks(&octets).map_err(PemErrorKind::Malformed)? {
        if block.is_revocation_list() {
            let number = all.len().saturating_add(1);
            let fault = |error| PemErrorKind::RevocationList { number, line: Some(block.line), error };
            all.push(parse(block.der, &fault)?);
        } else if block.is_certificate() {
            other = other.or(Some((block.line, block.shown_label())));
        } else {
            return Err(PemErrorKind::Malformed(block.misplaced()));
        }
    }
    if all.is_empty() { Err(PemErrorKind::NoRevocationList(other)) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
        KeyUsagePurpose, SerialNumber, date_time_ymd,
    };

    fn list() -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2027, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&Issuer::new(params, KeyPair::generate().unwrap())).unwrap().der().to_vec()
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    }

    fn read(octets: impl Into<Vec<u8>>) -> Result<usize, String> {
        revocation_lists(octets.into()).map(|lists| lists.len()).map_err(|kind| kind.to_string())
    }

    #[test]
    fn every_list_of_a_file_counts() {
        let (one, two) = (list(), list());
        assert_eq!(read(one.clone()), Ok(1));
        let both = format!("issuer=CN = Site CA\n{}{}", pem("X509 CRL", &one), pem("X509 CRL", &two));
        assert_eq!(read(both), Ok(2));
        for (octets, reason) in [
            (Vec::new(), "found no CRL, expected DER, or PEM with BEGIN X509 CRL"),
            (b"<html>404</html>".to_vec(), "found no CRL, expected DER, or PEM with BEGIN X509 CRL"),
            (pem("CERTIFICATE", &one).into_bytes(), "found no CRL but CERTIFICATE on line 1"),
            (pem("PRIVATE KEY", &one).into_bytes(), "found PRIVATE KEY, which is not processed here"),
            (one[..one.len() - 1].to_vec(), "the CRL: at byte 0: not the DER expected here"),
            ([&one[..], &[0]].concat(), "data follows where nothing may"),
            (pem("X509 CRL", b"\x30\x00").into_bytes(), "line 1: CRL 1: at byte 2: not the DER expected here"),
        ] {
            let said = read(octets).unwrap_err();
            assert!(said.contains(reason), "{said}: {reason}");
        }
    }
}
