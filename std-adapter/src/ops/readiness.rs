//! Decides whether new connections can be served.

use std::fmt;

use edgetrust_core::time::Utc;
use pki_types::UnixTime;

use crate::clock;
use crate::est;
use crate::gateway::Status;

/// Returns why a new connection would fail: the gateway stops, or presents a certificate that no peer accepts.
pub(super) fn not_ready(status: &Status, devices: &est::Status) -> Option<String> {
    if status.is_draining() {
        return Some("draining".to_owned());
    }
    let now = clock::now();
    let tunnels = status.tunnels();
    let bad = |who: &dyn fmt::Display, shows: bool, validity: Option<(UnixTime, UnixTime)>| match validity {
        Some((_, not_after)) if now > not_after => {
            Some(format!("{who}: its certificate expired at {}", Utc(not_after)))
        }
        Some((not_before, _)) if now < not_before => {
            Some(format!("{who}: its certificate is valid only from {}", Utc(not_before)))
        }
        None if shows => Some(format!("{who}: it has no certificate yet")),
        _ => None,
    };
    let tunnel = tunnels.iter().find_map(|tunnel| {
        bad(&format_args!("tunnel {}", tunnel.name), tunnel.certificates.credential.is_some(), tunnel.validity())
    });
    let bad = tunnel.or_else(|| bad(&"est", devices.address().is_some(), devices.validity()));
    bad.or_else(|| tunnels.is_empty().then(|| "no tunnel".to_owned()))
}
