//! The messages between a device and its service, one JSON text each.
//!
//! A service that is written in Rust can take this file as it is: it needs nothing but serde.

use serde::{Deserialize, Serialize};

/// A device's report of its own state, by POST or as telemetry. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The number of the report on its connection, from 0.
    pub sequence: u32,
    pub uptime_ms: u64,
    pub time: u64,
    /// True if a gateway's certificate has confirmed the time.
    pub time_confirmed: bool,
    /// The end of the shown certificate's validity.
    pub certificate_until: u64,
    pub reset: Reset,
    /// The octets of stack that were used at most.
    pub stack: u32,
}

/// The reason of the device's last start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reset {
    #[serde(rename = "power on")]
    PowerOn,
    #[serde(rename = "requested")]
    Requested,
    #[serde(rename = "watchdog")]
    Watchdog,
    #[serde(rename = "fault")]
    Fault,
    #[serde(rename = "stack overflow")]
    StackOverflow,
    #[serde(rename = "panic")]
    Panic,
}

/// A command of the service. A device refuses texts with other keys: it would not do what they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command<'a> {
    /// `rotate`, `report` or `restart`.
    pub command: &'a str,
    /// A number of the service's choice, which the answer repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
}

/// The answer to each text of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// True if the device carries the command out: it closes the WebSocket to do so.
    pub accepted: bool,
    /// The command's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// The reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// The reason for which a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The device has no such command.
    Unknown,
    /// The text is no command: other JSON, a key twice, a number out of range, an escape.
    Malformed,
}
