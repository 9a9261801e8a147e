//! The bounds of a mesh's file.

/// Octets of the text.
pub const MAX_MESH: usize = 1 << 20;
/// Octets of the mesh's name.
pub const MAX_NAME: usize = 128;
/// Certificates in `roots`.
pub const MAX_ROOTS: u16 = 8;
/// Sites.
pub const MAX_SITES: u16 = 1_024;
/// Domains of one site.
pub const MAX_DOMAINS: u16 = 8;
/// Issuers of one site.
pub const MAX_ISSUERS: u16 = 8;
/// Gateways of one site.
pub const MAX_GATEWAYS: u16 = 16;
/// Domains of all sites together, and issuers of all sites together.
pub const MAX_OF_ALL_SITES: usize = 2_048;
/// Services.
pub const MAX_SERVICES: u16 = 64;
/// Links.
pub const MAX_LINKS: u16 = 16_384;
/// Denied keys.
pub const MAX_DENIED_KEYS: u16 = 1_024;
/// Octets of the reason for denying a key.
pub const MAX_REASON: usize = 256;
/// Octets of a certificate's DER.
pub const MAX_CERTIFICATE: usize = 8_192;
/// Octets of a signed mesh's protected header, in base64url: two certificates, encoded twice.
pub(super) const MAX_PROTECTED: usize = 32_768;
/// Octets of a signed mesh: the payload in base64url, the protected header, the signature and the JSON around them.
pub const MAX_SIGNED_MESH: usize = MAX_MESH.div_ceil(3) * 4 + MAX_PROTECTED + 1_024;
