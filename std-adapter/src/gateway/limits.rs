//! What a gateway may cost.

use std::time::Duration;

use edgetrust_core::config::{self, GatewayLimits};

use super::door::DoorLimits;

/// How long a connection may be silent whose peer is not authenticated, where nothing is said of that.
const IDLE_STRANGER: Duration = Duration::from_secs(10 * 60);

/// What a gateway may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, of all tunnels. Half of them are divided among the tunnels. Over it, new ones wait: TLS clients once
    /// they are let in, until the handshake timeout, others in the listener's queue.
    pub connections: usize,
    /// From the accepted connection to the reached target.
    pub handshake_timeout: Duration,
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
            connections: number(limits.connections),
            handshake_timeout: Duration::from_millis(limits.handshake_timeout_ms),
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

/// What one tunnel may cost, or the EST server. Tunnels that share an address share what is counted before it is known which of them
/// is meant: the larger limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelLimits {
    /// Connections at a time; none is up to the gateway's.
    pub connections: Option<usize>,
    /// TLS connections at a time whose handshake is not done.
    pub handshakes: usize,
    /// Connections of one source at a time; 0 where there is no limit.
    pub connections_per_source: u32,
    /// New connections of one source in a second; 0 where there is no limit.
    pub handshakes_per_second: u32,
    /// How long a connection may carry nothing; none is for ever. It is looked at when the time has passed, so that a connection ends
    /// after once to twice that time of silence.
    pub idle_timeout: Option<Duration>,
    /// The same for connections whose client was not authenticated.
    pub idle_stranger: Option<Duration>,
}

impl TunnelLimits {
    /// What a tunnel says itself, then what the gateway says, then what is so by default.
    pub fn new(own: config::TunnelLimits, gateway: GatewayLimits) -> Self {
        let idle = own.idle_timeout_ms.or(gateway.idle_timeout_ms).map(Duration::from_millis);
        let lasting = |timeout: &Duration| !timeout.is_zero();
        Self {
            connections: own.connections.map(number),
            handshakes: number(own.handshakes.unwrap_or(gateway.handshakes)),
            connections_per_source: own.connections_per_source.unwrap_or(gateway.connections_per_source),
            handshakes_per_second: own.handshakes_per_second.unwrap_or(gateway.handshakes_per_second),
            idle_timeout: idle.filter(lasting),
            idle_stranger: idle.map_or(Some(IDLE_STRANGER), Some).filter(lasting),
        }
    }

    pub(crate) fn door(&self) -> DoorLimits {
        DoorLimits {
            handshakes: self.handshakes,
            connections_per_source: self.connections_per_source,
            handshakes_per_second: self.handshakes_per_second,
        }
    }
}

impl Default for TunnelLimits {
    fn default() -> Self {
        Self::new(config::TunnelLimits::default(), GatewayLimits::default())
    }
}

fn number(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_stranger_ends_unless_something_else_is_said() {
        let limits = |own: Option<u64>, gateway: Option<u64>| {
            let own = config::TunnelLimits { idle_timeout_ms: own, ..Default::default() };
            let limits = TunnelLimits::new(own, GatewayLimits { idle_timeout_ms: gateway, ..GatewayLimits::default() });
            (limits.idle_timeout, limits.idle_stranger)
        };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(limits(None, None), (None, Some(IDLE_STRANGER)));
        assert_eq!(limits(None, Some(0)), (None, None));
        assert_eq!(limits(None, Some(60_000)), (minute, minute));
        assert_eq!(limits(Some(60_000), Some(0)), (minute, minute));
        assert_eq!(limits(Some(0), Some(60_000)), (None, None));
    }
}
