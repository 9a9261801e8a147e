//! Reads any octets as each message, for tests and fuzzing alone: what parses lies in its input, and nothing panics.

extern crate std;

use crate::codec::Reader;
use crate::message::certificate::{Entries, read_verify};
use crate::message::certificate_request;
use crate::message::client_hello::ClientHello;
use crate::message::encrypted_extensions::EncryptedExtensions;
use crate::message::server_hello::{Answer, ServerHello};
use crate::message::ticket::NewSessionTicket;
use crate::protection::CipherSuite;

/// Reads the body of a message as each that there is, and returns how many of them it is.
///
/// # Panics
/// If a part lies outside the body, or a parser took what it never may.
pub fn read_as_each(body: &[u8]) -> usize {
    let within = |part: &[u8]| assert!(part.is_empty() || body.as_ptr_range().contains(&part.as_ptr()));
    let reader = Reader::new(body);
    let mut count = 0;
    if let Ok(hello) = ClientHello::read(reader) {
        count += 1;
        within(hello.fixed);
        assert!(hello.session_id.len() <= 32 && hello.fixed.len() <= body.len());
        within(hello.share.unwrap_or_default());
        assert!(hello.server_name.is_none_or(|name| name.is_ascii() && !name.is_empty()));
        assert!(hello.record_size_limit.is_none_or(|limit| limit >= 64));
        let (_, _, _) = (hello.suite(CipherSuite::ALL), hello.scheme(), hello.protocol(&[b"one", b"two"]));
        if let Some(offered) = hello.offered {
            assert!(offered.uncovered < body.len());
            if let Ok(Some((index, binder, ()))) = offered.find(|identity| (identity == b"known").then_some(())) {
                assert!(index < 4 && binder.len() >= 32);
                within(binder);
            }
        }
    }
    for offered_key in [false, true] {
        if let Ok(hello) = ServerHello::read(reader, CipherSuite::ALL, offered_key) {
            count += 1;
            match hello.answer {
                Answer::Hello { share, is_resumed } => {
                    within(share);
                    assert!(offered_key || !is_resumed);
                }
                Answer::Retry { cookie } => assert!((1..=1024).contains(&cookie.len())),
            }
        }
    }
    for protocols in [&[][..], &[b"one".as_slice(), b"two"]] {
        if let Ok(found) = EncryptedExtensions::read(reader, protocols, true) {
            count += 1;
            assert!(found.protocol.is_none_or(|index| usize::from(index) < protocols.len()));
            assert!(found.record_size_limit.is_none_or(|limit| (64..=16_385).contains(&limit)));
        }
    }
    count += usize::from(certificate_request::read(reader).is_ok());
    if let Ok(mut entries) = Entries::read(reader) {
        let mut length = 0;
        while let Ok(Some(der)) = entries.next() {
            within(der);
            length += der.len();
        }
        count += usize::from(length > 0);
        assert!(length <= body.len());
    }
    if let Ok((_, signature)) = read_verify(reader) {
        count += 1;
        assert!(signature.len() + 4 == body.len());
    }
    if let Ok(ticket) = NewSessionTicket::read(reader) {
        count += 1;
        within(ticket.ticket);
        assert!(ticket.lifetime <= 604_800 && !ticket.ticket.is_empty());
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writer;
    use crate::message::client_hello::Sent;
    use crate::message::{certificate, server_hello, split};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Returns the body of the message that is written.
    fn body(write: impl FnOnce(&mut Writer<'_>) -> Result<(), crate::codec::Full>) -> Vec<u8> {
        let mut space = [0; 2048];
        let mut writer = Writer::new(&mut space);
        write(&mut writer).unwrap();
        split(writer.written()).unwrap().1.rest().to_vec()
    }

    /// Right messages of each kind, which are changed below.
    fn right() -> Vec<Vec<u8>> {
        let share = [4; 65];
        let hello = Sent {
            random: &[7; 32],
            suites: CipherSuite::ALL,
            share: &share,
            schemes: [0x0403, 0x0503].into_iter(),
            server_name: Some("gateway.a.example"),
            protocols: &[b"one", b"two"],
            record_size_limit: 4096,
            cookie: Some(b"cookie"),
            ticket: Some((b"known", 7)),
        };
        let answer = EncryptedExtensions { protocol: Some(1), record_size_limit: Some(4096) };
        let ticket = NewSessionTicket { lifetime: 7, age_add: 7, nonce: b"\0", ticket: b"ticket" };
        let suite = CipherSuite::Aes128Gcm;
        Vec::from([
            body(|w| hello.write(w)),
            body(|w| server_hello::write(w, &[7; 32], b"", suite, &share, Some(0))),
            body(|w| server_hello::write(w, &[7; 32], b"", suite, &share, None)),
            // Without its key_share, and with a cookie, as a server asks that keeps no state.
            body(|w| server_hello::write_retry(w, b"", suite)),
            body(|w| answer.write(w, &[b"one", b"two"], true)),
            body(|w| certificate_request::write(w, [0x0403].into_iter())),
            Vec::from([0, 0, 0, 8, 0, 0, 3, 1, 2, 3, 0, 0]),
            body(|w| certificate::write_verify(w, b"signature")),
            body(|w| ticket.write(w)),
        ])
    }

    #[test]
    fn right_messages_are_read() {
        let counts: Vec<usize> = right().iter().map(|body| read_as_each(body)).collect();
        assert!(counts.iter().enumerate().all(|(index, count)| *count > 0 || index == 3), "{counts:?}");
    }

    /// Each message, cut at each place, and with each octet changed, is one or is refused.
    #[test]
    fn messages_that_are_cut_or_changed_at_each_place_do_not_panic() {
        for body in right() {
            for place in 0..body.len() {
                read_as_each(&body[..place]);
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = body.clone();
                    changed[place] ^= value;
                    read_as_each(&changed);
                    changed.insert(place, value);
                    read_as_each(&changed);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            read_as_each(&octets);
        }
    }
}
