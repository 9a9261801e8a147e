//! Validates the EST server: mutual TLS and nothing less, and an ACME account that orders for the devices' names.

use core::net::SocketAddr;

use super::acme::{Acme, RenewVia};
use super::address::socket_address;
use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::model::{Est, Server, Tunnel};
use super::raw::{Raw, RawAcme, RawEst, RawFirstEnrollment};
use super::validate_acme::{AcmeFor, acme_for_any_name};
use super::validate_gateway::server_side;
use super::validate_place::{ConfigPlace, FALSE};
use crate::json::{Found, Segment};

/// Validates `gateway.est`; none if there is no such section.
pub(super) fn est<'a>(raw: &Raw<'a>, tunnels: &[Tunnel<'a>]) -> Result<Option<Est<'a>>, ConfigError<'a>> {
    let RawEst { present, offset, listen, tls, has_acme, acme, chain_in_answer, limits, first } = &raw.gateway.est;
    if !present {
        return Ok(None);
    }
    let at = ConfigPlace::new(&[Segment::Key("gateway"), Segment::Key("est")], *offset);
    let listen = address(&at, *listen, "ADDRESS:PORT, as 0.0.0.0:8444", tunnels)?;
    let (server, origins) = server_side(&at.inside("tls"), tls, raw, false)?;
    let (tls, clients) = match server {
        Server::MutualTls(tls, clients) if clients.required => (tls, clients),
        Server::MutualTls(..) => {
            return at.inside("tls").inside("mtls").fail(
                "require_client_cert",
                FALSE,
                "true: a device is known by its certificate",
            );
        }
        Server::Tls(_) => {
            return at.inside("tls").inside("mtls").fail(
                "enabled",
                FALSE,
                "true: a device is known by its certificate",
            );
        }
        Server::Plain => {
            return at.inside("tls").fail("enabled", FALSE, "true: a device is known by its certificate");
        }
    };
    if !has_acme {
        return at.fail("acme", Found::Nothing, "where certificates for devices are ordered");
    }
    if limits.idle_timeout_ms.is_some() {
        return at.inside("limits").fail(
            "idle_timeout",
            Found::Literal("a value"),
            "nothing: a device asks once, and is answered or not",
        );
    }
    let acme = acme_of_devices(&at.inside("acme"), acme)?;
    let first_enrollment = first_enrollment(&at, first, listen, tunnels)?;
    let (chain_in_answer, limits) = (*chain_in_answer, *limits);
    Ok(Some(Est { listen, tls, clients, origins, acme, chain_in_answer, limits, first_enrollment }))
}

/// Reads an address that no tunnel listens on.
fn address<'a>(
    at: &ConfigPlace<'a>,
    written: Option<&'a str>,
    expected: &'static str,
    tunnels: &[Tunnel<'a>],
) -> Result<SocketAddr, ConfigError<'a>> {
    let text = at.required("listen", written, expected)?;
    let Some(listen) = socket_address(text) else {
        return at.fail("listen", Found::Text(text), expected);
    };
    if listen.port() != 0 && tunnels.iter().any(|tunnel| tunnel.listen == Endpoint::Tcp(listen)) {
        return at.fail("listen", Found::Text(text), "an address that no tunnel listens on");
    }
    Ok(listen)
}

/// Validates `first_enrollment`; none if there is no such section. Its address is its own, since the EST server goes on
/// to require certificates.
fn first_enrollment<'a>(
    at: &ConfigPlace<'a>,
    raw: &RawFirstEnrollment<'a>,
    est: SocketAddr,
    tunnels: &[Tunnel<'a>],
) -> Result<Option<SocketAddr>, ConfigError<'a>> {
    if !raw.present {
        return Ok(None);
    }
    let at = at.inside("first_enrollment");
    let listen = address(&at, raw.listen, "ADDRESS:PORT, as 0.0.0.0:8445", tunnels)?;
    if listen == est && listen.port() != 0 {
        const OTHER: &str = "another address than gateway.est.listen, where certificates are required";
        return at.fail("listen", Found::Text(raw.listen.unwrap_or_default()), OTHER);
    }
    Ok(Some(listen))
}

/// Validates the ACME settings; keys that devices set are errors.
fn acme_of_devices<'a>(at: &ConfigPlace<'a>, raw: &RawAcme<'a>) -> Result<Acme<'a>, ConfigError<'a>> {
    if raw.enabled == Some(false) {
        return at.fail("enabled", FALSE, "true, or no gateway.est at all");
    }
    if !raw.domains.items.is_empty() {
        return at.fail("domains", Found::Array, "nothing: the names are each device's");
    }
    if raw.renew_before_s.is_some() {
        return at.fail(
            "renew_before",
            Found::Literal("a value"),
            "nothing: each device says when, in device.renew_before",
        );
    }
    if raw.keys.renew_via == RenewVia::StepCa {
        return at.fail("renew_via", Found::Text("step-ca"), "\"acme\": the gateway does not have a device's key");
    }
    if let Some(hook) = raw.keys.hook {
        return at.fail("hook", Found::Text(hook), "nothing: a device takes its certificate up itself");
    }
    if raw.storage.is_some() {
        return at.fail("storage", Found::Object, "nothing: each gateway has an account of its own for its devices");
    }
    acme_for_any_name(at, raw, AcmeFor::Est)
}
