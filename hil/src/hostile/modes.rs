//! The table of the hostile server's modes.

use super::chains::Chain;
use super::step::{By, Hello, Message, Step};

use Message::{
    BadFinished, Certificate, CertificateRequest, CertificateVerify, EncryptedExtensions, Endless, Finished, KeyUpdate,
    LateCertificateRequest, LongExtensions, OddCertificateRequest, Ticket, Unknown,
};
use Step::{
    Answer, BadTag, ChangeCipherSpec, Clear, ClearRecord, Close, Drip, Fragments, HelloWith, Inner, Inners, Noise,
    Oversized, Part, Raw, ReadFinished, ReadHello, Reset, Rest, Send, Stall, Together, ZeroInner,
};

/// The correct behaviour of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The client is served.
    Served,
    /// The client refuses for this reason, and discloses nothing.
    Refused(&'static str),
    /// The client trusts the server, and ends the connection for this reason when the server breaks the protocol.
    Broken(&'static str),
    /// The client trusts the server, and sees the server close the connection.
    Ended,
    /// The client receives nothing, gives up by its own deadline, and discloses nothing.
    GivenUp,
    /// The client trusts the server, receives nothing, and gives up by its own deadline.
    Silent,
    /// embedded-tls panics: the device restarts by its watchdog.
    Panics,
}

/// One behaviour of a server.
#[derive(Debug)]
pub struct Mode {
    /// The mode's name in scenarios.
    pub name: &'static str,
    /// The server's behaviour.
    pub does: &'static str,
    /// The device's expected behaviour.
    pub expected: Expected,
    pub(super) steps: &'static [&'static [Step]],
}

const fn mode_of(
    name: &'static str,
    does: &'static str,
    expected: Expected,
    steps: &'static [&'static [Step]],
) -> Mode {
    Mode { name, does, expected, steps }
}

/// The steps before the encrypted part.
const HELLO: &[Step] = &[ReadHello, Step::Hello(Hello::Right)];
/// The steps before the server's own certificate.
const START: &[Step] = &[ReadHello, Step::Hello(Hello::Right), Send(EncryptedExtensions), Send(CertificateRequest)];
const CHAIN: &[Step] = &[Send(Certificate(Chain::Right))];
const PROOF: &[Step] = &[Send(CertificateVerify(By::Leaf)), Send(Finished)];
const REST: &[Step] = &[ReadFinished, Answer];
/// The steps of a right handshake.
const RIGHT: &[Step] = &[
    ReadHello,
    Step::Hello(Hello::Right),
    Send(EncryptedExtensions),
    Send(CertificateRequest),
    Send(Certificate(Chain::Right)),
    Send(CertificateVerify(By::Leaf)),
    Send(Finished),
    ReadFinished,
];
const FLIGHT: &[Message] =
    &[EncryptedExtensions, CertificateRequest, Certificate(Chain::Right), CertificateVerify(By::Leaf), Finished];

use Expected::{Broken, Ended, GivenUp, Panics, Refused, Served, Silent};

/// A mode with one fault in the chain.
macro_rules! chain {
    ($name:literal, $does:literal, $reason:literal, $chain:expr) => {
        mode_of($name, $does, Refused($reason), &[START, &[Send(Certificate($chain))], PROOF, REST])
    };
}

/// A mode with one fault in the ServerHello.
macro_rules! hello {
    ($name:literal, $does:literal, $reason:literal, $hello:expr) => {
        mode_of($name, $does, Refused($reason), &[&[ReadHello, Step::Hello($hello)], REST])
    };
}

/// Every mode.
#[rustfmt::skip]
pub const MODES: &[Mode] = &[
    mode_of("good", "all as it should be", Served, &[RIGHT, &[Answer]]),
    mode_of("one-record", "all as it should be, in one record", Served, &[HELLO, &[Together(FLIGHT)], REST]),

    // Proof of identity.
    mode_of("no-certificate", "sends neither Certificate nor CertificateVerify", Refused("NoCertificate"), &[START, &[Send(Finished)], REST]),
    mode_of("finished-only", "sends a Finished and nothing before it", Refused("NoCertificate"), &[HELLO, &[Send(EncryptedExtensions), Send(Finished)], REST]),
    mode_of("no-certificate-verify", "does not prove that it has the certificate's key", Refused("NoCertificateVerify"), &[START, CHAIN, &[Send(Finished)], REST]),
    mode_of("certificate-verify-first", "proves before it says what", Refused("UnexpectedMessage"), &[START, &[Send(CertificateVerify(By::Leaf)), Send(Certificate(Chain::Right)), Send(Finished)], REST]),
    mode_of("two-certificates", "sends a certificate of its own after the right one, and proves that", Refused("UnexpectedMessage"), &[START, CHAIN, &[Send(Certificate(Chain::SelfSigned))], PROOF, REST]),
    mode_of("two-proofs", "proves with a key of its own after the right proof", Refused("UnexpectedMessage"), &[START, CHAIN, &[Send(CertificateVerify(By::Leaf)), Send(CertificateVerify(By::Another)), Send(Finished)], REST]),
    mode_of("bad-signature", "signs with a key that is not the certificate's", Refused("BadCertificateVerify"), &[START, CHAIN, &[Send(CertificateVerify(By::Another)), Send(Finished)], REST]),
    mode_of("signature-over-other-transcript", "signs another handshake", Refused("BadCertificateVerify"), &[START, CHAIN, &[Send(CertificateVerify(By::OtherTranscript)), Send(Finished)], REST]),
    mode_of("signature-as-client", "signs as a client does", Refused("BadCertificateVerify"), &[START, CHAIN, &[Send(CertificateVerify(By::AsClient)), Send(Finished)], REST]),
    mode_of("empty-signature", "sends a signature without octets", Refused("BadCertificateVerify"), &[START, CHAIN, &[Send(CertificateVerify(By::Empty)), Send(Finished)], REST]),
    mode_of("unknown-signature-scheme", "signs under a scheme that does not exist", Refused("SignatureScheme"), &[START, CHAIN, &[Send(CertificateVerify(By::Scheme(0xfafa))), Send(Finished)], REST]),
    mode_of("scheme-of-another-curve", "signs with P-256 and calls it P-384", Refused("SignatureScheme"), &[START, CHAIN, &[Send(CertificateVerify(By::Scheme(0x0503))), Send(Finished)], REST]),
    mode_of("bad-finished", "sends a Finished that is not of this handshake", Refused("Tls"), &[START, CHAIN, &[Send(CertificateVerify(By::Leaf)), Send(BadFinished)], REST]),

    // Certificates.
    chain!("empty-chain", "sends a list without certificates", "NoCertificate", Chain::Empty),
    chain!("wrong-name", "has a certificate for another name", "WrongServerName", Chain::WrongName),
    chain!("no-names", "has a certificate with its name as common name alone", "WrongServerName", Chain::NoNames),
    chain!("wrong-ca", "has a certificate of another root", "UnknownIssuer", Chain::WrongAuthority),
    chain!("self-signed", "has a certificate that it signed itself", "SelfSigned", Chain::SelfSigned),
    chain!("expired", "has a certificate that ended ten days ago", "Expired", Chain::Expired),
    chain!("not-yet-valid", "has a certificate that begins in ten days", "NotYetValid", Chain::NotYetValid),
    chain!("expired-intermediate", "has a certificate of an intermediate that ended", "Expired", Chain::ExpiredIntermediate),
    chain!("no-intermediate", "leaves the intermediate out", "UnknownIssuer", Chain::NoIntermediate),
    chain!("leaf-as-ca", "has a certificate that one without the right issued", "Path", Chain::LeafAsAuthority),
    chain!("ca-as-leaf", "shows a CA's certificate as its own", "Path", Chain::AuthorityAsLeaf),
    chain!("wrong-eku", "has a certificate for clients", "Path", Chain::ClientsPurpose),
    chain!("name-constraints", "has a certificate of an intermediate for other names", "Path", Chain::NameConstraints),
    chain!("path-length", "has one intermediate more than may be", "Path", Chain::PathLength),
    chain!("unknown-critical-extension", "has a certificate with a critical extension that nobody knows", "UnknownCriticalExtension", Chain::UnknownCriticalExtension),
    chain!("rsa-certificate", "has an RSA key", "UnsupportedKey", Chain::Rsa),
    chain!("p384-certificate", "has a P-384 key", "UnsupportedKey", Chain::P384),
    chain!("garbage-certificate", "sends octets that are no certificate", "Certificate", Chain::Garbage),
    chain!("trailing-certificate", "sends a certificate with an octet behind it", "Certificate", Chain::Trailing),
    chain!("long-chain", "sends 7 intermediates", "TooManyCertificates", Chain::Long(7)),
    chain!("oversized-chain", "sends 30 intermediates", "Tls", Chain::Long(30)),

    // ServerHello.
    hello!("hello-retry-request", "wants another key share", "HelloRetryRequest", Hello::Retry),
    hello!("wrong-cipher-suite", "chooses a cipher suite that was not offered", "CipherSuite", Hello::OtherSuite),
    hello!("wrong-group", "gives its key share the number of another group", "Group", Hello::OtherGroup),
    hello!("tls12-server-hello", "speaks TLS 1.2", "Version", Hello::Tls12),
    hello!("no-key-share", "leaves its key share out", "Tls", Hello::NoKeyShare),
    hello!("bad-point", "sends a key share that is no point of the curve", "Tls", Hello::BadPoint),
    hello!("trailing-server-hello", "sends a ServerHello that is longer than its parts", "ServerHello", Hello::Trailing),

    // Records.
    mode_of("plaintext-certificate", "does not encrypt its certificate", Refused("UnexpectedRecord"), &[HELLO, &[Clear(EncryptedExtensions), Clear(Certificate(Chain::Right)), Clear(CertificateVerify(By::Leaf)), Clear(Finished)], REST]),
    mode_of("oversized-record", "sends a record of 17,000 octets", Refused("Overflow"), &[HELLO, &[Oversized(17_000)], REST]),
    mode_of("empty-record", "sends an encrypted record of no octets", Refused("EmptyRecord"), &[HELLO, &[ClearRecord(23, &[])], REST]),
    mode_of("empty-inner-plaintext", "sends an encrypted record with nothing in it", Refused("EmptyRecord"), &[HELLO, &[Inner(&[])], REST]),
    mode_of("all-zero-inner-plaintext", "sends an encrypted record with padding alone", Refused("Tls"), &[HELLO, &[ZeroInner(64)], REST]),
    mode_of("bad-tag", "sends a record that was not encrypted with the right key", Refused("Tls"), &[HELLO, &[BadTag], REST]),
    mode_of("garbage-records", "sends records of types that do not exist", Refused("UnexpectedRecord"), &[&[ReadHello, ClearRecord(99, b"garbage"), ClearRecord(0, b"")], REST]),
    mode_of("random-octets-at-once", "sends noise before it reads", Refused("Record"), &[&[Noise(4096), Stall]]),
    mode_of("http-at-once", "is no TLS server", Refused("Record"), &[&[ReadHello, Raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), Close]]),
    mode_of("huge-message", "sends a chain of more than 64 KiB", Refused("Tls"), &[START, &[Fragments(16_000, &[Certificate(Chain::Long(200))])], PROOF, REST]),
    mode_of("endless-message", "announces a certificate of 16 MiB", Refused("Tls"), &[START, &[Send(Endless)], REST]),
    mode_of("unknown-message", "sends a handshake message of a type that does not exist", Refused("Tls"), &[START, &[Send(Unknown)], CHAIN, PROOF, REST]),
    mode_of("fragmented-messages", "cuts its messages into records of 100 octets, as it may", Refused("Tls"), &[HELLO, &[Fragments(100, FLIGHT)], REST]),
    mode_of("many-change-cipher-spec", "sends change_cipher_spec a hundred times", Refused("UnexpectedRecord"), &[HELLO, &[ChangeCipherSpec(100)], REST]),
    mode_of("long-extensions", "sends an extension of 3,000 octets that was not asked for; embedded-tls passes over it", Served, &[HELLO, &[Send(LongExtensions(3_000))], CHAIN, PROOF, REST]),
    mode_of("many-extensions", "sends EncryptedExtensions over and over", Refused("LongHandshake"), &[HELLO, &[Send(LongExtensions(3_000)); 25], CHAIN, PROOF, REST]),
    mode_of("odd-certificate-request", "asks for schemes that nobody knows, as it may", Refused("Tls"), &[HELLO, &[Send(EncryptedExtensions), Send(OddCertificateRequest)], CHAIN, PROOF, REST]),

    // Messages across a change of keys (RFC 8446 section 5.1).
    mode_of("across-hello", "sends EncryptedExtensions in the record of its ServerHello, not encrypted", Refused("ServerHello"), &[&[ReadHello, HelloWith(&[EncryptedExtensions], 0), Send(CertificateRequest)], CHAIN, PROOF, REST]),
    mode_of("across-hello-all", "sends all its messages in the record of its ServerHello, not encrypted", Refused("ServerHello"), &[&[ReadHello, HelloWith(FLIGHT, 0)], REST]),
    mode_of("across-hello-half", "begins EncryptedExtensions in the record of its ServerHello, and ends it encrypted", Refused("ServerHello"), &[&[ReadHello, HelloWith(&[EncryptedExtensions], 3), Rest, Send(CertificateRequest)], CHAIN, PROOF, REST]),
    mode_of("across-finished", "sends a ticket in the record of its Finished, with the keys of the handshake", Refused("Tls"), &[START, CHAIN, &[Send(CertificateVerify(By::Leaf)), Together(&[Finished, Ticket])], REST]),
    mode_of("across-finished-half", "begins a ticket in the record of its Finished, and ends it with the next keys", Refused("Tls"), &[START, CHAIN, &[Send(CertificateVerify(By::Leaf)), Part(&[Finished, Ticket], 100), ReadFinished, Rest, Answer]]),
    mode_of("across-key-update", "sends a ticket in the record of its KeyUpdate, with the keys from before", Broken("Tls"), &[RIGHT, &[Together(&[KeyUpdate, Ticket]), Stall]]),

    // Alerts and silence.
    mode_of("fatal-alert", "answers the ClientHello with handshake_failure", Refused("Alert"), &[&[ReadHello, ClearRecord(21, &[2, 40]), Close]]),
    mode_of("plaintext-alert", "sends an alert that is not encrypted where it must be", Refused("UnexpectedRecord"), &[HELLO, &[ClearRecord(21, &[2, 40]), Stall]]),
    mode_of("encrypted-alert", "sends an alert amid the handshake", Refused("Tls"), &[START, &[Inner(&[2, 40, 21]), Stall]]),
    mode_of("close-notify-amid", "says close_notify amid the handshake", Refused("Tls"), &[START, &[Inner(&[1, 0, 21]), Close]]),
    mode_of("close-at-once", "closes when it has read the ClientHello", Refused("Closed"), &[&[ReadHello, Close]]),
    mode_of("close-in-record", "closes amid a record", Refused("Truncated"), &[HELLO, &[Raw(&[23, 3, 3, 1, 0, 7, 7, 7]), Close]]),
    mode_of("reset-at-once", "resets when it has accepted", Refused("Io"), &[&[Reset]]),
    mode_of("reset-after-hello", "resets after its ServerHello", Refused("Io"), &[HELLO, &[Reset]]),
    mode_of("reset-in-certificate", "resets amid its certificate", Refused("Io"), &[START, &[Raw(&[23, 3, 3, 2, 0, 7, 7, 7]), Reset]]),
    mode_of("stall-before-hello", "accepts and says nothing", GivenUp, &[&[Stall]]),
    mode_of("stall-after-hello", "sends its ServerHello and nothing more", GivenUp, &[HELLO, &[Stall]]),
    mode_of("stall-in-certificate", "sends half a record and nothing more", GivenUp, &[START, &[Raw(&[23, 3, 3, 2, 0, 7, 7, 7]), Stall]]),
    mode_of("drip", "sends one octet a second", GivenUp, &[&[ReadHello, Drip, Step::Hello(Hello::Right)], REST]),

    // Faults after a right handshake.
    mode_of("silent", "never answers a request", Silent, &[RIGHT, &[Stall]]),
    mode_of("close-after-finished", "closes without close_notify", Broken("Truncated"), &[RIGHT, &[Close]]),
    mode_of("close-notify", "says close_notify", Ended, &[RIGHT, &[Inner(&[1, 0, 21]), Close]]),
    mode_of("data-after-close", "sends data after its close_notify", Ended, &[RIGHT, &[Inner(&[1, 0, 21]), Inner(b"more\x17"), Close]]),
    mode_of("late-fatal-alert", "sends internal_error", Broken("Alert"), &[RIGHT, &[Inner(&[2, 80, 21]), Close]]),
    mode_of("late-plaintext", "sends application data that is not encrypted", Broken("Tls"), &[RIGHT, &[ClearRecord(23, b"HTTP/1.1 200 OK\r\n\r\n"), Stall]]),
    mode_of("late-plaintext-alert", "sends an alert that is not encrypted", Broken("UnexpectedRecord"), &[RIGHT, &[ClearRecord(21, &[1, 0]), Stall]]),
    mode_of("late-bad-tag", "sends a record that was not encrypted with the right key", Broken("Tls"), &[RIGHT, &[BadTag, Stall]]),
    mode_of("late-oversized-record", "sends a record of 17,000 octets", Broken("Overflow"), &[RIGHT, &[Oversized(17_000), Stall]]),
    mode_of("empty-application-data", "sends application data without octets, as it may", Served, &[RIGHT, &[Inner(b"\x17"), Answer]]),
    mode_of("empty-records", "sends application data without octets a thousand times", Broken("EmptyRecords"), &[RIGHT, &[Inners(1000, b"\x17"), Stall]]),
    mode_of("late-empty-inner-plaintext", "sends an encrypted record with nothing in it", Broken("EmptyRecord"), &[RIGHT, &[Inner(&[]), Stall]]),
    mode_of("late-all-zero-inner-plaintext", "sends an encrypted record with padding alone", Broken("Tls"), &[RIGHT, &[ZeroInner(64), Stall]]),
    mode_of("tickets", "sends four session tickets, as it may", Served, &[RIGHT, &[Send(Ticket); 4], &[Answer]]),
    mode_of("key-update", "changes its keys, as it may", Broken("Tls"), &[RIGHT, &[Send(KeyUpdate), Stall]]),
    mode_of("late-certificate-request", "asks for a certificate after the handshake, which was not offered", Panics, &[RIGHT, &[Send(LateCertificateRequest), Stall]]),
    mode_of("late-change-cipher-spec", "sends change_cipher_spec after the handshake", Broken("UnexpectedRecord"), &[RIGHT, &[ChangeCipherSpec(1), Stall]]),
];

/// Returns the mode of this name.
pub fn mode(name: &str) -> Option<&'static Mode> {
    MODES.iter().find(|mode| mode.name == name)
}
