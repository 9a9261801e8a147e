//! Runs credentials that renew themselves. Only this module turns the rotation's actions into IO.

mod agents;
mod alarm;
mod assignment;
mod replica;
mod request;
mod status;
mod worker;

pub(crate) use agents::credential_sources;
pub use agents::{Agents, assignments};
pub use assignment::Assignment;
pub(crate) use replica::Replica;
pub(crate) use status::Stood;
pub use status::{CredentialStatus, Credentials};
pub use worker::Once;
