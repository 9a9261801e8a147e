//! Forges certificates that no library writes: with arbitrary fields, and a valid signature.

use rcgen::{KeyPair, PublicKeyData, SigningKey};
use time::{Duration, OffsetDateTime};

/// Encodes a tag-length-value.
pub fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let length = contents.len().to_be_bytes();
    let length = &length[length.iter().take_while(|octet| **octet == 0).count()..];
    match contents.len() {
        short @ 0..=0x7f => [&[tag, short as u8], contents.as_slice()].concat(),
        _ => [&[tag, 0x80 | length.len() as u8], length, &contents].concat(),
    }
}

/// Object identifiers as tag-length-values.
pub mod oid {
    pub const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 0x04, 3];
    pub const ORGANIZATION: &[u8] = &[0x06, 3, 0x55, 0x04, 10];
    pub const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x06, 3, 0x55, 0x1d, 14];
    pub const KEY_USAGE: &[u8] = &[0x06, 3, 0x55, 0x1d, 15];
    pub const SUBJECT_ALT_NAME: &[u8] = &[0x06, 3, 0x55, 0x1d, 17];
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x06, 3, 0x55, 0x1d, 19];
    pub const NAME_CONSTRAINTS: &[u8] = &[0x06, 3, 0x55, 0x1d, 30];
    pub const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x06, 3, 0x55, 0x1d, 35];
    pub const EXTENDED_KEY_USAGE: &[u8] = &[0x06, 3, 0x55, 0x1d, 37];
    pub const AUTHORITY_INFO_ACCESS: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 1, 1];
    pub const ECDSA_WITH_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    pub const SHA1_WITH_RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
    pub const SHA256_WITH_RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    pub const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    pub const EC: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub const SECP256K1: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 10];
}

/// The fields of a certificate, in DER but for the dates.
#[derive(Clone, Debug)]
pub struct Forged {
    /// The version: 1, 2 or 3.
    pub version: u8,
    /// The contents octets of the serial number.
    pub serial: Vec<u8>,
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    /// The start and end of validity, in days from `now`.
    pub days: (i64, i64),
    /// The contents of the AlgorithmIdentifier.
    pub signature_algorithm: Vec<u8>,
    /// The whole SubjectPublicKeyInfo.
    pub key: Vec<u8>,
    /// The object identifier, criticality and value of each extension.
    pub extensions: Vec<(&'static [u8], bool, Vec<u8>)>,
}

/// Encodes a Name of one attribute: the common name, as a UTF8String.
pub fn common_name(text: &str) -> Vec<u8> {
    der(0x30, &[&rdn(oid::COMMON_NAME, 0x0c, text.as_bytes())])
}

/// Encodes a RelativeDistinguishedName of one attribute with a string of this tag.
pub fn rdn(kind: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
    der(0x31, &[&der(0x30, &[kind, &der(tag, &[text])])])
}

/// Encodes an RSA key whose modulus has this number of bits, and no known factors.
pub fn rsa_key(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xa5; bits.div_ceil(8)];
    modulus[0] = 0xff >> (modulus.len() * 8 - bits);
    let positive: &[u8] = if modulus[0] & 0x80 == 0 { &[] } else { &[0] };
    let key = der(0x30, &[&der(0x02, &[positive, &modulus]), &[0x02, 3, 1, 0, 1]]);
    der(0x30, &[&der(0x30, &[oid::RSA, &[0x05, 0]]), &der(0x03, &[&[0], &key])])
}

impl Forged {
    /// Creates a version 3 certificate with these names and this key, valid from a day before to a day after `now`, to
    /// be signed by ECDSA with SHA-256.
    pub fn new(issuer: &str, subject: &str, key: &KeyPair) -> Self {
        Self {
            version: 3,
            serial: vec![1],
            issuer: common_name(issuer),
            subject: common_name(subject),
            days: (-1, 1),
            signature_algorithm: oid::ECDSA_WITH_SHA256.to_vec(),
            key: key.subject_public_key_info(),
            extensions: Vec::new(),
        }
    }

    /// Creates the same certificate as a CA.
    pub fn ca(issuer: &str, subject: &str, key: &KeyPair) -> Self {
        Self::new(issuer, subject, key).with(oid::BASIC_CONSTRAINTS, true, &[0x30, 3, 1, 1, 0xff])
    }

    /// Sets an extension, in place of an existing one of the same kind.
    pub fn with(mut self, kind: &'static [u8], critical: bool, value: &[u8]) -> Self {
        self.extensions.retain(|(there, ..)| *there != kind);
        self.extensions.push((kind, critical, value.to_vec()));
        self
    }

    /// Sets the key usage; digitalSignature is the highest bit of the first octet.
    pub fn key_usage(self, first: u8, second: u8) -> Self {
        let bits: &[u8] = if second == 0 { &[first] } else { &[first, second] };
        let unused = bits.last().map_or(0, |last| last.trailing_zeros() as u8);
        self.with(oid::KEY_USAGE, true, &der(0x03, &[&[unused], bits]))
    }

    /// Returns the certificate at `now`, in seconds since 1970, signed by `issuer`.
    pub fn sign(&self, now: i64, issuer: &KeyPair) -> Vec<u8> {
        let now = OffsetDateTime::from_unix_timestamp(now).expect("a time");
        let date = |days| {
            let at = now + Duration::days(days);
            let (year, month, day) = at.to_calendar_date();
            let (hour, minute, second) = at.to_hms();
            let text = format!("{year:04}{:02}{day:02}{hour:02}{minute:02}{second:02}Z", u8::from(month));
            der(0x18, &[text.as_bytes()])
        };
        let algorithm = der(0x30, &[&self.signature_algorithm]);
        let version = if self.version == 1 { Vec::new() } else { der(0xa0, &[&[0x02, 1, self.version - 1]]) };
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, critical, value)| {
                let critical: &[u8] = if *critical { &[0x01, 1, 0xff] } else { &[] };
                der(0x30, &[kind, critical, &der(0x04, &[value])])
            })
            .collect();
        let extensions = if extensions.is_empty() { Vec::new() } else { der(0xa3, &[&der(0x30, &[&extensions])]) };
        let validity = der(0x30, &[&date(self.days.0), &date(self.days.1)]);
        let serial = der(0x02, &[&self.serial]);
        let tbs =
            der(0x30, &[&version, &serial, &algorithm, &self.issuer, &validity, &self.subject, &self.key, &extensions]);
        let signature = issuer.sign(&tbs).expect("a signature");
        der(0x30, &[&tbs, &algorithm, &der(0x03, &[&[0], &signature])])
    }
}
