//! Defines the limits of gateways and tunnels.

/// Limits of the gateway; times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// The number of connections at a time, of all tunnels.
    pub connections: u32,
    /// The number of admitted clients of one tunnel that wait for a connection to end.
    pub waiting: u32,
    /// The number of TLS connections of one address at a time whose handshake is not complete.
    pub handshakes: u32,
    /// The number of connections of one source at a time to one address; 0 for no limit.
    pub connections_per_source: u32,
    /// The number of new TLS connections of one source in a second to one address; 0 for no limit.
    pub handshakes_per_second: u32,
    /// The time from the accepted connection to the reached target.
    pub handshake_timeout_ms: u64,
    /// The time for which a connection may be silent; 0 is for ever, none is for ever where peers are authenticated.
    pub idle_timeout_ms: Option<u64>,
    /// The time for which connections may go on after SIGTERM.
    pub drain_timeout_ms: u64,
    /// The time for which a session may go on after its peer's certificate expired, if nothing else is wrong with it.
    pub expired_grace_ms: u64,
    /// The age at which a session ends that was continued under newer certificates; 0 is for none.
    pub session_max_age_ms: u64,
    /// Sessions of a removed tunnel go on as long as another tunnel would let their peer in.
    pub keep_removed_sessions: bool,
    /// The time for which a connection may carry nothing after one side has ended.
    pub half_close_timeout_ms: u64,
    /// The silence of a TCP connection after which the first keep-alive probe is sent.
    pub keepalive_time_ms: u64,
    /// The time between keep-alive probes.
    pub keepalive_interval_ms: u64,
    /// The number of unanswered keep-alive probes that ends a connection.
    pub keepalive_probes: u32,
    /// The time for which sent data may stay unacknowledged (RFC 5482).
    pub user_timeout_ms: u64,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            waiting: 1_024,
            handshakes: 1_024,
            connections_per_source: 0,
            handshakes_per_second: 0,
            handshake_timeout_ms: 10_000,
            idle_timeout_ms: None,
            drain_timeout_ms: 30_000,
            expired_grace_ms: 0,
            session_max_age_ms: 7 * 24 * 3_600_000,
            keep_removed_sessions: false,
            half_close_timeout_ms: 300_000,
            keepalive_time_ms: 60_000,
            keepalive_interval_ms: 15_000,
            keepalive_probes: 4,
            user_timeout_ms: 300_000,
        }
    }
}

/// The limits of one tunnel or of the EST server; none means the gateway's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelLimits {
    /// The number of connections at a time.
    pub connections: Option<u32>,
    /// The number of TLS connections at a time whose handshake is not complete.
    pub handshakes: Option<u32>,
    /// The number of connections of one source at a time; 0 for no limit.
    pub connections_per_source: Option<u32>,
    /// The number of new TLS connections of one source in a second; 0 for no limit.
    pub handshakes_per_second: Option<u32>,
    /// The time for which a connection may be silent, in milliseconds; 0 is for ever.
    pub idle_timeout_ms: Option<u64>,
}
