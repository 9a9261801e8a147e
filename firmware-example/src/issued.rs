//! Holds a new certificate with its key, until it is stored.

use edgetrust_core::crypto::PKCS8_P256;
use edgetrust_core::pki_types::UnixTime;

/// The maximum size in octets of a certificate and its intermediates, as the gateway returns them.
pub const MAX_CHAIN: usize = 2048;

/// A verified certificate with its key, to be stored.
pub struct Issued<'a> {
    pub key: [u8; PKCS8_P256],
    /// The certificates in DER, leaf first.
    pub chain: &'a [u8],
    pub not_before: UnixTime,
    pub not_after: UnixTime,
}
