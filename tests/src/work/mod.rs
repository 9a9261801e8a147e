//! What a stranger can make a verdict cost: shapes of chains, and the work that they are charged.

pub mod der;
pub mod generated;
pub mod shapes;

pub use shapes::{Attack, attacks};
