//! What rustls asks for in a handshake: the credential of that moment.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Credential;

/// Shows a credential, whoever asks for whatever name: tunnels are chosen by name before.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Credential);

impl ResolvesServerCert for Resolver {
    /// None while nothing was obtained yet: the handshake fails with an alert.
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
