//! A DHCP server for one guest (RFC 2131).

use std::net::Ipv4Addr;

use serde::Deserialize;

use super::addresses::{DEAD, GUEST, HOST, MOVED};

const LEASE_SECONDS: u32 = 86_400;

/// The behaviour of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dhcp {
    /// The server answers correctly.
    #[default]
    Right,
    /// The server never answers.
    Silent,
    /// The server does not answer during this number of seconds from the start.
    After(u64),
    /// The server gives addresses for this number of seconds.
    Lease(u32),
    /// The server gives another address from now on ([`MOVED`](super::MOVED)).
    Moved,
    /// The server names a name server that does not exist before the right one.
    DeadNameServer,
}

/// The magic cookie before the options (RFC 2131 section 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;

// RFC 2132 section 9.6
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

// RFC 2132
const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
const REQUESTED_ADDRESS: u8 = 50;
const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER: u8 = 54;
const END: u8 = 255;

/// An answer of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) message: Vec<u8>,
    /// True if the client has its address and accepts a datagram to it.
    pub(super) to_client: bool,
    pub(super) leased: bool,
}

fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = message.get(OPTIONS..)?;
    loop {
        match rest {
            [0, after @ ..] => rest = after,
            [END, ..] | [] | [_] => return None,
            [number, length, after @ ..] => {
                let value = after.get(..usize::from(*length))?;
                if *number == wanted {
                    return Some(value);
                }
                rest = after.get(usize::from(*length)..)?;
            }
        }
    }
}

impl Dhcp {
    /// Returns what the server gives.
    pub(super) fn terms(self) -> Terms {
        Terms {
            address: if self == Self::Moved { MOVED } else { GUEST },
            seconds: if let Self::Lease(seconds) = self { seconds } else { LEASE_SECONDS },
            name_servers: if self == Self::DeadNameServer { &[DEAD, HOST] } else { &[HOST] },
        }
    }
}

/// What a client gets.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) address: Ipv4Addr,
    pub(super) seconds: u32,
    pub(super) name_servers: &'static [Ipv4Addr],
}

/// Returns the answer, or `None` if the message is not a request to this server.
pub(super) fn answer(request: &[u8], server: Ipv4Addr, terms: Terms) -> Option<Answer> {
    let lease = terms.address;
    let head = request.get(..OPTIONS)?;
    if head.first() != Some(&1) || head.get(236..) != Some(&COOKIE) {
        return None;
    }
    let current = head.get(12..16)?;
    let answered = match option(request, MESSAGE_TYPE)? {
        [DISCOVER] => OFFER,
        [REQUEST] => {
            if option(request, SERVER).is_some_and(|named| named != server.octets()) {
                return None;
            }
            let wanted = option(request, REQUESTED_ADDRESS).unwrap_or(current);
            if wanted == lease.octets() { ACK } else { NAK }
        }
        _ => return None,
    };
    let mut message = head.to_vec();
    message[0] = 2;
    // Clears hops and seconds.
    message[3] = 0;
    message[8..10].fill(0);
    message[16..28].fill(0);
    if answered == NAK {
        message[12..16].fill(0);
    } else {
        message[16..20].copy_from_slice(&lease.octets());
        message[20..24].copy_from_slice(&server.octets());
    }
    message[44..236].fill(0);
    let mut push = |number, value: &[u8]| {
        message.extend([number, u8::try_from(value.len()).unwrap_or(0)]);
        message.extend(value);
    };
    push(MESSAGE_TYPE, &[answered]);
    push(SERVER, &server.octets());
    if answered != NAK {
        push(LEASE_TIME, &terms.seconds.to_be_bytes());
        push(SUBNET_MASK, &[255, 255, 255, 0]);
        push(ROUTER, &server.octets());
        push(DNS, &terms.name_servers.iter().flat_map(Ipv4Addr::octets).collect::<Vec<_>>());
    }
    message.push(END);
    let to_client = answered == ACK && current != [0; 4];
    Some(Answer { message, to_client, leased: answered == ACK })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8], mode: Dhcp) -> Option<Answer> {
        super::answer(request, HOST, mode.terms())
    }

    fn request(options: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 236];
        message[..8].copy_from_slice(&[1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
        message.extend(COOKIE);
        message.extend(options);
        message
    }

    #[test]
    fn offers_acknowledges_and_refuses_other_addresses() {
        let offer = answer(&request(&[MESSAGE_TYPE, 1, DISCOVER, END]), Dhcp::Lease(60)).unwrap();
        assert_eq!(offer.message[..8], [2, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(offer.message[16..20], GUEST.octets());
        assert_eq!(option(&offer.message, MESSAGE_TYPE), Some(&[OFFER][..]));
        assert_eq!(option(&offer.message, LEASE_TIME), Some(&[0, 0, 0, 60][..]));
        assert!(!offer.leased);
        let take = |last| request(&[MESSAGE_TYPE, 1, REQUEST, 0, REQUESTED_ADDRESS, 4, 10, 0, 2, last, END]);
        assert!(answer(&take(15), Dhcp::Lease(60)).unwrap().leased);
        let refused = answer(&take(16), Dhcp::Lease(60)).unwrap();
        assert_eq!(option(&refused.message, MESSAGE_TYPE), Some(&[NAK][..]));
        assert!(!refused.leased);
        // The one who had another address, and gets this one.
        assert!(!super::answer(&take(15), HOST, Dhcp::Moved.terms()).unwrap().leased);
        assert!(answer(&take(16), Dhcp::Moved).unwrap().leased);
        let two = answer(&take(15), Dhcp::DeadNameServer).unwrap();
        assert_eq!(option(&two.message, DNS), Some(&[10, 0, 2, 3, 10, 0, 2, 2][..]));
    }

    #[test]
    fn leaves_others_alone() {
        assert_eq!(answer(&[], Dhcp::Lease(60)), None);
        assert_eq!(answer(&request(&[]), Dhcp::Lease(60)), None);
        assert_eq!(answer(&request(&[MESSAGE_TYPE, 9, DISCOVER]), Dhcp::Lease(60)), None);
        let elsewhere = [MESSAGE_TYPE, 1, REQUEST, SERVER, 4, 10, 0, 2, 9, END];
        assert_eq!(answer(&request(&elsewhere), Dhcp::Lease(60)), None);
    }
}
