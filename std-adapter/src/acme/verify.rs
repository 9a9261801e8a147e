//! Verifies with the core that peers will accept a new certificate, before it is presented.

use std::net::IpAddr;

use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust};
use edgetrust_core::x509::{Certificate, GeneralName};
use pki_types::{CertificateDer, UnixTime};

use super::settings::Settings;
use crate::tls::provider;

/// Verifies a new chain against the anchors, for each purpose, and for every name.
///
/// A certificate that is not yet valid by our clock is verified at its first moment, since peers go by the CA's clock.
///
/// # Errors
/// Returns the failed check and the value found.
pub fn verify(settings: &Settings, chain: &[CertificateDer<'static>], now: UnixTime) -> Result<(), String> {
    let parsed: Result<Vec<_>, _> =
        (1..).zip(chain).map(|(place, der)| Certificate::from_der(der).map_err(|error| (place, error))).collect();
    let parsed = parsed.map_err(|(place, error)| format!("certificate {place} of the chain {error}"))?;
    let (leaf, sent) = parsed.split_first().ok_or("the chain is empty")?;
    // The anchors are CAs: the configuration names them as roots.
    let anchors = settings.anchors.iter().flat_map(|der| Certificate::from_der(der)).map(Anchor::ca);
    let anchors: Vec<_> = anchors.collect();
    let provider = provider();
    let trust = Trust {
        anchors: &anchors,
        known_intermediates: &[],
        algorithms: provider.signature_verification_algorithms.all,
    };
    let now = now.max(leaf.validity().not_before);
    let verify = |purpose| trust.verify(leaf, sent, purpose, now, &mut Budget::new(Limits::SERVER));
    for (asked, purpose, name) in [
        (settings.purposes.server, Purpose::ServerAuth, "server"),
        (settings.purposes.client, Purpose::ClientAuth, "client"),
    ] {
        if asked {
            verify(purpose).map_err(|error| format!("peers would not accept it as a {name}'s: {error}"))?;
        }
    }
    for domain in &settings.domains {
        if !is_for(leaf, domain) {
            return Err(format!("it is not for {domain}"));
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
