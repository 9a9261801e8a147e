//! Tests the engine with peers of several makes, in both roles.

mod drive;
mod mutations;
mod ours;
mod pki;
mod wire;
