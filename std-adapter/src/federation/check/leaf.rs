//! The certificate that a site's CA could issue to a gateway, without the CA's key.

use edgetrust_core::x509::Certificate;
use pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use rcgen::PublicKeyData as _;

use crate::federation::der::value;
use crate::federation::key::{generate, random};
use crate::tls::provider;

/// Tags of DER (X.690 section 8.1.2).
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// Version 3, its tag included.
const VERSION: [u8; 5] = [0xa0, 3, INTEGER, 1, 2];
const SERIAL_NUMBER: [u8; 3] = [INTEGER, 1, 1];

/// From 1970 until "no well-defined expiration date" (RFC 5280 section 4.1.2.5): a gateway renews its certificate, so the
/// end of a path is that of a CA.
const VALIDITY: &[u8] = b"\x30\x20\x17\x0d700101000000Z\x18\x0f99991231235959Z";

/// id-at-commonName, id-ce-keyUsage, id-ce-subjectAltName, id-ce-authorityKeyIdentifier, id-ce-extKeyUsage
const COMMON_NAME: [u8; 3] = [0x55, 4, 3];
const KEY_USAGE: [u8; 3] = [0x55, 29, 15];
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 29, 17];
const AUTHORITY_KEY_IDENTIFIER: [u8; 3] = [0x55, 29, 35];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 29, 37];

/// digitalSignature alone, as a named bit list (RFC 5280 section 4.2.1.3).
const DIGITAL_SIGNATURE: [u8; 4] = [BIT_STRING, 2, 7, 0x80];

/// id-kp-serverAuth and id-kp-clientAuth (RFC 5280 section 4.2.1.12).
pub(super) const SERVER_AUTH: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(super) const CLIENT_AUTH: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 2];

const TRUE: [u8; 3] = [1, 1, 0xff];

/// The assumption that the holder of a CA's key could sign what the CA may issue.
///
/// A certificate that is written here has in place of its signature a mark, drawn for one run, and after it the key of
/// the CA. The algorithms that [`Assumption::algorithms`] returns take it as a signature by that key. Every other
/// signature, of CAs too, they verify.
pub(super) struct Assumption {
    mark: [u8; 32],
    /// The key of the gateway: that of nobody.
    spki: Vec<u8>,
}

impl Assumption {
    /// Draws a mark.
    ///
    /// # Errors
    /// Fails if the system gives no random numbers.
    pub(super) fn new() -> Result<Self, String> {
        Ok(Self { mark: random()?, spki: generate()?.subject_public_key_info() })
    }

    /// Returns the algorithms by which gateways verify, each with the assumption.
    pub(super) fn algorithms(&self) -> Vec<Assuming> {
        let all = provider().signature_verification_algorithms.all;
        all.iter().map(|algorithm| Assuming { mark: self.mark, algorithm: *algorithm }).collect()
    }

    /// Returns the certificate that a CA could issue to a gateway of this name: the common name as step-ca sets it, the
    /// DNS name, and both purposes of TLS.
    pub(super) fn leaf(&self, ca: &Certificate<'_>, host: &str) -> Vec<u8> {
        let key = ca.subject_public_key_info();
        let algorithm = value(SEQUENCE, &signature_algorithm(key.algorithm));
        let common_name = [value(OBJECT_IDENTIFIER, &COMMON_NAME), value(UTF8_STRING, host.as_bytes())].concat();
        let tbs = value(
            SEQUENCE,
            &[
                &VERSION[..],
                &SERIAL_NUMBER,
                &algorithm,
                &value(SEQUENCE, ca.subject().as_bytes()),
                VALIDITY,
                &value(SEQUENCE, &value(SET, &value(SEQUENCE, &common_name))),
                &self.spki,
                &value(0xa3, &value(SEQUENCE, &extensions(ca, host))),
            ]
            .concat(),
        );
        let mark = value(BIT_STRING, &[&[0][..], &self.mark, key.public_key].concat());
        value(SEQUENCE, &[tbs, algorithm, mark].concat())
    }
}

fn extensions(ca: &Certificate<'_>, host: &str) -> Vec<u8> {
    let extension = |oid: &[u8], critical: &[u8], contents: &[u8]| {
        value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, oid), critical, &value(OCTET_STRING, contents)].concat())
    };
    let purposes = [value(OBJECT_IDENTIFIER, &SERVER_AUTH), value(OBJECT_IDENTIFIER, &CLIENT_AUTH)].concat();
    let mut all = extension(&KEY_USAGE, &TRUE, &DIGITAL_SIGNATURE);
    all.extend(extension(&EXTENDED_KEY_USAGE, &[], &value(SEQUENCE, &purposes)));
    all.extend(extension(&SUBJECT_ALT_NAME, &[], &value(SEQUENCE, &value(0x82, host.as_bytes()))));
    // RFC 5280 section 4.2.1.1: the issuer's own identifier
    if let Some(identifier) = ca.extensions().subject_key_identifier {
        all.extend(extension(&AUTHORITY_KEY_IDENTIFIER, &[], &value(SEQUENCE, &value(0x80, identifier))));
    }
    all
}

/// Returns the first algorithm that signs with a key of this kind. A key of no such kind signs nothing, and the core
/// says so of the CA.
fn signature_algorithm(key: &[u8]) -> AlgorithmIdentifier {
    let all = provider().signature_verification_algorithms.all;
    let fits = all.iter().find(|algorithm| algorithm.public_key_alg_id().as_ref() == key);
    fits.map_or(alg_id::ECDSA_SHA256, |algorithm| algorithm.signature_alg_id())
}

/// An algorithm that also takes the mark of an assumption.
#[derive(Debug)]
pub(super) struct Assuming {
    mark: [u8; 32],
    algorithm: &'static dyn SignatureVerificationAlgorithm,
}

impl SignatureVerificationAlgorithm for Assuming {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        match signature.strip_prefix(&self.mark) {
            Some(key) if key == public_key => Ok(()),
            _ => self.algorithm.verify_signature(public_key, message, signature),
        }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

#[cfg(test)]
mod tests {
    use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust};
    use edgetrust_core::x509::Certificate;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SignatureAlgorithm};

    use super::*;
    use crate::clock;

    fn ca(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn is_taken(leaf: &[u8], ca: &[u8], assumption: &Assumption) -> bool {
        let (leaf, anchors) = (Certificate::from_der(leaf).unwrap(), [Certificate::from_der(ca).unwrap()]);
        let anchors = anchors.map(Anchor::new);
        let algorithms = assumption.algorithms();
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = algorithms.iter().map(|one| one as _).collect();
        let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &algorithms };
        [Purpose::ClientAuth, Purpose::ServerAuth]
            .iter()
            .all(|purpose| trust.verify(&leaf, &[], *purpose, clock::now(), &mut Budget::new(Limits::SERVER)).is_ok())
    }

    #[test]
    fn the_core_takes_what_a_ca_of_any_kind_could_issue() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let (assumption, ca) = (Assumption::new().unwrap(), ca(algorithm));
            for host in ["gateway.a.example", &format!("{0}.{0}.{0}.example", "x".repeat(63))] {
                let leaf = assumption.leaf(&Certificate::from_der(&ca).unwrap(), host);
                assert!(is_taken(&leaf, &ca, &assumption), "{algorithm:?} {host}");
            }
        }
    }

    #[test]
    fn a_mark_counts_for_its_own_ca_and_its_own_run_alone() {
        let (one, another) = (ca(&rcgen::PKCS_ECDSA_P256_SHA256), ca(&rcgen::PKCS_ECDSA_P256_SHA256));
        let assumption = Assumption::new().unwrap();
        let leaf = assumption.leaf(&Certificate::from_der(&one).unwrap(), "gateway.a.example");
        assert!(is_taken(&leaf, &one, &assumption));
        assert!(!is_taken(&leaf, &another, &assumption), "another key of the same name");
        assert!(!is_taken(&leaf, &one, &Assumption::new().unwrap()), "a mark of another run");
    }
}
