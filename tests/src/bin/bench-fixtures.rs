//! Makes the fixtures of `firmware-example/src/bin/bench`: `bench-fixtures [FOLDER]`. Keys and signatures are new each
//! time, of the same sizes but for an octet or two; the repository's fixtures were made by this program.

use std::path::PathBuf;
use std::process::ExitCode;

use edgetrust_core::request::write_certs_only;
use edgetrust_tests::chains::{Shape, issue, key};
use edgetrust_tests::repository::root;
use edgetrust_tests::work::shapes::attacks_on_a_device;
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

/// The time that `bench` assumes.
const NOW: i64 = 1_800_000_000;

fn main() -> ExitCode {
    let folder = std::env::args().nth(1).map_or_else(|| root().join("firmware-example/src/bin/bench"), PathBuf::from);
    let intermediate = Shape { ca: Some(Some(0)), ..Shape::ca() };
    let leaf = Shape {
        key_usages: vec![KeyUsagePurpose::DigitalSignature],
        purposes: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        ..Shape::leaf(&["device-7.a.example", "gateway.a.example"])
    };
    let chain = issue(&[Shape::ca(), intermediate, leaf], NOW);
    let mut bag = [0; 2048];
    let bag = write_certs_only(&[&chain[2], &chain[1]], &mut bag).expect("there is room");
    // Each certificate is prefixed with two octets of length; all fit into the handshake buffer of a small device.
    let attacks = attacks_on_a_device(12 * 1024).into_iter().map(|attack| {
        let octets = attack
            .chain
            .iter()
            .flat_map(|der| [&u16::try_from(der.len()).unwrap_or(u16::MAX).to_be_bytes()[..], der].concat());
        (format!("attack-{}.bin", attack.name), octets.collect::<Vec<u8>>())
    });
    for (name, octets) in attacks {
        if let Err(error) = std::fs::write(folder.join(&name), octets) {
            eprintln!("bench-fixtures: {}: {error}", folder.join(name).display());
            return ExitCode::FAILURE;
        }
    }
    let key = key(2);
    for (name, octets) in [
        ("leaf.key", &*key),
        ("root.der", &chain[0]),
        ("intermediate.der", &chain[1]),
        ("leaf.der", &chain[2]),
        ("answer.p7", bag),
    ] {
        if let Err(error) = std::fs::write(folder.join(name), octets) {
            eprintln!("bench-fixtures: {}: {error}", folder.join(name).display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
