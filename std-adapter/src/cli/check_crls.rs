//! Reports for `edgetrust check` on revocation lists.

use std::path::Path;

use edgetrust_core::config::{CrlsRequired, Gateway};
use edgetrust_core::revocation::RevocationList;
use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, KeyUsage};

use super::check_files::Files;
use super::findings::{Findings, Level};
use crate::gateway::{ListStatus, PlanError};
use crate::pem;
use crate::tls::provider;

/// Reports on each list: its end, its entries, and the CA that has signed it.
pub(super) fn check(gateway: &Gateway<'_>, files: &Files, findings: &mut Findings) {
    for file in &gateway.crl_files {
        match pem::read_revocation_lists(Path::new(file)) {
            Err(error) => findings.add(Level::Error, error.to_string()),
            // They have been parsed already.
            Ok(lists) => lists
                .iter()
                .flat_map(|der| RevocationList::from_der(der))
                .for_each(|read| list(file, &read, files, findings)),
        }
    }
    match gateway.crls_required {
        CrlsRequired::None if gateway.crl_files.is_empty() => {}
        _ if gateway.crl_files.is_empty() => findings.add(Level::Error, PlanError::NoRevocationList.to_string()),
        CrlsRequired::None => findings.add(
            Level::Ok,
            "crls_required is none: a certificate is not checked where the key that signed it has no CRL here",
        ),
        CrlsRequired::Leaf => {
            findings
                .add(Level::Ok, "crls_required: a peer is refused if the CA of its own certificate has no CRL here");
        }
        CrlsRequired::Chain => {
            findings.add(Level::Ok, "crls_required: a peer is refused if any CA of its chain has no CRL here");
        }
    }
}

fn list(file: &str, list: &RevocationList<'_>, files: &Files, findings: &mut Findings) {
    let status = ListStatus::new(file, list);
    let (issuer, end, count) = (&status.issuer, Utc(status.next_update), list.count());
    let what = format!("{file}: the CRL of {issuer}, {count} revoked");
    if status.has_ended(files.now()) {
        findings.add(
            Level::Warning,
            format!("{what}: ended at {end}, so certificates of this CA are refused until there is a newer one"),
        );
    } else if files.now() < list.this_update() {
        findings.add(Level::Warning, format!("{what}: begins at {}, which is to come", Utc(list.this_update())));
    } else if status.ends_soon(files.now()) {
        findings.add(Level::Warning, format!("{what}: ends at {end}: replace it"));
    } else {
        findings.add(Level::Ok, format!("{what}, until {end}"));
    }
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms.all;
    let signed = |ca: &Certificate<'_>| list.is_named_after(ca) && list.verify(ca, algorithms).is_some();
    match files.authorities().find(signed) {
        None => findings.add(
            Level::Warning,
            format!(
                "{file}: the CRL of {issuer} is signed by no CA of this configuration: a CA below those that \
                 publishes CRLs belongs into known_intermediates"
            ),
        ),
        Some(ca) if ca.extensions().key_usage.is_some_and(|usage| !usage.contains(KeyUsage::CRL_SIGN)) => {
            findings.add(
                Level::Warning,
                format!("{file}: {issuer} has a key usage without cRLSign: its certificates are refused"),
            );
        }
        Some(_) => {}
    }
}
