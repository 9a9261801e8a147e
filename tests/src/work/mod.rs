//! Measures the work that an untrusted peer can cause: shapes of chains, and the work charged for them.

pub mod der;
pub mod generated;
pub mod lists;
pub mod shapes;

pub use shapes::{Attack, attacks};
