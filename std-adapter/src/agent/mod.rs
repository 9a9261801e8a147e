//! Credentials that renew themselves: the one place that turns the rotation's actions into IO.

/// A line about a credential. Two of a gateway may have one name, but never one `storage_path`.
macro_rules! log {
    ($level:ident, $status:expr, $($rest:tt)+) => {
        tracing::$level!(credential = %$status.name, storage_path = %$status.storage_path.display(), $($rest)+)
    };
}

mod agents;
mod alarm;
mod assignment;
mod request;
mod status;
mod storage;
mod worker;

pub use agents::{Agents, Once, Prepared, assignments};
pub use assignment::{Assignment, Fallback};
pub use status::{CredentialStatus, Credentials, Snapshot};
pub use storage::{Kept, Storage};
