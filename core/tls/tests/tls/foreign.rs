//! Octets that no TLS 1.3 peer sends, by a socket alone.

use std::io::{Read, Write};
use std::thread;

use edgetrust_tls::{Error, Fault};

use super::drive::{Setup, accept, connect};
use super::pki::Pki;
use super::programs::{Listener, dial, linger};

/// An alert as a record without protection.
fn alert(code: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, code]
}

#[test]
fn what_is_no_record_is_answered_by_alert() {
    let pki = Pki::new();
    for (octets, fault, code) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Fault::UnexpectedRecord(b'G'), 10),
        (b"\x80\x2e\x01\x03\x01", Fault::UnexpectedRecord(0x80), 10),
        (b"\x16\x03\x01\x41\x01", Fault::RecordOverflow, 22),
        (b"\x18\x03\x03\0\x01\0", Fault::UnexpectedRecord(24), 10),
    ] {
        let at = Listener::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut socket = dial(at.port());
                socket.write_all(octets).unwrap();
                let mut found = [0; 7];
                socket.read_exact(&mut found).unwrap();
                assert_eq!(found[..], alert(code));
            });
            let socket = at.accept_any();
            let failure = accept(&socket, &mut Setup::server(&pki)).err().unwrap();
            assert_eq!(failure.tls(), Error::Peer(fault));
            linger(&socket);
        });
    }
}

#[test]
fn a_server_of_an_older_version_hears_that() {
    let pki = Pki::new();
    // With renegotiation_info, which a client of TLS 1.3 does not offer.
    let body = [&[3, 3][..], &[7; 32], &[0, 0xc0, 0x2b, 0, 0, 5, 0xff, 1, 0, 1, 0]].concat();
    let hello = [&[22, 3, 3, 0, 4 + body.len() as u8, 2, 0, 0, body.len() as u8][..], &body].concat();
    let at = Listener::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut socket = at.accept_any();
            let mut header = [0; 5];
            socket.read_exact(&mut header).unwrap();
            socket.read_exact(&mut vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))]).unwrap();
            socket.write_all(&hello).unwrap();
            let mut found = [0; 7];
            socket.read_exact(&mut found).unwrap();
            assert_eq!(found[..], alert(70));
        });
        let failure = connect(dial(at.port()), &mut Setup::client(&pki)).err().unwrap();
        assert_eq!(failure.tls(), Error::Peer(Fault::Version));
    });
}
