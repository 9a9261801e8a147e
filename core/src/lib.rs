//! A TLS trust engine for edge gateways: the decisions, without std and without heap.
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | the configuration file, typed and validated |
//! | [`x509`] | the parser of certificates, which decides nothing |
//! | `mesh` | the file that says which sites there are and who reaches whom, signed or not (feature `mesh`) |
//! | [`path`] | the search for a path to a trust anchor and its checks, within a budget |
//! | [`identity`] | allow lists for clients, names for servers |
//! | [`possession`] | the check that a peer has the key of its certificate |
//! | [`request`] | certification requests, written and checked, and the bag of certificates in the response |
//! | [`crypto`] | signature algorithms for targets without a crypto provider |
//! | `embedded_tls` | TLS 1.3 on a device, with embedded-tls (feature `embedded-tls`) |
//! | `revocation` | certificate revocation lists (feature `crl`) |
//! | [`rotation`] | the renewal, trial and rollback of a certificate: a pure state machine |
//! | [`store`] | a certificate and its key in two slots, safe against power loss |
//! | [`time`] | the time, as far as it is known |
//!
//! Conversion goes one way: bytes → [`x509::Certificate`] → [`path::VerifiedPath`] → [`identity::AuthorizedPeer`]. No
//! recursion, no `unsafe`, no clock, no logger; time and work limits are arguments.
//!
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
// No panic can be reached from configuration, certificates, network or storage.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

pub mod config;
pub mod crypto;
#[cfg(feature = "embedded-tls")]
pub mod embedded_tls;
pub mod identity;
mod json;
#[cfg(feature = "mesh")]
pub mod mesh;
#[cfg(feature = "device")]
pub mod message;
pub mod path;
pub mod possession;
pub mod request;
#[cfg(feature = "crl")]
pub mod revocation;
pub mod rotation;
pub mod store;
mod text;
pub mod time;
pub mod x509;

pub use pki_types;
