//! Exports keying material of connections: octets that both ends know, and nobody else (RFC 8446 section 7.5).

use rustls::{ClientConnection, ConnectionCommon, ProtocolVersion, ServerConnection};
use zeroize::Zeroizing;

/// Exported octets, which are wiped when they are dropped.
pub(crate) type Exported = Zeroizing<[u8; 32]>;

/// An end of a connection.
pub(crate) trait Exporter {
    /// Exports octets for one use, which the label names; none before the end of the handshake, or below TLS 1.3, where
    /// they may be those of two connections (RFC 7627 section 1).
    fn export(&self, label: &str) -> Option<Exported>;
}

impl Exporter for ServerConnection {
    fn export(&self, label: &str) -> Option<Exported> {
        export(self, label)
    }
}

impl Exporter for ClientConnection {
    fn export(&self, label: &str) -> Option<Exported> {
        export(self, label)
    }
}

fn export<D>(connection: &ConnectionCommon<D>, label: &str) -> Option<Exported> {
    let is_bound = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let export = || connection.export_keying_material(Exported::default(), label.as_bytes(), None).ok();
    is_bound.then(export).flatten()
}
