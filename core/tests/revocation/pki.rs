//! CAs, certificates, and revocation lists written octet by octet.

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::Utc;
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, SigningKey, date_time_ymd,
};

pub fn time(text: &str) -> UnixTime {
    Utc::parse(text).unwrap().0
}

/// Encodes a tag-length-value around `parts`.
pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        0x100..0x1_0000 => out.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => out.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// Encodes an extension of id-ce.
pub fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    tlv(0x30, &[&[0x06, 0x03, 0x55, 0x1d, number], critical, &tlv(0x04, &[value])])
}

/// Encodes an entry with the value of a reason.
pub fn entry(serial: &[u8], reason: Option<u8>) -> Vec<u8> {
    let date = tlv(0x17, &[b"260101000000Z"]);
    let reason = reason.map(|reason| tlv(0x30, &[&extension(21, false, &[0x0a, 0x01, reason])]));
    tlv(0x30, &[&tlv(0x02, &[serial]), &date, &reason.unwrap_or_default()])
}

/// Encodes a distribution point's fullName of one URI.
pub fn full_name(uri: &str) -> Vec<u8> {
    tlv(0xa0, &[&tlv(0xa0, &[&tlv(0x86, &[uri.as_bytes()])])])
}

/// The parts of a list that are not as usual.
#[derive(Clone)]
pub struct List {
    pub version: Vec<u8>,
    pub this_update: Vec<u8>,
    pub next_update: Vec<u8>,
    pub entries: Vec<Vec<u8>>,
    pub extensions: Vec<Vec<u8>>,
}

impl Default for List {
    /// A list of January 2027 without entries.
    fn default() -> Self {
        Self {
            version: vec![0x02, 0x01, 0x01],
            this_update: tlv(0x17, &[b"270101000000Z"]),
            next_update: tlv(0x17, &[b"270131000000Z"]),
            entries: Vec::new(),
            extensions: vec![extension(20, false, &[0x02, 0x01, 0x07])],
        }
    }
}

impl List {
    /// Returns a list that revokes serial numbers.
    pub fn revoking(serials: &[&[u8]]) -> Self {
        Self { entries: serials.iter().map(|serial| entry(serial, Some(1))).collect(), ..Self::default() }
    }

    pub fn with(extension: Vec<u8>) -> Self {
        let mut list = Self::default();
        list.extensions.push(extension);
        list
    }

    /// Signs the list as a CA.
    pub fn by(&self, ca: &Ca) -> Vec<u8> {
        self.signed(&ca.name_der(), &ca.key)
    }

    pub fn signed(&self, issuer: &[u8], key: &KeyPair) -> Vec<u8> {
        let algorithm = tlv(0x30, &[&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]]);
        let entries = if self.entries.is_empty() { Vec::new() } else { tlv(0x30, &[&self.entries.concat()]) };
        let extensions = match self.extensions.concat() {
            none if none.is_empty() => none,
            some => tlv(0xa0, &[&tlv(0x30, &[&some])]),
        };
        let tbs = tlv(
            0x30,
            &[&self.version, &algorithm, issuer, &self.this_update, &self.next_update, &entries, &extensions],
        );
        let signature = key.sign(&tbs).unwrap();
        tlv(0x30, &[&tbs, &algorithm, &tlv(0x03, &[&[0], &signature])])
    }
}

/// A CA with its key and its certificate.
pub struct Ca {
    pub params: CertificateParams,
    pub key: KeyPair,
    pub der: Vec<u8>,
}

fn params(name: &str, serial: &[u8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2046, 1, 1);
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params
}

pub fn ca_params(name: &str, serial: &[u8]) -> CertificateParams {
    let mut params = params(name, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Ca {
    pub fn root(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    pub fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec();
        Self { params, key, der }
    }

    /// Issues a leaf whose lists are at these places.
    pub fn leaf_at(&self, serial: &[u8], uris: &[&str]) -> Vec<u8> {
        let mut params = params("location-b", serial);
        for uri in uris {
            params.crl_distribution_points.push(CrlDistributionPoint { uris: vec![(*uri).to_owned()] });
        }
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
    }

    pub fn leaf(&self, serial: &[u8]) -> Vec<u8> {
        self.leaf_at(serial, &[])
    }

    /// Returns the name as DER.
    pub fn name_der(&self) -> Vec<u8> {
        let certificate = edgetrust_core::x509::Certificate::from_der(&self.der).unwrap();
        certificate.subject_der().to_vec()
    }
}
