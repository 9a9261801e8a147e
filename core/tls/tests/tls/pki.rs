//! A root, an intermediate, and the certificates of a gateway and of devices.

use std::time::{Duration, SystemTime};

use edgetrust_core::crypto::{EcdsaSignature, P256Key};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_tls::Credential;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// The name of the gateway in these tests.
pub const GATEWAY: &str = "gateway.a.example";

/// A CA.
pub struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pub der: Vec<u8>,
}

impl Ca {
    pub fn new(name: &str, below: Option<&Ca>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = match below {
            Some(ca) => params.signed_by(&key, &Issuer::from_params(&ca.params, &ca.key)).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Self { params, key, der: certificate.der().to_vec() }
    }

    /// Issues a certificate for a common name, with a DNS name too for servers.
    pub fn issue(&self, common_name: &str, purpose: ExtendedKeyUsagePurpose) -> Identity {
        let names = match purpose {
            ExtendedKeyUsagePurpose::ServerAuth => vec![common_name.to_owned()],
            _ => Vec::new(),
        };
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        Identity { chain: vec![certificate.der().to_vec()], key }
    }
}

/// A chain and its key.
pub struct Identity {
    pub chain: Vec<Vec<u8>>,
    pub key: KeyPair,
}

impl Identity {
    /// Adds the certificate of an issuer.
    pub fn below(mut self, ca: &Ca) -> Self {
        self.chain.push(ca.der.clone());
        self
    }

    /// Returns the key for the engine.
    pub fn credential(&self) -> Software {
        let key = P256Key::from_pkcs8(self.key.serialized_der()).unwrap();
        Software { chain: self.chain.clone(), key }
    }
}

/// A credential in memory.
pub struct Software {
    pub chain: Vec<Vec<u8>>,
    pub key: P256Key,
}

impl Credential for Software {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.chain.get(index).map(Vec::as_slice)
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        self.key.sign(message)
    }
}

/// All certificates of a test.
pub struct Pki {
    pub root: Ca,
    pub intermediate: Ca,
    pub gateway: Identity,
    pub sensor: Identity,
}

impl Pki {
    pub fn new() -> Self {
        let root = Ca::new("Mesh root", None);
        let intermediate = Ca::new("Site a", Some(&root));
        let gateway = intermediate.issue(GATEWAY, ExtendedKeyUsagePurpose::ServerAuth).below(&intermediate);
        let sensor = intermediate.issue("sensor-7", ExtendedKeyUsagePurpose::ClientAuth).below(&intermediate);
        Self { root, intermediate, gateway, sensor }
    }
}

pub fn now() -> UnixTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()))
}

/// Writes DER as PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    use std::fmt::Write;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let word =
                group.iter().chain([&0, &0]).take(3).fold(0_usize, |word, octet| word << 8 | usize::from(*octet));
            for digit in 0..4 {
                let letter = ALPHABET[word >> (18 - 6 * digit) & 63] as char;
                text.push(if digit <= group.len() { letter } else { '=' });
            }
        }
        text.push('\n');
    }
    writeln!(text, "-----END {label}-----").unwrap();
    text
}
