//! Validates where tunnels lead, and through what: targets, load balancers and proxies.

use super::address::ip_address;
use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::model::{MAX_TARGETS, OtherTarget};
use super::network::{MAX_NETWORKS, NETWORK, Network};
use super::raw::RawTunnel;
use super::validate_place::ConfigPlace;
use crate::identity::is_dns_name;
use crate::json::Found;
use crate::text::rsplit_once;

const ENDPOINT: &str = "ADDRESS:PORT, HOST:PORT or unix:PATH";

pub(super) fn found(text: Option<&str>) -> Found<'_> {
    text.map_or(Found::Nothing, Found::Text)
}

pub(super) fn endpoint<'a>(
    at: &ConfigPlace<'a>,
    key: &'static str,
    text: Option<&'a str>,
) -> Result<Endpoint<'a>, ConfigError<'a>> {
    match text.and_then(Endpoint::parse) {
        Some(endpoint) => Ok(endpoint),
        None => at.fail(key, found(text), ENDPOINT),
    }
}

/// A tunnel's first target, and those that are tried after it.
pub(super) type Targets<'a> = (Option<Endpoint<'a>>, heapless::Vec<OtherTarget<'a>, { MAX_TARGETS - 1 }>);

/// Validates `target`, or `targets` in its place.
pub(super) fn targets<'a>(at: &ConfigPlace<'a>, tunnel: &RawTunnel<'a>) -> Result<Targets<'a>, ConfigError<'a>> {
    if !tunnel.targets.written {
        return Ok((Some(endpoint(at, "target", tunnel.target)?), heapless::Vec::new()));
    }
    if tunnel.target.is_some() {
        return at.fail("targets", Found::Array, "nothing, or targets without target: the first one is listed too");
    }
    let mut all = (None, heapless::Vec::new());
    for (index, text) in tunnel.targets.items.iter().enumerate() {
        let endpoint = endpoint(at, "targets", Some(text))?;
        if tunnel.targets.items.iter().take(index).any(|before| Endpoint::parse(before) == Some(endpoint)) {
            return at.fail("targets", Found::Text(text), "each target once");
        }
        if all.0.is_none() {
            all.0 = Some(endpoint);
        } else {
            let pushed = all.1.push(OtherTarget { endpoint, server_name: None }).is_ok();
            debug_assert!(pushed, "both lists have the same capacity");
        }
    }
    if all.0.is_none() { at.fail("targets", Found::Nothing, "a list with a target at least") } else { Ok(all) }
}

/// Returns the name that the server at a target must have: `server_name`, or else the target's own.
pub(super) fn server_name<'a>(
    at: &ConfigPlace<'a>,
    tunnel: &RawTunnel<'a>,
    target: Endpoint<'a>,
    text: &'a str,
) -> Result<&'a str, ConfigError<'a>> {
    let name = match (tunnel.server_name, target) {
        (Some(name), _) => name,
        (None, Endpoint::Host(host, _)) => host,
        (None, Endpoint::Tcp(_)) => host_of(text),
        (None, Endpoint::Unix(_)) => {
            return at.fail("server_name", Found::Nothing, "the name that the server's certificate must be for");
        }
    };
    if !is_dns_name(name) && ip_address(name).is_none() {
        return at.fail("server_name", Found::Text(name), "a DNS name or an IP address");
    }
    Ok(name)
}

/// Returns the address of `[::1]:8443` without brackets and port.
fn host_of(target: &str) -> &str {
    let host = rsplit_once(target, b':').map_or("", |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Validates the networks of load balancers.
pub(super) fn accept_proxy<'a>(
    at: &ConfigPlace<'a>,
    tunnel: &RawTunnel<'a>,
) -> Result<heapless::Vec<Network, MAX_NETWORKS>, ConfigError<'a>> {
    let list = &tunnel.accept_proxy;
    let mut networks = heapless::Vec::new();
    for text in &list.items {
        let Some(network) = Network::parse(text) else {
            return at.fail("accept_proxy", Found::Text(text), NETWORK);
        };
        let pushed = networks.push(network).is_ok();
        debug_assert!(pushed, "both lists have the same capacity");
    }
    // An empty list could mean that nobody connects, or that everybody does.
    if list.written && networks.is_empty() {
        return at.fail("accept_proxy", Found::Array, "a network at least, or no accept_proxy");
    }
    Ok(networks)
}
