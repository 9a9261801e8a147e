//! Tests the engine with peers of several makes, in both roles.

mod drive;
mod ours;
mod pki;
