//! What an operator's tools ask a running gateway.

mod log;
mod metrics;
mod pages;

pub use log::{count_lost_lines, lost_lines};
pub use metrics::metrics;
pub use pages::Pages;
