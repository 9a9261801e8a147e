//! What a tunnel may cost.

use std::time::Duration;

/// What a tunnel may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; over it, new ones wait in the listener's queue.
    pub connections: usize,
    /// From the accepted connection to the finished handshake, and for reaching the target.
    pub handshake_timeout: Duration,
    /// How long connections may go on after the tunnel was told to stop.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 10_000, handshake_timeout: Duration::from_secs(10), drain_timeout: Duration::from_secs(30) }
    }
}
