//! One TLS trust engine for edge gateways: the decisions, without std, without heap.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | the configuration file, typed and validated |
//! | [`x509`] | certificates as they are written: parse only, decide nothing |
//! | [`path`] | the search for a path to a trust anchor, and its checks, within a budget |
//! | [`identity`] | allow lists for clients, names for servers |
//! | [`request`] | certification requests, written and judged, and the bag of certificates that answers them |
//! | [`crypto`] | signature algorithms for targets without a provider of their own |
//! | `embedded_tls` | TLS 1.3 on a device, with embedded-tls (feature `embedded-tls`) |
//! | [`rotation`] | when a certificate is renewed, tried, kept or given back: a pure state machine |
//! | [`store`] | a certificate and its key in two slots, safe against power loss |
//! | [`time`] | what is known of the time |
//!
//! Doors open one way: bytes → [`x509::Certificate`] → [`path::VerifiedPath`] → [`identity::AuthorizedPeer`].
//! No recursion, no `unsafe`, no clock, no logger; time and work limits are arguments.
//!
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
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
pub mod path;
pub mod request;
pub mod rotation;
pub mod store;
mod text;
pub mod time;
pub mod x509;

pub use pki_types;
