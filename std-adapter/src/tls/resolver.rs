//! Gives rustls the credential that is current at each handshake.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Credential;

/// Shows one credential to every peer and for every name: tunnels are chosen by name before.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Credential);

impl ResolvesServerCert for Resolver {
    /// Returns `None` until a certificate was obtained: the handshake then fails with an alert.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.current()
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.current()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
