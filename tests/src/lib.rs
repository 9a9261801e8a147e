//! What the tests of EdgeTrust share.

pub mod chains;
pub mod conformance;
pub mod forge;
pub mod powercut;
pub mod random;
pub mod repository;
pub mod simulation;
pub mod verdicts;
pub mod work;
