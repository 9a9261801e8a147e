//! What servers must take, and ClientHellos that they must not (RFC 8446 section 4.1.2).

use super::super::messages::{SECP256R1, SECP384R1, message, record, vector};
use super::hello::{
    KEY_SHARE, PRE_SHARED_KEY, PSK_KEY_EXCHANGE_MODES, SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS, SUPPORTED_VERSIONS,
    share,
};
use super::mode::{ClientMode, hostile, inner, lawful};

/// A mode with a ClientHello that is changed in one place, and all the rest as it should be.
macro_rules! hello {
    ($kind:ident, $name:literal, $does:literal, $hello:ident, $change:expr) => {
        $kind($name, $does, |session| {
            let mut $hello = session.hello();
            $change;
            let octets = $hello.encode();
            session.send_hello(&octets)?;
            session.flight()?;
            session.authenticate()?;
            session.finish()?;
            session.request()
        })
    };
}

/// A mode whose point in the ClientHello is another one.
macro_rules! point {
    ($name:literal, $does:literal, $point:expr) => {
        hello!(hostile, $name, $does, hello, {
            hello.set(KEY_SHARE, vector(2, &share(SECP256R1, &$point)));
        })
    };
}

/// A mode that offers a session.
macro_rules! offer {
    ($kind:ident, $name:literal, $does:literal, |$session:ident, $ticket:ident, $hello:ident| $offer:expr) => {
        $kind($name, $does, |$session| {
            let $ticket = $session.ticket()?;
            #[allow(unused_mut, reason = "some modes change it")]
            let mut $hello = $session.hello();
            $hello.set(PSK_KEY_EXCHANGE_MODES, vector(1, &[1]));
            let octets = $offer;
            $session.send_hello(&octets)?;
            $session.flight()?;
            $session.finish()?;
            $session.request()
        })
    };
}

/// The modes that differ in their ClientHello, and those that are right.
#[rustfmt::skip]
pub(super) const HELLOS: &[ClientMode] = &[
    // What a server must take.
    lawful("good", "all as it should be", |s| { s.handshake()?; s.request() }),
    lawful("one-record", "sends all its messages after the hello in one record", |s| {
        s.start()?;
        let certificate = s.certificate();
        let verify = s.verify(&certificate)?;
        s.transcript_add(&[&certificate[..], &verify].concat());
        let finished = s.finished();
        s.transcript_add(&finished);
        s.seal(&inner(22, &[certificate, verify, finished].concat()))?;
        s.application();
        s.request()
    }),
    lawful("fragmented-hello", "cuts its ClientHello into records of 20 octets", |s| {
        let hello = s.hello().encode();
        s.add_hello(&hello);
        for part in hello.chunks(20) { s.write(&record(22, part))?; }
        s.flight()?;
        s.authenticate()?;
        s.finish()?;
        s.request()
    }),
    lawful("fragmented-messages", "cuts its messages into records of 10 octets", |s| {
        s.start()?;
        let certificate = s.certificate();
        let verify = s.verify(&certificate)?;
        let both = [certificate, verify].concat();
        s.transcript_add(&both);
        for part in both.chunks(10) { s.seal(&inner(22, part))?; }
        s.finish()?;
        s.request()
    }),
    lawful("change-cipher-spec", "sends change_cipher_spec as clients of middleboxes do", |s| {
        s.start()?;
        s.write(&record(20, &[1]))?;
        s.authenticate()?;
        s.finish()?;
        s.request()
    }),
    hello!(lawful, "session-id", "sends a legacy session id of 32 octets", hello, hello.session = vec![7; 32]),
    hello!(lawful, "unknown-extensions", "sends extensions that nobody knows", hello, {
        hello.set(0xfafa, vec![1; 100]);
        hello.set(0x5a5a, Vec::new());
    }),
    hello!(lawful, "unknown-suites", "offers suites that nobody knows first", hello, hello.suites.splice(..0, [0xfa, 0xfa, 0, 0xff])),
    hello!(lawful, "unknown-versions", "offers versions that nobody knows first", hello, hello.set(SUPPORTED_VERSIONS, vector(1, &[0xfa, 0xfa, 3, 4, 3, 3]))),
    lawful("retry", "sends no share, and is asked for one", |s| {
        let mut hello = s.hello();
        let right = hello.clone();
        hello.set(KEY_SHARE, vector(2, &[]));
        let octets = hello.encode();
        s.send_hello(&octets)?;
        s.retry()?;
        s.send_hello(&right.encode())?;
        s.flight()?;
        s.authenticate()?;
        s.finish()?;
        s.request()
    }),
    lawful("padding", "pads its records", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.transcript_add(&certificate);
        s.seal(&[&certificate[..], &[22], &[0; 300]].concat())?;
        let verify = s.verify(&[])?;
        s.send(&verify)?;
        s.finish()?;
        s.seal(&[b"request", &[23][..], &[0; 300]].concat())
    }),
    offer!(lawful, "resumption", "resumes its session", |s, ticket, hello| hello.offer(&[&ticket.identity], &[Some(&ticket.key)], &s.transcript)),
    offer!(lawful, "second-identity", "offers its session after one that nobody knows", |s, ticket, hello| {
        hello.offer(&[b"unknown", &ticket.identity], &[None, Some(&ticket.key)], &s.transcript)
    }),
    lawful("key-update", "changes its keys", |s| {
        s.handshake()?;
        s.seal(&inner(22, &message(24, &[0])))?;
        s.update();
        s.request()
    }),

    // ClientHello.
    hello!(hostile, "no-versions", "leaves supported_versions out", hello, hello.remove(SUPPORTED_VERSIONS)),
    hello!(hostile, "tls12-only", "offers TLS 1.2 in supported_versions", hello, hello.set(SUPPORTED_VERSIONS, vector(1, &[3, 3]))),
    hello!(hostile, "empty-versions", "offers no version", hello, hello.set(SUPPORTED_VERSIONS, vector(1, &[]))),
    hello!(hostile, "odd-versions", "offers one version and a half", hello, hello.set(SUPPORTED_VERSIONS, vector(1, &[3, 4, 3]))),
    hello!(hostile, "ssl3", "is of SSL 3.0", hello, { hello.version = [3, 0]; hello.extensions.clear(); }),
    hello!(hostile, "ssl3-with-versions", "has the version of SSL 3.0, and TLS 1.3 in supported_versions", hello, hello.version = [3, 0]),
    hello!(hostile, "no-extensions", "is of TLS 1.2, without extensions", hello, hello.extensions.clear()),
    hello!(hostile, "compression", "offers DEFLATE", hello, hello.compression = vec![1, 0]),
    hello!(hostile, "no-compression-method", "offers no compression method, not even none", hello, hello.compression.clear()),
    hello!(hostile, "session-id-of-33", "sends a session id of 33 octets", hello, hello.session = vec![7; 33]),
    hello!(hostile, "no-suites", "offers no cipher suite", hello, hello.suites.clear()),
    hello!(hostile, "odd-suites", "offers one cipher suite and a half", hello, hello.suites.push(0x13)),
    hello!(hostile, "no-common-suite", "offers TLS_AES_256_GCM_SHA384 alone", hello, hello.suites = vec![0x13, 2]),
    hello!(hostile, "no-groups", "leaves supported_groups out", hello, hello.remove(SUPPORTED_GROUPS)),
    hello!(hostile, "empty-groups", "offers no group", hello, hello.set(SUPPORTED_GROUPS, vector(2, &[]))),
    hello!(hostile, "no-common-group", "offers secp384r1 alone", hello, {
        hello.set(SUPPORTED_GROUPS, vector(2, &SECP384R1.to_be_bytes()));
        hello.set(KEY_SHARE, vector(2, &share(SECP384R1, &[4; 97])));
    }),
    hello!(hostile, "no-schemes", "leaves signature_algorithms out", hello, hello.remove(SIGNATURE_ALGORITHMS)),
    hello!(hostile, "empty-schemes", "offers no signature scheme", hello, hello.set(SIGNATURE_ALGORITHMS, vector(2, &[]))),
    hello!(hostile, "no-common-scheme", "offers rsa_pss_rsae_sha256 alone", hello, hello.set(SIGNATURE_ALGORITHMS, vector(2, &[8, 4]))),
    hello!(hostile, "no-key-share", "leaves key_share out", hello, hello.remove(KEY_SHARE)),
    hello!(hostile, "share-without-group", "has a share of a group that it does not offer", hello, hello.set(SUPPORTED_GROUPS, vector(2, &SECP384R1.to_be_bytes()))),
    hello!(hostile, "two-shares", "has two shares of one group", hello, {
        let one = hello.extensions.iter().find(|(kind, _)| *kind == KEY_SHARE).map(|(_, data)| data[2..].to_vec()).unwrap_or_default();
        hello.set(KEY_SHARE, vector(2, &[one.clone(), one].concat()));
    }),
    hello!(hostile, "duplicate-extension", "has supported_groups twice", hello, hello.extensions.push((SUPPORTED_GROUPS, vector(2, &SECP256R1.to_be_bytes())))),
    hello!(hostile, "duplicate-unknown-extension", "has an extension twice that nobody knows", hello, hello.extensions.extend([(0xfafa, Vec::new()), (0xfafa, Vec::new())])),
    hello!(hostile, "thousand-extensions", "has a thousand extensions that nobody knows", hello, hello.extensions.extend((0..1000).map(|number| (0xa000 + number, Vec::new())))),
    hello!(hostile, "trailing-hello", "is longer than its parts", hello, hello.trailing = vec![0]),
    hello!(hostile, "empty-server-name", "asks for a server without a name", hello, hello.set(0, vector(2, &[0, 0, 0]))),
    hello!(hostile, "record-size-limit-of-63", "wants records of 63 octets", hello, hello.set(28, vec![0, 63])),
    hello!(hostile, "long-record-size-limit", "has a record_size_limit of three octets", hello, hello.set(28, vec![1, 0, 0])),
    hostile("cut-hello", "ends amid its extensions", |s| {
        let hello = s.hello().encode();
        let cut = message(1, &hello[4..hello.len() - 1]);
        s.send_hello(&cut)
    }),
    hostile("endless-hello", "announces a ClientHello of 16 MiB", |s| s.write(&record(22, &[1, 0xff, 0xff, 0xff, 3, 3, 0, 0]))),
    hostile("half-hello", "sends half of its ClientHello, and closes", |s| {
        let hello = s.hello().encode();
        s.write(&record(22, &hello[..hello.len() / 2]))
    }),

    // Shares (RFC 8446 section 4.2.8.2).
    point!("share-not-on-the-curve", "has a share that is no point of the curve", [&[4][..], &[0x5a; 64]].concat()),
    point!("share-of-zeros", "has a share of zeros", [&[4][..], &[0; 64]].concat()),
    point!("share-at-infinity", "has the point at infinity as its share", [0]),
    point!("share-compressed", "has a compressed point as its share", [&[2][..], &[0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96]].concat()),
    point!("share-hybrid", "has a point in the hybrid form as its share", [&[6][..], &[0x5a; 64]].concat()),
    point!("share-too-short", "has a share of 64 octets", [4; 64]),
    point!("share-too-long", "has a share of 66 octets", [4; 66]),
    point!("share-empty", "has a share of no octets", [0; 0]),

    // HelloRetryRequest.
    hostile("retry-same-hello", "sends the same ClientHello again when it is asked for a share", |s| {
        let mut hello = s.hello();
        hello.set(KEY_SHARE, vector(2, &[]));
        let octets = hello.encode();
        s.send_hello(&octets)?;
        s.retry()?;
        s.send_hello(&octets)
    }),
    hostile("retry-other-random", "has another random when it is asked for a share", |s| {
        let mut hello = s.hello();
        let mut right = hello.clone();
        hello.set(KEY_SHARE, vector(2, &[]));
        let octets = hello.encode();
        s.send_hello(&octets)?;
        s.retry()?;
        right.random[0] ^= 1;
        s.send_hello(&right.encode())
    }),
    hostile("retry-other-suites", "offers other suites when it is asked for a share", |s| {
        let mut hello = s.hello();
        let mut right = hello.clone();
        hello.set(KEY_SHARE, vector(2, &[]));
        let octets = hello.encode();
        s.send_hello(&octets)?;
        s.retry()?;
        right.suites.extend([0x13, 3]);
        s.send_hello(&right.encode())
    }),
    hostile("retry-two-shares", "sends two shares when it is asked for one", |s| {
        let mut hello = s.hello();
        let mut right = hello.clone();
        let groups = [SECP256R1.to_be_bytes(), SECP384R1.to_be_bytes()].concat();
        hello.set(SUPPORTED_GROUPS, vector(2, &groups));
        right.set(SUPPORTED_GROUPS, vector(2, &groups));
        hello.set(KEY_SHARE, vector(2, &[]));
        let octets = hello.encode();
        s.send_hello(&octets)?;
        s.retry()?;
        let one = right.extensions.iter().find(|(kind, _)| *kind == KEY_SHARE).map(|(_, data)| data[2..].to_vec()).unwrap_or_default();
        right.set(KEY_SHARE, vector(2, &[one, share(SECP384R1, &[4; 97])].concat()));
        s.send_hello(&right.encode())
    }),
    hostile("retry-early-data", "announces early data when it is asked for a share", |s| {
        let mut hello = s.hello();
        let mut right = hello.clone();
        hello.set(KEY_SHARE, vector(2, &[]));
        let octets = hello.encode();
        s.send_hello(&octets)?;
        s.retry()?;
        right.set(42, Vec::new());
        s.send_hello(&right.encode())
    }),
    hostile("retry-finished", "sends a Finished when it is asked for a share", |s| {
        let mut hello = s.hello();
        hello.set(KEY_SHARE, vector(2, &[]));
        let octets = hello.encode();
        s.send_hello(&octets)?;
        s.retry()?;
        s.write(&record(22, &message(20, &[0; 32])))
    }),

    // Pre-shared keys (RFC 8446 section 4.2.11).
    offer!(hostile, "wrong-binder", "does not have the key of its session", |s, ticket, hello| hello.offer(&[&ticket.identity], &[None], &s.transcript)),
    offer!(hostile, "binder-of-other-transcript", "has a binder over other messages", |s, ticket, hello| {
        let mut octets = hello.offer(&[&ticket.identity], &[Some(&ticket.key)], &s.transcript);
        // The last octet of the random.
        octets[37] ^= 1;
        octets
    }),
    offer!(hostile, "binder-of-another-key", "has a binder by another key", |s, ticket, hello| hello.offer(&[&ticket.identity], &[Some(&[7; 32])], &s.transcript)),
    offer!(hostile, "fewer-binders", "has two identities and one binder", |s, ticket, hello| hello.offer(&[&ticket.identity, b"unknown"], &[Some(&ticket.key)], &s.transcript)),
    offer!(hostile, "more-binders", "has one identity and two binders", |s, ticket, hello| hello.offer(&[&ticket.identity], &[Some(&ticket.key), None], &s.transcript)),
    offer!(hostile, "no-binders", "has no binder", |s, ticket, hello| hello.offer(&[&ticket.identity], &[], &s.transcript)),
    offer!(hostile, "no-identities", "offers a session without naming one", |s, _ticket, hello| hello.offer(&[], &[], &s.transcript)),
    offer!(hostile, "empty-identity", "offers a session with an empty name", |s, _ticket, hello| hello.offer(&[b""], &[None], &s.transcript)),
    offer!(hostile, "no-modes", "leaves psk_key_exchange_modes out", |s, ticket, hello| {
        hello.remove(PSK_KEY_EXCHANGE_MODES);
        hello.offer(&[&ticket.identity], &[Some(&ticket.key)], &s.transcript)
    }),
    hello!(hostile, "pre-shared-key-not-last", "has an extension after pre_shared_key", hello, {
        hello.set(PSK_KEY_EXCHANGE_MODES, vector(1, &[1]));
        hello.set(PRE_SHARED_KEY, [vector(2, &[&vector(2, b"unknown")[..], &[0; 4]].concat()), vector(2, &vector(1, &[7; 32]))].concat());
        hello.set(0xfafa, Vec::new());
    }),
    hostile("pre-shared-key-alone", "wants a session resumed without (EC)DHE, and shows no certificate", |s| {
        let ticket = s.ticket()?;
        let mut hello = s.hello();
        hello.set(PSK_KEY_EXCHANGE_MODES, vector(1, &[0]));
        let octets = hello.offer(&[&ticket.identity], &[Some(&ticket.key)], &s.transcript);
        s.pre_shared = None;
        s.send_hello(&octets)?;
        s.flight()?;
        s.finish()?;
        s.request()
    }),
    hostile("session-twice", "resumes a session that was resumed, and shows no certificate", |s| {
        let ticket = s.ticket()?;
        let mut hello = s.hello();
        hello.set(PSK_KEY_EXCHANGE_MODES, vector(1, &[1]));
        let octets = hello.offer(&[&ticket.identity], &[Some(&ticket.key)], &s.transcript);
        s.send_hello(&octets)?;
        s.flight()?;
        s.reconnect()?;
        s.pre_shared = None;
        let mut hello = s.hello();
        hello.set(PSK_KEY_EXCHANGE_MODES, vector(1, &[1]));
        let octets = hello.offer(&[&ticket.identity], &[Some(&ticket.key)], &s.transcript);
        s.send_hello(&octets)?;
        s.flight()?;
        s.finish()?;
        s.request()
    }),
    hostile("early-data", "sends early data, which no ticket allows", |s| {
        let ticket = s.ticket()?;
        let mut hello = s.hello();
        hello.set(PSK_KEY_EXCHANGE_MODES, vector(1, &[1]));
        hello.set(42, Vec::new());
        let octets = hello.offer(&[&ticket.identity], &[Some(&ticket.key)], &s.transcript);
        s.send_hello(&octets)?;
        s.write(&record(23, &[0x5a; 64]))
    }),
];
