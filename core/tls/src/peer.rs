//! The verdict on a peer: only core makes the proof of it.

use edgetrust_core::identity::{AuthorizedPeer, Denied, PeerPolicy, ServerPolicy};
use edgetrust_core::path::{Budget, Limits, Purpose, Trust, VerifiedPath};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::possession::LeafKey;
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use sha2::{Digest, Sha256};

use crate::error::{Error, Fault, Refusal};
use crate::limits::MAX_SENT;
use crate::message::certificate::Entries;

/// The requirements on a peer.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a, P> {
    /// The anchors, known intermediates and algorithms.
    pub trust: Trust<'a>,
    /// A [`ServerPolicy`] for clients, a [`PeerPolicy`] for servers.
    pub policy: P,
    /// The time, as far as it is known.
    pub now: TrustedTime,
    /// The limits on the work of the verdict.
    pub limits: Limits,
    /// The generation of all that the verdict comes from: the trust, the policy, and what it denies. Another number
    /// makes a session that was opened under this one unfit for resumption.
    pub generation: u32,
}

/// A policy that decides on a verified peer.
pub trait Policy {
    /// The purpose that the path is verified for.
    const PURPOSE: Purpose;

    /// Decides.
    ///
    /// # Errors
    /// The reason that the peer is not let in.
    fn authorize<'p>(&self, path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied>;
}

impl Policy for ServerPolicy<'_> {
    const PURPOSE: Purpose = Purpose::ServerAuth;

    fn authorize<'p>(&self, path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        ServerPolicy::authorize(self, path)
    }
}

impl Policy for PeerPolicy<'_> {
    const PURPOSE: Purpose = Purpose::ClientAuth;

    fn authorize<'p>(&self, path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        PeerPolicy::authorize(self, path)
    }
}

/// A peer that was authorized in this handshake, or in the one whose session was resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    leaf: [u8; 32],
    valid_until: UnixTime,
    rule: Option<u16>,
    generation: u32,
}

impl Peer {
    #[inline(never)]
    fn of(peer: &AuthorizedPeer<'_>, generation: u32) -> Self {
        Self {
            leaf: Sha256::digest(peer.path().leaf().der()).into(),
            valid_until: peer.path().valid_until(),
            rule: peer.rule(),
            generation,
        }
    }

    /// Returns the SHA-256 hash of the peer's certificate.
    pub fn leaf(&self) -> &[u8; 32] {
        &self.leaf
    }

    /// Returns the earliest notAfter of the peer's path, at which the connection should end.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// Returns the index of the rule that admitted the peer, or `None` if the policy has no list.
    pub fn rule(&self) -> Option<u16> {
        self.rule
    }

    /// Returns the [`Demand::generation`] under which the peer was authorized.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns whether the verdict still stands: the same generation, and a time at which the path is valid.
    #[cfg(feature = "resumption")]
    pub(crate) fn stands<P>(&self, demand: &Demand<'_, P>) -> bool {
        let is_valid = matches!(demand.now, TrustedTime::Known(now) if now <= self.valid_until);
        is_valid && self.generation == demand.generation
    }
}

/// What a chain has shown: its peer is authorized, and has yet to prove that it has the key.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) peer: Peer,
    pub(crate) key: LeafKey,
}

/// Judges the certificates of a message; `None` if there are none. `admitted` sees the proof.
pub(crate) fn judge<P: Policy>(
    mut entries: Entries<'_>,
    demand: &Demand<'_, P>,
    admitted: &mut dyn FnMut(&AuthorizedPeer<'_>),
) -> Result<Option<Shown>, Error> {
    let refused = |refusal| Error::Refused(refusal);
    let Some(leaf) = entries.next()? else { return Ok(None) };
    let leaf = Certificate::from_der(leaf).map_err(|error| refused(Refusal::Certificate(error)))?;
    let mut sent = heapless::Vec::<_, MAX_SENT>::new();
    let mut count = 0_usize;
    while let Some(der) = entries.next()? {
        count = count.saturating_add(1);
        if count > MAX_SENT {
            return Err(refused(Refusal::TooMany));
        }
        // A certificate that does not parse cannot be part of a path.
        if let Ok(certificate) = Certificate::from_der(der) {
            sent.push(certificate).map_err(|_| refused(Refusal::TooMany))?;
        }
    }
    let key = LeafKey::of(&leaf, demand.trust.algorithms).map_err(|_| refused(Refusal::Key))?;
    let mut budget = Budget::new(demand.limits);
    let path = demand.trust.verify_at(&leaf, &sent, P::PURPOSE, demand.now, &mut budget);
    let path = path.map_err(|error| refused(Refusal::Path(error)))?;
    let peer = demand.policy.authorize(path).map_err(|denied| refused(Refusal::Denied(denied)))?;
    admitted(&peer);
    Ok(Some(Shown { peer: Peer::of(&peer, demand.generation), key }))
}

impl Shown {
    /// Verifies a CertificateVerify (RFC 8446 section 4.4.3), which proves the key.
    #[inline(never)]
    pub(crate) fn prove<P>(
        self,
        demand: &Demand<'_, P>,
        signer: edgetrust_core::possession::Signer,
        transcript: &[u8; 32],
        scheme: u16,
        signature: &[u8],
    ) -> Result<Peer, Error> {
        use edgetrust_core::possession::PossessionError;
        match self.key.verify(demand.trust.algorithms, signer, transcript, scheme, signature) {
            Ok(()) => Ok(self.peer),
            Err(PossessionError::SignatureScheme) => Err(Error::Peer(Fault::Illegal("algorithm"))),
            Err(PossessionError::BadSignature) => Err(Error::Peer(Fault::CertificateVerify)),
        }
    }
}
