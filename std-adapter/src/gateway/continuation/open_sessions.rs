//! The open sessions of a gateway that may be continued: those accepted here, and those dialed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use super::certificates::NotContinued;
use super::message::{ContinueAnswer, ContinueRequest, MAX_SESSIONS};
use super::proof::{Binding, End, SessionId, SessionKeys};
use crate::clock;
use crate::gateway::Address;
use crate::tls::Credential;

/// The least time between two attempts to continue a session, and the time after one whose certificates have expired.
const LEAST_WAIT: Duration = Duration::from_secs(5);
const EXPIRED_WAIT: Duration = Duration::from_secs(60);
/// The time for a session's own task to judge certificates.
const PATIENCE: Duration = Duration::from_secs(5);

/// The certificates that the other end has shown and proved on a control connection, its own first.
pub(in crate::gateway) type Chain = Arc<[CertificateDer<'static>]>;

/// The address and the name of the gateway at the other end of dialed sessions.
pub(in crate::gateway) type PeerAddress = (Address, ServerName<'static>);

/// The open sessions. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct OpenSessions(Arc<Mutex<Sessions>>);

#[derive(Debug, Default)]
struct Sessions {
    accepted: HashMap<SessionId, Arc<OpenSession>>,
    dialed: HashMap<PeerAddress, HashMap<SessionId, DialedSession>>,
}

/// A session, as control connections see it.
pub(in crate::gateway) struct OpenSession {
    keys: SessionKeys,
    offered: Mutex<Option<Offer>>,
    notify: Notify,
}

impl fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenSession")
    }
}

/// Certificates for a session to judge.
pub(in crate::gateway) struct Offer {
    pub(in crate::gateway) chain: Chain,
    judged: oneshot::Sender<Result<UnixTime, NotContinued>>,
}

impl Offer {
    /// Answers with the last second at which the certificates are valid, or why the session does not go on with them.
    pub(in crate::gateway) fn answer(self, judged: Result<UnixTime, NotContinued>) {
        // Whoever asked may have left meanwhile.
        let _ = self.judged.send(judged);
    }
}

/// A session that was dialed.
#[derive(Debug)]
struct DialedSession {
    session: Arc<OpenSession>,
    /// Our own certificate that the listener has seen last.
    shown: Option<Shown>,
    /// The time until which both ends authorize each other.
    until: UnixTime,
    next: Instant,
}

/// The digest of an own certificate.
type Shown = [u8; 32];

/// Returns the digest of the certificate that a credential shows now.
fn shown(credential: Option<&Credential>) -> Option<Shown> {
    let chain = credential?.chain();
    chain.first().map(|leaf| Sha256::digest(leaf).into())
}

/// Returns when to try to continue a session again that is authorized until a time: at half of what is left.
fn next_attempt(until: UnixTime) -> Instant {
    let left = Duration::from_secs(until.as_secs().saturating_sub(clock::now().as_secs()));
    let wait = if left.is_zero() { EXPIRED_WAIT } else { (left / 2).max(LEAST_WAIT) };
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}

impl OpenSession {
    /// Waits for certificates to judge.
    pub(in crate::gateway) async fn offer(&self) -> Offer {
        loop {
            if let Some(offer) = self.offered.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return offer;
            }
            self.notify.notified().await;
        }
    }

    /// Has the session's own task judge certificates. Those of an earlier request that still wait are given up.
    async fn judge(&self, chain: Chain) -> Result<UnixTime, NotContinued> {
        let (judged, answer) = oneshot::channel();
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Offer { chain, judged });
        self.notify.notify_one();
        match timeout(PATIENCE, answer).await {
            Ok(Ok(judged)) => judged,
            Ok(Err(_)) | Err(_) => Err(NotContinued::Over),
        }
    }
}

/// A session that is there for control connections while this is held.
#[derive(Debug)]
pub(in crate::gateway) struct Registered {
    sessions: OpenSessions,
    session: Arc<OpenSession>,
    /// The other end of a dialed session.
    dialed: Option<PeerAddress>,
}

impl Registered {
    pub(in crate::gateway) fn session(&self) -> &OpenSession {
        &self.session
    }

    /// Returns the part of a session's greatest age at which it ends: all of it, or up to a tenth less, so that sessions
    /// that began together do not end together. Both ends come to the same.
    pub(in crate::gateway) fn age(&self, max: Duration) -> Duration {
        let [first, ..] = self.session.keys.id().0;
        max.saturating_sub((max / 2560).saturating_mul(u32::from(first)))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let id = self.session.keys.id();
        let mut sessions = self.sessions.lock();
        let Some(peer) = &self.dialed else {
            sessions.accepted.remove(&id);
            return;
        };
        if let Some(there) = sessions.dialed.get_mut(peer) {
            there.remove(&id);
            if there.is_empty() {
                sessions.dialed.remove(peer);
            }
        }
    }
}

impl OpenSessions {
    /// Locks the sessions. A panic elsewhere leaves no partial entry.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registered(&self, session: &Arc<OpenSession>, dialed: Option<PeerAddress>) -> Registered {
        Registered { sessions: self.clone(), session: session.clone(), dialed }
    }

    /// Adds a session that was accepted here.
    pub(in crate::gateway) fn accept(&self, keys: SessionKeys) -> Registered {
        let session = Arc::new(OpenSession::new(keys));
        self.lock().accepted.insert(session.keys.id(), session.clone());
        self.registered(&session, None)
    }

    /// Adds a session that was dialed, with the credential that the listener has seen, and the time until which the
    /// listener's certificates are valid.
    pub(in crate::gateway) fn dial(
        &self,
        keys: SessionKeys,
        peer: PeerAddress,
        credential: Option<&Credential>,
        until: UnixTime,
    ) -> Registered {
        let session = Arc::new(OpenSession::new(keys));
        let own_until = credential.and_then(Credential::validity).map_or(until, |(_, not_after)| not_after);
        let until = until.min(own_until);
        let next = next_attempt(until);
        let dialed = DialedSession { session: session.clone(), shown: shown(credential), until, next };
        self.lock().dialed.entry(peer.clone()).or_default().insert(session.keys.id(), dialed);
        self.registered(&session, Some(peer))
    }

    /// Returns whether sessions with a peer are to be continued now: our own certificate is another one, or half of the
    /// time that was left has passed.
    pub(in crate::gateway) fn is_due(&self, peer: &PeerAddress, credential: Option<&Credential>) -> bool {
        let (now, shown) = (Instant::now(), shown(credential));
        let due = |one: &DialedSession| one.next <= now || one.shown != shown;
        self.lock().dialed.get(peer).is_some_and(|there| there.values().any(due))
    }

    /// Begins to continue all sessions with a peer, which has just been shown the credential. Those that the peer does
    /// not answer for wait for the next time that is half of what is left.
    pub(in crate::gateway) fn attempt(&self, peer: &PeerAddress, credential: Option<&Credential>) -> Vec<Attempt> {
        let shown = shown(credential);
        let mut sessions = self.lock();
        let Some(there) = sessions.dialed.get_mut(peer) else { return Vec::new() };
        for one in there.values_mut() {
            (one.shown, one.next) = (shown, next_attempt(one.until));
        }
        let all: Vec<_> = there.values().map(|one| one.session.clone()).collect();
        drop(sessions);
        all.chunks(MAX_SESSIONS).map(|part| Attempt(part.to_vec())).collect()
    }

    /// Continues the sessions whose listener has proved that it is theirs, with the certificates that it has shown.
    /// Returns the number of those that go on, and why another one does not.
    pub(in crate::gateway) async fn conclude(
        &self,
        peer: &PeerAddress,
        attempt: &Attempt,
        answer: &ContinueAnswer,
        binding: &Binding,
        chain: &Chain,
    ) -> (usize, Option<NotContinued>) {
        let (mut continued, mut refused) = (0_usize, None);
        let answered = attempt.0.iter().zip(&answer.0).filter_map(|(session, outcome)| Some((session, (*outcome)?)));
        let judged = answered.map(async |(session, (proof, until))| {
            if !session.keys.verifies(End::Listener, binding, &proof) {
                return (session, Err(NotContinued::Proof));
            }
            (session, session.judge(chain.clone()).await.map(|own| own.min(until)))
        });
        for (session, judged) in futures_util::future::join_all(judged).await {
            match judged {
                Ok(until) => {
                    continued = continued.saturating_add(1);
                    let mut sessions = self.lock();
                    let there = sessions.dialed.get_mut(peer);
                    if let Some(dialed) = there.and_then(|there| there.get_mut(&session.keys.id())) {
                        (dialed.until, dialed.next) = (until, next_attempt(until));
                    }
                }
                Err(reason) => refused = Some(reason),
            }
        }
        (continued, refused)
    }

    /// Answers a request of the other end, whose certificates these are. Returns why a session that the dialer has
    /// proved to be its own does not go on.
    pub(in crate::gateway) async fn answer(
        &self,
        request: &ContinueRequest,
        binding: &Binding,
        chain: &Chain,
    ) -> (ContinueAnswer, Option<NotContinued>) {
        let judged = request.0.iter().map(async |(id, proof)| {
            let session = self.lock().accepted.get(id).cloned();
            let session = session.filter(|session| session.keys.verifies(End::Dialer, binding, proof))?;
            let judged = session.judge(chain.clone()).await;
            Some(judged.map(|until| (session.keys.prove(End::Listener, binding), until)))
        });
        let judged = futures_util::future::join_all(judged).await;
        let refused = judged.iter().flatten().find_map(|judged| judged.as_ref().err()).cloned();
        (ContinueAnswer(judged.into_iter().map(|judged| judged?.ok()).collect()), refused)
    }
}

impl OpenSession {
    fn new(keys: SessionKeys) -> Self {
        Self { keys, offered: Mutex::default(), notify: Notify::new() }
    }
}

/// A request for some of the sessions with a peer.
pub(in crate::gateway) struct Attempt(Vec<Arc<OpenSession>>);

impl Attempt {
    /// Returns the request with our proofs.
    pub(in crate::gateway) fn request(&self, binding: &Binding) -> ContinueRequest {
        ContinueRequest(self.0.iter().map(|one| (one.keys.id(), one.keys.prove(End::Dialer, binding))).collect())
    }
}
