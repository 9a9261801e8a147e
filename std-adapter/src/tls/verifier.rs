//! Implements rustls's verifier traits with the core's decision; rustls's own verifier is not used.

use std::sync::Arc;

use edgetrust_core::identity::{AuthorizedPeer, Denied, ServerName as CoreServerName, ServerPolicy};
use edgetrust_core::path::{PathError, Place, Purpose, Role, VerifiedPath};
use edgetrust_core::x509::Certificate;
#[cfg(feature = "cli")]
use edgetrust_core::x509::KeyHash;
use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::alert::refuse;
use super::handshake::Handshake;
use super::peer::Peer;
use super::refusal::{MAX_CERTIFICATES, Refusal, UnparsedCertificate};
use super::server_name::WrongServerName;
use super::sessions::Horizon;
use super::trust::{Generation, TrustStore};
use super::verdicts::{Verdict, Verdicts};
use super::{Admission, Anyone, Authority, AuthorityRole};
use crate::clock;

/// Returns the certificates after the leaf that parse, and the first that does not: it cannot be part of a path.
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

/// Returns the refusal for a missing path; names the unparsed certificate only if an issuer was not found.
fn no_path(error: PathError, unparsed: Option<UnparsedCertificate>) -> Refusal {
    match unparsed {
        Some(unparsed) if error.kind.is_unknown_issuer() => Refusal::Unparsed(error, unparsed),
        _ => Refusal::Path(error),
    }
}

/// Accepts every server without verification, as `insecure_skip_verify` requests. The name is the warning.
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

/// Judges the peers of both sides by one generation of trust, and remembers verdicts under it.
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

    /// Returns whether the judge's generation is still the store's.
    fn is_current(&self) -> bool {
        self.store.generation_number() == self.trust.number
    }

    /// Decides on a peer: verifies the path, then authorizes. `name` is the requested server name; empty for clients.
    fn decide(
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
        // A session may be judged at its certificates' last second. What is revoked since is revoked.
        let lists_now = if self.trust.has_lists() { now.max(clock::now()) } else { now };
        if let Some(known) = self.verdicts.recall(evidence, now, lists_now) {
            return Ok(known);
        }
        let leaf = Certificate::from_der(leaf).map_err(Refusal::Parse)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let (sent, unparsed) = parse_sent(sent);
        let path = self.trust.verify(algorithms, &leaf, &sent, purpose, (now, lists_now));
        let path = path.map_err(|error| no_path(error, unparsed))?;
        let proof = authorize(path).map_err(|denied| match denied {
            Denied::WrongServerName => Refusal::ServerName(WrongServerName::new(&String::from_utf8_lossy(name), &leaf)),
            denied => Refusal::Denied(denied),
        })?;
        let intermediates = shown_intermediates(proof.path(), &sent);
        let rule = self.trust.clients.rule(&proof).map(ToString::to_string);
        let (keys, anchor) = (self.trust.keys(proof.path(), &sent), self.trust.anchor(proof.path()));
        Ok(Verdict::new(evidence, now, Peer::new(&proof, rule, keys, anchor), intermediates))
    }

    /// Admits a verdict's peer, which has proved its key: only now may the peer be remembered, and limit sessions'
    /// time.
    fn admit(&self, mut verdict: Verdict) -> Arc<Peer> {
        self.store.meet(self.trust.number, std::mem::take(&mut verdict.intermediates));
        self.verdicts.remember(&verdict);
        self.horizon.note(verdict.peer.verdict_until());
        verdict.peer
    }
}

/// Returns the intermediates of a path that the peer sent.
fn shown_intermediates(path: &VerifiedPath<'_>, sent: &[Certificate<'_>]) -> Vec<Authority> {
    let shown = path.issuers().iter().filter_map(|place| match place {
        Place::Sent(index) => sent.get(usize::from(*index)),
        Place::Anchor(_) | Place::Known(_) => None,
    });
    shown.map(|certificate| Authority::new(AuthorityRole::PeerIntermediate, certificate)).collect()
}

/// The maximum octets of CA names in a CertificateRequest. Every client refuses a handshake message above 64 KiB, and
/// many accept less.
const MAX_HINTS: usize = 16 * 1024;

/// Verifies and authorizes clients.
#[derive(Debug)]
pub struct ClientVerifier {
    judge: Judge,
    mandatory: bool,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    /// Creates a verifier for the store's current generation. A configuration made from the verifier keeps that
    /// generation, with sessions of its own.
    pub fn new(store: &Arc<TrustStore>, mandatory: bool, provider: Arc<CryptoProvider>) -> Self {
        let judge = Judge::new(store, provider);
        // A client looks for a certificate that one of these issuers has issued.
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

    fn verdict(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Verdict, Refusal> {
        let clients = &self.judge.trust.clients;
        self.judge.decide(b"", leaf, sent, Purpose::ClientAuth, now, |path| clients.authorize(path))
    }

    /// Returns the first of these keys that is denied at a time.
    #[cfg(feature = "cli")]
    pub(super) fn denied<'k>(&self, keys: &'k [KeyHash], now: UnixTime) -> Option<&'k KeyHash> {
        self.judge.trust.denied(keys, now)
    }

    /// Admits a client whose handshake is finished, by the verdict of that handshake.
    #[cfg(feature = "tokio")]
    pub(super) fn admit_judged(&self, verdict: Verdict) -> Arc<Peer> {
        self.judge.admit(verdict)
    }

    /// Judges the client of a finished handshake at the current time. A resumed session shows no certificate again, so
    /// rustls calls no verifier (RFC 8446 section 4.6.1); earlier certificates may have expired since.
    ///
    /// # Errors
    /// Returns why the client is not authorized.
    pub fn admit(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<Admission, Refusal> {
        self.admit_at(shown, clock::now())
    }

    /// Returns the hash of the key that issued an authorized client's certificate; `None` for one that is pinned.
    ///
    /// # Errors
    /// Returns why the client is not authorized.
    #[cfg(feature = "cli")]
    pub(crate) fn issuer_key(&self, shown: &[CertificateDer<'_>]) -> Result<Option<KeyHash>, Refusal> {
        let (leaf, sent) = shown.split_first().ok_or(Refusal::NoCertificate)?;
        let leaf = Certificate::from_der(leaf).map_err(Refusal::Parse)?;
        let algorithms = self.judge.provider.signature_verification_algorithms.all;
        let (sent, unparsed) = parse_sent(sent);
        let now = clock::now();
        let path = self.judge.trust.verify(algorithms, &leaf, &sent, Purpose::ClientAuth, (now, now));
        let path = path.map_err(|error| no_path(error, unparsed))?;
        Ok(path.issuer_key().map(KeyHash::of))
    }

    /// Judges as [`ClientVerifier::admit`] does, at another time.
    pub(super) fn admit_at(&self, shown: Option<&[CertificateDer<'_>]>, now: UnixTime) -> Result<Admission, Refusal> {
        match shown.and_then(<[_]>::split_first) {
            Some((leaf, sent)) => {
                self.verdict(leaf, sent, now).map(|verdict| Admission::Peer(self.judge.admit(verdict)))
            }
            None if self.mandatory => Err(Refusal::NoCertificate),
            None => Ok(Anyone::admitted()),
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
        let verdict = self.verdict(leaf, sent, now).map_err(|refusal| refuse(refusal, leaf))?;
        Handshake::tell(|handshake| handshake.judged = Some(verdict));
        Ok(ClientCertVerified::assertion())
    }

    handshake_signatures!(judge.provider);
}

/// Verifies and authorizes servers.
#[derive(Debug)]
pub struct ServerVerifier {
    judge: Judge,
}

impl ServerVerifier {
    /// Creates a verifier for the store's current generation.
    pub fn new(store: &Arc<TrustStore>, provider: Arc<CryptoProvider>) -> Self {
        Self { judge: Judge::new(store, provider) }
    }

    pub(super) fn is_current(&self) -> bool {
        self.judge.is_current()
    }

    pub(super) fn horizon(&self) -> &Arc<Horizon> {
        &self.judge.horizon
    }

    fn verdict(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Verdict, Refusal> {
        let text = server_name.to_str();
        self.judge.decide(text.as_bytes(), leaf, sent, Purpose::ServerAuth, now, |path| {
            let name = match server_name {
                ServerName::DnsName(name) => CoreServerName::Dns(name.as_ref()),
                ServerName::IpAddress(address) => CoreServerName::Ip((*address).into()),
                _ => return Err(Denied::MalformedServerName),
            };
            ServerPolicy { name, issuers: self.judge.trust.server_issuers() }.authorize(path)
        })
    }

    /// Returns the first of these keys that is denied at a time.
    #[cfg(feature = "cli")]
    pub(super) fn denied<'k>(&self, keys: &'k [KeyHash], now: UnixTime) -> Option<&'k KeyHash> {
        self.judge.trust.denied(keys, now)
    }

    /// Admits a server whose handshake is finished, by the verdict of that handshake.
    #[cfg(feature = "tokio")]
    pub(super) fn admit_judged(&self, verdict: Verdict) -> Arc<Peer> {
        self.judge.admit(verdict)
    }

    /// Judges the server of a finished handshake at the current time; a resumed session shows no certificate again.
    ///
    /// # Errors
    /// Returns why the server is not authorized.
    pub fn admit(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
        server_name: &ServerName<'_>,
    ) -> Result<Arc<Peer>, Refusal> {
        self.admit_at(shown, server_name, clock::now())
    }

    /// Judges as [`ServerVerifier::admit`] does, at another time.
    pub(super) fn admit_at(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Arc<Peer>, Refusal> {
        match shown.and_then(<[_]>::split_first) {
            Some((leaf, sent)) => self.verdict(leaf, sent, server_name, now).map(|verdict| self.judge.admit(verdict)),
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
        let verdict = self.verdict(leaf, sent, server_name, now).map_err(|refusal| refuse(refusal, leaf))?;
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
