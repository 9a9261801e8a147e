//! What the tests of EdgeTrust share.

pub mod conformance;
pub mod repository;
