//! P-256 for the firmware. `[patch.crates-io]` puts this crate in the place of the published `p256` 0.13.2: it has the
//! items of it that edgetrust-core and embedded-tls use, with the same names and signatures, so that both verify, sign
//! and exchange keys by the arithmetic that the board chooses, and neither is a fork. A feature of the board is that
//! choice: `assembly` (p256-cm4), or `portable` (p256 0.14).
//!
//! Points are uncompressed, the only form that TLS 1.3 has (RFC 8446 section 4.2.8.2) and that certificates must have
//! (RFC 5480 section 2.2).
//!
//! # Secrets in assembly
//!
//! * **Time.** Keys, nonces and their inverses take the same instructions whatever their bits are: p256-cm4 recodes a
//!   scalar without branches, adds in a fixed sequence, and inverts by a fixed number of steps. It selects from tables
//!   by an index that depends on the scalar. That is constant in time where memory has no data cache (Cortex-M4, M33),
//!   and **is not on a Cortex-M7 with its cache on**. The scalars 2 and n - 2 take longer, and come up once in 2^255.
//!   Verifying takes a time that depends on its input, which is public.
//! * **Memory.** Keys and shared secrets are overwritten when they are dropped. p256-cm4 and rfc6979 overwrite nothing,
//!   so each operation on a secret is followed by one that overwrites the stack that it used. A value that is moved may
//!   leave a copy, here as in the published crate.
//! * **Faults.** Nothing here defends a key from glitches, or from measurements of power.

#![no_std]

#[cfg(all(feature = "assembly", not(feature = "portable")))]
#[path = "assembly.rs"]
mod arithmetic;
#[cfg(feature = "portable")]
#[path = "portable.rs"]
mod arithmetic;
mod ecdsa_p256;
mod key_exchange;
mod number;
mod point;
mod scrub;

pub use elliptic_curve;
pub use point::{EncodedPoint, FieldBytes, NistP256, PublicKey, SecretKey};

/// Key exchange (SEC 1 section 3.3.1).
pub mod ecdh {
    pub use crate::key_exchange::{EphemeralSecret, SharedSecret};
}

/// Signatures with SHA-256 (SEC 1 section 4.1).
pub mod ecdsa {
    pub use crate::ecdsa_p256::{DerSignature, Signature, SigningKey, VerifyingKey};
    pub use signature;
}

#[cfg(not(any(feature = "assembly", feature = "portable")))]
compile_error!("the board's feature chooses one of p256/assembly and p256/portable");
