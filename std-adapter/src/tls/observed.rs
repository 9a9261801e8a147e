//! Watches one handshake of a client: what the server shows and asks, and what it says of the client afterwards.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::verifier::DangerNoVerification;
use super::{ClientSettings, ClientStream, TlsClient, TlsError, provider, version_name};

/// The server's part of a handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The certificates as they were sent, the server's own first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The certificates were accepted.
    pub(crate) accepted: bool,
    /// The server has asked for a certificate (RFC 8446 section 4.3.2).
    pub(crate) asked: bool,
    /// The names of the CAs that it asks for, in DER (RFC 8446 section 4.2.4).
    pub(crate) cas: Vec<Vec<u8>>,
    /// A certificate was shown to it.
    pub(crate) answered: bool,
}

/// The observations of the handshakes of one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed(Arc<Mutex<Seen>>);

impl Observed {
    /// Returns what was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.note().clone()
    }

    fn note(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes the server's certificates on to the verifier of the settings, and notes them.
#[derive(Debug)]
struct Verifier {
    inner: Arc<dyn ServerCertVerifier>,
    observed: Observed,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.observed.note().chain = [leaf].into_iter().chain(sent).map(|der| der.clone().into_owned()).collect();
        let verified = self.inner.verify_server_cert(leaf, sent, server_name, ocsp_response, now)?;
        self.observed.note().accepted = true;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Shows the credential of the settings, and notes that it was asked for.
#[derive(Debug)]
struct Asked {
    inner: Arc<dyn ResolvesClientCert>,
    observed: Observed,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.inner.resolve(hints, schemes);
        let mut seen = self.observed.note();
        seen.asked = true;
        seen.cas = hints.iter().map(|name| name.to_vec()).collect();
        // The same condition as rustls has: a key that can sign in none of the schemes is not shown.
        seen.answered = key.as_ref().is_some_and(|key| key.key.choose_scheme(schemes).is_some());
        key
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

impl TlsClient {
    /// Creates a client that judges as one of these settings does, and notes what it sees.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature.
    pub(crate) fn observed(settings: ClientSettings) -> Result<(Self, Observed), TlsError> {
        let (mut client, observed) = (Self::new(settings)?, Observed::default());
        let inner: Arc<dyn ServerCertVerifier> = match client.verifier() {
            Some(verifier) => verifier.clone(),
            None => Arc::new(DangerNoVerification { provider: provider() }),
        };
        let verifier = Verifier { inner, observed: observed.clone() };
        client.change(|config| {
            config.dangerous().set_certificate_verifier(Arc::new(verifier));
            let inner = config.client_auth_cert_resolver.clone();
            config.client_auth_cert_resolver = Arc::new(Asked { inner, observed: observed.clone() });
        });
        Ok((client, observed))
    }
}

/// The first thing that a server sends after the handshake.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It has sent a ticket, which comes after the verification of its client (RFC 8446 section 4.6.1).
    Ticket,
    /// It has sent data.
    Data,
    /// It has ended the connection in order.
    Closed,
    /// It has sent a fatal alert, or the connection has broken.
    Failed(io::Error),
}

/// Waits for a server to say anything. Data is dropped unread. `count` is the number of tickets that are known already.
pub(crate) async fn answer<S>(stream: &mut ClientStream<S>, count: u32) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|context| {
        let mut octets = [0; 1024];
        let mut read = ReadBuf::new(&mut octets);
        match Pin::new(&mut *stream).poll_read(context, &mut read) {
            Poll::Ready(Ok(())) if read.filled().is_empty() => Poll::Ready(Answer::Closed),
            Poll::Ready(Ok(())) => Poll::Ready(Answer::Data),
            Poll::Ready(Err(error)) => Poll::Ready(Answer::Failed(error)),
            Poll::Pending if stream.get_ref().1.tls13_tickets_received() > count => Poll::Ready(Answer::Ticket),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The parameters that both sides have agreed on in a handshake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Negotiated {
    pub(crate) version: Option<&'static str>,
    pub(crate) cipher_suite: Option<String>,
    /// The group of the key exchange (RFC 8446 section 4.2.7).
    pub(crate) group: Option<String>,
    /// The application protocol (RFC 7301).
    pub(crate) alpn: Option<Vec<u8>>,
}

/// Returns what a handshake has agreed on.
pub(crate) fn negotiated<S>(stream: &ClientStream<S>) -> Negotiated {
    let connection = stream.get_ref().1;
    Negotiated {
        version: version_name(connection),
        cipher_suite: connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())),
        group: connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
    }
}

/// Returns the number of tickets that a server has sent.
pub(crate) fn tickets<S>(stream: &ClientStream<S>) -> u32 {
    stream.get_ref().1.tls13_tickets_received()
}

/// Returns whether the handshake was of TLS 1.3, in which a client is judged after its handshake is done.
pub(crate) fn is_tls13(connection: &rustls::CommonState) -> bool {
    connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
}

/// Returns the number of the alert by which the other end has closed (RFC 8446 section 6).
pub(crate) fn received_alert(error: &io::Error) -> Option<u8> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(<u8 as From<AlertDescription>>::from(*alert)),
        _ => None,
    }
}

/// Returns whether a handshake failed because what came was not what TLS prescribes.
pub(crate) fn is_no_tls(error: &io::Error) -> bool {
    let rustls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    matches!(
        rustls,
        Some(
            Error::InvalidMessage(_)
                | Error::InappropriateMessage { .. }
                | Error::InappropriateHandshakeMessage { .. }
                | Error::PeerSentOversizedRecord
        )
    )
}
