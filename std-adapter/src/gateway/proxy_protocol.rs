//! Encodes the PROXY protocol, version 2, for a target (haproxy's `proxy-protocol.txt`, section 2.2): the client's
//! addresses and identity.

use std::net::SocketAddr;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
/// Version 2, command LOCAL: the header says nothing of the connection.
const LOCAL: u8 = 0x20;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

const TYPE_ALPN: u8 = 0x01;
const TYPE_AUTHORITY: u8 = 0x02;
const TYPE_SSL: u8 = 0x20;
const SUBTYPE_SSL_VERSION: u8 = 0x21;
const SUBTYPE_SSL_CN: u8 = 0x22;
const SUBTYPE_SSL_CLIENT_CERT: u8 = 0x28;
const CLIENT_SSL: u8 = 0x01;
/// A certificate was shown over this connection.
const CLIENT_CERT_CONN: u8 = 0x02;
/// A certificate was shown over this session, maybe at an earlier connection.
const CLIENT_CERT_SESS: u8 = 0x04;

/// The description of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header<'a> {
    /// The source address and the destination address.
    pub(super) addresses: Option<(SocketAddr, SocketAddr)>,
    /// The negotiated protocol (RFC 7301).
    pub(super) alpn: Option<&'a [u8]>,
    /// The server name that the client requested.
    pub(super) authority: Option<&'a str>,
    /// The TLS version, as `TLSv1.3`; `None` for plaintext.
    pub(super) tls_version: Option<&'a str>,
    /// True if the client was authorized by a certificate.
    pub(super) verified: bool,
    /// True if the certificate was shown at an earlier connection of the session (RFC 8446 section 2.2).
    pub(super) resumed: bool,
    /// The common name of the client's certificate, whichever name authorized the client.
    pub(super) common_name: Option<&'a str>,
    /// The client's certificate, if wanted.
    pub(super) certificate: Option<&'a [u8]>,
}

impl Header<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        // A listener on [::] sees IPv4 clients as mapped addresses (RFC 4291 section 2.5.5.2).
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let addresses = self.addresses.map(|(from, to)| (canonical(from), canonical(to)));
        let family = match addresses {
            Some((SocketAddr::V4(from), SocketAddr::V4(to))) => {
                body.extend_from_slice(&from.ip().octets());
                body.extend_from_slice(&to.ip().octets());
                TCP_OVER_IPV4
            }
            Some((SocketAddr::V6(from), SocketAddr::V6(to))) => {
                body.extend_from_slice(&from.ip().octets());
                body.extend_from_slice(&to.ip().octets());
                TCP_OVER_IPV6
            }
            // One socket has both addresses of one family.
            _ => 0,
        };
        let command = match (family, addresses) {
            (1.., Some((from, to))) => {
                body.extend_from_slice(&from.port().to_be_bytes());
                body.extend_from_slice(&to.port().to_be_bytes());
                PROXY
            }
            _ => LOCAL,
        };
        if let Some(protocol) = self.alpn {
            tlv(&mut body, TYPE_ALPN, protocol);
        }
        if let Some(authority) = self.authority {
            tlv(&mut body, TYPE_AUTHORITY, authority.as_bytes());
        }
        if let Some(version) = self.tls_version {
            let certificate = match (self.verified, self.resumed) {
                (false, _) => 0,
                (true, false) => CLIENT_CERT_CONN | CLIENT_CERT_SESS,
                (true, true) => CLIENT_CERT_SESS,
            };
            // `verify` is zero where the client showed a certificate and it was verified.
            let verify = u32::from(!self.verified);
            let mut ssl = vec![CLIENT_SSL | certificate];
            ssl.extend_from_slice(&verify.to_be_bytes());
            tlv(&mut ssl, SUBTYPE_SSL_VERSION, version.as_bytes());
            // A control character could end a line in a target's log or header.
            if let Some(name) = self.common_name.filter(|name| !name.chars().any(char::is_control)) {
                tlv(&mut ssl, SUBTYPE_SSL_CN, name.as_bytes());
            }
            if let Some(certificate) = self.certificate {
                tlv(&mut ssl, SUBTYPE_SSL_CLIENT_CERT, certificate);
            }
            tlv(&mut body, TYPE_SSL, &ssl);
        }
        let mut header = Vec::with_capacity(16_usize.saturating_add(body.len()));
        header.extend_from_slice(&SIGNATURE);
        header.extend_from_slice(&[command, family]);
        header.extend_from_slice(&u16::try_from(body.len()).unwrap_or(0).to_be_bytes());
        header.extend_from_slice(&body);
        header
    }
}

/// Appends a type, a length and a value. A value that is too long is left out, so that the whole header has less than
/// its maximum of 65,535 octets.
fn tlv(to: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let longest = match kind {
        SUBTYPE_SSL_CLIENT_CERT => 16 * 1024,
        // The parts of this value have bounds of their own.
        TYPE_SSL => usize::from(u16::MAX),
        _ => 1024,
    };
    if let (Ok(length), true) = (u16::try_from(value.len()), value.len() <= longest) {
        to.push(kind);
        to.extend_from_slice(&length.to_be_bytes());
        to.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_with_a_common_name() {
        let header = Header {
            addresses: Some(("192.0.2.1:1000".parse().unwrap(), "192.0.2.2:443".parse().unwrap())),
            tls_version: Some("TLSv1.3"),
            verified: true,
            common_name: Some("b"),
            ..Header::default()
        };
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
        expected.extend_from_slice(&[0, 34]);
        expected.extend_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2, 0x03, 0xe8, 0x01, 0xbb]);
        expected.extend_from_slice(&[0x20, 0, 19, 7, 0, 0, 0, 0, 0x21, 0, 7]);
        expected.extend_from_slice(b"TLSv1.3\x22\0\x01b");
        assert_eq!(header.encode(), expected);
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let (from, to) = ("[::ffff:192.0.2.1]:1000".parse().unwrap(), "[::ffff:192.0.2.2]:443".parse().unwrap());
        let header = Header { addresses: Some((from, to)), ..Header::default() };
        assert_eq!(&header.encode()[12..24], &[0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2]);
    }

    #[test]
    fn a_certificate_of_an_earlier_connection_is_told_from_one_of_this() {
        let client = |verified, resumed| {
            let header = Header { tls_version: Some("TLSv1.3"), verified, resumed, ..Header::default() };
            header.encode()[19]
        };
        assert_eq!([client(false, false), client(true, false), client(true, true)], [1, 7, 5]);
    }

    #[test]
    fn a_name_that_would_end_a_line_is_left_out() {
        let header = Header { tls_version: Some("TLSv1.3"), common_name: Some("b\r\nX"), ..Header::default() };
        assert!(!header.encode().ends_with(b"X"));
    }

    #[test]
    fn a_certificate_is_left_out_where_it_is_long_and_the_rest_stays() {
        let header = |certificate: &[u8]| {
            let certificate = Some(certificate);
            Header { tls_version: Some("TLSv1.3"), common_name: Some("b"), certificate, ..Header::default() }.encode()
        };
        assert!(header(&[7; 3]).ends_with(b"TLSv1.3\x22\0\x01b\x28\0\x03\x07\x07\x07"));
        assert!(header(&[7; 16 * 1024]).ends_with(&[7; 16 * 1024]));
        assert!(header(&[7; 16 * 1024 + 1]).ends_with(b"TLSv1.3\x22\0\x01b"));
    }

    #[test]
    fn without_an_address_it_is_local() {
        assert_eq!(Header::default().encode(), b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00");
    }
}
