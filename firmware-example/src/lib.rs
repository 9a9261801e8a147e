//! The base of the firmware: the board behind a few traits, and the handling of a stop.
//!
//! The application (`main.rs`) names [`board`] and no register address. Another board is another folder of `board`;
//! `docs/FIRMWARE.md` lists its duties.

#![no_std]

pub mod board;
pub mod panic;
pub mod random;
pub mod stack;

defmt::timestamp!("{=u64:us}", embassy_time::Instant::now().as_micros());
