//! rustls's verifier traits over the core's decision; rustls's own verifier is nowhere used.

use std::fmt;
use std::sync::Arc;

use edgetrust_core::identity::{Denied, ServerName as CoreServerName};
use edgetrust_core::path::{PathError, PathErrorKind, Purpose};
use edgetrust_core::x509::{Certificate, ParseError};
use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

use super::trust::{Generation, TrustStore};

/// Why the core refused a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The peer's own certificate does not parse.
    Parse(ParseError),
    /// No path, or none that holds.
    Path(PathError),
    /// A path, but no permission.
    Denied(Denied),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => write!(f, "the peer's certificate {error}"),
            Self::Path(error) => error.fmt(f),
            Self::Denied(denied) => write!(f, "the peer is not let in: {denied}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The core's reason inside a rustls error, if the core was the one to refuse.
pub fn refusal(error: &Error) -> Option<&Refusal> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause.downcast_ref(),
        _ => None,
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

fn path_error(error: PathError) -> Error {
    Refusal::Path(error).into()
}

/// The certificates beside the leaf that parse; one that does not cannot be part of a path.
fn parse_sent<'a>(sent: &'a [CertificateDer<'_>]) -> Vec<Certificate<'a>> {
    sent.iter().filter_map(|der| Certificate::from_der(der).ok()).collect()
}

fn parse_leaf<'a>(leaf: &'a CertificateDer<'_>) -> Result<Certificate<'a>, Error> {
    Certificate::from_der(leaf).map_err(|error| Refusal::Parse(error).into())
}

macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

/// Judges clients.
#[derive(Debug)]
pub struct ClientVerifier {
    trust: Arc<Generation>,
    mandatory: bool,
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

impl ClientVerifier {
    /// A verifier over the store's generation of now: a configuration made from it keeps that one, with tickets of its own.
    pub fn new(store: &TrustStore, mandatory: bool, provider: Arc<CryptoProvider>) -> Self {
        let trust = store.current();
        let hints =
            trust.anchors().iter().map(|anchor| DistinguishedName::in_sequence(anchor.subject().as_bytes())).collect();
        Self { trust, mandatory, hints, provider }
    }

    /// The whole decision: path, then permission.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let leaf = parse_leaf(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let path =
            self.trust.verify(algorithms, &leaf, &parse_sent(sent), Purpose::ClientAuth, now).map_err(path_error)?;
        self.trust.peers.authorize(path).map_err(|denied| Refusal::Denied(denied).into())
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(leaf, sent, now).map(|()| ClientCertVerified::assertion())
    }

    handshake_signatures!();
}

/// Judges servers.
#[derive(Debug)]
pub struct ServerVerifier {
    trust: Arc<Generation>,
    provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    /// A verifier over the store's generation of now.
    pub fn new(store: &TrustStore, provider: Arc<CryptoProvider>) -> Self {
        Self { trust: store.current(), provider }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = parse_leaf(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let path =
            self.trust.verify(algorithms, &leaf, &parse_sent(sent), Purpose::ServerAuth, now).map_err(path_error)?;
        let name = match server_name {
            ServerName::DnsName(name) => CoreServerName::Dns(name.as_ref()),
            ServerName::IpAddress(address) => CoreServerName::Ip((*address).into()),
            _ => return Err(Refusal::Denied(Denied::MalformedServerName).into()),
        };
        name.authorize(path).map_err(|denied| Error::from(Refusal::Denied(denied)))?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl Refusal {
    /// The peer's path has expired or is not valid yet.
    pub fn is_about_time(&self) -> bool {
        matches!(
            self,
            Self::Path(PathError { kind: PathErrorKind::Expired { .. } | PathErrorKind::NotYetValid { .. }, .. })
        )
    }
}
