//! Parses the PROXY protocol, version 2, of a load balancer (haproxy's `proxy-protocol.txt`, section 2.2): octets in, who
//! connected out.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// The octets before the addresses.
pub const START: usize = 16;
/// The octets of the longest addresses, two of IPv6 with their ports.
pub const ADDRESSES: usize = 36;
/// The largest number of octets after the start. A header with a certificate of 16 KiB is shorter, the longest that this
/// gateway sends itself.
pub const LONGEST: u16 = 20 * 1024;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The beginning of version 1 (section 2.1).
const VERSION_1: &[u8] = b"PROXY ";
/// The type of a TLS record with a handshake message (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// The reason that octets are no header that can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// The octets are of another protocol.
    NoHeader,
    /// A TLS handshake begins without a header.
    Tls,
    /// The header is of version 1.
    Version1,
    /// The header is of this version.
    Version(u8),
    /// The command is neither LOCAL nor PROXY.
    Command(u8),
    /// The client did not connect by TCP over IP: the family and the protocol.
    Family(u8),
    /// The header is shorter than its addresses: the octets after the start.
    Short(u16),
    /// The header is longer than [`LONGEST`].
    Long(u16),
    /// The connection ended within the header.
    Ended,
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its load balancer (accept_proxy): ")?;
        match self {
            Self::NoHeader => f.write_str("found other octets, expected a PROXY protocol header of version 2"),
            Self::Tls => f.write_str("found a TLS handshake, expected a PROXY protocol header of version 2 before it"),
            Self::Version1 => f.write_str("found a PROXY protocol header of version 1, expected version 2"),
            Self::Version(found) => write!(f, "found version {found} of the PROXY protocol, expected 2"),
            Self::Command(found) => write!(f, "found the command {found}, expected LOCAL (0) or PROXY (1)"),
            Self::Family(found) => write!(f, "found the family {found:#04x}, expected TCP over IPv4 or IPv6"),
            Self::Short(found) => write!(f, "found {found} octets, which is less than the addresses take"),
            Self::Long(found) => write!(f, "found {found} octets, expected {LONGEST} at most"),
            Self::Ended => f.write_str("the connection ended within the PROXY protocol header"),
        }
    }
}

/// The start of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderStart {
    /// The family of the addresses that follow; `None` for LOCAL, of which everything else is passed over.
    addresses: Option<AddressBlock>,
    length: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressBlock {
    V4,
    V6,
}

impl AddressBlock {
    fn length(self) -> u16 {
        match self {
            Self::V4 => 12,
            Self::V6 => 36,
        }
    }
}

/// The two ends of a connection, as a load balancer says them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client's address.
    pub from: SocketAddr,
    /// The address that the client connected to.
    pub to: SocketAddr,
}

impl HeaderStart {
    /// Parses the first octets of a connection; `None` if more of [`START`] are needed.
    ///
    /// # Errors
    /// Returns the fault as soon as there is one: a client that has not sent a header may wait for an answer.
    pub fn parse(octets: &[u8]) -> Result<Option<Self>, HeaderFault> {
        if octets.first() == Some(&TLS_HANDSHAKE) {
            return Err(HeaderFault::Tls);
        }
        if !octets.is_empty() && octets.iter().zip(VERSION_1).all(|(found, expected)| found == expected) {
            return if octets.len() < VERSION_1.len() { Ok(None) } else { Err(HeaderFault::Version1) };
        }
        if octets.iter().zip(&SIGNATURE).any(|(found, expected)| found != expected) {
            return Err(HeaderFault::NoHeader);
        }
        if let Some(version) = octets.get(12).map(|octet| octet >> 4).filter(|version| *version != 2) {
            return Err(HeaderFault::Version(version));
        }
        let Some(&[command, family, high, low]) = octets.get(12..START) else { return Ok(None) };
        let length = u16::from_be_bytes([high, low]);
        let addresses = match (command & 0xf, family) {
            (0, _) => None,
            (1, 0x11) => Some(AddressBlock::V4),
            (1, 0x21) => Some(AddressBlock::V6),
            (1, family) => return Err(HeaderFault::Family(family)),
            (command, _) => return Err(HeaderFault::Command(command)),
        };
        if length > LONGEST {
            return Err(HeaderFault::Long(length));
        }
        if addresses.is_some_and(|addresses| length < addresses.length()) {
            return Err(HeaderFault::Short(length));
        }
        Ok(Some(Self { addresses, length }))
    }

    /// Returns the number of octets that follow: the addresses first, then what is passed over.
    pub fn length(&self) -> usize {
        self.length.into()
    }

    /// Returns who connected, by the first [`ADDRESSES`] of the octets that follow; `None` if the load balancer itself
    /// did (LOCAL).
    pub fn ends(&self, octets: &[u8]) -> Option<Ends> {
        let (from, to, [a, b, c, d]) = match self.addresses? {
            AddressBlock::V4 => {
                let octets: &[u8; 12] = octets.first_chunk()?;
                let (from, rest) = octets.split_first_chunk::<4>()?;
                let (to, ports) = rest.split_first_chunk::<4>()?;
                ((*from).into(), (*to).into(), *ports.first_chunk()?)
            }
            AddressBlock::V6 => {
                let octets: &[u8; 36] = octets.first_chunk()?;
                let (from, rest) = octets.split_first_chunk::<16>()?;
                let (to, ports) = rest.split_first_chunk::<16>()?;
                // An IPv4 client of a balancer that listens at [::] (RFC 4291 section 2.5.5.2).
                let canonical = |octets: &[u8; 16]| Ipv6Addr::from(*octets).to_canonical();
                (canonical(from), canonical(to), *ports.first_chunk()?)
            }
        };
        let (from_port, to_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Some(Ends { from: SocketAddr::new(from, from_port), to: SocketAddr::new(to, to_port) })
    }
}
