//! The open sessions of a gateway that may be continued: those accepted here, and those dialled.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgetrust_core::x509::Certificate;
use pki_types::{ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use super::message::{ContinueAnswer, ContinueRequest, MAX_SESSIONS};
use super::not_continued::NotContinued;
use super::proof::{End, SessionId, SessionKeys};
use super::proven::{Chain, Proven};
use crate::clock;
use crate::tls::Credential;

/// The least time between two attempts to continue a session, and the time after one whose certificates have expired.
const LEAST_WAIT: Duration = Duration::from_secs(1);
const EXPIRED_WAIT: Duration = Duration::from_secs(5);
/// The time after the first answer that leaves a session out: it may have been too new there, or judged a moment ago.
const LEFT_OUT_WAIT: Duration = Duration::from_secs(2);
/// The number of answers in a row that leave a session out with which that is warned of: a quarter of its time is left.
const LEFT_OUT: u8 = 3;
/// The time for a session's own task to judge certificates.
const PATIENCE: Duration = Duration::from_secs(5);

/// The open sessions. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct OpenSessions(Arc<Mutex<Sessions>>);

#[derive(Debug, Default)]
struct Sessions {
    accepted: HashMap<SessionId, Arc<OpenSession>>,
    dialled: HashMap<Dialled, HashMap<SessionId, DialledSession>>,
}

/// The tunnel of dialled sessions, and the name of the gateway at their other end. Neither its address, which may change,
/// nor its name alone: another tunnel may show another certificate there.
type Dialled = (String, ServerName<'static>);

/// The sessions that one control connection continues.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Group<'a> {
    pub(in crate::gateway) tunnels: &'a [String],
    pub(in crate::gateway) server_name: &'a ServerName<'static>,
}

impl Group<'_> {
    fn has(&self, (tunnel, server_name): &Dialled) -> bool {
        server_name == self.server_name && self.tunnels.contains(tunnel)
    }
}

/// A session, as control connections see it.
pub(in crate::gateway) struct OpenSession {
    keys: SessionKeys,
    place: Mutex<Place>,
    notify: Notify,
}

/// The place for certificates to judge.
enum Place {
    Free,
    Taken(Offer),
    /// The session has ended.
    Closed,
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

/// A session that was dialled.
#[derive(Debug)]
struct DialledSession {
    session: Arc<OpenSession>,
    /// Our own certificate that the listener has seen last, or an earlier one.
    shown: Option<OwnCertificate>,
    /// The time until which both ends authorize each other.
    until: UnixTime,
    next: NextAttempt,
    /// The answers in a row that left it out.
    left_out: u8,
}

/// The time of the next attempt, by both clocks: one may be set, and the other may stand still while a machine sleeps.
#[derive(Clone, Copy, Debug)]
struct NextAttempt {
    by_clock: UnixTime,
    by_timer: Instant,
}

impl NextAttempt {
    fn after(wait: Duration) -> Self {
        let (now, timer) = (clock::now(), Instant::now());
        Self {
            // The clock has whole seconds, and this one has begun.
            by_clock: UnixTime::since_unix_epoch(
                Duration::from_secs(now.as_secs().saturating_add(1)).saturating_add(wait),
            ),
            by_timer: timer.checked_add(wait).unwrap_or(timer),
        }
    }

    fn is_due(&self) -> bool {
        self.by_timer <= Instant::now() || self.by_clock <= clock::now()
    }
}

/// The certificate that a credential shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct OwnCertificate {
    digest: [u8; 32],
    not_after: UnixTime,
}

impl OwnCertificate {
    /// Returns the certificate that a credential shows now. A handshake that begins afterwards shows this or a later one.
    pub(in crate::gateway) fn of(credential: Option<&Credential>) -> Option<Self> {
        let chain = credential?.chain();
        let leaf = chain.first()?;
        let not_after = Certificate::from_der(leaf).ok()?.validity().not_after;
        Some(Self { digest: Sha256::digest(leaf).into(), not_after })
    }
}

/// Returns when to try to continue a session again that is authorized until a time: at half of what is left.
fn next_attempt(until: UnixTime) -> NextAttempt {
    let left = Duration::from_secs(until.as_secs().saturating_sub(clock::now().as_secs()));
    let half = left.checked_div(2).unwrap_or_default();
    NextAttempt::after(if left.is_zero() { EXPIRED_WAIT } else { half.max(LEAST_WAIT) })
}

impl OpenSession {
    /// Waits for certificates to judge.
    pub(in crate::gateway) async fn offer(&self) -> Offer {
        loop {
            if let Place::Taken(offer) = self.put(Place::Free) {
                return offer;
            }
            self.notify.notified().await;
        }
    }

    /// Puts something in the place, and returns what was there. Once the place is closed it stays so, and what is put there
    /// is gone.
    fn put(&self, new: Place) -> Place {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*place, Place::Closed) { Place::Closed } else { std::mem::replace(&mut place, new) }
    }

    /// Has the session's own task judge certificates. Those of an earlier request that still wait are given up.
    async fn judge(&self, chain: Chain) -> Result<UnixTime, NotContinued> {
        let (judged, answer) = oneshot::channel();
        if let Place::Taken(before) = self.put(Place::Taken(Offer { chain, judged })) {
            before.answer(Err(NotContinued::Displaced));
        }
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
    /// The other end of a dialled session.
    dialled: Option<Dialled>,
}

impl Registered {
    pub(in crate::gateway) fn session(&self) -> &OpenSession {
        &self.session
    }

    /// Returns the part of a session's greatest age at which it ends: all of it, or up to a tenth less, so that sessions
    /// that began together do not end together. Both ends come to the same.
    pub(in crate::gateway) fn age(&self, max: Duration) -> Duration {
        let [first, ..] = self.session.keys.id().0;
        let part = max.checked_div(2560).unwrap_or_default();
        max.saturating_sub(part.saturating_mul(u32::from(first)))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Whoever waits for a verdict hears that there is none.
        drop(self.session.put(Place::Closed));
        let id = self.session.keys.id();
        let mut sessions = self.sessions.lock();
        let Some(peer) = &self.dialled else {
            sessions.accepted.remove(&id);
            return;
        };
        if let Some(there) = sessions.dialled.get_mut(peer) {
            there.remove(&id);
            if there.is_empty() {
                sessions.dialled.remove(peer);
            }
        }
    }
}

impl OpenSessions {
    /// Locks the sessions. A panic elsewhere leaves no partial entry.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registered(&self, session: &Arc<OpenSession>, dialled: Option<Dialled>) -> Registered {
        Registered { sessions: self.clone(), session: session.clone(), dialled }
    }

    /// Adds a session that was accepted here.
    pub(in crate::gateway) fn accept(&self, keys: SessionKeys) -> Registered {
        let session = Arc::new(OpenSession::new(keys));
        self.lock().accepted.insert(session.keys.id(), session.clone());
        self.registered(&session, None)
    }

    /// Adds a session that was dialled, with our own certificate as it was before the handshake, and the time until which
    /// the listener's certificates are valid.
    pub(in crate::gateway) fn dial(
        &self,
        keys: SessionKeys,
        tunnel: &str,
        server_name: &ServerName<'static>,
        shown: Option<OwnCertificate>,
        until: UnixTime,
    ) -> Registered {
        let session = Arc::new(OpenSession::new(keys));
        let until = shown.map_or(until, |own| own.not_after.min(until));
        let next = next_attempt(until);
        let there = (tunnel.to_owned(), server_name.clone());
        let dialled = DialledSession { session: session.clone(), shown, until, next, left_out: 0 };
        self.lock().dialled.entry(there.clone()).or_default().insert(session.keys.id(), dialled);
        self.registered(&session, Some(there))
    }

    /// Returns whether sessions are to be continued now: our own certificate is another one, or half of the time that was
    /// left has passed.
    pub(in crate::gateway) fn is_due(&self, group: Group<'_>, own: Option<OwnCertificate>) -> bool {
        let due = |one: &DialledSession| one.next.is_due() || one.shown != own;
        let sessions = self.lock();
        sessions.dialled.iter().filter(|(there, _)| group.has(there)).any(|(_, there)| there.values().any(due))
    }

    /// Begins to continue all sessions of a group, whose peer was just shown our own certificate. Those that the peer does
    /// not answer for wait for the next time that is half of what is left.
    pub(in crate::gateway) fn attempt(&self, group: Group<'_>, shown: Option<OwnCertificate>) -> Vec<Attempt> {
        let mut sessions = self.lock();
        let of_group = sessions.dialled.iter_mut().filter(|(there, _)| group.has(there));
        let mut all = Vec::new();
        for (there, one) in of_group.flat_map(|(there, sessions)| sessions.values_mut().map(move |one| (there, one))) {
            (one.shown, one.next) = (shown, next_attempt(one.until));
            all.push((there.clone(), one.session.clone()));
        }
        drop(sessions);
        all.chunks(MAX_SESSIONS).map(|part| Attempt(part.to_vec())).collect()
    }

    /// Changes a session that was dialled, if it is still there.
    fn change(&self, (there, session): &(Dialled, Arc<OpenSession>), change: impl FnOnce(&mut DialledSession)) {
        let mut sessions = self.lock();
        let there = sessions.dialled.get_mut(there);
        if let Some(dialled) = there.and_then(|there| there.get_mut(&session.keys.id())) {
            change(dialled);
        }
    }

    /// Notes that nobody has answered: all is tried again soon.
    pub(in crate::gateway) fn unanswered(&self, attempt: &Attempt) {
        for one in &attempt.0 {
            self.change(one, |dialled| dialled.next = NextAttempt::after(LEAST_WAIT));
        }
    }

    /// Continues the sessions whose listener has proved that it is theirs, with the certificates that it has shown.
    /// Returns the number of those that go on, and why another one does not.
    pub(in crate::gateway) async fn conclude(
        &self,
        attempt: &Attempt,
        answer: &ContinueAnswer,
        proven: &Proven,
    ) -> (usize, Option<NotContinued>) {
        let judged = attempt.0.iter().zip(&answer.0).map(async |(one, outcome)| {
            let session = &one.1;
            let Some((proof, until)) = outcome else { return (one, Err(NotContinued::LeftOut)) };
            if !session.keys.verifies(End::Listener, &proven.binding, proof) {
                return (one, Err(NotContinued::Proof));
            }
            (one, session.judge(proven.chain.clone()).await.map(|own| own.min(*until)))
        });
        let (mut continued, mut refused) = (0_usize, None);
        for (one, judged) in futures_util::future::join_all(judged).await {
            match judged {
                Ok(until) => {
                    continued = continued.saturating_add(1);
                    self.change(one, |dialled| {
                        (dialled.until, dialled.next, dialled.left_out) = (until, next_attempt(until), 0);
                    });
                }
                Err(NotContinued::LeftOut) => self.change(one, |dialled| {
                    dialled.left_out = dialled.left_out.saturating_add(1);
                    if dialled.left_out == 1 {
                        dialled.next = NextAttempt::after(LEFT_OUT_WAIT);
                    }
                    if dialled.left_out == LEFT_OUT {
                        refused = Some(NotContinued::LeftOut);
                    }
                }),
                Err(reason) if reason.is_ordinary() => {}
                Err(reason) => refused = Some(reason),
            }
        }
        (continued, refused)
    }

    /// Answers a request of the other end, whose certificates these are. Returns why a session that the dialler has
    /// proved to be its own does not go on.
    pub(in crate::gateway) async fn answer(
        &self,
        request: &ContinueRequest,
        proven: &Proven,
    ) -> (ContinueAnswer, Option<NotContinued>) {
        let judged = request.0.iter().map(async |(id, proof)| {
            let session = self.lock().accepted.get(id).cloned();
            let session = session.filter(|session| session.keys.verifies(End::Dialer, &proven.binding, proof))?;
            let judged = session.judge(proven.chain.clone()).await;
            Some(judged.map(|until| (session.keys.prove(End::Listener, &proven.binding), until)))
        });
        let judged = futures_util::future::join_all(judged).await;
        let mut reasons = judged.iter().flatten().filter_map(|judged| judged.as_ref().err());
        let refused = reasons.find(|reason| !reason.is_ordinary()).cloned();
        (ContinueAnswer(judged.into_iter().map(|judged| judged?.ok()).collect()), refused)
    }
}

impl OpenSession {
    fn new(keys: SessionKeys) -> Self {
        Self { keys, place: Mutex::new(Place::Free), notify: Notify::new() }
    }
}

/// A request for some of the sessions with a peer.
pub(in crate::gateway) struct Attempt(Vec<(Dialled, Arc<OpenSession>)>);

impl Attempt {
    /// Returns the request with our proofs.
    pub(in crate::gateway) fn request(&self, proven: &Proven) -> ContinueRequest {
        ContinueRequest(
            self.0.iter().map(|(_, one)| (one.keys.id(), one.keys.prove(End::Dialer, &proven.binding))).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use pki_types::CertificateDer;

    use super::super::proof::tests::{binding, keys};
    use super::*;

    fn own(number: u8) -> Option<OwnCertificate> {
        Some(OwnCertificate { digest: [number; 32], not_after: after(3600) })
    }

    fn after(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(clock::now().as_secs() + seconds))
    }

    /// The tunnels that lead to a gateway, and its name.
    fn there() -> (Vec<String>, ServerName<'static>) {
        (["feed", "nats"].map(str::to_owned).into(), ServerName::try_from("b.example").unwrap())
    }

    fn proven() -> Proven {
        Proven { binding: binding(9), chain: Arc::new([CertificateDer::from(vec![7])]) }
    }

    /// Takes the certificates that are offered to a session, and goes on under them until a time.
    fn goes_on(registered: &Registered, until: UnixTime) -> tokio::task::JoinHandle<()> {
        let session = registered.session.clone();
        tokio::spawn(async move { session.offer().await.answer(Ok(until)) })
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_are_due_at_half_of_what_is_left_and_with_another_certificate() {
        let (sessions, (tunnels, server_name)) = (OpenSessions::default(), there());
        let peer = Group { tunnels: &tunnels, server_name: &server_name };
        assert!(!sessions.is_due(peer, own(1)) && sessions.attempt(peer, own(1)).is_empty());
        let registered = sessions.dial(keys(1), "nats", &server_name, own(1), after(1000));
        let wait = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
        assert!(!sessions.is_due(peer, own(1)));
        assert!(sessions.is_due(peer, own(2)), "it shows another certificate now");
        wait(499).await;
        assert!(!sessions.is_due(peer, own(1)));
        wait(2).await;
        assert!(sessions.is_due(peer, own(1)));
        // An attempt that nobody answers: again at half of the rest, which real time has not shortened here.
        assert_eq!(sessions.attempt(peer, own(2)).len(), 1);
        assert!(!sessions.is_due(peer, own(2)));
        wait(501).await;
        assert!(sessions.is_due(peer, own(2)));
        drop(registered);
        assert!(!sessions.is_due(peer, own(3)), "it has ended");
        assert!(sessions.lock().dialled.is_empty());
    }

    #[test]
    fn attempts_keep_their_distance() {
        let wait = |until: UnixTime| {
            let wait = next_attempt(until).by_timer.duration_since(Instant::now());
            wait.as_secs_f64().round() as u64
        };
        assert_eq!([10_000, 100, 11, 10, 2, 0].map(|left| wait(after(left))), [5_000, 50, 5, 5, 1, 5]);
        assert_eq!(wait(UnixTime::since_unix_epoch(Duration::ZERO)), 5);
    }

    #[tokio::test]
    async fn both_ends_prove_themselves_and_go_on() {
        let ((tunnels, server_name), proven) = (there(), proven());
        let (here, there) = (OpenSessions::default(), OpenSessions::default());
        let peer = Group { tunnels: &tunnels, server_name: &server_name };
        let dialled = here.dial(keys(1), "feed", &server_name, own(1), after(100));
        let accepted = there.accept(keys(1));
        let [attempt] = &here.attempt(peer, own(2))[..] else { panic!("one request") };
        let (one, other) = (goes_on(&accepted, after(500)), goes_on(&dialled, after(900)));
        let (answer, refused) = there.answer(&attempt.request(&proven), &proven).await;
        assert!(answer.continued() == 1 && refused.is_none());
        let concluded = here.conclude(attempt, &answer, &proven).await;
        assert_eq!(concluded, (1, None));
        let until = here.lock().dialled.values().flat_map(HashMap::values).next().unwrap().until;
        assert!(until <= after(500), "what the listener says counts too");
        one.await.unwrap();
        other.await.unwrap();
        // A listener that proves nothing.
        let false_answer = ContinueAnswer(vec![Some((keys(2).prove(End::Listener, &proven.binding), after(500)))]);
        let concluded = here.conclude(attempt, &false_answer, &proven).await;
        assert_eq!(concluded, (0, Some(NotContinued::Proof)));
    }

    #[tokio::test]
    async fn a_session_that_has_ended_keeps_nobody_waiting() {
        let (sessions, proven) = (OpenSessions::default(), proven());
        let registered = sessions.accept(keys(1));
        let session = registered.session.clone();
        let chain = proven.chain.clone();
        let judged = tokio::spawn(async move { session.judge(chain).await });
        tokio::task::yield_now().await;
        drop(registered);
        assert_eq!(judged.await.unwrap(), Err(NotContinued::Over));
        let request = ContinueRequest(vec![(keys(1).id(), keys(1).prove(End::Dialer, &proven.binding))]);
        let (answer, refused) = sessions.answer(&request, &proven).await;
        assert!(answer.continued() == 0 && refused.is_none(), "it is unknown now");
    }

    #[test]
    fn sessions_that_began_together_end_up_to_a_tenth_apart() {
        let sessions = OpenSessions::default();
        let age = |number| sessions.accept(keys(number)).age(Duration::from_secs(2560)).as_secs();
        assert_eq!([0, 1, 128, 255].map(age), [2560, 2559, 2432, 2305]);
    }
}
