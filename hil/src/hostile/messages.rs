//! Encodes and decodes handshake messages (RFC 8446 section 4).

/// Encodes a vector with a length prefix of `octets` octets.
pub(super) fn vector(octets: usize, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    [&length[length.len() - octets..], contents].concat()
}

/// Encodes a handshake message.
pub(super) fn message(message_type: u8, body: &[u8]) -> Vec<u8> {
    [&[message_type][..], &vector(3, body)].concat()
}

fn extension(extension_type: u16, data: &[u8]) -> Vec<u8> {
    [&extension_type.to_be_bytes()[..], &vector(2, data)].concat()
}

/// Encodes an unencrypted record.
pub(super) fn record(content_type: u8, contents: &[u8]) -> Vec<u8> {
    [&[content_type, 3, 3][..], &vector(2, contents)].concat()
}

/// The fields of a ClientHello that the server uses.
pub(super) struct ClientHello {
    pub(super) session: Vec<u8>,
    /// The secp256r1 key share, if present.
    pub(super) key_share: Option<Vec<u8>>,
}

/// A reader that consumes octets from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn number(&mut self, octets: usize) -> Option<usize> {
        Some(self.take(octets)?.iter().fold(0, |number, octet| number << 8 | usize::from(*octet)))
    }

    fn vector(&mut self, octets: usize) -> Option<&'a [u8]> {
        let length = self.number(octets)?;
        self.take(length)
    }
}

/// Encodes a ClientHello with one cipher suite, one group and one signature scheme (RFC 8446 section 4.1.2).
pub(super) fn client_hello(random: &[u8; 32], group: u16, point: &[u8], scheme: u16) -> Vec<u8> {
    let (group, scheme) = (group.to_be_bytes(), scheme.to_be_bytes());
    let share = [&group[..], &vector(2, point)].concat();
    let extensions = [
        extension(43, &vector(1, &[3, 4])),
        extension(10, &vector(2, &group)),
        extension(13, &vector(2, &scheme)),
        extension(51, &vector(2, &share)),
    ];
    let suites = vector(2, &AES_128_GCM.to_be_bytes());
    message(1, &[&[3, 3][..], random, &[0], &suites, &[1, 0], &vector(2, &extensions.concat())].concat())
}

/// Returns the key share of a ServerHello (RFC 8446 section 4.1.3); `None` if there is none or the message is no
/// ServerHello.
pub(super) fn key_share_of(message: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(message);
    if reader.take(4)?.first() != Some(&2) {
        return None;
    }
    reader.take(2 + 32)?;
    reader.vector(1)?;
    reader.take(3)?;
    let mut extensions = Reader(reader.vector(2)?);
    while let Some(extension_type) = extensions.number(2) {
        let mut data = Reader(extensions.vector(2)?);
        if extension_type == 51 {
            data.number(2)?;
            return data.vector(2).map(<[u8]>::to_vec);
        }
    }
    None
}

/// Returns the nonce and the ticket of a NewSessionTicket (RFC 8446 section 4.6.1).
pub(super) fn ticket_of(message: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = Reader(message);
    if reader.take(4)?.first() != Some(&4) {
        return None;
    }
    reader.take(8)?;
    Some((reader.vector(1)?.to_vec(), reader.vector(2)?.to_vec()))
}

impl ClientHello {
    /// Parses a ClientHello; returns `None` if it is malformed or has no key_share extension.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let mut reader = Reader(message);
        reader.take(4 + 2 + 32)?;
        let session = reader.vector(1)?.to_vec();
        reader.vector(2)?;
        reader.vector(1)?;
        let mut extensions = Reader(reader.vector(2)?);
        while let Some(extension_type) = extensions.number(2) {
            let mut data = Reader(extensions.vector(2)?);
            if extension_type != 51 {
                continue;
            }
            let mut shares = Reader(data.vector(2)?);
            while let Some(group) = shares.number(2) {
                let share = shares.vector(2)?;
                if group == usize::from(SECP256R1) {
                    return Some(Self { session, key_share: Some(share.to_vec()) });
                }
            }
            return Some(Self { session, key_share: None });
        }
        None
    }
}

pub(super) const SECP256R1: u16 = 23;
pub(super) const SECP384R1: u16 = 24;
pub(super) const AES_128_GCM: u16 = 0x1301;
/// The random of a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
pub(super) const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The contents of a ServerHello.
pub(super) struct ServerHello<'a> {
    pub(super) random: [u8; 32],
    pub(super) session: &'a [u8],
    pub(super) suite: u16,
    /// True if supported_versions has TLS 1.3.
    pub(super) tls13: bool,
    /// The group and its key.
    pub(super) key_share: Option<(u16, &'a [u8])>,
}

impl ServerHello<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        if self.tls13 {
            extensions.extend(extension(43, &[3, 4]));
        }
        if let Some((group, key)) = self.key_share {
            // A HelloRetryRequest contains the group alone.
            let key = if key.is_empty() { Vec::new() } else { vector(2, key) };
            extensions.extend(extension(51, &[&group.to_be_bytes()[..], &key].concat()));
        }
        let [high, low] = self.suite.to_be_bytes();
        let parts = [&[3, 3][..], &self.random, &vector(1, self.session), &[high, low, 0], &vector(2, &extensions)];
        message(2, &parts.concat())
    }
}

/// Encodes a HelloRetryRequest (RFC 8446 section 4.1.4).
pub(super) fn hello_retry_request(session: &[u8], group: u16) -> Vec<u8> {
    let key_share = Some((group, &[][..]));
    ServerHello { random: RETRY, session, suite: AES_128_GCM, tls13: true, key_share }.encode()
}

/// Encodes EncryptedExtensions with an unknown extension of this number of octets (RFC 8446 section 4.3.1).
pub(super) fn encrypted_extensions(unknown: usize) -> Vec<u8> {
    let extensions = if unknown > 0 { extension(0xfafa, &vec![0; unknown]) } else { Vec::new() };
    message(8, &vector(2, &extensions))
}

/// Encodes a CertificateRequest with these signature schemes (RFC 8446 section 4.3.2).
pub(super) fn certificate_request(context: &[u8], schemes: &[u8]) -> Vec<u8> {
    let extensions = extension(13, &vector(2, schemes));
    message(13, &[vector(1, context), vector(2, &extensions)].concat())
}

/// Encodes a Certificate (RFC 8446 section 4.4.2).
pub(super) fn certificate(chain: &[Vec<u8>]) -> Vec<u8> {
    let entries: Vec<u8> = chain.iter().flat_map(|der| [vector(3, der), vec![0, 0]].concat()).collect();
    message(11, &[vec![0], vector(3, &entries)].concat())
}

/// Encodes a CertificateVerify (RFC 8446 section 4.4.3).
pub(super) fn certificate_verify(scheme: u16, signature: &[u8]) -> Vec<u8> {
    message(15, &[&scheme.to_be_bytes()[..], &vector(2, signature)].concat())
}

/// Encodes a NewSessionTicket (RFC 8446 section 4.6.1).
pub(super) fn ticket(number: u8) -> Vec<u8> {
    let parts = [&[0, 0, 0x1c, 0x20, 7, 7, 7, 7][..], &vector(1, &[number]), &vector(2, &[number; 300]), &[0, 0]];
    message(4, &parts.concat())
}
