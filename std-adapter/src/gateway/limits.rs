//! What a gateway may cost.

use std::time::Duration;

use edgetrust_core::config::GatewayLimits;

/// What a gateway may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, of all tunnels; over it, new ones wait, one in each listener and the rest in its queue.
    pub connections: usize,
    /// From the accepted connection to the reached target.
    pub handshake_timeout: Duration,
    /// How long a connection may carry nothing; none is for ever. It is looked at when the time has passed, so that a connection ends
    /// after once to twice that time of silence.
    pub idle_timeout: Option<Duration>,
    /// How long connections may go on after the gateway was told to stop.
    pub drain_timeout: Duration,
    /// How long a session may go on after its peer's certificate expired or its rule was withdrawn.
    pub expired_grace: Duration,
    /// Whether sessions of a removed tunnel go on as long as another tunnel would let their peer in; else they end after `expired_grace`.
    pub keep_removed_sessions: bool,
}

impl From<GatewayLimits> for Limits {
    fn from(limits: GatewayLimits) -> Self {
        Self {
            connections: usize::try_from(limits.connections).unwrap_or(usize::MAX),
            handshake_timeout: Duration::from_millis(limits.handshake_timeout_ms),
            idle_timeout: Some(Duration::from_millis(limits.idle_timeout_ms)).filter(|timeout| !timeout.is_zero()),
            drain_timeout: Duration::from_millis(limits.drain_timeout_ms),
            expired_grace: Duration::from_millis(limits.expired_grace_ms),
            keep_removed_sessions: limits.keep_removed_sessions,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        GatewayLimits::default().into()
    }
}
