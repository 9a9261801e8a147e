//! Keeps a certificate and its key in two slots, safe against power loss at any instant.
//!
//! One record holds key, chain and metadata together, so key and certificate are always of one generation. A new
//! record goes to the slot that does not hold the confirmed record: erase; payload, header; barrier; read back; commit
//! word; barrier. The old record counts until the commit word is whole, and the confirmed record is never erased.
//!
//! **Wear.** A rotation erases one slot once, and the slots take turns. Certificates of 24 hours that are renewed
//! after 16 erase each slot 274 times a year: flash for 10,000 cycles lasts 36 years. Nothing is read, changed and
//! written again; each word is programmed once between erases, time marks too.

mod chain;
mod medium;
#[cfg(feature = "embedded-storage")]
mod nor_flash;
mod record;
mod select;
#[expect(clippy::module_inception, reason = "the noun is the store")]
mod store;

pub use chain::certificates;
pub use medium::{Slot, SlotMedium};
#[cfg(feature = "embedded-storage")]
pub use nor_flash::{NorFlashLayoutError, NorFlashSlots, NorFlashSlotsError};
pub use record::{Header, MAX_CHAIN, MAX_KEY, NewRecord, TIME_MARKS};
pub use select::{Selected, select};
pub use store::{Store, StoreError, Stored, Survey};
