//! The trust engine of `edgetrust-core` behind rustls: verifiers, and, by feature, the gateway and its program.
//!
//! | module | feature | what it holds |
//! |---|---|---|
//! | `accept` | `gateway` | the loop that accepts connections at an address |
//! | `acme` | `acme` | every instant-acme name: certificates from an ACME directory |
//! | `agent` | `acme` | credentials that renew themselves: the rotation's actions turned into IO |
//! | `config_file` | `gateway` | the configuration on disk |
//! | `est` | `acme` | devices renew their certificates through the gateway |
//! | [`pem`] | | certificate and key files |
//! | `gateway` | `gateway` | tunnels: accept, authorize, forward |
//! | `ops` | `ops` | metrics, health and status pages |
//! | `store` | `acme` | the two slots in files, PEM copies |
//! | [`tls`] | | every rustls name: verifiers, credentials, acceptor, connector |

// Only `gateway/queue.rs` makes a call that needs unsafe code.
#![deny(unsafe_code)]
#![deny(missing_docs)]
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
#[cfg(feature = "acme")]
macro_rules! log {
    ($level:ident, $credential:expr, $($rest:tt)+) => {
        tracing::$level!(credential = %$credential.name, storage_path = %$credential.home, $($rest)+)
    };
}

#[cfg(feature = "gateway")]
mod accept;
#[cfg(feature = "acme")]
pub mod acme;
#[cfg(feature = "acme")]
pub mod agent;
pub mod clock;
#[cfg(feature = "gateway")]
pub mod config_file;
#[cfg(feature = "acme")]
pub mod est;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "ops")]
pub mod ops;

pub mod pem;
#[cfg(feature = "acme")]
pub mod store;
pub mod tls;

pub use edgetrust_core as core;
