//! Simulates the control channel of a mesh of many sites; one seed replays any run.
//!
//! | part | real or a model |
//! |---|---|
//! | certificates, mesh, signatures, denials by the administrator, `check` | real: the functions of `edgetrust federation` |
//! | verdict on an offered mesh, order of editions, what two of one sequence deny | real: what a gateway keeps and proves; once for each pair of texts |
//! | verdict on a peer, by its certificates and the mesh in force | real: that of the control channel; once for each peer and mesh |
//! | what is said next on a connection, pauses, waits, what is answered, limits of callers | real, with simulated times |
//! | latency, bandwidth, outages, the time to judge and to load a mesh | models, in [`network`] |
//! | handshakes, HTTP and sockets | models: their round trips and their time limits |

mod connection;
mod editions;
mod gateway;
mod links;
pub mod network;
mod phases;
mod report;
mod talk;
mod world;

pub use links::Links;
pub use phases::{Options, simulate};
pub use report::{Goal, News, Report};

/// The reason why a run ends without a report.
pub type Failure = Box<dyn std::error::Error>;

/// Simulated time, in milliseconds.
pub type Millis = u64;

/// A second.
pub const SECOND: Millis = 1_000;
/// A minute.
pub const MINUTE: Millis = 60 * SECOND;
/// An hour.
pub const HOUR: Millis = 60 * MINUTE;
