//! Takes a proxy from `https_proxy` and `no_proxy` of the environment, where the configuration says so.

use std::ffi::OsString;

use edgetrust_core::config::{Endpoint, Network, ProxyScheme};

use super::credentials::Credentials;
use super::destination::{Destination, ProxyPlace};
use super::fault::EgressError;

/// The destinations that `no_proxy` lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions {
    all: bool,
    networks: Vec<Network>,
    /// Domains in lower case; each has the names below it too.
    domains: Vec<String>,
}

impl Exceptions {
    /// Parses a list with commas: names, with or without a dot before them, addresses, networks, or `*` for all. A port
    /// after a name is not looked at.
    fn parse(text: &str) -> Self {
        let mut except = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let bare = entry.trim_start_matches('[').trim_end_matches(']');
            if entry == "*" {
                except.all = true;
            } else if let Some(network) = Network::parse(bare) {
                except.networks.push(network);
            } else {
                let name = entry.rsplit_once(':').map_or(entry, |(name, _)| name);
                let name = name.strip_prefix('*').unwrap_or(name).trim_matches('.');
                except.domains.push(name.to_ascii_lowercase());
            }
        }
        except
    }

    pub(super) fn have(&self, to: &Destination<'_>) -> bool {
        self.all
            || match to {
                Destination::Ip(address) => self.networks.iter().any(|network| network.contains(address.ip())),
                Destination::Name(name, _) => {
                    let name = name.to_ascii_lowercase();
                    self.domains.iter().filter(|domain| !domain.is_empty()).any(|domain| {
                        name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                    })
                }
            }
    }
}

/// A proxy, the user and password for it, and what it is not used for.
type Found = (ProxyPlace, Option<Credentials>, Exceptions);

/// Returns the proxy that the environment names, `None` if it names none. The lower case name comes first.
///
/// # Errors
/// Returns which variable is no proxy, and nothing of its value, which may hold a password.
pub(super) fn from_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Found>, EgressError> {
    let first = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)))
    };
    let Some((name, value)) = first(["https_proxy", "HTTPS_PROXY"]) else { return Ok(None) };
    let fault = |found| EgressError::Environment(name, found);
    let url = value.to_str().ok_or_else(|| fault("found no UTF-8"))?;
    let (scheme, rest) = ProxyScheme::split(url).ok_or_else(|| fault("found another scheme or none"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let user = user.map(|user| {
        let user = decoded(user).ok_or("found a user with a malformed % code")?;
        Credentials::parse(&user).map_err(|_| "found a user without a password, or one that is too long")
    });
    let credentials = user.transpose().map_err(fault)?;
    let endpoint = Endpoint::parse(place).ok_or_else(|| fault("found no HOST:PORT"))?;
    let except = match first(["no_proxy", "NO_PROXY"]) {
        None => Exceptions::default(),
        Some((name, list)) => {
            let text = list.into_string().map_err(|_| EgressError::Environment(name, "found no UTF-8"))?;
            Exceptions::parse(&text)
        }
    };
    let place = ProxyPlace::new(scheme, &endpoint).ok_or_else(|| fault("found a Unix socket"))?;
    Ok(Some((place, credentials, except)))
}

/// Decodes percent-encoded octets (RFC 3986 section 2.1).
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut octets = text.bytes();
    let mut decoded = Vec::new();
    while let Some(octet) = octets.next() {
        let octet = match octet {
            b'%' => {
                let digit = |octet: u8| char::from(octet).to_digit(16);
                let (high, low) = (digit(octets.next()?)?, digit(octets.next()?)?);
                u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?
            }
            octet => octet,
        };
        decoded.push(octet);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Found>, String> {
        let variable = |name: &str| {
            let pair = pairs.iter().find(|(other, _)| *other == name);
            pair.map(|(_, value)| OsString::from(*value))
        };
        from_environment(&variable).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_names_a_proxy_or_none() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("https_proxy", ""), ("http_proxy", "http://x:1")]), Ok(None));
        let both = [("HTTPS_PROXY", "http://two.example:2"), ("https_proxy", "socks5://one.example:1/")];
        assert_eq!(read(&both).unwrap().unwrap().0.to_string(), "socks5://one.example:1");
        let known = read(&[("https_proxy", "http://us%65r:p%40ss@proxy.example:3128")]).unwrap().unwrap();
        assert_eq!(known.0.to_string(), "http://proxy.example:3128");
        assert!(!format!("{known:?}").contains("p@ss"));
    }

    #[test]
    fn a_variable_that_is_no_proxy_is_named_and_not_shown() {
        for (value, expected) in [
            ("https://secret@x:1", "another scheme"),
            ("proxy:3128", "another scheme"),
            ("http://proxy", "no HOST:PORT"),
            ("http://user:secret@proxy", "no HOST:PORT"),
            ("http://secret@proxy:1", "without a password"),
            ("http://user:secret%2@proxy:1", "malformed %"),
            ("http://unix:secret", "Unix socket"),
        ] {
            let said = read(&[("https_proxy", value)]).unwrap_err();
            assert!(said.contains(expected) && said.contains("https_proxy") && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn no_proxy_lists_names_addresses_and_networks() {
        let except = Exceptions::parse(" localhost, .b.example,*.c.example:443,10.0.0.0/8,[2001:db8::1], ,.");
        for (to, expected) in [
            (Destination::Name("localhost", 1), true),
            (Destination::Name("B.example", 1), true),
            (Destination::Name("x.b.example", 1), true),
            (Destination::Name("xb.example", 1), false),
            (Destination::Name("x.c.example", 1), true),
            (Destination::Name("d.example", 1), false),
            (Destination::Ip("10.1.2.3:1".parse().unwrap()), true),
            (Destination::Ip("[2001:db8::1]:1".parse().unwrap()), true),
            (Destination::Ip("[2001:db8::2]:1".parse().unwrap()), false),
        ] {
            assert_eq!(except.have(&to), expected, "{to}");
        }
        assert!(Exceptions::parse("*").have(&Destination::Name("d.example", 1)));
    }
}
