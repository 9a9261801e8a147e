//! Reports for `edgetrust check` on certificates that devices verify; devices support fewer algorithms than a gateway.

use std::path::Path;

use edgetrust_core::config::{Config, CredentialSource, FirstCredential, Server, TunnelKind};
use edgetrust_core::x509::{Certificate, ObjectIdentifier};
use pki_types::alg_id;

use super::findings::{Findings, Level};
use crate::pem;

/// Warns of algorithms that devices may not verify, if the configuration has an EST server or is a device's.
pub(super) fn check(config: &Config<'_>, findings: &mut Findings) {
    if config.device.is_none() && config.gateway.est.is_none() {
        return;
    }
    findings.add(
        Level::Ok,
        "devices verify ECDSA with P-256 and SHA-256, and P-384 or Ed25519 only where their firmware is built with it: \
         CAs and certificates that they meet keep to these",
    );
    let mut anchors: Vec<&str> = Vec::new();
    let mut shown: Vec<&str> = Vec::new();
    if let Some(device) = &config.device {
        anchors.extend(&device.ca_files);
        if let FirstCredential::Files(files) = &device.credential {
            shown.push(files.cert_file);
        }
    }
    if let Some(est) = &config.gateway.est {
        anchors.extend(est.clients.ca_files.iter().chain(&est.clients.pinned_certificates));
        shown.extend(file(&est.tls.credential));
        shown.extend(config.gateway.tunnels.iter().filter_map(|tunnel| match &tunnel.kind {
            TunnelKind::Server { tls: Server::Tls(tls) | Server::MutualTls(tls, _), .. } => file(&tls.credential),
            TunnelKind::Server { .. } | TunnelKind::Client { .. } => None,
        }));
    }
    for (files, is_anchor) in [(&mut anchors, true), (&mut shown, false)] {
        files.sort_unstable();
        files.dedup();
        for file in files {
            certificates(file, is_anchor, findings);
        }
    }
}

fn file<'a>(source: &CredentialSource<'a>) -> Option<&'a str> {
    match source {
        CredentialSource::Files(pair) | CredentialSource::AcmeWithFallback(_, pair) => Some(pair.cert_file),
        CredentialSource::Acme(_) => None,
    }
}

/// Checks the certificates of a file; a file that cannot be read is reported where it is used.
fn certificates(file: &str, is_anchor: bool, findings: &mut Findings) {
    for der in pem::read_certificates(Path::new(file)).unwrap_or_default() {
        let Ok(certificate) = Certificate::from_der(&der) else { continue };
        let key = certificate.subject_public_key_info().algorithm;
        let signature = certificate.signature_algorithm();
        let found = if key != alg_id::ECDSA_P256.as_ref() {
            format!("the key of {} is {}", certificate.subject(), name(ObjectIdentifier::of_key(key)))
        // An anchor's own signature proves nothing and is not verified.
        } else if !is_anchor && signature != alg_id::ECDSA_SHA256.as_ref() {
            let algorithm = name(ObjectIdentifier::algorithm(signature));
            format!("the signature of {} is {algorithm}", certificate.subject())
        } else {
            continue;
        };
        findings.add(
            Level::Warning,
            format!("{file}: {found}, which devices may not be able to verify: expected ECDSA with P-256 and SHA-256"),
        );
    }
}

/// Returns the name of an algorithm or curve, if it has one and this gateway verifies it.
pub(super) fn name(id: ObjectIdentifier) -> String {
    let dotted = id.to_string();
    let name = match dotted.as_str() {
        "1.2.840.113549.1.1.1" => "RSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA with SHA-256",
        "1.2.840.113549.1.1.12" => "RSA with SHA-384",
        "1.2.840.113549.1.1.13" => "RSA with SHA-512",
        "1.3.132.0.34" => "ECDSA P-384",
        "1.3.132.0.35" => "ECDSA P-521",
        "1.2.840.10045.4.3.3" => "ECDSA with SHA-384",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.3.101.112" => "Ed25519",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        _ => return dotted,
    };
    name.to_owned()
}
