//! TLS 1.3 (RFC 8446) for both sides, without std and without heap: a [`Connection`] is handed out only for a peer that
//! `edgetrust-core` has authorized.
//!
//! Nothing here reads or writes a socket, a clock, or memory of its own. Bring records, send the output:
//!
//! * [`ClientHandshake`] and [`ServerHandshake`] take records until [`Progress::Connected`]. Their room, in which
//!   messages are put together that come in parts, can be used for another handshake afterwards.
//! * [`Connection`] protects data, and takes tickets and new keys.
//! * [`Records`] puts the octets of a stream together to records; [`Output`] holds records to be sent.
//!
//! What is there: mutual authentication with chains on both sides, TLS_AES_128_GCM_SHA256 and
//! TLS_CHACHA20_POLY1305_SHA256, secp256r1, ECDSA with P-256 for the own key and whatever core's algorithms verify for
//! the peer's, HelloRetryRequest, the record size limit (RFC 8449), server_name, application protocols, KeyUpdate,
//! exporters, and resumption with (EC)DHE. What is not: 0-RTT, compression, renegotiation, authentication after the
//! handshake, and all older versions. They are refused by alert.
//!
//! Bound the time of a handshake and of a connection: there is no clock here.
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
// No panic can be reached from the network.
#![cfg_attr(
    not(any(test, fuzzing)),
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

mod agreement;
mod alert;
mod client;
mod codec;
mod connection;
mod credential;
mod error;
mod handshake;
mod key_schedule;
mod limits;
mod message;
mod peer;
mod protection;
#[cfg(all(any(test, fuzzing), feature = "resumption"))]
mod readers;
mod record;
#[cfg(all(test, feature = "exporter", feature = "resumption"))]
mod rfc8448;
mod secret;
mod server;
#[cfg(feature = "resumption")]
mod session;
mod state;
mod transcript;

// Only their features are wanted.
use aes as _;
use polyval as _;

pub use alert::Alert;
pub use client::{ClientContext, ClientHandshake, Progress};
pub use connection::{Connection, Event};
pub use credential::{Credential, NoCredential};
pub use error::{Error, Fault, Refusal};
pub use limits::{HEADER, MAX_PLAINTEXT, MAX_SENT, MIN_RECORD_SIZE, OVERHEAD, record_buffer};
pub use peer::{Demand, Peer, Policy};
pub use protection::CipherSuite;
#[cfg(all(fuzzing, feature = "resumption"))]
pub use readers::read_as_each;
pub use record::{Output, Records};
pub use server::{ServerContext, ServerHandshake};
#[cfg(feature = "resumption")]
pub use session::{ClientSession, MAX_TICKET, ServerSession, Ticket};

pub use edgetrust_core;
