//! TLS 1.3 clients with exactly one fault each, for servers that require a client certificate.
//!
//! TLS_AES_128_GCM_SHA256 and secp256r1 only. The clients verify no server.

mod hello;
mod hellos;
mod mode;
mod proofs;
mod records;
mod session;

pub use mode::ClientMode;

/// Returns every mode.
pub fn clients() -> impl Iterator<Item = &'static ClientMode> {
    hellos::HELLOS.iter().chain(proofs::PROOFS).chain(records::RECORDS)
}
