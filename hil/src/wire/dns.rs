//! A DNS server for one guest (RFC 1035).

use std::net::Ipv4Addr;

use serde::Deserialize;

use super::addresses::DEAD;

/// The behaviour of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dns {
    /// The server answers correctly.
    #[default]
    Right,
    /// The server never answers.
    Silent,
    /// The server answers SERVFAIL.
    ServerFailure,
    /// The server knows no name.
    NoSuchName,
    /// The server answers every name with this address.
    Address(Ipv4Addr),
    /// The server answers with [`DEAD`] before the right address.
    DeadAddressFirst,
}

// RFC 1035 section 4.1.1
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;

/// Returns the question's name, its type, and the offset of its end.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let mut name = Vec::new();
    let mut place = 12;
    loop {
        let length = usize::from(*query.get(place)?);
        if length == 0 {
            break;
        }
        // Questions have no compression.
        let label = query.get(place + 1..place + 1 + length).filter(|_| length < 64)?;
        name.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        place += 1 + length;
    }
    let kind = u16::from_be_bytes([*query.get(place + 1)?, *query.get(place + 2)?]);
    query.get(place + 4)?;
    Some((name.join("."), kind, place + 5))
}

/// Returns the message to send back, and the name in the question.
pub(super) fn answer(
    query: &[u8],
    mode: Dns,
    host: Ipv4Addr,
    known: impl Fn(&str) -> bool,
) -> Option<(Option<Vec<u8>>, String)> {
    // A query has one question and no answer.
    if query.get(2)? & 0x80 != 0 || query.get(4..6)? != [0, 1] {
        return None;
    }
    let (name, kind, end) = question(query)?;
    let (code, addresses): (u8, &[Ipv4Addr]) = match &mode {
        Dns::Silent => return Some((None, name)),
        Dns::ServerFailure => (SERVER_FAILURE, &[]),
        Dns::NoSuchName => (NAME_ERROR, &[]),
        Dns::Address(address) => (NO_ERROR, &[*address]),
        Dns::Right if known(&name) => (NO_ERROR, &[host]),
        Dns::DeadAddressFirst if known(&name) => (NO_ERROR, &[DEAD, host]),
        Dns::Right | Dns::DeadAddressFirst => (NAME_ERROR, &[]),
    };
    // Only type A has an answer; an existing name without the requested type is not an error.
    let addresses = if kind == 1 { addresses } else { &[] };
    let mut message = query.get(..2)?.to_vec();
    message.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
    message.extend(query.get(12..end)?);
    for address in addresses {
        // The question's name, A, IN, 30 seconds.
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        message.extend(address.octets());
    }
    Some((Some(message), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    fn query(kind: u8) -> Vec<u8> {
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x07gaTeway\x04test\0");
        query.extend([0, kind, 0, 1]);
        query
    }

    #[test]
    fn answers_what_it_knows() {
        let (message, name) = answer(&query(1), Dns::Right, HOST, |name| name == "gateway.test").unwrap();
        let message = message.unwrap();
        assert_eq!(name, "gateway.test");
        assert_eq!(message[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 1]);
        assert!(message.ends_with(&[0, 4, 10, 0, 2, 2]));
        // AAAA
        let (message, _) = answer(&query(28), Dns::Right, HOST, |_| true).unwrap();
        assert_eq!(message.unwrap()[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 0]);
        let (message, _) = answer(&query(1), Dns::DeadAddressFirst, HOST, |_| true).unwrap();
        let message = message.unwrap();
        assert_eq!(message[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 2]);
        assert!(message.ends_with(&[0, 4, 10, 0, 2, 2]) && message[..message.len() - 16].ends_with(&DEAD.octets()));
    }

    #[test]
    fn fails_as_told() {
        let code = |mode| answer(&query(1), mode, HOST, |_| false).unwrap().0.map(|message| message[3] & 15);
        assert_eq!(code(Dns::Right), Some(3));
        assert_eq!(code(Dns::NoSuchName), Some(3));
        assert_eq!(code(Dns::ServerFailure), Some(2));
        assert_eq!(code(Dns::Silent), None);
        assert_eq!(code(Dns::Address(HOST)), Some(0));
    }

    #[test]
    fn reads_no_further_than_there_is() {
        let whole = query(1);
        for length in 0..whole.len() {
            assert_eq!(answer(&whole[..length], Dns::Right, HOST, |_| true), None, "{length}");
        }
        assert!(answer(&whole, Dns::Right, HOST, |_| true).is_some());
    }
}
