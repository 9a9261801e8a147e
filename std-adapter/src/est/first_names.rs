//! Decides which names devices may get a first certificate for: names with which the EST server lets them in to renew
//! it, and none of the gateway's.

use std::fmt;

use edgetrust_core::config::{Est, Gateway};
use edgetrust_core::identity::{RuleName, is_dns_name, without_root};
use edgetrust_core::request::MAX_COMMON_NAME;

use super::own_names::OwnNames;
use crate::gateway::{PlanError, Watched};

/// The names that an EST server may give.
#[derive(Clone, Debug, Default)]
pub struct FirstNames {
    /// The names of all rules; none where every device with a verified certificate is let in.
    allowed: Option<Vec<String>>,
    own: OwnNames,
}

/// The reason that no device gets a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotGiven {
    /// It is no DNS name, or one that is too long for a subject.
    NoName(String),
    /// It is this name of the gateway, or covers it.
    OfTheGateway(String),
    /// No rule lets it in.
    NotAllowed(String),
}

impl fmt::Display for NotGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName(found) => {
                let found = found.escape_debug();
                write!(
                    f,
                    "found {found}, expected a DNS name of at most {MAX_COMMON_NAME} octets, as sensor-7.a.example"
                )
            }
            Self::OfTheGateway(own) => {
                write!(f, "{own} is the gateway's own name: no device gets a certificate for it")
            }
            Self::NotAllowed(name) => write!(
                f,
                "{name} is in no allow list of gateway.est (allowed_client_dns, say): a device of this name could not renew"
            ),
        }
    }
}

impl FirstNames {
    /// Reads the rules of the EST server, and the gateway's certificates, each noted in `watched` first.
    ///
    /// # Errors
    /// Returns which file is faulty.
    pub fn read(gateway: &Gateway<'_>, est: &Est<'_>, watched: &mut Watched) -> Result<Self, PlanError> {
        Ok(Self::new(gateway, est, OwnNames::read(gateway, est, watched)?))
    }

    pub(super) fn new(gateway: &Gateway<'_>, est: &Est<'_>, own: OwnNames) -> Self {
        let clients = &est.clients;
        let bound = gateway.allowed_clients.of(clients.allowed_clients).filter_map(|(name, _)| match name {
            RuleName::CommonName(name) | RuleName::Dns(name) => Some(name),
            RuleName::Uri(_) | RuleName::Ip(_) => None,
        });
        let named = clients.allowed_cns.iter().chain(&clients.allowed_dns).copied().chain(bound);
        let named: Vec<String> = named.map(|name| without_root(name).to_ascii_lowercase()).collect();
        Self { allowed: (!clients.any_verified).then_some(named), own }
    }

    /// Returns the name as certificates have it.
    ///
    /// # Errors
    /// Fails if no device gets it.
    pub fn give(&self, name: &str) -> Result<String, NotGiven> {
        let name = without_root(name).to_ascii_lowercase();
        if !is_dns_name(&name) || name.ends_with('.') || name.len() > MAX_COMMON_NAME {
            return Err(NotGiven::NoName(name.chars().take(MAX_COMMON_NAME).collect()));
        }
        if let Some(own) = self.own.covered_by(&name) {
            return Err(NotGiven::OfTheGateway(own.to_owned()));
        }
        match &self.allowed {
            Some(allowed) if !allowed.contains(&name) => Err(NotGiven::NotAllowed(name)),
            _ => Ok(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_a_name_that_is_let_in_and_none_of_the_gateway() {
        let text = r#"{"security":{"tls":{"server":{"enabled":true,"cert_file":"s.crt","key_file":"s.key",
            "mtls":{"enabled":true,"client_ca_files":["mesh.crt"]ALLOWED}}}},
          "gateway":{"est":{"listen":"0.0.0.0:8444","acme":{"directory_url":"https://ca.a.example/d",
            "storage_path":"/s","http_listen":"0.0.0.0:80"}}}}"#;
        let names = |allowed: &str| {
            let mut text = text.replace("ALLOWED", allowed).into_bytes();
            let config = edgetrust_core::config::Config::parse(&mut text).unwrap();
            let est = config.gateway.est.as_ref().unwrap();
            let mut own = OwnNames::default();
            own.add_all(&["gateway.a.example"]);
            FirstNames::new(&config.gateway, est, own)
        };
        let any = names("");
        assert_eq!(any.give("Sensor-7.a.example.").unwrap(), "sensor-7.a.example");
        assert_eq!(any.give("sensor-7").unwrap(), "sensor-7");
        let own = NotGiven::OfTheGateway("gateway.a.example".to_owned());
        assert_eq!(any.give("GATEWAY.a.example"), Err(own));
        let long = format!("{}.example", "a".repeat(60));
        for none in
            ["", "192.0.2.7", "*.a.example", "a b", "sensor-7.a.example:8443", "s..a", &long, "[::1]", "a.example.."]
        {
            assert!(matches!(any.give(none), Err(NotGiven::NoName(_))), "{none}");
        }
        let listed = names(
            r#","allowed_client_cns":["sensor-6.a.example"],"allowed_client_dns":["Sensor-7.a.example"],
               "allowed_clients":[{"dns":"sensor-8.a.example"},{"cn":"sensor-9.a.example"},{"uri":"u"}]"#,
        );
        for number in 6..=9 {
            listed.give(&format!("sensor-{number}.a.example")).unwrap();
        }
        assert_eq!(listed.give("u"), Err(NotGiven::NotAllowed("u".to_owned())));
        // A list that is written and empty lets nobody in.
        names(r#","allowed_client_dns":[]"#).give("sensor-7.a.example").unwrap_err();
    }
}
