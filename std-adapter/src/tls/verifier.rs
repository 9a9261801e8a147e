//! rustls's verifier traits over the core's decision; rustls's own verifier is nowhere used.

use std::fmt;
use std::sync::Arc;

use edgetrust_core::identity::{AuthorizedPeer, Denied, ServerName as CoreServerName};
use edgetrust_core::path::{PathError, Place, Purpose, Role, VerifiedPath};
use edgetrust_core::x509::{Certificate, ParseError};
use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

use super::alert::refuse;
use super::handshake::Handshake;
use super::peer::Peer;
use super::server_name::WrongServerName;
use super::sessions::Horizon;
use super::trust::{Generation, TrustStore};
use super::verdicts::{Verdict, Verdicts};
use super::{Authority, AuthorityRole};
use crate::clock;

/// Certificates that a peer may show, its own among them. Chains in use have two to four.
pub const MAX_CERTIFICATES: usize = 16;

/// Why the core refused a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer showed so many certificates, more than [`MAX_CERTIFICATES`].
    TooManyCertificates(usize),
    /// The peer's own certificate does not parse.
    Parse(ParseError),
    /// No path, or none that holds.
    Path(PathError),
    /// No path to a CA, and what could have been part of one does not parse.
    Unparsed(PathError, UnparsedCertificate),
    /// A path, but to a server of other names.
    ServerName(WrongServerName),
    /// A path, but no permission.
    Denied(Denied),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("the peer showed no certificate"),
            Self::TooManyCertificates(shown) => {
                write!(f, "the peer showed {shown} certificates, expected at most {MAX_CERTIFICATES}")
            }
            Self::Parse(error) => write!(f, "the peer's certificate {error}"),
            Self::Path(error) => error.fmt(f),
            Self::Unparsed(error, UnparsedCertificate { place, shown, fault }) => {
                write!(f, "{error}; certificate {place} of {shown} does not parse, and is passed over: {fault}")
            }
            Self::ServerName(names) => write!(f, "the peer is not let in: {names}"),
            Self::Denied(denied) => write!(f, "the peer is not let in: {denied}"),
        }
    }
}

impl std::error::Error for Refusal {}

static NO_CERTIFICATE: Refusal = Refusal::NoCertificate;

/// The core's reason inside a rustls error, if the core was the one to refuse; that no certificate was shown, rustls sees by itself.
pub fn refusal(error: &Error) -> Option<&Refusal> {
    match error {
        Error::NoCertificatesPresented => Some(&NO_CERTIFICATE),
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause.downcast_ref(),
        _ => None,
    }
}

/// A certificate beside the peer's own that does not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnparsedCertificate {
    /// Its place among those that were shown: 1 is the peer's own.
    pub place: usize,
    /// How many were shown.
    pub shown: usize,
    /// What is wrong with it.
    pub fault: ParseError,
}

/// The certificates beside the leaf that parse, and the first that does not: it cannot be part of a path.
fn parse_sent<'a>(sent: &'a [CertificateDer<'_>]) -> (Vec<Certificate<'a>>, Option<UnparsedCertificate>) {
    let (mut parsed, mut unparsed) = (Vec::with_capacity(sent.len()), None);
    let shown = sent.len().saturating_add(1);
    for (place, der) in (2_usize..).zip(sent) {
        match Certificate::from_der(der) {
            Ok(certificate) => parsed.push(certificate),
            Err(fault) => unparsed = unparsed.or(Some(UnparsedCertificate { place, shown, fault })),
        }
    }
    (parsed, unparsed)
}

/// What does not parse is said where the path ends for want of an issuer, and nowhere else.
fn no_path(error: PathError, unparsed: Option<UnparsedCertificate>) -> Refusal {
    match unparsed {
        Some(unparsed) if error.kind.is_unknown_issuer() => Refusal::Unparsed(error, unparsed),
        _ => Refusal::Path(error),
    }
}

/// Believes every server: what `insecure_skip_verify` asks for. Its name is the warning.
#[derive(Debug)]
pub(super) struct DangerNoVerification {
    pub(super) provider: Arc<CryptoProvider>,
}

macro_rules! handshake_signatures {
    ($($provider:ident).+) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.$($provider).+.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.$($provider).+.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$($provider).+.signature_verification_algorithms.supported_schemes()
        }
    };
}

/// What both sides judge with: one generation of trust, and what was decided under it.
#[derive(Debug)]
struct Judge {
    store: Arc<TrustStore>,
    trust: Arc<Generation>,
    verdicts: Verdicts,
    horizon: Arc<Horizon>,
    provider: Arc<CryptoProvider>,
}

impl Judge {
    fn new(store: &Arc<TrustStore>, provider: Arc<CryptoProvider>) -> Self {
        Self {
            store: store.clone(),
            trust: store.current(),
            verdicts: Verdicts::new(&provider),
            horizon: Arc::default(),
            provider,
        }
    }

    /// Whether its generation is still the store's.
    fn is_current(&self) -> bool {
        self.store.generation_number() == self.trust.number
    }

    /// The whole decision: path, then permission, which is for this `name` where one is asked for.
    fn judge(
        &self,
        name: &[u8],
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
        authorize: impl for<'p> FnOnce(VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied>,
    ) -> Result<Verdict, Refusal> {
        let shown = sent.len().saturating_add(1);
        if shown > MAX_CERTIFICATES {
            return Err(Refusal::TooManyCertificates(shown));
        }
        let evidence = self.verdicts.evidence(name, leaf, sent);
        if let Some(known) = self.verdicts.recall(evidence, now) {
            return Ok(known);
        }
        let leaf = Certificate::from_der(leaf).map_err(Refusal::Parse)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let (sent, unparsed) = parse_sent(sent);
        let path = self.trust.verify(algorithms, &leaf, &sent, purpose, now);
        let path = path.map_err(|error| no_path(error, unparsed))?;
        let intermediates = shown_intermediates(&path, &sent);
        let proof = authorize(path).map_err(|denied| match denied {
            Denied::WrongServerName => Refusal::ServerName(WrongServerName::new(&String::from_utf8_lossy(name), &leaf)),
            denied => Refusal::Denied(denied),
        })?;
        let rule = self.trust.peers.rule(&proof).map(ToString::to_string);
        Ok(Verdict::new(evidence, now, Peer::new(&proof, rule), intermediates))
    }

    /// The peer of this verdict has proved its key: only now may it be remembered, and cut the time of sessions short.
    fn admit(&self, mut verdict: Verdict) -> Arc<Peer> {
        self.store.meet(self.trust.number, std::mem::take(&mut verdict.intermediates));
        self.verdicts.remember(&verdict);
        self.horizon.note(verdict.peer.valid_until());
        verdict.peer
    }
}

/// The certificates of a path that came with the peer's own.
fn shown_intermediates(path: &VerifiedPath<'_>, sent: &[Certificate<'_>]) -> Vec<Authority> {
    let shown = path.issuers().iter().filter_map(|place| match place {
        Place::Sent(index) => sent.get(usize::from(*index)),
        Place::Anchor(_) | Place::Known(_) => None,
    });
    shown.map(|certificate| Authority::new(AuthorityRole::PeerIntermediate, certificate)).collect()
}

/// Octets of CA names in a CertificateRequest. A handshake message of more than 64 KiB is refused by every client, and many take less.
const MAX_HINTS: usize = 16 * 1024;

/// Judges clients.
#[derive(Debug)]
pub struct ClientVerifier {
    judge: Judge,
    mandatory: bool,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    /// A verifier over the store's generation of now: a configuration made from it keeps that one, with sessions of its own.
    pub fn new(store: &Arc<TrustStore>, mandatory: bool, provider: Arc<CryptoProvider>) -> Self {
        let judge = Judge::new(store, provider);
        // A client looks for a certificate that one of these has issued.
        let issuers = judge.trust.anchors().iter().map(|anchor| match anchor.role() {
            Role::Ca => anchor.certificate().subject(),
            Role::Pin => anchor.certificate().issuer(),
        });
        let mut hints: Vec<_> = issuers.map(|name| DistinguishedName::in_sequence(name.as_bytes())).collect();
        // RFC 8446 section 4.2.4: the list helps a client to choose a certificate, and may be left out.
        if hints.iter().map(|name| name.as_ref().len().saturating_add(2)).sum::<usize>() > MAX_HINTS {
            hints.clear();
        }
        Self { judge, mandatory, hints }
    }

    pub(super) fn is_current(&self) -> bool {
        self.judge.is_current()
    }

    pub(super) fn horizon(&self) -> &Arc<Horizon> {
        &self.judge.horizon
    }

    fn judge(&self, leaf: &CertificateDer<'_>, sent: &[CertificateDer<'_>], now: UnixTime) -> Result<Verdict, Refusal> {
        let peers = &self.judge.trust.peers;
        self.judge.judge(b"", leaf, sent, Purpose::ClientAuth, now, |path| peers.authorize(path))
    }

    /// Lets in a client whose handshake is finished, by the verdict of that handshake.
    #[cfg(feature = "tokio")]
    pub(super) fn admit_judged(&self, verdict: Verdict) -> Arc<Peer> {
        self.judge.admit(verdict)
    }

    /// Judges a client of a finished handshake, now. A resumed session shows no certificate anew, so rustls asks no verifier
    /// (RFC 8446 section 4.6.1); what the first handshake showed may have expired since.
    ///
    /// # Errors
    /// Why it is not, or no longer, let in.
    pub fn admit(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<Option<Arc<Peer>>, Refusal> {
        match shown.and_then(<[_]>::split_first) {
            Some((leaf, sent)) => self.judge(leaf, sent, clock::now()).map(|verdict| Some(self.judge.admit(verdict))),
            None if self.mandatory => Err(Refusal::NoCertificate),
            None => Ok(None),
        }
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
        let verdict = self.judge(leaf, sent, now).map_err(|refusal| refuse(refusal, leaf))?;
        Handshake::tell(|handshake| handshake.judged = Some(verdict));
        Ok(ClientCertVerified::assertion())
    }

    handshake_signatures!(judge.provider);
}

/// Judges servers.
#[derive(Debug)]
pub struct ServerVerifier {
    judge: Judge,
}

impl ServerVerifier {
    /// A verifier over the store's generation of now.
    pub fn new(store: &Arc<TrustStore>, provider: Arc<CryptoProvider>) -> Self {
        Self { judge: Judge::new(store, provider) }
    }

    pub(super) fn is_current(&self) -> bool {
        self.judge.is_current()
    }

    pub(super) fn horizon(&self) -> &Arc<Horizon> {
        &self.judge.horizon
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Verdict, Refusal> {
        let text = server_name.to_str();
        self.judge.judge(text.as_bytes(), leaf, sent, Purpose::ServerAuth, now, |path| {
            let name = match server_name {
                ServerName::DnsName(name) => CoreServerName::Dns(name.as_ref()),
                ServerName::IpAddress(address) => CoreServerName::Ip((*address).into()),
                _ => return Err(Denied::MalformedServerName),
            };
            name.authorize(path)
        })
    }

    /// Believes a server whose handshake is finished, by the verdict of that handshake.
    #[cfg(feature = "tokio")]
    pub(super) fn admit_judged(&self, verdict: Verdict) -> Arc<Peer> {
        self.judge.admit(verdict)
    }

    /// Judges a server of a finished handshake, now; a resumed session shows no certificate anew.
    ///
    /// # Errors
    /// Why it is not, or no longer, believed.
    pub fn admit(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
        server_name: &ServerName<'_>,
    ) -> Result<Arc<Peer>, Refusal> {
        match shown.and_then(<[_]>::split_first) {
            Some((leaf, sent)) => {
                self.judge(leaf, sent, server_name, clock::now()).map(|verdict| self.judge.admit(verdict))
            }
            None => Err(Refusal::NoCertificate),
        }
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
        let verdict = self.judge(leaf, sent, server_name, now).map_err(|refusal| refuse(refusal, leaf))?;
        Handshake::tell(|handshake| handshake.judged = Some(verdict));
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!(judge.provider);
}

impl ServerCertVerifier for DangerNoVerification {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _sent: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!(provider);
}
