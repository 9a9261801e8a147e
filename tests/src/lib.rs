//! Provides the shared parts of EdgeTrust's tests.

#![allow(missing_docs, reason = "what is not documented says by its name what it is")]

pub mod chains;
pub mod conformance;
pub mod forge;
pub mod log_calls;
#[cfg(feature = "mesh")]
pub mod mesh_simulation;
pub mod modules;
pub mod powercut;
pub mod random;
pub mod repository;
pub mod simulation;
#[cfg(feature = "mesh")]
pub mod soak;
pub mod verdicts;
pub mod work;
