//! Peers that show chains that are expensive to refuse. None of their keys is trusted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme,
};

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A chain to show, with a key that need not be its leaf's.
#[derive(Debug)]
pub struct Shown(Mutex<Arc<CertifiedKey>>);

impl Shown {
    pub fn new(chain: &[Vec<u8>]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(key(chain))))
    }

    pub fn replace(&self, chain: &[Vec<u8>]) {
        *self.0.lock().unwrap() = key(chain);
    }

    fn get(&self) -> Arc<CertifiedKey> {
        self.0.lock().unwrap().clone()
    }
}

fn key(chain: &[Vec<u8>]) -> Arc<CertifiedKey> {
    let pair = rcgen::KeyPair::generate().unwrap();
    let der = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let signer = provider().key_provider.load_private_key(der).unwrap();
    Arc::new(CertifiedKey::new(chain.iter().map(|der| CertificateDer::from(der.clone())).collect(), signer))
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

/// A verifier that accepts every server.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Returns a client that accepts every server and shows this chain.
pub fn client(shown: Arc<dyn ResolvesClientCert>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider())))
        .with_client_cert_resolver(shown);
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Connects and waits until the server ends the connection; returns the error.
pub fn refused(address: SocketAddr, config: &Arc<ClientConfig>) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut connection =
        ClientConnection::new(config.clone(), ServerName::try_from("gateway.example").unwrap()).unwrap();
    let mut stream = rustls::Stream::new(&mut connection, &mut stream);
    let _ = stream.write_all(b"x");
    match stream.read(&mut [0; 1]) {
        Ok(0) => "end of stream".to_owned(),
        Ok(_) => panic!("let in"),
        Err(error) => error.to_string(),
    }
}

/// Starts a server that shows this chain to one client after the other until the process ends.
pub fn serve(shown: Arc<Shown>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(shown);
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            let _ = rustls::Stream::new(&mut connection, &mut stream).read(&mut [0; 1]);
        }
    });
    address
}

/// Returns a client that shows its own certificate.
pub fn admitted(root: &[u8], chain: &[u8], key: &[u8]) -> Arc<ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root).unwrap()).unwrap();
    let chain = CertificateDer::pem_slice_iter(chain).map(Result::unwrap).collect();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key).unwrap())
        .unwrap();
    Arc::new(config)
}
