//! Changes of keys, records and alerts as they must not be.

use super::super::messages::{message, record};
use super::mode::{ClientMode, hostile, inner};

/// The modes that differ in their records.
#[rustfmt::skip]
pub(super) const RECORDS: &[ClientMode] = &[
    // Messages across a change of keys (RFC 8446 section 5.1).
    hostile("across-hello", "sends a Finished in the record of its ClientHello", |s| {
        let hello = s.hello().encode();
        s.add_hello(&hello);
        s.write(&record(22, &[hello, message(20, &[0; 32])].concat()))
    }),
    hostile("across-hello-half", "begins a Certificate in the record of its ClientHello, and ends it encrypted", |s| {
        let hello = s.hello().encode();
        s.add_hello(&hello);
        s.write(&record(22, &[&hello[..], &[11, 0]].concat()))?;
        s.flight()?;
        s.seal(&inner(22, &[0, 0]))
    }),
    hostile("across-finished", "sends a KeyUpdate in the record of its Finished", |s| {
        s.start()?;
        s.authenticate()?;
        let finished = s.finished();
        s.seal(&inner(22, &[finished, message(24, &[0])].concat()))
    }),
    hostile("across-finished-half", "begins a KeyUpdate in the record of its Finished, and ends it with the next keys", |s| {
        s.start()?;
        s.authenticate()?;
        let finished = s.finished();
        s.seal(&inner(22, &[&finished[..], &[24, 0, 0]].concat()))?;
        s.application();
        s.seal(&inner(22, &[1, 0]))
    }),
    hostile("across-key-update", "sends two KeyUpdates in one record", |s| {
        s.handshake()?;
        s.seal(&inner(22, &[message(24, &[0]), message(24, &[0])].concat()))
    }),

    // KeyUpdate (RFC 8446 section 4.6.3).
    hostile("key-update-of-two", "asks for a new key by the number 2", |s| { s.handshake()?; s.seal(&inner(22, &message(24, &[2]))) }),
    hostile("key-update-trailing", "sends a KeyUpdate that is longer than its parts", |s| { s.handshake()?; s.seal(&inner(22, &message(24, &[0, 0]))) }),
    hostile("key-update-empty", "sends a KeyUpdate of no octets", |s| { s.handshake()?; s.seal(&inner(22, &message(24, &[]))) }),
    hostile("key-update-old-key", "goes on with its old key after a KeyUpdate", |s| {
        s.handshake()?;
        s.seal(&inner(22, &message(24, &[0])))?;
        s.request()
    }),
    hostile("key-update-half", "sends data amid a KeyUpdate", |s| {
        s.handshake()?;
        s.seal(&inner(22, &[24, 0, 0]))?;
        s.request()
    }),
    hostile("key-updates", "changes its keys a hundred times, and sends nothing", |s| {
        s.handshake()?;
        for _ in 0..100 {
            s.seal(&inner(22, &message(24, &[0])))?;
            s.update();
        }
        Ok(())
    }),

    // Records (RFC 8446 section 5).
    hostile("garbage", "sends octets that are no record", |s| s.write(&[0xff; 64])),
    hostile("http", "is no TLS client", |s| s.write(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")),
    hostile("heartbeat", "sends a record of a heartbeat", |s| s.write(&record(24, &[1, 0xff, 0xff]))),
    hostile("empty-handshake-record", "sends a handshake record of no octets", |s| s.write(&record(22, &[]))),
    hostile("empty-alert-record", "sends an alert record of no octets", |s| s.write(&record(21, &[]))),
    hostile("data-first", "begins with application data", |s| s.write(&record(23, b"request"))),
    hostile("empty-data-first", "begins with application data of no octets", |s| s.write(&record(23, &[]))),
    hostile("change-cipher-spec-first", "begins with change_cipher_spec", |s| s.write(&record(20, &[1]))),
    hostile("change-cipher-spec-of-two", "sends change_cipher_spec with another octet", |s| { s.start()?; s.write(&record(20, &[2])) }),
    hostile("change-cipher-spec-long", "sends change_cipher_spec of two octets", |s| { s.start()?; s.write(&record(20, &[1, 1])) }),
    hostile("change-cipher-spec-encrypted", "encrypts a change_cipher_spec", |s| { s.start()?; s.seal(&inner(20, &[1])) }),
    hostile("many-change-cipher-spec", "sends change_cipher_spec a hundred times", |s| {
        s.start()?;
        for _ in 0..100 { s.write(&record(20, &[1]))?; }
        Ok(())
    }),
    hostile("late-change-cipher-spec", "sends change_cipher_spec after the handshake", |s| { s.handshake()?; s.write(&record(20, &[1])) }),
    hostile("plaintext-certificate", "does not encrypt its certificate", |s| {
        s.start()?;
        let certificate = s.certificate();
        s.write(&record(22, &certificate))
    }),
    hostile("bad-tag", "sends a record that was not encrypted with the right key", |s| { s.start()?; s.write(&record(23, &[0x5a; 64])) }),
    hostile("record-without-a-tag", "sends an encrypted record of 15 octets", |s| { s.start()?; s.write(&record(23, &[0x5a; 15])) }),
    hostile("empty-record", "sends an encrypted record of no octets", |s| { s.start()?; s.write(&record(23, &[])) }),
    hostile("empty-inner-plaintext", "sends an encrypted record with nothing in it", |s| { s.start()?; s.seal(&[]) }),
    hostile("all-zero-inner-plaintext", "sends an encrypted record with padding alone", |s| { s.start()?; s.seal(&[0; 64]) }),
    hostile("empty-handshake-inner", "encrypts handshake messages of no octets", |s| { s.start()?; s.seal(&[22]) }),
    hostile("unknown-inner-type", "encrypts a record of a type that does not exist", |s| { s.start()?; s.seal(&inner(99, b"unknown")) }),
    hostile("long-inner-plaintext", "sends a record with 16,386 octets in it", |s| { s.start()?; s.seal(&[&[22][..], &[0; 16_385]].concat()) }),
    hostile("long-record", "sends a record of 16,641 octets", |s| { s.start()?; s.write(&record(23, &[0x5a; 16_641])) }),
    hostile("long-plaintext-record", "sends a ClientHello in a record of 16,385 octets", |s| s.write(&record(22, &[&[1, 0, 0x40, 0][..], &[0; 16_381]].concat()))),
    hostile("interrupted-message", "sends an alert amid a message", |s| {
        s.start()?;
        s.seal(&inner(22, &[11, 0, 0]))?;
        s.seal(&inner(21, &[1, 90]))
    }),
    hostile("interrupted-hello", "sends an alert amid its ClientHello", |s| {
        s.write(&record(22, &[1, 0, 1]))?;
        s.write(&record(21, &[1, 90]))
    }),
    hostile("empty-records", "sends application data without octets a thousand times", |s| {
        s.handshake()?;
        for _ in 0..1000 { s.seal(&[23])?; }
        Ok(())
    }),
    hostile("late-plaintext", "sends application data that is not encrypted", |s| { s.handshake()?; s.write(&record(23, b"request")) }),

    // Alerts (RFC 8446 section 6).
    hostile("fatal-alert", "ends the handshake by an alert", |s| { s.start()?; s.seal(&inner(21, &[2, 48])) }),
    hostile("plaintext-alert", "ends the handshake by an alert that is not encrypted", |s| { s.start()?; s.write(&record(21, &[2, 48])) }),
    hostile("late-plaintext-alert", "sends an alert that is not encrypted after one that is", |s| {
        s.start()?;
        s.seal(&inner(21, &[1, 90]))?;
        s.write(&record(21, &[2, 48]))
    }),
    hostile("long-alert", "sends an alert of three octets", |s| { s.start()?; s.seal(&inner(21, &[1, 90, 0])) }),
    hostile("half-alert", "sends an alert of one octet", |s| { s.start()?; s.seal(&inner(21, &[1])) }),
    hostile("many-alerts", "sends user_canceled a hundred times", |s| {
        s.start()?;
        for _ in 0..100 { s.seal(&inner(21, &[1, 90]))?; }
        Ok(())
    }),
    hostile("close-notify-amid", "says close_notify amid the handshake", |s| { s.start()?; s.seal(&inner(21, &[1, 0])) }),
    hostile("data-after-close", "sends data after its close_notify", |s| {
        s.handshake()?;
        s.seal(&inner(21, &[1, 0]))?;
        s.request()
    }),
    hostile("unknown-alert", "ends the connection by an alert that nobody knows", |s| { s.handshake()?; s.seal(&inner(21, &[2, 250])) }),
];
