//! One verdict, asked for on the host and on a device: the format of the cases (`case.rs`), and the question (`judge.rs`).
//!
//! Both sides compile these files, so that what differs between two verdicts is the machine and nothing else. No std, no heap.

#![no_std]
#![forbid(unsafe_code)]

mod case;
mod judge;

pub use case::{Case, MAGIC, MAX_ANCHORS, MAX_RECORD, MAX_RULES, MAX_SENT, Malformed, Policy, record_length};
pub use judge::judge;
