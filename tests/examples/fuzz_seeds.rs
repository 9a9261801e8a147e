//! Writes the fuzzers' seeds: `cargo run -p edgetrust-tests --example fuzz_seeds`.

use std::fs;

use edgetrust_core::request::write_certs_only;
use edgetrust_tests::chains::{Shape, issue};
use edgetrust_tests::repository::root;
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

/// The time of the verdict in `tests/fuzz/targets/path.rs`.
const NOW: i64 = 1_800_000_000;

fn with_length(der: &[u8]) -> Vec<u8> {
    let length = u16::try_from(der.len()).expect("a small certificate");
    [&length.to_be_bytes()[..], der].concat()
}

fn main() -> std::io::Result<()> {
    let seeds = root().join("tests/fuzz/seeds");
    let both = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let days = (-300, 30_000);
    let shapes = [
        Shape { days, excluded: vec!["c.example".into()], ..Shape::ca() },
        Shape { days, ca: Some(Some(0)), permitted: vec!["b.example".into()], ..Shape::ca() },
        Shape {
            days,
            purposes: both,
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
            ..Shape::leaf(&["gateway.b.example", "*.b.example"])
        },
    ];
    let chain = issue(&shapes, NOW);
    for (name, der) in ["root", "intermediate", "leaf"].iter().zip(&chain) {
        fs::write(seeds.join("certificate").join(name), der)?;
    }
    let mut request = rcgen::CertificateParams::new(vec!["sensor-7.b.example".into()]).expect("a name");
    request.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let request = request.serialize_request(&rcgen::KeyPair::generate().expect("a key")).expect("a request");
    fs::write(seeds.join("request/request"), request.der())?;
    let slices: Vec<&[u8]> = chain.iter().map(|der| der.as_ref()).collect();
    let mut out = vec![0; 8192];
    fs::write(seeds.join("request/bag"), write_certs_only(&slices, &mut out).expect("room"))?;
    // Leaf, an anchor (each third one from the second), the rest.
    let bag: Vec<u8> = [&chain[2], &chain[0], &chain[1]].iter().flat_map(|der| with_length(der)).collect();
    fs::write(seeds.join("path/chain"), bag)?;
    for (name, text) in [("right", "gateway.b.example"), ("wildcard", "a.b.example"), ("common-name", "Certificate 2")]
    {
        fs::write(seeds.join("names").join(name), [&with_length(&chain[2])[..], text.as_bytes()].concat())?;
    }
    Ok(())
}
