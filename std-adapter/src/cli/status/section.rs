//! Names the parts of a report.

use clap::ValueEnum;

/// A part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Section {
    /// Alarms, errors first
    Alarms,
    /// Tunnels with their counters
    Tunnels,
    /// Open sessions, folded by peer
    Sessions,
    /// Certificates, the nearest end first
    Certificates,
    /// Sites and gateways of the mesh
    Mesh,
    /// Devices that renew here
    Devices,
    /// The last refusals
    Refusals,
}
