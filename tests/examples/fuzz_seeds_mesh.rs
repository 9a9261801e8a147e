//! Writes the seeds of the fuzz targets for meshes: `cargo run -p edgetrust-tests --example fuzz_seeds_mesh`.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgetrust_tests::repository::root;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2046, 1, 1);
    params
}

fn main() -> std::io::Result<()> {
    let key = || KeyPair::generate().expect("a key");
    let (root_key, signer_key) = (key(), key());
    let mut root_params = params("Root");
    root_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
    root_params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = root_params.self_signed(&root_key).expect("a certificate");
    let mut signer = params("Signer");
    signer.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), "1");
    signer.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 32_473, 6_984, 1])];
    let issuer = Issuer::from_params(&root_params, &root_key);
    let signer = signer.signed_by(&signer_key, &issuer).expect("a certificate");

    let mut text = fs::read_to_string(root().join("core/tests/data/mesh.json"))?;
    text = text.replace("@root", &STANDARD.encode(ca.der()));
    for number in 0..10 {
        text = text.replace(&format!("@hash{number}"), &format!("sha256:{number:064x}"));
    }
    let header = format!(r#"{{"alg":"ES256","typ":"edgetrust-mesh+jws","x5c":["{}"]}}"#, STANDARD.encode(signer.der()));
    // The target takes every signature for a valid one.
    let [payload, protected, signature] =
        [text.as_bytes(), header.as_bytes(), &[1; 64]].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = format!(r#"{{"payload":"{payload}","protected":"{protected}","signature":"{signature}"}}"#);
    let length = u16::try_from(ca.der().len()).expect("a small certificate");

    let seeds = root().join("tests/fuzz/seeds");
    fs::create_dir_all(seeds.join("mesh"))?;
    fs::create_dir_all(seeds.join("signed_mesh"))?;
    fs::write(seeds.join("mesh/three-sites"), &text)?;
    fs::write(seeds.join("signed_mesh/signed"), [&length.to_be_bytes(), &ca.der()[..], signed.as_bytes()].concat())
}
