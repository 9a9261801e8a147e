//! Supports any board with a Cortex-M: handlers of faults, the stack, memory that a reset leaves alone, and where code is.

#![allow(unsafe_code, reason = "exception handlers, symbols of the linker script, memory that a reset leaves alone")]

mod code;
mod fault;
#[cfg(feature = "stack-guard-mpu")]
pub(super) mod guard;
pub(super) mod kept;
mod stack;

pub use code::is_code;
pub(crate) use stack::{painted_stack, repaint_stack};
