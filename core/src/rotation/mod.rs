//! Decides when a certificate is renewed, tried, kept or reverted: a pure state machine.
//!
//! ```text
//!               renewal due            issued             persisted           confirmed
//!   Waiting ───────────────▶ Issuing ────────▶ Persisting ─────────▶ OnTrial ───────────▶ Waiting
//!                              ▲  │ failed                              │ reverted
//!                              │  ▼                                     ▼
//!                            BackingOff ◀───────────────────────────────┘
//! ```
//!
//! Time and events come in, actions and the next deadline come out. The state machine knows no medium, no ACME and no
//! clock: a driver performs the actions and reports their results; [`Machine`] is its loop. Beside the phase,
//! [`State::serving`] says which certificate peers are shown, so that a failed renewal never takes away a working
//! certificate, and the fallback is left as soon as there is a better certificate.
//!
//! **The clock.** Every deadline is a time of the same clock that events carry. A clock that jumps forward only makes
//! deadlines due early. A clock that goes back takes the deadlines with it: a wait of ten minutes stays at most ten
//! minutes, whatever the year.

mod machine;
mod schedule;
mod state;
mod step;
mod wear;

pub use machine::Machine;
pub use schedule::Policy;
pub use state::{Action, Actions, Alarm, Event, Failure, FailureKind, Phase, Serving, SlotCertificate, State};
pub use wear::{ERASES, LEAST_LIFE_S};
