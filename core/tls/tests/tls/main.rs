//! Tests the engine with peers of several makes, in both roles.

mod cost;
mod drive;
mod mutations;
mod ours;
mod pki;
mod wire;
