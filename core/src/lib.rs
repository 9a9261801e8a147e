//! One TLS trust engine for edge gateways: the decisions, without std, without heap.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod config;
pub mod crypto;
pub mod identity;
pub mod path;
pub mod time;
pub mod x509;

pub use pki_types;
