//! Serves metrics and status pages to an operator's tools, and a page to people.

mod alarms;
mod askers;
mod desk;
mod events;
mod exposition;
mod host;
mod inventory;
mod log;
mod metrics;
mod page;
mod pages;
mod readiness;
mod report;
mod targets;

pub(crate) use desk::Desk;
pub(crate) use inventory::Inventory;
pub use log::{count_lost_lines, lost_lines};
pub(crate) use pages::Pages;
pub(crate) use report::{Authority, Refusal, Report, Session, Severity, Shared, Sources};
