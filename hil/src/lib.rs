//! Runs firmware in QEMU, or on a board, against real servers, and judges what it did.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod wire;
