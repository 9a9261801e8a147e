//! Measures the gateway's processor time for one refused handshake.

use std::io::Read;
use std::net::TcpStream;
use std::time::Instant;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{SignatureVerificationAlgorithm, alg_id};

use crate::hostile::{Shown, client, refused, serve};
use crate::site::Site;
use crate::work::{Attack, attacks};

/// The number of refusals of each attack at each entrance.
const COUNT: u32 = 100;
/// The number of P-256 checks that a refusal may cost beyond an ordinary one, on a machine that needs more than five
/// milliseconds for them.
const CHECKS: u32 = 80;

/// Returns the milliseconds that `CHECKS` P-256 checks take.
fn checks() -> f64 {
    let key = rcgen::KeyPair::generate().unwrap();
    let signature = rcgen::SigningKey::sign(&key, b"a message").unwrap();
    let fits = |one: &&&dyn SignatureVerificationAlgorithm| {
        one.signature_alg_id() == alg_id::ECDSA_SHA256 && one.public_key_alg_id() == alg_id::ECDSA_P256
    };
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let p256 = algorithms.iter().find(fits).unwrap();
    let start = Instant::now();
    for _ in 0..CHECKS * 10 {
        p256.verify_signature(rcgen::PublicKeyData::der_bytes(&key), b"a message", &signature).unwrap();
    }
    start.elapsed().as_secs_f64() * 1e3 / 10.0
}

/// Returns the gateway's processor time for each of `COUNT` calls, in milliseconds.
fn cost(site: &Site, mut handshake: impl FnMut()) -> f64 {
    handshake();
    let before = site.program.processor_time();
    (0..COUNT).for_each(|_| handshake());
    (site.program.processor_time() - before).as_secs_f64() * 1e3 / f64::from(COUNT)
}

pub fn print() {
    // A leaf and its issuer, an unknown CA.
    let stranger = crate::pki::Pki::new("Somebody's");
    let der = |path: &std::path::Path| {
        use rustls::pki_types::pem::PemObject;
        rustls::pki_types::CertificateDer::from_pem_file(path).unwrap().to_vec()
    };
    let ordinary = vec![der(&stranger.issue("location-b", &[]).0), der(&stranger.ca())];
    let shown = Shown::new(&ordinary);
    let site = Site::new(serve(shown.clone()));
    let config = client(shown.clone());
    let bound = checks();
    println!("\n| refused | server tunnel | EST | client tunnel |\n|---|---|---|---|");
    let row = |attack: &Attack| {
        shown.replace(&attack.chain);
        let costs = [
            cost(&site, || drop(refused(site.server, &config))),
            cost(&site, || drop(refused(site.est, &config))),
            cost(&site, || {
                // A client without TLS, whose connection ends when the server was refused.
                let _ = TcpStream::connect(site.client).unwrap().read(&mut [0; 1]);
            }),
        ];
        println!("| {} | {:.2} ms | {:.2} ms | {:.2} ms |", attack.name, costs[0], costs[1], costs[2]);
        costs
    };
    let least = row(&Attack { name: "an ordinary stranger", chain: ordinary });
    let mut most = [0.0_f64; 3];
    for attack in attacks() {
        let costs = row(&attack);
        for (most, (cost, least)) in most.iter_mut().zip(costs.into_iter().zip(least)) {
            *most = most.max(cost - least);
        }
    }
    println!(
        "\nAt most {:.2}, {:.2} and {:.2} ms more than an ordinary one; {CHECKS} P-256 checks take {bound:.2} ms.",
        most[0], most[1], most[2]
    );
    let allowed = bound.max(5.0);
    assert!(
        most.iter().all(|most| *most <= allowed),
        "a refusal costs more than {allowed:.2} ms beyond an ordinary one"
    );
}
