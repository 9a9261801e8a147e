//! The trust engine of `edgetrust-core` behind rustls: verifiers, credentials, acceptor and connector.
//!
//! | module | what it holds |
//! |---|---|
//! | [`tls`] | every rustls name: verifiers, credentials; with the feature `tokio` acceptor and connector |
//! | [`pem`] | certificate and key files |
//! | [`core`] | the crate that decides |
//!
//! The `edgetrust` program (feature `cli`) is in modules of this crate that are not public.
//!
#![cfg_attr(feature = "tokio", doc = include_str!("../README.md"))]
// Configuration, certificates, network and storage cannot cause a panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        // They panic if the reader has left. Output goes through cli/output.rs and cli/log.rs.
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("edgetrust needs a cryptography provider: feature aws-lc-rs or ring");

/// Logs a line about a credential, by `name` and `home`. Two of a gateway may share a name, never a home.
#[cfg(feature = "cli")]
macro_rules! log {
    ($level:ident, $credential:expr, $($rest:tt)+) => {
        tracing::$level!(credential = %$credential.name, storage_path = %$credential.home, $($rest)+)
    };
}

#[cfg(feature = "cli")]
mod accept;
#[cfg(feature = "cli")]
mod acme;
#[cfg(feature = "cli")]
mod activation;
#[cfg(feature = "cli")]
mod agent;
#[cfg(feature = "cli")]
mod audit;
#[cfg(feature = "cli")]
mod cli;
mod clock;
#[cfg(feature = "cli")]
mod config_file;
#[cfg(feature = "cli")]
mod egress;
#[cfg(feature = "cli")]
mod est;
#[cfg(feature = "cli")]
mod federation;
#[cfg(feature = "cli")]
mod gateway;
#[cfg(feature = "cli")]
mod histogram;
#[cfg(feature = "cli")]
mod ops;
pub mod pem;
#[cfg(feature = "rehearsal")]
mod rehearsal;
#[cfg(feature = "cli")]
mod replica;
#[cfg(feature = "cli")]
mod sandbox;
#[cfg(feature = "cli")]
mod store;
pub mod tls;
#[cfg(feature = "cli")]
mod token;
#[cfg(feature = "cli")]
mod units;

pub use edgetrust_core as core;

/// The entry point of `main.rs`, and the items that tests of the program need. No part of the library: it changes with
/// any release.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod program {
    /// Runs the `edgetrust` program.
    pub use crate::cli::run as main;
    /// The slots in files. Tests write records into them as other versions or a loss of power leave them.
    pub use crate::store::FileMedium;

    /// The decisions of a mesh's gateways, without sockets, and meshes of any size to try them with.
    #[cfg(feature = "rehearsal")]
    pub mod mesh {
        pub use hyper::StatusCode;
        pub use tokio::time::Instant;

        pub use crate::federation::{Checked, Fleet, Leaf, Listed, RehearsalError};
        pub use crate::gateway::Offered;
        pub use crate::gateway::decisions::*;
        pub use crate::rehearsal::{Held, control};
    }
}
