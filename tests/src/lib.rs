//! What the tests of EdgeTrust share.

pub mod conformance;
