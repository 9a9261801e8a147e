//! The purpose that a path is verified for.

/// The contents octets of the object identifier 1.3.6.1.4.1.32473.6984.1: the key signs meshes.
///
/// The project has no enterprise number of its own. This one lies below 32473, which is nobody's (RFC 5612), so no
/// other software gives it a meaning. Each arc is below 2²⁸, which some libraries demand.
#[cfg(feature = "mesh")]
pub const MESH_SIGNING: [u8; 11] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x81, 0xfd, 0x59, 0xb6, 0x48, 0x01];

/// The purpose for which a leaf is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// id-kp-serverAuth: the peer is a server.
    ServerAuth,
    /// id-kp-clientAuth: the peer is a client.
    ClientAuth,
    /// [`MESH_SIGNING`]: the key signs meshes. The leaf's extended key usage has this purpose and no other.
    #[cfg(feature = "mesh")]
    MeshSigning,
}

impl Purpose {
    /// Returns the contents octets of the KeyPurposeId (RFC 5280 section 4.2.1.12).
    pub(super) fn oid(self) -> &'static [u8] {
        match self {
            Self::ServerAuth => &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
            Self::ClientAuth => &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
            #[cfg(feature = "mesh")]
            Self::MeshSigning => &MESH_SIGNING,
        }
    }

    /// Returns whether a leaf's extended key usage must be there and name this purpose alone.
    pub(super) fn is_exclusive(self) -> bool {
        match self {
            Self::ServerAuth | Self::ClientAuth => false,
            #[cfg(feature = "mesh")]
            Self::MeshSigning => true,
        }
    }
}
