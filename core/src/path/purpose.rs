//! The purpose that a path is verified for.

/// The purpose for which a leaf is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// id-kp-serverAuth: the peer is a server.
    ServerAuth,
    /// id-kp-clientAuth: the peer is a client.
    ClientAuth,
}

impl Purpose {
    /// Returns the contents octets of the KeyPurposeId (RFC 5280 section 4.2.1.12).
    pub(super) fn oid(self) -> [u8; 8] {
        match self {
            Self::ServerAuth => [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
            Self::ClientAuth => [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
        }
    }
}
