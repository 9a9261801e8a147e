//! Accepts TLS over tokio: runs the handshake, then judges the client.

use super::alert::is_told;
use super::bounded::Bounded;
use super::handshake::Handshake;
use super::reloading::Reloading;
use super::{AcceptError, Admission, ServerSettings, ServerStream, TlsError, TlsServer};
use tokio::io::{AsyncRead, AsyncWrite};

impl TlsServer {
    /// Runs the handshake, then judges the client. Until the handshake is done, the stream passes on no more octets
    /// than a handshake needs. Handshakes take turns at the processors.
    ///
    /// # Errors
    /// Returns the core's refusal, or the error that occurred.
    pub async fn accept<S>(&self, stream: S) -> Result<(ServerStream<S>, Admission), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.accept_telling(stream, &mut None).await
    }

    /// Accepts like [`TlsServer::accept`]. If the client was sent a fatal alert, its stream is left in `told`: closing
    /// the stream at once, with unread octets, would reset the connection and lose the alert.
    pub(crate) async fn accept_telling<S>(
        &self,
        stream: S,
        told: &mut Option<S>,
    ) -> Result<(ServerStream<S>, Admission), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.config().clone());
        self.finish(acceptor.accept(Bounded::client(stream)), told).await
    }

    /// Completes the handshake, then admits the client.
    pub(super) async fn finish<S>(
        &self,
        handshake: tokio_rustls::Accept<Bounded<S>>,
        told: &mut Option<S>,
    ) -> Result<(ServerStream<S>, Admission), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (done, mut found) = Handshake::drive(handshake.into_fallible(), self.turns()).await;
        let mut tls = done.map_err(|(error, stream)| {
            *told = is_told(&error).then(|| stream.into_inner());
            AcceptError::failed(error, &mut found)
        })?;
        let connection = tls.get_ref().1;
        let admitted = self.admit_judged(connection, found);
        let admission = admitted.map_err(|refusal| AcceptError::refused(refusal, connection))?;
        tls.get_mut().0.lift();
        Ok((tls, admission))
    }
}

/// Accepts TLS with settings, and trust in them, that can be replaced while in use.
#[derive(Debug)]
pub struct Acceptor(Reloading<TlsServer>);

impl Acceptor {
    /// Creates an acceptor with its first settings.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature.
    pub fn new(settings: ServerSettings) -> Result<Self, TlsError> {
        Reloading::new(settings).map(Self)
    }

    /// Replaces the settings for new handshakes; established connections continue.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature; nothing changes then.
    pub fn reload(&self, settings: ServerSettings) -> Result<(), TlsError> {
        self.0.reload(settings)
    }

    /// Runs the handshake, then judges the client. The caller sets the deadline.
    ///
    /// # Errors
    /// Returns the core's refusal, or the error that occurred.
    pub async fn accept<S>(&self, stream: S) -> Result<(ServerStream<S>, Admission), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let server = self.0.current().map_err(AcceptError::Settings)?;
        server.accept(stream).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{ClientAuth, Credential, MinVersion, TrustStore, provider};
    use pki_types::pem::PemObject;
    use pki_types::{CertificateDer, PrivateKeyDer};
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    use rustls::client::danger::ServerCertVerifier;
    use rustls::sign::CertifiedKey;
    use std::sync::Arc;

    /// Returns a root, and a certificate that the root issued, with its key.
    fn pki() -> (CertificateDer<'static>, CertificateDer<'static>, KeyPair) {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut root = CertificateParams::default();
        root.distinguished_name.push(DnType::CommonName, "Root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_der = root.self_signed(&root_key).unwrap().der().clone();
        let leaf = CertificateParams::new(vec!["b.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        (root_der, leaf.der().clone(), key)
    }

    /// Shows these certificates with this key, whether they fit or not.
    #[derive(Debug)]
    struct Shows(Arc<CertifiedKey>);

    impl rustls::client::ResolvesClientCert for Shows {
        fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    async fn meet(server: &TlsServer, certificates: Vec<CertificateDer<'static>>, key: &KeyPair) -> Accepted {
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let key = provider().key_provider.load_private_key(key).unwrap();
        let verifier: Arc<dyn ServerCertVerifier> =
            Arc::new(crate::tls::verifier::DangerNoVerification { provider: provider() });
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(certificates, key)))));
        let (near, far) = tokio::io::duplex(1 << 16);
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = crate::tls::server_name("a.example").unwrap();
        let (accepted, connected) = tokio::join!(server.accept(far), connector.connect(name, near));
        drop(connected);
        accepted.map(|(_, admission)| admission)
    }

    type Accepted = Result<Admission, AcceptError>;

    #[tokio::test]
    async fn strangers_with_a_public_certificate_are_not_remembered_and_push_nobody_out() {
        let (root, leaf, key) = pki();
        let folder = tempfile::tempdir().unwrap();
        let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        std::fs::write(&cert_file, own.cert.pem()).unwrap();
        std::fs::write(&key_file, own.signing_key.serialize_pem()).unwrap();
        let server = TlsServer::new(ServerSettings {
            credential: Credential::load(&cert_file, &key_file).unwrap(),
            client_auth: ClientAuth::Required(TrustStore::new(vec![root]).unwrap()),
            min_version: MinVersion::Tls12,
            alpn: Vec::new(),
        })
        .unwrap();
        let remembered =
            || format!("{server:?}").split("verdicts: ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        let stranger = KeyPair::generate().unwrap();
        for noise in 0..60_u8 {
            let noise = CertificateDer::from(vec![noise; 1024]);
            let refused = meet(&server, vec![leaf.clone(), noise], &stranger).await;
            assert!(matches!(refused, Err(AcceptError::Io(_))), "{refused:?}");
        }
        assert_eq!(remembered(), "0");
        for _ in 0..2 {
            assert!(meet(&server, vec![leaf.clone()], &key).await.unwrap().peer().is_some());
            assert_eq!(remembered(), "1");
            assert!(meet(&server, vec![leaf.clone()], &stranger).await.is_err());
        }
    }
}
