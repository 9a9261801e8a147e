//! The most that a stranger's handshake costs a server, in operations on P-256 and octets.

use std::sync::atomic::{AtomicUsize, Ordering};

use edgetrust_core::crypto::{ECDSA_P256_SHA256, EcdsaSignature};
use edgetrust_core::identity::{PeerPolicy, ServerName};
use edgetrust_core::path::{Anchor, Limits, Trust};
use edgetrust_core::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_tls::{
    CipherSuite, ClientContext, ClientHandshake, Credential, Demand, Error, Output, Progress, Refusal, ServerContext,
    ServerHandshake,
};
use rand_core::OsRng;
use rcgen::ExtendedKeyUsagePurpose;

use super::pki::{Ca, GATEWAY, Pki, Software, now};

/// Counts signatures that are verified.
#[derive(Debug)]
struct Counted(AtomicUsize);

impl SignatureVerificationAlgorithm for Counted {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        ECDSA_P256_SHA256.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        ECDSA_P256_SHA256.signature_alg_id()
    }

    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.0.fetch_add(1, Ordering::Relaxed);
        ECDSA_P256_SHA256.verify_signature(key, message, signature)
    }
}

static VERIFIED: Counted = Counted(AtomicUsize::new(0));
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[&VERIFIED];

/// Counts signatures that are made.
struct Signing(Software, usize);

impl Credential for Signing {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.0.certificate(index)
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        self.1 += 1;
        self.0.sign(message)
    }
}

/// Cuts records apart.
fn records(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = octets;
    let mut all = Vec::new();
    while let [_, _, _, high, low, ..] = *rest {
        let (record, more) = rest.split_at(5 + usize::from(u16::from_be_bytes([high, low])));
        all.push(record.to_vec());
        rest = more;
    }
    all
}

/// A client without a right to anything sends a right ClientHello, and then as many certificates as it may: issuers of
/// the same name, none of which has signed, so that each is tried.
#[test]
fn a_stranger_costs_a_server_what_the_readme_says() {
    let pki = Pki::new();
    let (root, other) = (Ca::new("Mesh root", None), Ca::new("Site a", None));
    let mut stranger = other.issue("sensor-7", ExtendedKeyUsagePurpose::ClientAuth);
    stranger.chain.push(pki.intermediate.der.clone());
    stranger.chain.extend((0..3).map(|_| Ca::new("Site a", Some(&root)).der));
    let mut stranger = stranger.credential();
    let mut own = Signing(pki.gateway.credential(), 0);

    let (anchors, theirs) = (anchor(&pki.root.der), anchor(&pki.root.der));
    let now = TrustedTime::Known(now());
    let (mut space, mut answer) = (vec![0; 8192], vec![0; 8192]);
    let (mut out, mut back) = (Output::new(&mut space), Output::new(&mut answer));
    let (mut room, mut their_room) = (vec![0; 4096], vec![0; 4096]);
    let mut client = ClientContext {
        demand: Demand {
            trust: trust(&theirs),
            policy: ServerName::Dns(GATEWAY).into(),
            now,
            limits: Limits::DEVICE,
            generation: 1,
        },
        credential: Some(&mut stranger),
        rng: &mut OsRng,
        admitted: &mut |_| (),
        suites: CipherSuite::ALL,
        protocols: &[],
        session: None,
    };
    let mut server = ServerContext {
        demand: Demand {
            trust: trust(&anchors),
            policy: PeerPolicy::AnyVerified,
            now,
            limits: Limits::DEVICE,
            generation: 1,
        },
        credential: &mut own,
        rng: &mut OsRng,
        admitted: &mut |_| panic!("a stranger was admitted"),
        suites: CipherSuite::ALL,
        protocols: &[],
        names: None,
        sessions: None,
    };
    let mut at_client = ClientHandshake::start(&mut room, 16_385, &mut client, &mut out).unwrap();
    let mut at_server = ServerHandshake::new(&mut their_room, 16_385);

    let hello = out.octets().len();
    for mut record in records(out.octets()) {
        assert!(matches!(at_server.receive(&mut record, &mut server, &mut back), Ok(Progress::Pending)));
    }
    out.clear();
    let flight = back.octets().len();
    for mut record in records(back.octets()) {
        at_client.receive(&mut record, &mut client, &mut out).unwrap();
    }
    back.clear();
    VERIFIED.0.store(0, Ordering::Relaxed);
    let sent = out.octets().len();
    let refused = records(out.octets())
        .into_iter()
        .find_map(|mut record| at_server.receive(&mut record, &mut server, &mut back).err());
    assert!(matches!(refused, Some(Error::Refused(Refusal::Path(_)))), "{refused:?}");
    let (verified, alert) = (VERIFIED.0.load(Ordering::Relaxed), back.octets().len());
    println!("hello {hello}, flight {flight}, certificates {sent}, verified {verified}, alert {alert}");

    // The numbers that the README states, each with room for certificates of other lengths.
    assert_eq!(own.1, 1, "signatures made");
    assert_eq!(verified, 4, "signatures verified");
    assert!(hello < 300 && flight < 8 * hello, "{hello} {flight}");
    assert_eq!(alert, 24);
}

fn trust<'t>(anchors: &'t [Anchor<'t>]) -> Trust<'t> {
    Trust { anchors, known_intermediates: &[], denied_keys: &[], algorithms: ALGORITHMS }
}

fn anchor(der: &[u8]) -> [Anchor<'_>; 1] {
    [Anchor::ca(Certificate::from_der(der).unwrap())]
}
