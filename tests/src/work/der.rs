//! Writes certificates octet by octet, in forms that no issuer's software writes.

/// Encodes a tag-length-value around `parts`.
pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ ..0x80) => out.push(short),
        Ok(octet) => out.extend([0x81, octet]),
        Err(_) => match u16::try_from(length) {
            Ok(long) => out.extend([&[0x82][..], &long.to_be_bytes()].concat()),
            Err(_) => out.extend([&[0x83][..], length.to_be_bytes().get(5..).unwrap_or(&[])].concat()),
        },
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Encodes a tag-length-value around a list.
pub fn list(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Encodes one attribute of a name, of the type 2.5.4.`number`.
pub fn attribute(number: u8, string: u8, value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&[0x06, 0x03, 0x55, 0x04, number], &tlv(string, &[value])])
}

/// Encodes a name of these RDNs.
pub fn name(rdns: &[Vec<Vec<u8>>]) -> Vec<u8> {
    list(0x30, &rdns.iter().map(|attributes| list(0x31, attributes)).collect::<Vec<_>>())
}

/// Encodes a name of one commonName.
pub fn common_name(text: &str) -> Vec<u8> {
    name(&[vec![attribute(3, 0x0c, text.as_bytes())]])
}

/// Encodes an extension of id-ce.
pub fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    tlv(0x30, &[&[0x06, 0x03, 0x55, 0x1d, number], critical, &tlv(0x04, &[value])])
}

/// Encodes the basicConstraints and keyUsage of a CA.
pub fn ca() -> Vec<Vec<u8>> {
    vec![extension(19, true, &[0x30, 0x03, 0x01, 0x01, 0xff]), extension(15, true, &[0x03, 0x02, 0x02, 0x04])]
}

/// Encodes the subjectAltName of these names.
pub fn names(names: &[Vec<u8>]) -> Vec<u8> {
    extension(17, false, &list(0x30, names))
}

/// Encodes nameConstraints of permitted and excluded bases.
pub fn constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let subtrees = |tag, bases: &[Vec<u8>]| {
        let subtrees: Vec<Vec<u8>> = bases.iter().map(|base| tlv(0x30, &[base])).collect();
        if subtrees.is_empty() { Vec::new() } else { list(tag, &subtrees) }
    };
    extension(30, true, &tlv(0x30, &[&subtrees(0xa0, permitted), &subtrees(0xa1, excluded)]))
}

/// Encodes a subjectKeyIdentifier.
pub fn subject_key(identifier: &[u8]) -> Vec<u8> {
    extension(14, false, &tlv(0x04, &[identifier]))
}

/// Encodes an authorityKeyIdentifier.
pub fn authority_key(identifier: &[u8]) -> Vec<u8> {
    extension(35, false, &tlv(0x30, &[&tlv(0x80, &[identifier])]))
}

/// Encodes an extKeyUsage.
pub fn purposes(oids: &[&[u8]]) -> Vec<u8> {
    let oids: Vec<Vec<u8>> = oids.iter().map(|oid| tlv(0x06, &[oid])).collect();
    extension(37, false, &list(0x30, &oids))
}

/// The contents of the AlgorithmIdentifier of ecdsa-with-SHA256.
pub const ECDSA_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// The contents of the AlgorithmIdentifier of id-ecPublicKey on P-256.
pub const P256: &[u8] =
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Encodes a SubjectPublicKeyInfo.
pub fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x30, &[algorithm]), &tlv(0x03, &[&[0], key])])
}

/// A certificate before it is signed.
#[derive(Clone, Debug)]
pub struct Unsigned {
    /// The issuer's Name.
    pub issuer: Vec<u8>,
    /// The subject's Name.
    pub subject: Vec<u8>,
    /// The SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// The extensions.
    pub extensions: Vec<Vec<u8>>,
    /// The contents of the signature's AlgorithmIdentifier.
    pub algorithm: Vec<u8>,
}

impl Unsigned {
    /// Returns the certificate with the result of `sign` over its TBSCertificate as signature, valid from 2020 to
    /// 2049.
    pub fn sign(&self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let algorithm = tlv(0x30, &[&self.algorithm]);
        let time = |text: &[u8]| tlv(0x17, &[text]);
        let extensions =
            if self.extensions.is_empty() { Vec::new() } else { tlv(0xa3, &[&list(0x30, &self.extensions)]) };
        let tbs = tlv(
            0x30,
            &[
                &[0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x07],
                &algorithm,
                &self.issuer,
                &tlv(0x30, &[&time(b"200101000000Z"), &time(b"491231235959Z")]),
                &self.subject,
                &self.spki,
                &extensions,
            ],
        );
        let signature = sign(&tbs);
        tlv(0x30, &[&tbs, &algorithm, &tlv(0x03, &[&[0], &signature])])
    }
}
