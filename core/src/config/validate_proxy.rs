//! Validates the proxies that connections to other machines go through.

use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::proxy::{Egress, Proxy, ProxyScheme};
use super::validate_place::ConfigPlace;
use crate::json::Found;

/// The syntax of a proxy, for errors.
const PROXY: &str = "\"http://HOST:PORT\", \"socks5://HOST:PORT\" or \"environment\"";

/// Validates `proxy` and `proxy_credentials_file`.
pub(super) fn proxy<'a>(
    at: &ConfigPlace<'a>,
    proxy: Option<&'a str>,
    credentials_file: Option<&'a str>,
) -> Result<Option<Egress<'a>>, ConfigError<'a>> {
    const WITHOUT: &str = "nothing, or a proxy with HOST:PORT: only that takes a file";
    match (proxy, credentials_file) {
        (None, None) => return Ok(None),
        (Some("environment"), None) => return Ok(Some(Egress::Environment)),
        (None | Some("environment"), Some(file)) => {
            return at.fail("proxy_credentials_file", Found::Text(file), WITHOUT);
        }
        (Some(_), _) => {}
    }
    let text = proxy.unwrap_or_default();
    // A password must not be in a message.
    if text.contains('@') {
        return at.fail(
            "proxy",
            Found::Literal("a URL with a user"),
            "a URL without: user and password are in proxy_credentials_file",
        );
    }
    let split = ProxyScheme::split(text).and_then(|(protocol, rest)| {
        let endpoint = Endpoint::parse(rest.strip_suffix('/').unwrap_or(rest))?;
        (!matches!(endpoint, Endpoint::Unix(_))).then_some((protocol, endpoint))
    });
    match split {
        Some((protocol, endpoint)) => Ok(Some(Egress::Proxy(Proxy { protocol, endpoint, credentials_file }))),
        None => at.fail("proxy", Found::Text(text), PROXY),
    }
}
