//! Runs firmware against real servers, and judges what it did.

pub mod wire;
