//! When a certificate is renewed, tried, kept or given back: a pure state machine.
//!
//! ```text
//!               renewal due            issued             persisted           confirmed
//!   Waiting ───────────────▶ Issuing ────────▶ Persisting ─────────▶ OnTrial ───────────▶ Waiting
//!                              ▲  │ failed                              │ reverted
//!                              │  ▼                                     ▼
//!                            BackingOff ◀───────────────────────────────┘
//! ```
//!
//! Time and events come in, actions and the next deadline come out. It names no medium, no ACME and no clock: a driver does what the
//! actions say and reports what came of it; [`Machine`] is the loop in which it does so. Beside the phase, [`State::serving`] says what is shown to peers, so that a failed renewal
//! never takes away a working certificate, and the fallback is left as soon as there is something better.
//!
//! **The clock.** Every deadline is a time of the same clock that events carry. A clock that jumps forward only makes things due early. One
//! that goes back takes the deadlines with it: what was to wait ten minutes waits at most ten minutes, whatever year it is said to be.

mod machine;
mod schedule;
mod state;
mod step;

pub use machine::Machine;
pub use schedule::Policy;
pub use state::{Action, Actions, Alarm, Credential, Event, Failure, FailureKind, Phase, Serving, State};
