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
    /// How long a connection of which one side has ended may carry nothing, and how long the last octets of one that was cut wait for a reader
    /// that takes nothing; none is for ever, and five minutes for the last octets.
    pub half_close_timeout: Option<Duration>,
    /// How long a TCP connection is silent before its other end is asked whether it is there; none is never.
    pub keepalive_time: Option<Duration>,
    /// How long after that it is asked again.
    pub keepalive_interval: Duration,
    /// How often it is asked before it is gone, where there is no `user_timeout`.
    pub keepalive_probes: u32,
    /// How long what was sent may stay unacknowledged, questions too, or a reader may take nothing (RFC 5482); none leaves it to the system.
    pub user_timeout: Option<Duration>,
}

impl Limits {
    /// How long the last octets of a connection that was cut wait for a reader that takes nothing.
    pub(super) fn patience(&self) -> Duration {
        self.half_close_timeout.unwrap_or(Duration::from_secs(300))
    }
}

impl From<GatewayLimits> for Limits {
    fn from(limits: GatewayLimits) -> Self {
        let above_zero = |milliseconds| Some(Duration::from_millis(milliseconds)).filter(|time| !time.is_zero());
        Self {
            connections: usize::try_from(limits.connections).unwrap_or(usize::MAX),
            handshake_timeout: Duration::from_millis(limits.handshake_timeout_ms),
            idle_timeout: above_zero(limits.idle_timeout_ms),
            drain_timeout: Duration::from_millis(limits.drain_timeout_ms),
            expired_grace: Duration::from_millis(limits.expired_grace_ms),
            keep_removed_sessions: limits.keep_removed_sessions,
            half_close_timeout: above_zero(limits.half_close_timeout_ms),
            keepalive_time: above_zero(limits.keepalive_time_ms),
            keepalive_interval: Duration::from_millis(limits.keepalive_interval_ms),
            keepalive_probes: limits.keepalive_probes,
            user_timeout: above_zero(limits.user_timeout_ms),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        GatewayLimits::default().into()
    }
}
