//! Measures the TLS engine: both sides of a handshake in one program, each with its own count, and the protection of
//! data.

use core::time::Duration;

use edgetrust_core::crypto::{ECDSA_P256_SHA256, EcdsaSignature, P256Key};
use edgetrust_core::identity::{AuthorizedPeer, PeerPolicy, ServerName};
use edgetrust_core::path::{Anchor, Limits, Trust};
use edgetrust_core::pki_types::{SignatureVerificationAlgorithm, UnixTime};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_firmware::random::ChaCha20Rng;
use edgetrust_firmware::{board, stack};
use edgetrust_tls::{
    CipherSuite, ClientContext, ClientHandshake, ClientSession, Connection, Credential, Demand, Event, Output,
    Progress, Records, ServerContext, ServerHandshake, ServerSession, record_buffer,
};
use static_cell::ConstStaticCell;

use crate::report::{Report, give_up};

const ROOT: &[u8] = include_bytes!("root.der");
const CHAIN: [&[u8]; 2] = [include_bytes!("leaf.der"), include_bytes!("intermediate.der")];
const KEY: &[u8] = include_bytes!("leaf.key");
const NAME: &str = "gateway.a.example";
const NOW: TrustedTime = TrustedTime::Known(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)));

const LIMIT: u16 = 1041;
const ROOM: usize = 2 * 1024;

static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 1] = [ECDSA_P256_SHA256];

/// The memory of one side.
struct Memory {
    room: [u8; ROOM],
    records: [u8; record_buffer(LIMIT)],
    out: [u8; ROOM + 1024],
}

impl Memory {
    const fn new() -> Self {
        Self { room: [0; _], records: [0; _], out: [0; _] }
    }
}

static CLIENT: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static SERVER: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());

struct Own(P256Key);

impl Credential for Own {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        CHAIN.get(index).copied()
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        self.0.sign(message)
    }
}

/// What both sides keep from one handshake to the next.
struct Both<'a> {
    anchors: &'a [Anchor<'a>],
    own: [Own; 2],
    rng: [ChaCha20Rng; 2],
    memory: [&'static mut Memory; 2],
    session: Option<ClientSession<[u8; 64]>>,
    sessions: [Option<ServerSession>; 1],
    suite: [CipherSuite; 1],
    /// What the client and the server spent.
    spent: [Spent; 2],
}

/// What a side spent: ticks, or stack, since one measurement disturbs the other.
#[derive(Clone, Copy)]
enum Spent {
    Ticks(u64),
    Stack(usize),
}

/// Runs a step, and adds its ticks, or keeps the most stack.
#[inline(never)]
fn timed<T>(spent: &mut Spent, step: impl FnOnce() -> T) -> T {
    let painted = matches!(spent, Spent::Stack(_)).then(stack::repaint);
    let start = board::ticks();
    let result = step();
    match (spent, painted) {
        (Spent::Ticks(ticks), _) => *ticks += board::ticks() - start,
        (Spent::Stack(most), before) => {
            *most = stack::usage().peak.saturating_sub(before.unwrap_or_default()).max(*most);
        }
    }
    result
}

/// Takes the next record of the other side's output.
fn next<'r>(records: &'r mut Records<'_>, sent: &mut &[u8]) -> Option<&'r mut [u8]> {
    records.next_record();
    while !sent.is_empty() {
        let space = records.space();
        let count = space.len().min(sent.len());
        let (now, rest) = sent.split_at(count);
        space[..count].copy_from_slice(now);
        *sent = rest;
        if records.filled(count).is_err() {
            give_up("no record");
        }
        if records.record().is_some() {
            return records.record();
        }
    }
    None
}

impl Both<'_> {
    /// Makes a handshake, and returns both ends.
    #[inline(never)]
    fn handshake(&mut self) -> (Connection, Connection) {
        let Self {
            anchors,
            own: [own, other],
            rng: [rng, other_rng],
            memory: [client, server],
            session,
            sessions,
            suite,
            spent,
        } = self;
        let [at_client, at_server] = spent;
        let trust = Trust { anchors, known_intermediates: &[], denied_keys: &[], algorithms: &ALGORITHMS };
        let mut ignore = |_: &AuthorizedPeer<'_>| ();
        let mut ignore_too = |_: &AuthorizedPeer<'_>| ();
        let policy = ServerName::Dns(NAME).into();
        let mut client_context = ClientContext {
            demand: Demand { trust, policy, now: NOW, limits: Limits::DEVICE, generation: 1 },
            credential: Some(own),
            rng,
            admitted: &mut ignore,
            suites: suite,
            protocols: &[],
            session: session.as_ref().map(|session| -> &ClientSession<[u8]> { session }),
        };
        let policy = PeerPolicy::AnyVerified;
        let mut server_context = ServerContext {
            demand: Demand { trust, policy, now: NOW, limits: Limits::DEVICE, generation: 1 },
            credential: other,
            rng: other_rng,
            admitted: &mut ignore_too,
            suites: suite,
            protocols: &[],
            names: None,
            sessions: Some(sessions),
        };
        let (mut client_records, mut server_records) =
            (Records::new(&mut client.records), Records::new(&mut server.records));
        let (mut client_out, mut server_out) = (Output::new(&mut client.out), Output::new(&mut server.out));
        let mut client_side =
            timed(at_client, || ClientHandshake::start(&mut client.room, LIMIT, &mut client_context, &mut client_out))
                .unwrap_or_else(|_| give_up("no ClientHello"));
        let mut server_side = ServerHandshake::new(&mut server.room, LIMIT);
        let (mut opened, mut given) = (None, None);
        loop {
            let mut sent = client_out.octets();
            let mut accepted = None;
            while let Some(record) = next(&mut server_records, &mut sent) {
                match timed(at_server, || server_side.receive(record, &mut server_context, &mut server_out)) {
                    Ok(Progress::Connected(connection)) => accepted = Some(connection),
                    Ok(Progress::Pending) => {}
                    Err(_) => give_up("the server refuses"),
                }
            }
            client_out.clear();
            let mut sent = server_out.octets();
            while let Some(record) = next(&mut client_records, &mut sent) {
                match &mut opened {
                    None => {
                        match timed(at_client, || client_side.receive(record, &mut client_context, &mut client_out)) {
                            Ok(Progress::Connected(connection)) => opened = Some(connection),
                            Ok(Progress::Pending) => {}
                            Err(_) => give_up("the client refuses"),
                        }
                    }
                    Some(connection) => match timed(at_client, || connection.receive(record, &mut client_out)) {
                        Ok(Event::Ticket(ticket)) => {
                            let TrustedTime::Known(now) = NOW else { give_up("no time") };
                            given = ticket.session(now);
                        }
                        Ok(_) => {}
                        Err(_) => give_up("the client refuses"),
                    },
                }
            }
            server_out.clear();
            if let (Some(accepted), Some(_)) = (accepted, &opened) {
                let Some(opened) = opened else { give_up("no connection") };
                *session = given;
                return (opened, accepted);
            }
        }
    }
}

#[inline(never)]
pub fn measure(report: &mut Report) {
    let parse = |der| Certificate::from_der(der).unwrap_or_else(|_| give_up("a certificate does not parse"));
    let own = || Own(P256Key::from_pkcs8(KEY).unwrap_or_else(|| give_up("no key")));
    let mut both = Both {
        anchors: &[Anchor::new(parse(ROOT))],
        own: [own(), own()],
        rng: [ChaCha20Rng::new(&[1; 32]), ChaCha20Rng::new(&[2; 32])],
        memory: [CLIENT.take(), SERVER.take()],
        session: None,
        sessions: [None],
        suite: [CipherSuite::Aes128Gcm],
        spent: [Spent::Ticks(0); 2],
    };
    let mut lines = |both: &mut Both<'_>, names: [&str; 2], is_resumed: bool| {
        let (mut ticks, mut octets) = ([0_u64; 2], [0_usize; 2]);
        for spent in [Spent::Ticks(0), Spent::Stack(0)] {
            if !is_resumed {
                (both.session, both.sessions) = (None, [None]);
            }
            both.spent = [spent; 2];
            drop(both.handshake());
            for (side, spent) in both.spent.iter().enumerate() {
                match spent {
                    Spent::Ticks(found) => ticks[side] = *found,
                    Spent::Stack(found) => octets[side] = *found,
                }
            }
        }
        for side in 0..2 {
            report.line(names[side], ticks[side], octets[side]);
        }
    };
    lines(&mut both, ["TLS: handshake, client", "TLS: handshake, server"], false);
    lines(&mut both, ["TLS: resumed, client", "TLS: resumed, server"], true);
    report.line("TLS: octets of a connection", 0, size_of::<Connection>());
    for (suite, seal, open) in [
        (CipherSuite::Aes128Gcm, "TLS: seal 16 KiB, AES-128-GCM", "TLS: open 16 KiB, AES-128-GCM"),
        (CipherSuite::ChaCha20Poly1305, "TLS: seal 16 KiB, ChaCha20", "TLS: open 16 KiB, ChaCha20"),
    ] {
        both.suite = [suite];
        let (mut client, mut server) = both.handshake();
        let [from, to] = &mut both.memory;
        let (mut sealed, mut opened) = (Spent::Ticks(0), Spent::Ticks(0));
        for _ in 0..16 {
            let mut out = Output::new(&mut from.out);
            if timed(&mut sealed, || client.send(&from.room[..1024], &mut out)) != Ok(1024) {
                give_up("not sent");
            }
            let (mut records, mut nothing) = (Records::new(&mut to.records), [0; 64]);
            let mut sent = out.octets();
            let Some(record) = next(&mut records, &mut sent) else { give_up("no record") };
            let mut nothing = Output::new(&mut nothing);
            if timed(&mut opened, || server.receive(record, &mut nothing).is_err()) {
                give_up("not received");
            }
        }
        for (name, spent) in [(seal, sealed), (open, opened)] {
            if let Spent::Ticks(ticks) = spent {
                report.line(name, ticks, 0);
            }
        }
    }
}
