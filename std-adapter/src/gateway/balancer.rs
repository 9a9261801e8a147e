//! Receives connections through a load balancer: the PROXY protocol header before their first octet says who connected.

use std::net::{IpAddr, SocketAddr};

use edgetrust_core::config::Network;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::proxy_header::{ADDRESSES, Ends, HeaderFault, HeaderStart, START};
use crate::tls::AcceptError;

/// The reason that a load balancer did not say who connects.
#[derive(Debug)]
pub(super) enum Unheard {
    Fault(HeaderFault),
    /// The connection failed, or was left without a word.
    Connection(AcceptError),
}

impl From<HeaderFault> for Unheard {
    fn from(fault: HeaderFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<std::io::Error> for Unheard {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.into())
    }
}

/// Returns whether an address may connect where these load balancers are in front; with none in front, all may.
pub(super) fn lets_in(balancers: &[Network], remote: Option<SocketAddr>) -> bool {
    let is_one = |ip: IpAddr| balancers.iter().any(|network| network.contains(ip));
    balancers.is_empty() || remote.is_some_and(|remote| is_one(remote.ip()))
}

/// Reads a header, and not an octet of what follows; `None` for a connection of the load balancer itself.
///
/// # Errors
/// Returns the header's fault. A health check that ends without an octet has left silently.
pub(super) async fn header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Ends>, Unheard> {
    let mut start = [0; START];
    let mut filled = 0_usize;
    let start = loop {
        let (known, empty) = start.split_at_mut_checked(filled).unwrap_or_default();
        if let Some(start) = HeaderStart::parse(known)? {
            break start;
        }
        match stream.read(empty).await? {
            0 if filled == 0 => return Err(Unheard::Connection(AcceptError::LeftSilently)),
            0 => return Err(HeaderFault::Ended.into()),
            count => filled = filled.saturating_add(count),
        }
    };
    let mut kept = [0; ADDRESSES];
    let addresses = kept.get_mut(..start.length().min(ADDRESSES)).unwrap_or_default();
    exactly(stream, addresses).await?;
    // What else the load balancer says of the client is not needed.
    let mut left = start.length().saturating_sub(ADDRESSES);
    let mut passed_over = [0; 512];
    while left > 0 {
        let part = passed_over.get_mut(..left.min(512)).unwrap_or_default();
        exactly(stream, part).await?;
        left = left.saturating_sub(part.len());
    }
    Ok(start.ends(&kept))
}

async fn exactly(stream: &mut (impl AsyncRead + Unpin), octets: &mut [u8]) -> Result<(), Unheard> {
    match stream.read_exact(octets).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(HeaderFault::Ended.into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::proxy_protocol::Header;

    fn v4() -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend_from_slice(&[192, 0, 2, 1, 198, 51, 100, 7, 0x03, 0xe8, 0x01, 0xbb]);
        header
    }

    /// Returns the verdict on octets that arrive in parts, and what is left to be read.
    async fn read(octets: &[u8], part: usize) -> (Result<Option<Ends>, String>, Vec<u8>) {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let octets = octets.to_vec();
        let writer = tokio::spawn(async move {
            let mut far = far;
            for part in octets.chunks(part) {
                tokio::io::AsyncWriteExt::write_all(&mut far, part).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let read = header(&mut near).await.map_err(|unheard| match unheard {
            Unheard::Fault(fault) => fault.to_string(),
            Unheard::Connection(error) => error.to_string(),
        });
        writer.await.unwrap();
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        (read, rest)
    }

    async fn fault(octets: &[u8]) -> String {
        read(octets, 1).await.0.unwrap_err()
    }

    #[tokio::test]
    async fn a_header_says_who_connects_and_no_octet_behind_it_is_taken() {
        let ends = Ends { from: "192.0.2.1:1000".parse().unwrap(), to: "198.51.100.7:443".parse().unwrap() };
        for part in [1, 5, 16, 1000] {
            let (read, rest) = read(&[v4(), b"\x16\x03\x01".to_vec()].concat(), part).await;
            assert_eq!((read, rest.as_slice()), (Ok(Some(ends)), &b"\x16\x03\x01"[..]));
        }
        let mut six = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
        six.extend_from_slice(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        six.extend_from_slice(&"::ffff:192.0.2.9".parse::<std::net::Ipv6Addr>().unwrap().octets());
        six.extend_from_slice(&[0, 1, 0, 2]);
        let ends = Ends { from: "[2001:db8::1]:1".parse().unwrap(), to: "192.0.2.9:2".parse().unwrap() };
        assert_eq!(read(&six, 7).await, (Ok(Some(ends)), Vec::new()));
    }

    #[tokio::test]
    async fn what_a_gateway_sends_is_read_with_the_longest_certificate_too() {
        let addresses = Some(("192.0.2.1:1000".parse().unwrap(), "198.51.100.7:443".parse().unwrap()));
        let certificate = [0x30; 16 * 1024];
        let long = "n".repeat(1024);
        let header = Header {
            addresses,
            alpn: Some(long.as_bytes()),
            authority: Some(&long),
            tls_version: Some("TLSv1.3"),
            verified: true,
            common_name: Some(&long),
            certificate: Some(&certificate),
            ..Header::default()
        };
        let (read, rest) = read(&[header.encode(), b"next".to_vec()].concat(), 4096).await;
        assert_eq!(read.unwrap().unwrap().from.to_string(), "192.0.2.1:1000");
        assert_eq!(rest, b"next");
    }

    #[tokio::test]
    async fn local_is_of_the_load_balancer_whatever_else_the_header_holds() {
        for family in [0, 0x11, 0x31, 0xff] {
            let local = [b"\r\n\r\n\0\r\nQUIT\n\x20".as_slice(), &[family, 0, 3], b"abcnext"].concat();
            assert_eq!(read(&local, 3).await, (Ok(None), b"next".to_vec()));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_at_once_and_with_the_reason() {
        let with = |place: usize, octets: &[u8]| {
            let mut header = v4();
            header[place..place + octets.len()].copy_from_slice(octets);
            header
        };
        for (octets, expected) in [
            (b"\x16\x03\x01".to_vec(), "found a TLS handshake"),
            (b"PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r\n".to_vec(), "version 1, expected version 2"),
            (b"PROXY".to_vec(), "ended within"),
            (b"P0".to_vec(), "found other octets"),
            (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), "found other octets"),
            (b"\r\n\r\n".to_vec(), "ended within"),
            (with(12, &[0x11]), "found version 1 of the PROXY protocol"),
            (with(12, &[0x31]), "found version 3 of the PROXY protocol"),
            (with(12, &[0x22]), "found the command 2"),
            (with(13, &[0x00]), "found the family 0x00"),
            (with(13, &[0x12]), "found the family 0x12"),
            (with(13, &[0x31]), "found the family 0x31"),
            (with(13, &[0x21]), "found 12 octets, which is less"),
            (with(14, &[0, 11]), "found 11 octets, which is less"),
            (with(14, &[0x50, 1]), "found 20481 octets, expected 20480 at most"),
            (with(14, &[0xff, 0xff]), "found 65535 octets"),
            (with(14, &[0x50, 0]), "ended within"),
            (v4()[..20].to_vec(), "ended within"),
        ] {
            let said = fault(&octets).await;
            assert!(said.contains(expected), "{octets:?}: {said}");
        }
        assert!(matches!(header(&mut &[][..]).await, Err(Unheard::Connection(AcceptError::LeftSilently))));
    }

    #[test]
    fn only_load_balancers_connect_where_there_are_some() {
        let balancers = ["10.0.0.0/8", "2001:db8::/64"].map(|text| Network::parse(text).unwrap());
        let remote = |text: &str| Some(text.parse().unwrap());
        assert!(lets_in(&[], None) && lets_in(&[], remote("192.0.2.1:1")));
        for (address, expected) in
            [("10.1.2.3:1", true), ("[::ffff:10.1.2.3]:1", true), ("[2001:db8::7]:1", true), ("192.0.2.1:1", false)]
        {
            assert_eq!(lets_in(&balancers, remote(address)), expected, "{address}");
        }
        assert!(!lets_in(&balancers, None));
    }
}
