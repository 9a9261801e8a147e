//! Defines networks: ranges of addresses (CIDR, RFC 4632 section 3.1).

use core::fmt;
use core::net::IpAddr;

use super::address::ip_address;
use crate::text::rsplit_once;

/// The largest number of networks in one list.
pub const MAX_NETWORKS: usize = 8;

/// The syntax of a network, for errors.
pub(super) const NETWORK: &str = "a network, as \"10.0.0.0/8\" or \"2001:db8::/32\", or an IP address";

/// A network: the addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    length: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, or an address that stands for itself alone; `None` if malformed, if bits after the prefix are
    /// set, or if an IPv4 address is written as one of IPv6: such addresses are compared as IPv4.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match rsplit_once(text, b'/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let first = ip_address(address)?;
        if first.to_canonical() != first {
            return None;
        }
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => {
                super::address::number(length, 10, 3)?.try_into().ok().filter(|length| *length <= longest)?
            }
            None => longest,
        };
        let network = Self { first, length };
        let (bits, prefix) = (network.bits(first)?, network.prefix(first)?);
        (bits == prefix).then_some(network)
    }

    /// Returns whether all addresses of a family are of this network.
    pub fn is_everybody(&self) -> bool {
        self.length == 0
    }

    /// Returns whether an address is of this network; an IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2) is the
    /// IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefix(address.to_canonical()).is_some_and(|prefix| self.bits(self.first) == Some(prefix))
    }

    /// Returns an address as 128 bits, an IPv4 address at their beginning; `None` for the other family.
    fn bits(&self, address: IpAddr) -> Option<u128> {
        match (self.first, address) {
            (IpAddr::V4(_), IpAddr::V4(address)) => Some(u128::from(address.to_bits()) << 96),
            (IpAddr::V6(_), IpAddr::V6(address)) => Some(address.to_bits()),
            _ => None,
        }
    }

    /// Returns the bits that an address has in common with all of its network, if it is of this network's family.
    fn prefix(&self, address: IpAddr) -> Option<u128> {
        let mask = !u128::MAX.checked_shr(self.length.into()).unwrap_or(0);
        Some(self.bits(address)? & mask)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_with_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("::1", "::1", "::2"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0/8",
            "::/129",
            "2001:db8::1/32",
            "a/8",
            "10.0.0.0/+8",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8/8",
            "010.0.0.0/8",
            "localhost",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
