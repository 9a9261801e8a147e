//! Describes a certificate in full, as `edgetrust inspect` shows it.

use std::net::{Ipv4Addr, Ipv6Addr};

use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, GeneralName, GeneralSubtrees, KeyHash, Serial};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::key;
use crate::clock;
use crate::tls::Authority;

/// The fields shown of a certificate.
#[derive(Serialize)]
pub(super) struct Shown {
    /// The file, or the server.
    #[serde(rename = "file")]
    source: String,
    /// The certificate's place in it, from 1.
    number: usize,
    subject: String,
    issuer: String,
    serial: String,
    version: u8,
    not_before: String,
    not_after: String,
    /// "valid", "expired" or "not yet valid", at present.
    validity: &'static str,
    key: String,
    /// The hash that names the key in `issuers` and `denied_keys`.
    key_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_bits: Option<usize>,
    names: Vec<String>,
    ca: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_len: Option<u8>,
    /// The certificate's role in a list of CA files: "ca" or "pin".
    role: &'static str,
    key_usage: Vec<&'static str>,
    extended_key_usage: Vec<String>,
    permitted_names: Vec<String>,
    excluded_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_key_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority_key_identifier: Option<String>,
    /// The critical extension that is not processed, because of which every path is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_critical_extension: Option<String>,
    sha256: String,
}

/// Describes the certificate at a place of a file or of a server's chain.
pub(super) fn shown(source: &str, number: usize, der: &[u8], certificate: &Certificate<'_>) -> Shown {
    let (validity, now) = (certificate.validity(), clock::now());
    let extensions = certificate.extensions();
    let subtrees = |list: Option<GeneralSubtrees<'_>>| list.into_iter().flatten().map(general_name).collect();
    let constraints = extensions.name_constraints;
    Shown {
        source: source.to_owned(),
        number,
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: Serial(certificate.serial()).to_string(),
        version: certificate.version(),
        not_before: Utc(validity.not_before).to_string(),
        not_after: Utc(validity.not_after).to_string(),
        validity: match () {
            () if now > validity.not_after => "expired",
            () if now < validity.not_before => "not yet valid",
            () => "valid",
        },
        key: key::describe(&certificate.subject_public_key_info()),
        key_sha256: KeyHash::of(&certificate.subject_public_key_info()).to_string(),
        key_bits: key::bits(&certificate.subject_public_key_info()),
        names: extensions.subject_alt_name.into_iter().flatten().map(general_name).collect(),
        ca: extensions.basic_constraints.is_some_and(|constraints| constraints.ca),
        path_len: extensions.basic_constraints.and_then(|constraints| constraints.path_len),
        role: Authority::stated(certificate).role.name(),
        key_usage: extensions.key_usage.map_or_else(Vec::new, |usage| {
            (0_u16..).zip(KEY_USAGE).filter(|(bit, _)| usage.0 >> bit & 1 == 1).map(|(_, name)| name).collect()
        }),
        extended_key_usage: extensions
            .extended_key_usage
            .map_or_else(Vec::new, |usage| usage.purposes().map(purpose).collect()),
        permitted_names: subtrees(constraints.map(|constraints| constraints.permitted)),
        excluded_names: subtrees(constraints.map(|constraints| constraints.excluded)),
        subject_key_identifier: extensions.subject_key_identifier.map(hex),
        authority_key_identifier: extensions.authority_key_identifier.and_then(|aki| aki.key_identifier).map(hex),
        unknown_critical_extension: extensions.unknown_critical.map(object_identifier),
        sha256: hex(&Sha256::digest(der)),
    }
}

/// The names of bits 0 to 8 (RFC 5280 section 4.2.1.3).
const KEY_USAGE: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

/// The key purposes with a name of their own (RFC 5280 section 4.2.1.12).
const PURPOSES: [(&str, &str); 7] = [
    ("2.5.29.37.0", "anyExtendedKeyUsage"),
    ("1.3.6.1.5.5.7.3.1", "serverAuth"),
    ("1.3.6.1.5.5.7.3.2", "clientAuth"),
    ("1.3.6.1.5.5.7.3.3", "codeSigning"),
    ("1.3.6.1.5.5.7.3.4", "emailProtection"),
    ("1.3.6.1.5.5.7.3.8", "timeStamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSPSigning"),
];

fn purpose(contents: &[u8]) -> String {
    let dotted = object_identifier(contents);
    PURPOSES.iter().find(|(id, _)| *id == dotted).map_or(dotted, |(_, name)| (*name).to_owned())
}

/// Returns the dotted form (X.690 section 8.19).
fn object_identifier(contents: &[u8]) -> String {
    let mut arcs: Vec<u128> = Vec::new();
    let mut arc = 0_u128;
    for octet in contents {
        arc = arc.checked_mul(128).map_or(u128::MAX, |arc| arc | u128::from(octet & 0x7f));
        if octet & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc = arc.saturating_sub(first.saturating_mul(40));
            }
            arcs.push(arc);
            arc = 0;
        }
    }
    arcs.iter().map(u128::to_string).collect::<Vec<_>>().join(".")
}

pub(super) fn print(shown: &Shown) {
    outln!("{} certificate {}", shown.source, shown.number);
    let line = |what: &str, value: &str| outln!("  {what:<16}{value}");
    line("subject", &shown.subject);
    line("issuer", &shown.issuer);
    line("serial", &shown.serial);
    line("version", &shown.version.to_string());
    line("valid", &format!("{} to {} ({})", shown.not_before, shown.not_after, shown.validity));
    line("key", &shown.key);
    line("key's hash", &shown.key_sha256);
    shown.names.iter().for_each(|name| line("name", name));
    match (shown.ca, shown.path_len) {
        (true, Some(below)) => line("CA", &format!("at most {below} CAs below")),
        (true, None) => line("CA", "yes"),
        (false, _) => line("CA", "no"),
    }
    line("as a CA file", if shown.role == "ca" { "a CA, which can issue" } else { "a pin, for itself alone" });
    if !shown.key_usage.is_empty() {
        line("usage", &shown.key_usage.join(", "));
    }
    if !shown.extended_key_usage.is_empty() {
        line("purposes", &shown.extended_key_usage.join(", "));
    }
    shown.permitted_names.iter().for_each(|name| line("permitted", name));
    shown.excluded_names.iter().for_each(|name| line("excluded", name));
    shown.subject_key_identifier.iter().for_each(|id| line("key id", id));
    shown.authority_key_identifier.iter().for_each(|id| line("issuer's key id", id));
    if let Some(id) = &shown.unknown_critical_extension {
        line("refused for", &format!("critical extension {id}, which is not processed (RFC 5280 section 4.2)"));
    }
    line("SHA-256", &shown.sha256);
}

fn general_name(name: GeneralName<'_>) -> String {
    match name {
        GeneralName::Dns(name) => format!("DNS {}", name.escape_debug()),
        GeneralName::Uri(uri) => format!("URI {}", uri.escape_debug()),
        GeneralName::Rfc822(mailbox) => format!("email {}", mailbox.escape_debug()),
        GeneralName::Directory(name) => format!("directory {name}"),
        GeneralName::Ip(octets) => format!("IP {}", address(octets)),
        _ => "of another kind".to_owned(),
    }
}

/// Formats an address, or an address and its mask (RFC 5280 section 4.2.1.10).
fn address(octets: &[u8]) -> String {
    let one = |octets: &[u8]| match (<[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
        (Ok(v4), _) => Some(Ipv4Addr::from(v4).to_string()),
        (_, Ok(v6)) => Some(Ipv6Addr::from(v6).to_string()),
        _ => None,
    };
    let (address, mask) = match octets.len() {
        8 | 32 => octets.split_at(octets.len() / 2),
        _ => (octets, &[][..]),
    };
    match (one(address), one(mask)) {
        (Some(address), Some(mask)) => format!("{address}/{mask}"),
        (Some(address), None) => address,
        _ => hex(octets),
    }
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_and_addresses() {
        assert_eq!(object_identifier(&[0x2b, 6, 1, 5, 5, 7, 3, 1]), "1.3.6.1.5.5.7.3.1");
        assert_eq!(object_identifier(&[0x55, 0x1d, 0x25, 0]), "2.5.29.37.0");
        assert_eq!(object_identifier(&[0x88, 0x37]), "2.999");
        assert_eq!(address(&[10, 0, 0, 0, 255, 0, 0, 0]), "10.0.0.0/255.0.0.0");
        assert_eq!(address(&[127, 0, 0, 1]), "127.0.0.1");
        assert_eq!(address(&[1, 2]), "01:02");
    }
}
