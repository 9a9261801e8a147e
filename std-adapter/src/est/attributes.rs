//! Encodes `csrattrs` (RFC 7030 section 4.5.2, RFC 9908), the content of a device's next request: its own names, the
//! type of key and the signature algorithm.

use edgetrust_core::config::KeyType;
use edgetrust_core::x509::Certificate;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// extensionRequest (RFC 2985 section 5.4.2)
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// id-ce-subjectAltName (RFC 5280 section 4.2.1.6)
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
/// id-ecPublicKey, secp256r1, secp384r1 (RFC 5480 section 2.1.1)
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// ecdsa-with-SHA256, ecdsa-with-SHA384 (RFC 5758 section 3.2)
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// rsaEncryption, sha256WithRSAEncryption (RFC 8017 appendix C)
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];

/// Returns the CsrAttrs in DER for the device that presented `current`, or for one that has no certificate yet.
pub(super) fn csr_attributes(current: Option<&Certificate<'_>>, key_type: KeyType) -> Vec<u8> {
    let oid = |octets: &[u8]| der(OBJECT_IDENTIFIER, octets);
    let (key, parameter, algorithm) = match key_type {
        KeyType::P256 => (EC_PUBLIC_KEY, oid(SECP256R1), ECDSA_SHA256),
        KeyType::P384 => (EC_PUBLIC_KEY, oid(SECP384R1), ECDSA_SHA384),
        // The length in bits (RFC 7030 section 4.5.2).
        KeyType::Rsa2048 => (RSA_ENCRYPTION, der(INTEGER, &2048_u16.to_be_bytes()), RSA_SHA256),
    };
    let attribute = |kind: &[u8], value: &[u8]| der(SEQUENCE, &[oid(kind), der(SET, value)].concat());
    let mut all = Vec::new();
    if let Some(names) = current.and_then(|current| current.extensions().subject_alt_name) {
        let names = der(OCTET_STRING, names.der());
        let extension = der(SEQUENCE, &[oid(SUBJECT_ALT_NAME), names].concat());
        all.extend(attribute(EXTENSION_REQUEST, &der(SEQUENCE, &extension)));
    }
    all.extend(attribute(key, &parameter));
    all.extend(oid(algorithm));
    der(SEQUENCE, &all)
}

/// Encodes tag, length and contents (X.690 section 8.1.3).
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let used: Vec<u8> = length.iter().copied().skip_while(|octet| *octet == 0).collect();
    let head = match (used.as_slice(), u8::try_from(used.len())) {
        ([], _) => vec![0],
        ([short @ 0..=0x7f], _) => vec![*short],
        // There are at most eight octets, so the count fits.
        (long, count) => [&[0x80 | count.unwrap_or(0x7f)][..], long].concat(),
    };
    [&[tag][..], &head, contents].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        for (octets, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (70_000, &[4, 0x83, 1, 17, 112]),
        ] {
            assert!(der(OCTET_STRING, &vec![7; octets]).starts_with(head), "{octets}");
        }
    }
}
