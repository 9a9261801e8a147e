//! Serves metrics and status pages to an operator's tools.

mod exposition;
mod log;
mod metrics;
mod pages;

pub use log::{count_lost_lines, lost_lines};
pub use pages::Pages;
