//! The proof that the handshake of a control connection has given, and our own part in it.

use std::sync::Arc;

use edgetrust_core::x509::Certificate;
use pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};

use super::proof::Binding;
use crate::tls::{Credential, Exporter};

/// The certificates that the other end has shown and proved on a control connection, its own first.
pub(in crate::gateway) type Chain = Arc<[CertificateDer<'static>]>;

/// The proof that a control connection gives to both of its ends.
pub(in crate::gateway) struct Proven {
    pub(super) binding: Binding,
    pub(in crate::gateway) chain: Chain,
}

impl Proven {
    /// Returns the proof of a connection whose other end has shown these certificates; none below TLS 1.3, which the
    /// control channel does not speak.
    pub(in crate::gateway) fn of(
        connection: &impl Exporter,
        shown: Option<&[CertificateDer<'static>]>,
    ) -> Option<Self> {
        Some(Self { binding: Binding::of(connection)?, chain: shown.unwrap_or_default().into() })
    }
}

/// The certificate that a credential shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct OwnCertificate {
    pub(super) digest: [u8; 32],
    pub(super) not_after: UnixTime,
}

impl OwnCertificate {
    /// Returns the certificate that a credential shows now. A handshake that begins afterwards shows this or a later one.
    pub(in crate::gateway) fn of(credential: Option<&Credential>) -> Option<Self> {
        let chain = credential?.chain();
        let leaf = chain.first()?;
        let not_after = Certificate::from_der(leaf).ok()?.validity().not_after;
        Some(Self { digest: Sha256::digest(leaf).into(), not_after })
    }
}
