//! Validates where certificates are ordered, and how their names are shown to be ours.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::acme::{Acme, AcmeOrdering, ChallengeType, Eab, KeyType};
use super::address::{ip_address, socket_address};
use super::error::ConfigError;
use super::raw::RawAcme;
use super::token_uri::is_token_uri;
use super::validate_place::ConfigPlace;
use crate::identity::is_dns_name;
use crate::json::Found;

/// The default of ADR-001: a third of a 24-hour certificate.
pub(super) const DEFAULT_RENEW_BEFORE_S: u32 = 8 * 3600;

/// The port at which CAs validate http-01 (RFC 8555 section 8.3), at every address.
const DEFAULT_HTTP_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AcmeFor {
    Server,
    Client,
    /// An EST server, for its devices.
    #[cfg_attr(not(feature = "gateway"), expect(dead_code, reason = "only a gateway has one"))]
    Est,
}

/// Validates an `acme` with its domains.
pub(super) fn acme<'a>(at: &ConfigPlace<'a>, raw: &RawAcme<'a>, side: AcmeFor) -> Result<Acme<'a>, ConfigError<'a>> {
    if raw.domains.items.is_empty() {
        return at.fail("domains", Found::Nothing, "a list with a name at least");
    }
    for domain in &raw.domains.items {
        let wildcard = domain.strip_prefix("*.");
        let named = is_dns_name(wildcard.unwrap_or(domain)) || ip_address(domain).is_some();
        if !named {
            return at.fail("domains", Found::Text(domain), "DNS names and IP addresses");
        }
        // RFC 8555 section 7.1.3 leaves wildcards to dns-01 in practice: other challenges prove one host
        if wildcard.is_some() && raw.keys.challenge_type != ChallengeType::Dns01 {
            return at.fail("domains", Found::Text(domain), "no wildcard, or challenge_type \"dns-01\"");
        }
    }
    acme_for_any_name(at, raw, side)
}

/// Validates an `acme` without its domains.
pub(super) fn acme_for_any_name<'a>(
    at: &ConfigPlace<'a>,
    raw: &RawAcme<'a>,
    side: AcmeFor,
) -> Result<Acme<'a>, ConfigError<'a>> {
    let http_listen: Option<SocketAddr> = match raw.http_listen {
        None => None,
        Some(text) => match socket_address(text).ok_or(()) {
            Ok(address) => Some(address),
            Err(_) => return at.fail("http_listen", Found::Text(text), "ADDRESS:PORT, as 0.0.0.0:80"),
        },
    };
    match (raw.keys.challenge_type, side) {
        (ChallengeType::Dns01, _) => {
            at.required("dns_hook", raw.keys.dns_hook, "a command that answers dns-01")?;
        }
        (ChallengeType::Http01, AcmeFor::Client | AcmeFor::Est) => {
            at.required(
                "http_listen",
                http_listen,
                "ADDRESS:PORT where http-01 is answered, or dns-01 with a dns_hook",
            )?;
        }
        (ChallengeType::TlsAlpn01, AcmeFor::Client) => {
            return at.fail(
                "challenge_type",
                Found::Text("tls-alpn-01"),
                "\"http-01\" or \"dns-01\": a client has no TLS port to answer on",
            );
        }
        (ChallengeType::TlsAlpn01, AcmeFor::Est) => {
            return at.fail(
                "challenge_type",
                Found::Text("tls-alpn-01"),
                "\"http-01\" or \"dns-01\": a device's name does not lead to a TLS port of the gateway",
            );
        }
        (ChallengeType::Http01 | ChallengeType::TlsAlpn01, AcmeFor::Server) => {}
    }
    if let Some(key) = raw.keys.key {
        if matches!(side, AcmeFor::Est) {
            return at.fail("key", Found::Literal("one"), "none: devices have keys of their own");
        }
        #[cfg(feature = "gateway")]
        if raw.storage.is_some() {
            return at.fail("key", Found::Literal("one"), "none beside storage: a key in a token is not shared");
        }
        if !is_token_uri(key) {
            // It is not repeated: it may be the key itself.
            let found = Found::Literal("another text");
            return at.fail("key", found, "the URI of a key in a token, as pkcs11:token=NAME;object=NAME?…");
        }
        let found = match raw.keys.key_type {
            KeyType::P256 => None,
            KeyType::P384 => Some("p384"),
            KeyType::Rsa2048 => Some("rsa2048"),
        };
        if let Some(found) = found {
            return at.fail("key_type", Found::Text(found), "none beside key, which has a type already");
        }
    }
    let eab = match (raw.eab_kid, raw.eab_hmac_key_file) {
        (None, None) => None,
        (Some(kid), Some(hmac_key_file)) => Some(Eab { kid, hmac_key_file }),
        (Some(_), None) => return at.inside("eab").fail("hmac_key_file", Found::Nothing, "a file name"),
        (None, Some(_)) => return at.inside("eab").fail("kid", Found::Nothing, "the account's identifier"),
    };
    Ok(Acme {
        ordering: AcmeOrdering {
            directory_url: at.required("directory_url", raw.directory_url, "a URL that begins with https://")?,
            renew_before_s: raw.renew_before_s.unwrap_or(DEFAULT_RENEW_BEFORE_S),
            http_listen: http_listen.unwrap_or(DEFAULT_HTTP_LISTEN),
            keys: raw.keys.clone(),
        },
        domains: raw.domains.items.clone(),
        storage_path: at.required("storage_path", raw.storage_path, "a folder")?,
        #[cfg(feature = "gateway")]
        storage: None,
        ca_bundle: raw.ca_bundle,
        issuer_bundle: raw.issuer_bundle,
        #[cfg(feature = "gateway")]
        proxy: super::validate_proxy::proxy(at, raw.proxy, raw.proxy_credentials_file)?,
        eab,
    })
}
