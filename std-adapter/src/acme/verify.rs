//! Verifies with the core that peers will accept a new certificate, before it is presented.

use std::fmt;
use std::net::IpAddr;

use edgetrust_core::path::{Anchor, Budget, Limits, PathError, PathErrorKind, Purpose, Trust};
use edgetrust_core::x509::{Certificate, GeneralName, ParseError};
use pki_types::{CertificateDer, UnixTime};

use super::settings::Settings;
use crate::tls::provider;

/// The reason that a new chain is not presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The chain has no certificate.
    Empty,
    /// The certificate at this place of the chain, from 1, does not parse.
    Parse(usize, ParseError),
    /// Peers find no path from the certificate to an anchor, for the purpose with this name.
    Path(&'static str, PathError),
    /// The certificate does not have this requested name.
    NotFor(String),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the chain is empty"),
            Self::Parse(place, error) => write!(f, "certificate {place} of the chain {error}"),
            Self::Path(name, error) => write!(f, "peers would not accept it as a {name}'s: {error}"),
            Self::NotFor(domain) => write!(f, "it is not for {domain}"),
        }
    }
}

impl VerifyError {
    /// Returns whether the chain is refused for a denied key.
    pub(crate) fn is_denied_key(&self) -> bool {
        matches!(self, Self::Path(_, error) if matches!(error.kind, PathErrorKind::KeyDenied(_)))
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Parse(_, error) => Some(error),
            Self::Path(_, error) => Some(error),
            Self::Empty | Self::NotFor(_) => None,
        }
    }
}

/// Verifies a new chain against the anchors, for each purpose, and for every name.
///
/// A certificate that is not yet valid by our clock is verified at its first moment, since peers go by the CA's clock.
///
/// # Errors
/// Returns the failed check and the value found.
pub fn verify(settings: &Settings, chain: &[CertificateDer<'static>], now: UnixTime) -> Result<(), VerifyError> {
    let parsed = (1..)
        .zip(chain)
        .map(|(place, der)| Certificate::from_der(der).map_err(|error| VerifyError::Parse(place, error)));
    let parsed: Vec<_> = parsed.collect::<Result<_, _>>()?;
    let (leaf, sent) = parsed.split_first().ok_or(VerifyError::Empty)?;
    // The anchors are CAs: the configuration names them as roots.
    let anchors = settings.anchors.iter().flat_map(|der| Certificate::from_der(der)).map(Anchor::ca);
    let anchors: Vec<_> = anchors.collect();
    let provider = provider();
    let trust = Trust {
        anchors: &anchors,
        known_intermediates: &[],
        denied_keys: &settings.denied_keys,
        algorithms: provider.signature_verification_algorithms.all,
    };
    let now = now.max(leaf.validity().not_before);
    let verify = |purpose| trust.verify(leaf, sent, purpose, now, &mut Budget::new(Limits::SERVER));
    for (asked, purpose, name) in [
        (settings.purposes.server, Purpose::ServerAuth, "server"),
        (settings.purposes.client, Purpose::ClientAuth, "client"),
    ] {
        if asked {
            verify(purpose).map_err(|error| VerifyError::Path(name, error))?;
        }
    }
    for domain in &settings.domains {
        if !is_for(leaf, domain) {
            return Err(VerifyError::NotFor(domain.clone()));
        }
    }
    Ok(())
}

/// Returns whether the leaf has the name as it was requested; a wildcard only matches itself.
fn is_for(leaf: &Certificate<'_>, domain: &str) -> bool {
    let address: Option<IpAddr> = domain.parse().ok();
    leaf.extensions().subject_alt_name.into_iter().flatten().any(|name| match (name, address) {
        (GeneralName::Dns(found), None) => found.eq_ignore_ascii_case(domain),
        (GeneralName::Ip(found), Some(IpAddr::V4(address))) => found == address.octets(),
        (GeneralName::Ip(found), Some(IpAddr::V6(address))) => found == address.octets(),
        _ => false,
    })
}
