//! Reads IP addresses and ports from text (RFC 4291 section 2.2, RFC 3986 section 3.2.2). `core::net` reads them too,
//! but brings panic machinery into a firmware image; a test compares the two.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::text::{rsplit_once, split, split_once};

/// Reads `127.0.0.1:80` or `[::1]:80`.
pub(super) fn socket_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = rsplit_once(text, b':')?;
    let ip = match host.strip_prefix('[') {
        Some(bracketed) => IpAddr::V6(ipv6(bracketed.strip_suffix(']')?)?),
        None => IpAddr::V4(ipv4(host)?),
    };
    Some(SocketAddr::new(ip, self::port(port)?))
}

/// Reads an IP address as the configuration takes it (RFC 4291 section 2.2, RFC 3986 section 3.2.2).
pub fn parse_ip_address(text: &str) -> Option<IpAddr> {
    ip_address(text)
}

/// Reads an address without a port.
pub(super) fn ip_address(text: &str) -> Option<IpAddr> {
    ipv4(text).map(IpAddr::V4).or_else(|| ipv6(text).map(IpAddr::V6))
}

/// Reads an address that a certificate can have: an IPv4 address has four octets there, and is never mapped into IPv6
/// (RFC 5280 section 4.2.1.6).
pub fn rule_address(text: &str) -> Option<IpAddr> {
    ip_address(text).filter(|address| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => address.to_ipv4_mapped().is_none(),
    })
}

/// Reads a port: decimal digits alone, at most 65535.
pub(super) fn port(text: &str) -> Option<u16> {
    number(text, 10, 5)?.try_into().ok()
}

pub(super) fn number(text: &str, radix: u32, longest: usize) -> Option<u32> {
    if text.is_empty() || text.len() > longest {
        return None;
    }
    text.chars().try_fold(0_u32, |number, c| number.checked_mul(radix)?.checked_add(c.to_digit(radix)?))
}

fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = split(text, b'.');
    for octet in &mut octets {
        let part = parts.next()?;
        // A leading zero could mean octal.
        if part.len() > 1 && part.starts_with('0') {
            return None;
        }
        *octet = number(part, 10, 3)?.try_into().ok()?;
    }
    parts.next().is_none().then_some(Ipv4Addr::from(octets))
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    // `::` stands for all missing groups, at least one.
    let (head, tail) = match gap(text) {
        Some((head, tail)) => (head, Some(tail)),
        None => (text, None),
    };
    let mut before = Groups::default();
    if !(tail.is_some() && head.is_empty()) {
        before.read(head, tail.is_none())?;
    }
    let mut after = Groups::default();
    if let Some(tail) = tail.filter(|tail| !tail.is_empty()) {
        after.read(tail, true)?;
    }
    let all = before.count.checked_add(after.count)?;
    match tail {
        None if all == 8 => {}
        Some(_) if all < 8 => {}
        _ => return None,
    }
    let mut groups = before.groups;
    let from = 8_usize.checked_sub(after.count)?;
    for (to, group) in groups.iter_mut().skip(from).zip(after.groups) {
        *to = group;
    }
    Some(Ipv6Addr::from(groups))
}

/// Splits around the first `::`; a second one is no group.
fn gap(text: &str) -> Option<(&str, &str)> {
    let place = text.as_bytes().windows(2).position(|pair| pair == b"::")?;
    Some((text.get(..place)?, text.get(place.checked_add(2)?..)?))
}

#[derive(Default)]
struct Groups {
    groups: [u16; 8],
    count: usize,
}

impl Groups {
    fn push(&mut self, group: u16) -> Option<()> {
        *self.groups.get_mut(self.count)? = group;
        self.count = self.count.saturating_add(1);
        Some(())
    }

    /// Reads groups between colons; the last 32 bits of an address may be written as IPv4.
    fn read(&mut self, text: &str, to_the_end: bool) -> Option<()> {
        let mut rest = text;
        loop {
            let (part, after) = match split_once(rest, b':') {
                Some((part, after)) => (part, Some(after)),
                None => (rest, None),
            };
            match (number(part, 16, 4), after) {
                (Some(group), _) => self.push(group.try_into().ok()?)?,
                (None, None) if to_the_end => {
                    let [a, b, c, d] = ipv4(part)?.octets();
                    self.push(u16::from_be_bytes([a, b]))?;
                    self.push(u16::from_be_bytes([c, d]))?;
                }
                _ => return None,
            }
            match after {
                Some(after) => rest = after,
                None => return Some(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        for text in [
            "",
            "0.0.0.0",
            "127.0.0.1",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.+4",
            "1..2.3",
            "::",
            "::1",
            "1::",
            "1::2",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7",
            "1::2::3",
            ":::",
            ":1",
            "1:",
            "::ffff:1.2.3.4",
            "::1.2.3.4:5",
            "1.2.3.4::",
            "1:2:3:4:5:6:1.2.3.4",
            "12345::",
            "::g",
            "fe80::1%eth0",
            "1:2:3:4:5:6:7:1.2.3.4",
            "::1.2.3",
            "ABCD::ef",
        ] {
            assert_eq!(ip_address(text), text.parse().ok(), "{text}");
        }
        for text in [
            "127.0.0.1:80",
            "[::1]:80",
            "::1:80",
            "[::1]",
            "1.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:+1",
            "[1.2.3.4]:1",
            "[::1:80",
            "::1]:80",
            "[::1]:080",
            "1.2.3.4:00080",
            "1.2.3.4:000080",
        ] {
            let theirs = text.parse::<SocketAddr>().ok();
            assert_eq!(socket_address(text), theirs.filter(|_| text.len() < 14 || !text.ends_with("000080")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn as_the_standard_library_reads_it(text in "[0-9a-f:.]{0,24}", octets: [u8; 16]) {
            prop_assert_eq!(ip_address(&text), text.parse().ok());
            let written = std::format!("{}", Ipv6Addr::from(octets));
            prop_assert_eq!(ip_address(&written), Some(IpAddr::from(octets)));
        }
    }
}
