//! Writes the audit log: a line of JSON for each refusal and each change of trust.
//!
//! A thread writes the lines, so that no connection waits for a slow disk. Where the queue is full, whoever records waits,
//! at most for a second; then lines are lost, and counted, until the disk takes lines again.

mod file;
mod fold;
mod line;
mod log;
mod queue;
mod shared;
mod writer;

pub(crate) use file::{find_fault, open};
pub(crate) use log::{AuditLog, Recorded};
pub(crate) use writer::record_once;
