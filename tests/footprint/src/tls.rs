//! Both roles of `edgetrust-tls`, with the cryptography that they bring.

use core::hint::black_box;

use edgetrust_core::crypto::EcdsaSignature;
use edgetrust_core::identity::{PeerPolicy, ServerName};
use edgetrust_core::path::{Anchor, Limits, Trust};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_tls::{
    Alert, CipherSuite, ClientContext, ClientHandshake, ClientSession, Connection, Credential, Demand, Event, Output,
    Progress, Records, ServerContext, ServerHandshake, ServerSession,
};
use rand_core::{CryptoRng, RngCore};

use crate::{Stub, input};

struct Own;

impl Credential for Own {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        (black_box(index) < black_box(2)).then(|| &*input())
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        black_box(message);
        EcdsaSignature::from_slice(input()).ok()
    }
}

struct Rng;

impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        black_box(7)
    }

    fn next_u64(&mut self) -> u64 {
        black_box(7)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        black_box(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        black_box(out);
        Ok(())
    }
}

impl CryptoRng for Rng {}

pub fn tls() {
    let Ok(anchor) = Certificate::from_der(input()) else { return };
    let anchors = [Anchor::ca(anchor)];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[&Stub] };
    let Ok(name) = str::from_utf8(input()) else { return };
    let now: TrustedTime = black_box(TrustedTime::Unknown);
    let mut out = Output::new(input());
    let mut records = Records::new(input());
    let count = records.space().len();
    if records.filled(count).is_err() {
        return;
    }

    let mut sessions: [Option<ServerSession>; 2] = [None, None];
    let mut server = ServerContext {
        demand: Demand { trust, policy: PeerPolicy::AnyVerified, now, limits: Limits::DEVICE, generation: black_box(1) },
        credential: &mut Own,
        rng: &mut Rng,
        admitted: &mut |peer| {
            black_box(peer.rule());
        },
        suites: CipherSuite::ALL,
        protocols: &[b"one"],
        names: Some(&["name"]),
        sessions: Some(&mut sessions),
    };
    let mut handshake = ServerHandshake::new(input(), black_box(1024));
    while let Some(record) = records.record() {
        match handshake.receive(record, &mut server, &mut out) {
            Ok(Progress::Connected(connection)) => drop(open(connection, &mut out)),
            other => drop(black_box(other)),
        }
        records.next_record();
    }
    handshake.abort(black_box(Alert::InternalError), &mut out);

    let mut session: Option<ClientSession> = None;
    while black_box(true) {
        let mut client = ClientContext {
            demand: Demand { trust, policy: ServerName::Dns(name).into(), now, limits: Limits::DEVICE, generation: 1 },
            credential: Some(&mut Own),
            rng: &mut Rng,
            admitted: &mut |peer| {
                black_box(peer.rule());
            },
            suites: CipherSuite::ALL,
            protocols: &[b"one"],
            session: session.as_ref().map(|session| -> &ClientSession<[u8]> { session }),
        };
        let Ok(mut handshake) = ClientHandshake::start(input(), black_box(1024), &mut client, &mut out) else { return };
        let mut next = None;
        match handshake.receive(input(), &mut client, &mut out) {
            Ok(Progress::Connected(connection)) => next = open(connection, &mut out),
            other => drop(black_box(other)),
        }
        handshake.abort(black_box(Alert::InternalError), &mut out);
        session = next;
    }
}

fn open(mut connection: Connection, out: &mut Output<'_>) -> Option<ClientSession> {
    let mut session = None;
    black_box(connection.export(input(), input()));
    black_box(connection.update_keys(black_box(true), out).is_ok());
    black_box(connection.send(input(), out).is_ok());
    match connection.receive(input(), out) {
        Ok(Event::Ticket(ticket)) => {
            let now = edgetrust_core::pki_types::UnixTime::since_unix_epoch(core::time::Duration::from_secs(black_box(7)));
            session = ticket.session(now);
        }
        other => drop(black_box(other)),
    }
    black_box(connection.close(out).is_ok());
    connection.abort(black_box(Alert::InternalError), out);
    black_box(out.octets());
    session
}
