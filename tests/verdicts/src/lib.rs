//! Judges the same cases on the host and on a device: the format of cases (`case.rs`) and the verdict (`judge.rs`).
//!
//! Both sides compile these files, so two verdicts can differ only by the machine. No std, no heap.

#![no_std]
#![forbid(unsafe_code)]

mod case;
mod judge;

pub use case::{Case, Keys, MAGIC, MAX_ANCHORS, MAX_RECORD, MAX_RULES, MAX_SENT, Malformed, Policy, record_length};
pub use judge::judge;
