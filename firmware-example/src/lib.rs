//! What the firmware stands on: the board behind a few traits, and what happens when it stops.
//!
//! The application (`main.rs`) names [`board`] and no address of a register. Another board is another folder beside `board/mps2`;
//! `docs/FIRMWARE.md` says what it has to do.

#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod board;
pub mod crypto;
pub mod panic;
pub mod stack;

defmt::timestamp!("{=u64:us}", embassy_time::Instant::now().as_micros());
