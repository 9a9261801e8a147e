//! Defines values and groups of flags that several subcommands share.

use std::time::Duration;

use edgetrust_core::config::{
    Addresses, DeniedKey, Endpoint, GatewayLimits, MAX_FILES, MAX_NAMES, MinVersion, Names, Paths, rule_address,
};
use edgetrust_core::x509::KeyHash;

use super::Failure;
use crate::gateway::{Address, AddressError};

/// Parses a duration in Go's syntax, as in the configuration file.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    edgetrust_core::config::parse_duration(text).ok_or("expected a duration, as 10s or 1h30m")
}

pub(crate) fn min_version(text: &str) -> Result<MinVersion, &'static str> {
    match text {
        "1.2" => Ok(MinVersion::Tls12),
        "1.3" => Ok(MinVersion::Tls13),
        _ => Err("expected 1.2 or 1.3"),
    }
}

/// Checks an address argument, which is kept as text.
pub(crate) fn endpoint(text: &str) -> Result<String, AddressError> {
    text.parse::<Address>().map(|_| text.to_owned())
}

/// Checks an address argument for pages, which is kept as text.
pub(crate) fn listening(text: &str) -> Result<String, &'static str> {
    match Endpoint::parse(text) {
        Some(Endpoint::Tcp(_) | Endpoint::Unix(_)) => Ok(text.to_owned()),
        _ => Err("expected ADDRESS:PORT or unix:PATH"),
    }
}

/// Returns the endpoint of a text that [`endpoint`] accepted.
pub(crate) fn parse_endpoint(argument: &str) -> Result<Endpoint<'_>, Failure> {
    Ok(Endpoint::parse(argument).ok_or_else(|| format!("found {argument:?}, expected an address"))?)
}

/// Returns files in the core's type.
pub(crate) fn files<'a>(flag: &str, values: &'a [String]) -> Result<Paths<'a>, Failure> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let many = |_| format!("{flag}: found {}, expected at most {MAX_FILES}", values.len());
    Ok(Paths::from_slice(&values).map_err(many)?)
}

/// Returns names in the core's type.
pub(crate) fn names<'a>(flag: &str, values: &'a [String]) -> Result<Names<'a>, Failure> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let many = |_| format!("{flag}: found {}, expected at most {MAX_NAMES}", values.len());
    Ok(Names::from_slice(&values).map_err(many)?)
}

/// Returns the addresses of certificates in the core's type.
pub(crate) fn addresses(flag: &str, values: &[&str]) -> Result<Addresses, Failure> {
    let address =
        |text: &&str| rule_address(text).ok_or_else(|| format!("{flag}: found {text:?}, expected an IP address"));
    Ok(values.iter().map(address).collect::<Result<_, _>>()?)
}

/// Parses the hash of a key.
fn key_hash(text: &str) -> Result<KeyHash, &'static str> {
    KeyHash::parse(text).ok_or("expected sha256: and the 64 hexadecimal digits of a key's hash")
}

/// Keys that are denied.
#[derive(clap::Args)]
pub(crate) struct DenyFlags {
    /// Public key that is denied in every certificate: of peers, pins and CAs; `edgetrust inspect` shows it
    #[arg(long, value_name = "sha256:HEX", value_parser = key_hash)]
    deny_key: Vec<KeyHash>,
}

impl DenyFlags {
    pub(crate) fn keys(&self) -> Vec<DeniedKey<'static>> {
        self.deny_key.iter().map(|key| DeniedKey { key: *key, reason: None, until: None }).collect()
    }
}

/// The limits of a tunnel.
#[derive(clap::Args)]
pub(crate) struct LimitFlags {
    /// Maximum concurrent connections; further ones wait
    #[arg(long, value_name = "N", default_value_t = GatewayLimits::default().connections, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    connections: u32,
    /// Maximum concurrent TLS handshakes; at the limit, a new one replaces the oldest
    #[arg(long, value_name = "N", default_value_t = GatewayLimits::default().handshakes, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    handshakes: u32,
    /// Maximum concurrent connections of one IPv4 address or IPv6 /64; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Limits")]
    connections_per_source: u32,
    /// Maximum new TLS connections per second of one IPv4 address or IPv6 /64; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Limits")]
    handshakes_per_second: u32,
    /// Time limit from accepting a connection to reaching the target
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = "Limits")]
    handshake_timeout: Duration,
    /// Maximum time without traffic; 0s is no limit. Default: no limit, or 10m for clients without a certificate
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Limits")]
    idle_timeout: Option<Duration>,
    /// Time limit for open connections after SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, help_heading = "Limits")]
    drain_timeout: Duration,
    /// Time that a session may continue after its peer's certificate has expired, if nothing else is wrong with it
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, help_heading = "Limits")]
    expired_grace: Duration,
    /// Maximum time without traffic after one side has closed; 0s is no limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = "Limits")]
    half_close_timeout: Duration,
    /// Maximum time that TCP waits for an acknowledgement or a stalled reader; 0s is the system's default
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = "Limits")]
    user_timeout: Duration,
}

impl LimitFlags {
    pub(crate) fn limits(&self) -> Result<GatewayLimits, Failure> {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis());
        if self.handshake_timeout.is_zero() {
            return Err("--handshake-timeout: found 0s, expected more".into());
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
