//! Defines the limits of gateways and tunnels.

use std::time::Duration;

use edgetrust_core::config::{self, GatewayLimits};

use super::door::DoorLimits;

/// The default time for which a connection with an unauthenticated peer may carry nothing.
const IDLE_STRANGER: Duration = Duration::from_secs(10 * 60);

/// The limits of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of concurrent connections of all tunnels. Half of them are divided among the tunnels. New
    /// connections beyond the limit wait: TLS clients once they are admitted, until the handshake timeout, others in
    /// the listener's queue.
    pub connections: usize,
    /// The maximum number of one tunnel's admitted clients that wait for a connection to end.
    pub waiting: usize,
    /// The maximum time from the accepted connection to the reached target.
    pub handshake_timeout: Duration,
    /// The time for which connections may continue after the gateway was told to stop.
    pub drain_timeout: Duration,
    /// The time for which a session may continue after its peer's certificate expired, if nothing else is wrong with it.
    pub expired_grace: Duration,
    /// The age at which a session ends that was continued under newer certificates, or up to a tenth earlier; `None` is
    /// for ever.
    pub session_max_age: Option<Duration>,
    /// True if sessions of a removed tunnel continue as long as another tunnel would authorize their peer; if not,
    /// they end at once.
    pub keep_removed_sessions: bool,
    /// The time for which a half-closed connection may carry nothing, and for which the last octets of a cut
    /// connection wait for a reader that takes nothing; `None` is for ever, and five minutes for the last octets.
    pub half_close_timeout: Option<Duration>,
    /// The time of silence after which a TCP connection is probed (keep-alive); `None` means never.
    pub keepalive_time: Option<Duration>,
    /// The time between probes.
    pub keepalive_interval: Duration,
    /// The number of unanswered probes after which a connection is gone, if there is no `user_timeout`.
    pub keepalive_probes: u32,
    /// The time for which octets and probes may stay unacknowledged, or a reader may take nothing (RFC 5482); `None`
    /// leaves the time to the system.
    pub user_timeout: Option<Duration>,
}

impl Limits {
    /// Returns how long the last octets of a cut connection wait for a reader that takes nothing.
    pub(super) fn patience(&self) -> Duration {
        self.half_close_timeout.unwrap_or(Duration::from_secs(300))
    }
}

impl From<GatewayLimits> for Limits {
    fn from(limits: GatewayLimits) -> Self {
        let above_zero = |milliseconds| Some(Duration::from_millis(milliseconds)).filter(|time| !time.is_zero());
        Self {
            connections: number(limits.connections),
            waiting: number(limits.waiting),
            handshake_timeout: Duration::from_millis(limits.handshake_timeout_ms),
            drain_timeout: Duration::from_millis(limits.drain_timeout_ms),
            expired_grace: Duration::from_millis(limits.expired_grace_ms),
            session_max_age: above_zero(limits.session_max_age_ms),
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

/// The limits of one tunnel, or of the EST server. Tunnels that share an address share the limits that apply before
/// the tunnel is known: the larger limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelLimits {
    /// The maximum number of concurrent connections; `None` means the gateway's limit.
    pub connections: Option<usize>,
    /// The maximum number of concurrent TLS connections whose handshake is not done.
    pub handshakes: usize,
    /// The maximum number of concurrent connections of one source; 0 means no limit.
    pub connections_per_source: u32,
    /// The maximum number of new connections of one source per second; 0 means no limit.
    pub handshakes_per_second: u32,
    /// The time for which a connection may carry nothing; `None` is for ever. The timeout is checked when the time has
    /// passed, so that a connection ends after one to two times that time of silence.
    pub idle_timeout: Option<Duration>,
    /// The idle timeout of connections whose client was not authenticated.
    pub idle_stranger: Option<Duration>,
}

impl TunnelLimits {
    /// Combines the tunnel's own limits, else the gateway's, else the defaults.
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
