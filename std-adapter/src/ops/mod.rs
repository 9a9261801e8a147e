//! What an operator's tools ask a running gateway.

mod metrics;
mod pages;

pub use metrics::metrics;
pub use pages::Pages;
