//! Provides signature algorithms for targets without a provider of their own. On Linux the rustls provider's
//! algorithms are used instead.

#[cfg(feature = "p256")]
mod ecdsa_p256;
#[cfg(feature = "p384")]
mod ecdsa_p384;
#[cfg(feature = "ed25519")]
mod ed25519;
#[cfg(feature = "p256")]
mod p256_key;
#[cfg(any(feature = "p256", feature = "mesh"))]
mod sig_value;

#[cfg(feature = "p256")]
pub use ecdsa_p256::ECDSA_P256_SHA256;
#[cfg(feature = "p384")]
pub use ecdsa_p384::ECDSA_P384_SHA384;
#[cfg(feature = "ed25519")]
pub use ed25519::ED25519;
#[cfg(feature = "p256")]
pub use p256_key::{P256Key, PKCS8_P256};
#[cfg(any(feature = "p256", feature = "mesh"))]
pub use sig_value::{read_ecdsa_signature, write_ecdsa_signature};

/// An ECDSA-Sig-Value for P-256 in DER (RFC 3279 section 2.2.3): 72 octets at the most.
pub type EcdsaSignature = heapless::Vec<u8, 72>;
