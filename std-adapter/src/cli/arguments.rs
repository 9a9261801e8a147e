//! Values and groups of flags that several subcommands take.

use std::time::Duration;

use edgetrust::core::config::{
    Addresses, Endpoint, GatewayLimits, MAX_FILES, MAX_NAMES, MinVersion, Names, Paths, rule_address,
};

use super::text;

/// A duration in Go's syntax, as the configuration file has it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    edgetrust::core::config::parse_duration(text).ok_or_else(|| "expected a duration, as 10s or 1h30m".to_owned())
}

pub(crate) fn min_version(text: &str) -> Result<MinVersion, String> {
    match text {
        "1.2" => Ok(MinVersion::Tls12),
        "1.3" => Ok(MinVersion::Tls13),
        _ => Err("expected 1.2 or 1.3".to_owned()),
    }
}

/// An address argument that is kept as text.
pub(crate) fn endpoint(text: &str) -> Result<String, String> {
    text.parse::<edgetrust::gateway::Address>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// The endpoint in a text that [`endpoint`] took.
pub(crate) fn parse_endpoint(argument: &str) -> Result<Endpoint<'_>, String> {
    Endpoint::parse(argument).ok_or_else(|| format!("found {argument:?}, expected an address"))
}

/// Files as the core has them.
pub(crate) fn files<'a>(flag: &str, values: &'a [String]) -> Result<Paths<'a>, String> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    Paths::from_slice(&values).map_err(|_| format!("{flag}: found {}, expected at most {MAX_FILES}", values.len()))
}

/// Names as the core has them.
pub(crate) fn names<'a>(flag: &str, values: &'a [String]) -> Result<Names<'a>, String> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    Names::from_slice(&values).map_err(|_| format!("{flag}: found {}, expected at most {MAX_NAMES}", values.len()))
}

/// Addresses of certificates as the core has them.
pub(crate) fn addresses(flag: &str, values: &[&str]) -> Result<Addresses, String> {
    let address =
        |text: &&str| rule_address(text).ok_or_else(|| format!("{flag}: found {text:?}, expected an IP address"));
    values.iter().map(address).collect()
}

/// What the tunnel may cost.
#[derive(clap::Args)]
pub(crate) struct LimitFlags {
    /// Connections at a time; over it, new ones wait
    #[arg(long, value_name = "N", default_value_t = GatewayLimits::default().connections, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    connections: u32,
    /// TLS connections at a time whose handshake is not done; over it, the oldest makes room
    #[arg(long, value_name = "N", default_value_t = GatewayLimits::default().handshakes, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    handshakes: u32,
    /// Connections of one IPv4 address or IPv6 /64 at a time; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Limits")]
    connections_per_source: u32,
    /// New TLS connections of one IPv4 address or IPv6 /64 in a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Limits")]
    handshakes_per_second: u32,
    /// From the accepted connection to the reached target
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = "Limits")]
    handshake_timeout: Duration,
    /// How long a connection may carry nothing; 0s is for ever, the default but for clients without a certificate: 10m
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Limits")]
    idle_timeout: Option<Duration>,
    /// How long connections may go on after SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, help_heading = "Limits")]
    drain_timeout: Duration,
    /// How long a session may go on after its peer's certificate expired or its rule was withdrawn
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, help_heading = "Limits")]
    expired_grace: Duration,
    /// How long a connection of which one side has ended may carry nothing; 0s is for ever
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = "Limits")]
    half_close_timeout: Duration,
    /// How long TCP waits for an answer to what it sent, or for a reader that takes nothing; 0s is as the system does
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = "Limits")]
    user_timeout: Duration,
}

impl LimitFlags {
    pub(crate) fn limits(&self) -> Result<GatewayLimits, String> {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).map_err(text);
        if self.handshake_timeout.is_zero() {
            return Err("--handshake-timeout: found 0s, expected more".to_owned());
        }
        Ok(GatewayLimits {
            connections: self.connections,
            handshakes: self.handshakes,
            connections_per_source: self.connections_per_source,
            handshakes_per_second: self.handshakes_per_second,
            handshake_timeout_ms: milliseconds(self.handshake_timeout)?,
            idle_timeout_ms: self.idle_timeout.map(milliseconds).transpose()?,
            drain_timeout_ms: milliseconds(self.drain_timeout)?,
            expired_grace_ms: milliseconds(self.expired_grace)?,
            half_close_timeout_ms: milliseconds(self.half_close_timeout)?,
            user_timeout_ms: milliseconds(self.user_timeout)?,
            ..GatewayLimits::default()
        })
    }
}
