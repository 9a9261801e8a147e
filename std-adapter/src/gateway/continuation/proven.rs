//! What the handshake of a control connection has proved.

use std::sync::Arc;

use pki_types::CertificateDer;

use super::proof::Binding;
use crate::tls::Exporter;

/// The certificates that the other end has shown and proved on a control connection, its own first.
pub(in crate::gateway) type Chain = Arc<[CertificateDer<'static>]>;

/// What a control connection proves to both of its ends.
pub(in crate::gateway) struct Proven {
    pub(super) binding: Binding,
    pub(in crate::gateway) chain: Chain,
}

impl Proven {
    /// Returns what a connection proves whose other end has shown these certificates; none below TLS 1.3, which the
    /// control channel does not speak.
    pub(in crate::gateway) fn of(
        connection: &impl Exporter,
        shown: Option<&[CertificateDer<'static>]>,
    ) -> Option<Self> {
        Some(Self { binding: Binding::of(connection)?, chain: shown.unwrap_or_default().into() })
    }
}
