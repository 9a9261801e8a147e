//! Connects devices by TLS 1.3: embedded-tls handles records and keys, and this crate decides which servers to trust.
//! No other module uses embedded-tls.
//!
//! [`connect`] returns a [`Connection`] only if all of this holds for **this** handshake: the server sent a chain that
//! leads to an anchor, its certificate is for the name that was asked for, and its CertificateVerify was made with the
//! leaf's key over this transcript. embedded-tls alone completes a handshake even without any certificate. Only a
//! [`Connection`] can read or write.
//!
//! A server that has not proved its identity receives neither the client's certificate nor a signature by the client.
//!
//! There are no deadlines here, since there is no clock: bound [`connect`] with a timeout.

mod error;
mod found_name;
mod guard;
#[cfg(feature = "p256")]
mod software;

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};
use embedded_tls::alert::AlertLevel;
use embedded_tls::{
    Aes128GcmSha256, Certificate as OwnCertificate, CertificateEntryRef, CertificateRef, CertificateVerifyRef,
    CryptoProvider, SignatureScheme, TlsConfig, TlsConnection, TlsContext, TlsError, TlsVerifier,
};
use pki_types::UnixTime;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};

use crate::crypto::EcdsaSignature;
use crate::identity::{Denied, ServerName, ServerPolicy};
use crate::path::{Budget, Limits, Purpose, Trust};
use crate::possession::{self, LeafKey};
use crate::time::TrustedTime;
use crate::x509::Certificate;

pub use error::{ConnectionError, HandshakeError};
pub use found_name::FoundName;
pub use guard::RecordFault;
use guard::{Epoch, Guard, Link};
#[cfg(feature = "p256")]
pub use software::SoftwareCredential;

/// The largest number of certificates that a server may send beside its own.
pub const MAX_SENT: usize = 4;

/// The requirements on a server.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The anchors, known intermediates and algorithms.
    pub trust: Trust<'a>,
    /// The name that the server's certificate must be for; a DNS name is sent as server_name too (RFC 6066 section 3).
    pub server: ServerPolicy<'a>,
    /// The time, as far as it is known.
    pub now: TrustedTime,
    /// The limits on the work of the verdict.
    pub limits: Limits,
}

/// A device's certificate, and a P-256 key that may be in a secure element.
pub trait ClientCredential {
    /// Returns the certificate as DER. embedded-tls sends no intermediates: the server must know them.
    fn certificate(&self) -> &[u8];

    /// Signs `message` by ECDSA with SHA-256, or returns `None` if the key cannot be used.
    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature>;
}

/// The credential type for devices without a certificate.
#[derive(Clone, Copy, Debug)]
pub enum NoCredential {}

impl ClientCredential for NoCredential {
    fn certificate(&self) -> &[u8] {
        match *self {}
    }

    fn sign(&mut self, _message: &[u8]) -> Option<EcdsaSignature> {
        match *self {}
    }
}

/// The memory of one connection.
#[derive(Debug)]
pub struct Buffers<'b> {
    /// The buffer for a record of the server; 16,640 octets hold any record (RFC 8446 section 5.2).
    pub receive: &'b mut [u8],
    /// The buffer for a record of the client; the client's certificate must fit.
    pub send: &'b mut [u8],
    /// The state that the parts of a connection share.
    pub shared: &'b mut Shared,
}

/// The state that the parts of a connection share.
#[derive(Debug)]
pub struct Shared(Link);

impl Shared {
    /// Creates state for one connection after the other.
    pub const fn new() -> Self {
        Self(Link::new())
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// A server that proved its identity in this handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedServer {
    valid_until: UnixTime,
    leaf: [u8; 32],
}

impl VerifiedServer {
    /// Returns the earliest notAfter of the server's path, at which the connection should end.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// Returns the SHA-256 hash of the server's certificate.
    pub fn leaf(&self) -> &[u8; 32] {
        &self.leaf
    }
}

/// An open connection to a server that proved its identity; no other type here can read or write.
pub struct Connection<'b, S: Read + Write + 'b> {
    tls: TlsConnection<'b, Guard<'b, S>, Aes128GcmSha256>,
    link: &'b Link,
    server: VerifiedServer,
}

impl<S: Read + Write> core::fmt::Debug for Connection<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Opens a connection.
///
/// # Errors
/// The reason for refusing the server, or a fault before the verdict. The socket is dropped.
pub async fn connect<'b, S, R, C>(
    socket: S,
    demand: &Demand<'_>,
    credential: Option<&mut C>,
    rng: &mut R,
    buffers: Buffers<'b>,
) -> Result<Connection<'b, S>, HandshakeError>
where
    S: Read + Write + 'b,
    R: CryptoRngCore,
    C: ClientCredential,
{
    buffers.shared.0 = Link::new();
    let link: &'b Link = &buffers.shared.0;
    let guard = Guard::new(socket, link, buffers.receive.len());
    let config = match demand.server.name {
        ServerName::Dns(name) => TlsConfig::new().with_server_name(name),
        // RFC 6066 section 3: an address is not a server_name
        ServerName::Ip(_) => TlsConfig::new(),
    };
    let mut provider = Provider {
        verifier: Verifier { demand, stage: Stage::NoCertificate, refusal: None },
        credential,
        rng,
        signing_failed: false,
    };
    let mut tls = TlsConnection::new(guard, buffers.receive, buffers.send);
    let opened = tls.open(TlsContext::new(&config, &mut provider)).await;
    // A refusal by this crate's verifier comes before the result of embedded-tls.
    if let Some(refusal) = provider.verifier.refusal {
        return Err(refusal);
    }
    match (opened, link.fault.get()) {
        (_, Some(fault)) => return Err(HandshakeError::Record(fault)),
        (Err(error), None) => return Err(error.into()),
        (Ok(()), None) => {}
    }
    let server = match provider.verifier.stage {
        Stage::Proven(server) => server,
        Stage::Certificate(_) => return Err(HandshakeError::NoCertificateVerify),
        Stage::NoCertificate => return Err(HandshakeError::NoCertificate),
    };
    if provider.signing_failed {
        return Err(HandshakeError::Signing);
    }
    link.epoch.set(Epoch::Open);
    Ok(Connection { tls, link, server })
}

impl<S: Read + Write> Connection<'_, S> {
    /// Returns the server.
    pub fn server(&self) -> &VerifiedServer {
        &self.server
    }

    fn error(&self, error: TlsError) -> ConnectionError {
        match (self.link.fault.get(), error) {
            (Some(RecordFault::Truncated), _) | (None, TlsError::IoError) => ConnectionError::Truncated,
            (Some(fault), _) => ConnectionError::Record(fault),
            (None, TlsError::Io(kind)) => ConnectionError::Io(kind),
            (None, other) => ConnectionError::Tls(other),
        }
    }

    /// Reads as [`Read::read`] does, or returns `None` once `until` is done and no record has begun to arrive, so
    /// nothing is lost. embedded-tls loses the received part of a record when a read is dropped, so a plain timeout
    /// around a read ends the connection.
    ///
    /// # Errors
    /// As [`Read::read`].
    pub async fn read_until(
        &mut self,
        out: &mut [u8],
        until: impl Future<Output = ()>,
    ) -> Result<Option<usize>, ConnectionError> {
        let link = self.link;
        let (mut read, mut until) = (pin!(self.read(out)), pin!(until));
        let mut over = false;
        poll_fn(|context| {
            if let Poll::Ready(outcome) = read.as_mut().poll(context) {
                return Poll::Ready(outcome.map(Some));
            }
            over = over || until.as_mut().poll(context).is_ready();
            if over && !link.in_record.get() { Poll::Ready(Ok(None)) } else { Poll::Pending }
        })
        .await
    }

    /// Sends close_notify (RFC 8446 section 6.1) and returns the socket.
    ///
    /// # Errors
    /// A failure to send close_notify.
    pub async fn close(self) -> Result<S, ConnectionError> {
        match self.tls.close().await {
            Ok(guard) => Ok(guard.into_socket()),
            Err((_, TlsError::Io(kind))) => Err(ConnectionError::Io(kind)),
            Err((_, other)) => Err(ConnectionError::Tls(other)),
        }
    }
}

impl<S: Read + Write> ErrorType for Connection<'_, S> {
    type Error = ConnectionError;
}

impl<S: Read + Write> Read for Connection<'_, S> {
    /// Returns 0 after the server's close_notify.
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, ConnectionError> {
        match self.tls.read(out).await {
            Ok(count) => Ok(count),
            Err(TlsError::ConnectionClosed) => Ok(0),
            // embedded-tls returns this error for an alert, and for nothing else that the guard passes on.
            Err(TlsError::InternalError) if self.link.fault.get().is_none() => Err(ConnectionError::Alert),
            Err(error) => Err(self.error(error)),
        }
    }
}

impl<S: Read + Write> Write for Connection<'_, S> {
    async fn write(&mut self, octets: &[u8]) -> Result<usize, ConnectionError> {
        self.tls.write(octets).await.map_err(|error| self.error(error))
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        self.tls.flush().await.map_err(|error| self.error(error))
    }
}

/// The proof that the server has given so far.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one on")]
enum Stage {
    NoCertificate,
    /// The chain is verified and for the right name.
    Certificate(Leaf),
    /// The CertificateVerify is verified too.
    Proven(VerifiedServer),
}

/// The data to verify a CertificateVerify with.
#[derive(Debug)]
struct Leaf {
    server: VerifiedServer,
    /// The hash of ClientHello to Certificate.
    transcript: Sha256,
    key: LeafKey,
}

#[derive(Debug)]
struct Verifier<'a> {
    demand: &'a Demand<'a>,
    stage: Stage,
    refusal: Option<HandshakeError>,
}

impl Verifier<'_> {
    fn chain(&self, transcript: &Sha256, entries: &[CertificateEntryRef<'_>]) -> Result<Leaf, HandshakeError> {
        if !matches!(self.stage, Stage::NoCertificate) {
            return Err(HandshakeError::UnexpectedMessage);
        }
        let mut entries = entries.iter().map(|entry| match entry {
            CertificateEntryRef::X509(der) | CertificateEntryRef::RawPublicKey(der) => *der,
        });
        let leaf = entries.next().ok_or(HandshakeError::NoCertificate)?;
        let leaf = Certificate::from_der(leaf).map_err(HandshakeError::Certificate)?;
        let mut sent = heapless::Vec::<_, MAX_SENT>::new();
        for (count, der) in entries.enumerate() {
            if count >= MAX_SENT {
                return Err(HandshakeError::TooManyCertificates);
            }
            // A certificate that does not parse cannot be part of a path.
            if let Ok(certificate) = Certificate::from_der(der) {
                let pushed = sent.push(certificate).is_ok();
                debug_assert!(pushed, "the number was checked");
            }
        }
        let demand = self.demand;
        let mut budget = Budget::new(demand.limits);
        let path = demand.trust.verify_at(&leaf, &sent, Purpose::ServerAuth, demand.now, &mut budget);
        let peer = demand.server.authorize(path.map_err(HandshakeError::Path)?).map_err(|denied| match denied {
            Denied::WrongServerName => HandshakeError::WrongServerName { found: FoundName::of(&leaf) },
            denied => HandshakeError::Denied(denied),
        })?;
        let server = VerifiedServer {
            valid_until: peer.path().valid_until(),
            leaf: Sha256::digest(peer.path().leaf().der()).into(),
        };
        let key = LeafKey::of(&leaf, demand.trust.algorithms)?;
        Ok(Leaf { server, transcript: transcript.clone(), key })
    }

    /// Verifies a CertificateVerify (RFC 8446 section 4.4.3).
    fn certificate_verify(&self, verify: &CertificateVerifyRef<'_>) -> Result<VerifiedServer, HandshakeError> {
        let Stage::Certificate(leaf) = &self.stage else { return Err(HandshakeError::UnexpectedMessage) };
        let scheme = match verify.signature_scheme {
            SignatureScheme::EcdsaSecp256r1Sha256 => 0x0403,
            SignatureScheme::EcdsaSecp384r1Sha384 => 0x0503,
            SignatureScheme::Ed25519 => 0x0807,
            _ => return Err(HandshakeError::SignatureScheme),
        };
        let transcript = leaf.transcript.clone().finalize().into();
        let algorithms = self.demand.trust.algorithms;
        leaf.key.verify(algorithms, possession::Signer::Server, &transcript, scheme, verify.signature)?;
        Ok(leaf.server)
    }

    /// Records the error, unless one is recorded already, and returns the alert for embedded-tls.
    fn refuse(&mut self, error: HandshakeError) -> TlsError {
        self.refusal.get_or_insert(error);
        TlsError::AbortHandshake(AlertLevel::Fatal, error.alert())
    }
}

impl TlsVerifier<Aes128GcmSha256> for Verifier<'_> {
    /// Does nothing: the name is in the demand.
    fn set_hostname_verification(&mut self, _hostname: &str) -> Result<(), TlsError> {
        Ok(())
    }

    fn verify_certificate(&mut self, transcript: &Sha256, certificate: CertificateRef<'_>) -> Result<(), TlsError> {
        match self.chain(transcript, &certificate.entries) {
            Ok(leaf) => self.stage = Stage::Certificate(leaf),
            Err(error) => return Err(self.refuse(error)),
        }
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        match self.certificate_verify(&verify) {
            Ok(server) => self.stage = Stage::Proven(server),
            Err(error) => return Err(self.refuse(error)),
        }
        Ok(())
    }
}

struct Provider<'a, R, C> {
    verifier: Verifier<'a>,
    credential: Option<&'a mut C>,
    rng: &'a mut R,
    signing_failed: bool,
}

impl<R: CryptoRngCore, C: ClientCredential> CryptoProvider for Provider<'_, R, C> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = EcdsaSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut *self.rng
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.verifier)
    }

    fn signer(&mut self) -> Result<(impl signature::SignerMut<EcdsaSignature>, SignatureScheme), TlsError> {
        let credential = self.credential.as_deref_mut().ok_or(TlsError::InvalidPrivateKey)?;
        let signer = Signer { credential, failed: &mut self.signing_failed };
        Ok((signer, SignatureScheme::EcdsaSecp256r1Sha256))
    }

    /// Returns the client's certificate once the server has proved its identity.
    fn client_cert(&mut self) -> Option<OwnCertificate<impl AsRef<[u8]>>> {
        let proven = matches!(self.verifier.stage, Stage::Proven(_));
        let credential = self.credential.as_deref().filter(|_| proven)?;
        Some(OwnCertificate::X509(credential.certificate()))
    }
}

struct Signer<'a, C> {
    credential: &'a mut C,
    failed: &'a mut bool,
}

impl<C: ClientCredential> signature::SignerMut<EcdsaSignature> for Signer<'_, C> {
    /// Signs the message. embedded-tls panics on an error, so an empty signature is sent and the handshake fails.
    fn try_sign(&mut self, message: &[u8]) -> Result<EcdsaSignature, signature::Error> {
        let signature = self.credential.sign(message);
        *self.failed |= signature.is_none();
        Ok(signature.unwrap_or_default())
    }
}
