//! Clients that do not prove who they are, and messages that are not due.

use super::super::messages::{self, message, record, vector};
use super::mode::{ClientMode, hostile, inner};

/// The modes that differ in a message after the ClientHello.
#[rustfmt::skip]
pub(super) const PROOFS: &[ClientMode] = &[
    // Proof of identity.
    hostile("no-certificate", "sends an empty list of certificates", |s| { s.start()?; s.send(&messages::certificate(&[]))?; s.finish() }),
    hostile("certificate-left-out", "sends its Finished at once", |s| { s.start()?; s.finish()?; s.request() }),
    hostile("verify-left-out", "does not prove that it has the certificate's key", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        s.finish()?;
        s.request()
    }),
    hostile("certificate-by-another-ca", "shows a certificate of a CA that the server does not trust", |s| {
        s.start()?;
        let certificate = messages::certificate(&s.another.chain);
        s.send(&certificate)?;
        let verify = s.verify_as("client", s.another, &[])?;
        s.send(&verify)?;
        s.finish()?;
        s.request()
    }),
    hostile("verify-by-another-key", "signs with a key that is not the certificate's", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        let verify = s.verify_as("client", s.another, &[])?;
        s.send(&verify)?;
        s.finish()?;
        s.request()
    }),
    hostile("verify-as-server", "signs as a server does", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        let verify = s.verify_as("server", s.credential, &[])?;
        s.send(&verify)?;
        s.finish()?;
        s.request()
    }),
    hostile("verify-of-other-transcript", "signs another handshake", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        let verify = s.verify(&[0])?;
        s.send(&verify)?;
        s.finish()?;
        s.request()
    }),
    hostile("verify-first", "proves before it says what", |s| {
        s.start()?;
        let verify = s.verify(&[])?;
        s.send(&verify)?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        s.finish()
    }),
    hostile("verify-empty", "sends a signature without octets", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        s.send(&messages::certificate_verify(0x0403, &[]))?;
        s.finish()
    }),
    hostile("verify-of-unknown-scheme", "signs under a scheme that does not exist", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        let mut verify = s.verify(&[])?;
        verify[4..6].copy_from_slice(&[0xfa, 0xfa]);
        s.send(&verify)?;
        s.finish()
    }),
    hostile("verify-of-another-curve", "signs with P-256 and calls it P-384", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        let mut verify = s.verify(&[])?;
        verify[4..6].copy_from_slice(&[5, 3]);
        s.send(&verify)?;
        s.finish()
    }),
    hostile("verify-trailing", "sends a CertificateVerify that is longer than its parts", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        let verify = s.verify(&[])?;
        s.send(&message(15, &[&verify[4..], &[0]].concat()))?;
        s.finish()
    }),
    hostile("two-certificates", "sends its Certificate twice", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.send(&certificate)?;
        s.send(&certificate)?;
        s.finish()
    }),
    hostile("two-proofs", "proves twice, the second time by another key", |s| {
        s.start()?;
        s.authenticate()?;
        let verify = s.verify_as("client", s.another, &[])?;
        s.send(&verify)?;
        s.finish()
    }),
    hostile("garbage-certificate", "sends octets that are no certificate", |s| { s.start()?; s.send(&messages::certificate(&[vec![0x5a; 500]])) }),
    hostile("empty-entry", "sends a certificate of no octets", |s| { s.start()?; s.send(&messages::certificate(&[Vec::new()])) }),
    hostile("certificate-context", "sends a certificate_request_context that was not asked for", |s| {
        s.start()?;
        let right = s.certificate();
        s.send(&message(11, &[&[1, 7], &right[5..]].concat()))
    }),
    hostile("certificate-extension", "adds an extension to its certificate that was not asked for", |s| {
        s.start()?;
        let leaf = s.credential.chain.first().cloned().unwrap_or_default();
        let entry = [vector(3, &leaf), vec![0, 4, 0, 5, 0, 0]].concat();
        s.send(&message(11, &[vec![0], vector(3, &entry)].concat()))
    }),
    hostile("certificate-cut", "ends amid its list of certificates", |s| {
        s.start()?;
        let right = s.certificate();
        s.send(&message(11, &right[4..right.len() - 1]))
    }),
    hostile("long-chain", "sends 12 certificates beside its own", |s| {
        s.start()?;
        let mut chain = s.credential.chain.clone();
        let issuer = chain.last().cloned().unwrap_or_default();
        chain.extend(std::iter::repeat_n(issuer, 12));
        s.send(&messages::certificate(&chain))
    }),
    hostile("endless-certificate", "announces a Certificate of 16 MiB", |s| { s.start()?; s.send(&[11, 0xff, 0xff, 0xff, 0, 0, 0]) }),
    hostile("bad-finished", "sends a Finished that is not of this handshake", |s| {
        s.start()?;
        s.authenticate()?;
        s.send(&message(20, &[7; 32]))?;
        s.application();
        s.request()
    }),
    hostile("short-finished", "sends a Finished of 31 octets", |s| {
        s.start()?;
        s.authenticate()?;
        let finished = s.finished();
        s.send(&message(20, &finished[4..35]))
    }),
    hostile("empty-finished", "sends a Finished of no octets", |s| { s.start()?; s.authenticate()?; s.send(&message(20, &[])) }),
    hostile("trailing-finished", "sends a Finished of 33 octets", |s| {
        s.start()?;
        s.authenticate()?;
        let finished = s.finished();
        s.send(&message(20, &[&finished[4..], &[0]].concat()))
    }),
    hostile("finished-left-out", "sends data where its Finished is due, with the keys of the handshake", |s| { s.start()?; s.authenticate()?; s.request() }),
    hostile("data-before-finished", "sends data with the next keys, and no Finished", |s| {
        s.start()?;
        s.authenticate()?;
        s.application();
        s.request()
    }),

    // Messages that are not due.
    hostile("finished-first", "begins with a Finished", |s| s.write(&record(22, &message(20, &[0; 32])))),
    hostile("server-hello-first", "begins with a ServerHello", |s| {
        let hello = s.hello().encode();
        s.write(&record(22, &message(2, &hello[4..])))
    }),
    hostile("two-hellos", "sends its ClientHello twice", |s| {
        let hello = s.hello().encode();
        s.send_hello(&hello)?;
        s.write(&record(22, &hello))
    }),
    hostile("hello-again", "sends a ClientHello amid the handshake", |s| {
        s.start()?;
        let hello = s.hello().encode();
        s.send(&hello)
    }),
    hostile("renegotiation", "sends a ClientHello after the handshake", |s| {
        s.handshake()?;
        let hello = s.hello().encode();
        s.seal(&inner(22, &hello))
    }),
    hostile("late-certificate", "sends a Certificate after the handshake, as one that is asked for authentication does", |s| {
        s.handshake()?;
        let certificate = s.certificate();
        s.seal(&inner(22, &certificate))
    }),
    hostile("late-ticket", "sends a NewSessionTicket", |s| { s.handshake()?; s.seal(&inner(22, &messages::ticket(7))) }),
    hostile("late-finished", "sends its Finished again", |s| {
        s.handshake()?;
        let finished = s.finished();
        s.seal(&inner(22, &finished))
    }),
    hostile("unknown-message", "sends a message of a type that does not exist", |s| { s.start()?; s.send(&message(99, b"unknown")) }),
    hostile("end-of-early-data", "ends early data that it never sent", |s| { s.start()?; s.send(&message(5, &[])) }),
    hostile("key-update-amid", "changes its keys amid the handshake", |s| { s.start()?; s.send(&message(24, &[0])) }),
];
