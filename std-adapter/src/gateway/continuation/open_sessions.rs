//! The open sessions of a gateway that may be continued: those accepted here, and those dialled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pki_types::{ServerName, UnixTime};

use super::message::{ContinueAnswer, ContinueRequest, MAX_SESSIONS};
use super::next_attempt::NextAttempt;
use super::not_continued::NotContinued;
use super::open_session::OpenSession;
use super::proof::{Endpoint, SessionId, SessionKeys};
use super::proven::{OwnCertificate, Proven};

/// The time after the first answers that leave a session out: it may have been too new there, or judged a moment ago, or
/// another gateway at the same address has answered, and the next connection may reach the right one.
const LEFT_OUT_WAIT: Duration = Duration::from_secs(2);
/// The number of answers in a row that leave a session out after which the next attempt comes soon.
const SOON: u8 = 8;
/// The number of answers in a row that leave a session out with which that is warned of: a quarter of its time is left.
const LEFT_OUT: u8 = SOON + 1;
/// The open sessions. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct OpenSessions(Arc<Mutex<Sessions>>);

#[derive(Debug, Default)]
struct Sessions {
    accepted: HashMap<SessionId, Arc<OpenSession>>,
    dialled: HashMap<Arc<Destination>, HashMap<SessionId, DialledSession>>,
}

/// The tunnel of dialled sessions, and the gateway at their other end by its name. It is neither known by its address, which
/// may change, nor by its name alone: another tunnel may show another certificate there.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Destination {
    tunnel: String,
    server_name: ServerName<'static>,
}

/// The sessions that one control connection continues.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Group<'a> {
    pub(in crate::gateway) tunnels: &'a [String],
    pub(in crate::gateway) server_name: &'a ServerName<'static>,
}

impl Group<'_> {
    fn destinations(&self) -> impl Iterator<Item = Destination> {
        let of = |tunnel: &String| Destination { tunnel: tunnel.clone(), server_name: self.server_name.clone() };
        self.tunnels.iter().map(of)
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

impl DialledSession {
    fn is_due(&self, own: Option<OwnCertificate>) -> bool {
        self.next.is_due() || self.shown != own
    }

    /// Notes that the gateway that was asked does not know the session, or refuses it; `planned` is the time of the next
    /// attempt before this one, if it was not due. Returns whether somebody should hear of it.
    fn leave_out(&mut self, planned: Option<NextAttempt>) -> bool {
        // It was asked for beside others, and another gateway at the same address may have it.
        if let Some(planned) = planned {
            self.next = planned;
            return false;
        }
        self.left_out = self.left_out.saturating_add(1);
        if self.left_out <= SOON {
            self.next = self.next.or_after(LEFT_OUT_WAIT);
        }
        self.left_out == LEFT_OUT
    }
}

/// A session that is there for control connections while this is held.
#[derive(Debug)]
pub(in crate::gateway) struct Registered {
    sessions: OpenSessions,
    session: Arc<OpenSession>,
    /// The destination of a dialled session.
    dialled: Option<Arc<Destination>>,
}

impl Registered {
    pub(in crate::gateway) fn session(&self) -> &OpenSession {
        &self.session
    }

    /// Returns the part of a session's greatest age at which it ends: all of it, or up to a tenth less, so that sessions
    /// that began together do not end together. Both ends come to the same.
    pub(in crate::gateway) fn age(&self, max: Duration) -> Duration {
        let [first, ..] = self.session.keys().id().0;
        let part = max.checked_div(2560).unwrap_or_default();
        max.saturating_sub(part.saturating_mul(u32::from(first)))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.session.close();
        let id = self.session.keys().id();
        let mut sessions = self.sessions.lock();
        let Some(destination) = &self.dialled else {
            sessions.accepted.remove(&id);
            return;
        };
        if let Some(there) = sessions.dialled.get_mut(destination) {
            there.remove(&id);
            if there.is_empty() {
                sessions.dialled.remove(destination);
            }
        }
    }
}

impl OpenSessions {
    /// Locks the sessions. A panic elsewhere leaves no partial entry.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registered(&self, session: &Arc<OpenSession>, dialled: Option<Arc<Destination>>) -> Registered {
        Registered { sessions: self.clone(), session: session.clone(), dialled }
    }

    /// Adds a session that was accepted here.
    pub(in crate::gateway) fn accept(&self, keys: SessionKeys) -> Registered {
        let session = Arc::new(OpenSession::new(keys));
        self.lock().accepted.insert(session.keys().id(), session.clone());
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
        let next = NextAttempt::before(until);
        let destination = Arc::new(Destination { tunnel: tunnel.to_owned(), server_name: server_name.clone() });
        let dialled = DialledSession { session: session.clone(), shown, until, next, left_out: 0 };
        self.lock().dialled.entry(destination.clone()).or_default().insert(session.keys().id(), dialled);
        self.registered(&session, Some(destination))
    }

    /// Returns whether sessions are to be continued now: our own certificate is another one, or half of the time that was
    /// left has passed.
    pub(in crate::gateway) fn is_due(&self, group: Group<'_>, own: Option<OwnCertificate>) -> bool {
        let sessions = self.lock();
        let due = |there: &HashMap<_, DialledSession>| there.values().any(|one| one.is_due(own));
        group.destinations().any(|one| sessions.dialled.get(&one).is_some_and(due))
    }

    /// Begins to continue all sessions of a group, whose peer was just shown our own certificate. Those that the peer does
    /// not answer for wait for the next time that is half of what is left.
    pub(in crate::gateway) fn attempt(&self, group: Group<'_>, shown: Option<OwnCertificate>) -> Vec<Attempt> {
        let mut sessions = self.lock();
        let mut all = Vec::new();
        for destination in group.destinations().map(Arc::new) {
            let there = sessions.dialled.get_mut(&destination);
            for one in there.into_iter().flat_map(HashMap::values_mut) {
                let planned = (!one.is_due(shown)).then_some(one.next);
                (one.shown, one.next) = (shown, NextAttempt::before(one.until));
                all.push(Asked { destination: destination.clone(), session: one.session.clone(), planned });
            }
        }
        drop(sessions);
        all.chunks(MAX_SESSIONS).map(|part| Attempt(part.to_vec())).collect()
    }

    /// Changes a session that was dialled, if it is still there.
    fn change<T>(&self, asked: &Asked, change: impl FnOnce(&mut DialledSession) -> T) -> Option<T> {
        let mut sessions = self.lock();
        let there = sessions.dialled.get_mut(&asked.destination)?;
        there.get_mut(&asked.session.keys().id()).map(change)
    }

    /// Notes that nobody has answered: all is tried again soon.
    pub(in crate::gateway) fn unanswered(&self, attempt: &Attempt) {
        for one in &attempt.0 {
            self.change(one, |dialled| dialled.next = NextAttempt::soon());
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
            let session = &one.session;
            let Some((proof, until)) = outcome else { return (one, Err(NotContinued::LeftOut)) };
            if !session.keys().verifies(Endpoint::Listener, &proven.binding, proof) {
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
                        (dialled.until, dialled.next, dialled.left_out) = (until, NextAttempt::before(until), 0);
                    });
                }
                Err(NotContinued::LeftOut) => {
                    if self.change(one, |dialled| dialled.leave_out(one.planned)) == Some(true) {
                        refused = Some(NotContinued::LeftOut);
                    }
                }
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
            let session =
                session.filter(|session| session.keys().verifies(Endpoint::Dialer, &proven.binding, proof))?;
            let judged = session.judge(proven.chain.clone()).await;
            Some(judged.map(|until| (session.keys().prove(Endpoint::Listener, &proven.binding), until)))
        });
        let judged = futures_util::future::join_all(judged).await;
        let mut reasons = judged.iter().flatten().filter_map(|judged| judged.as_ref().err());
        let refused = reasons.find(|reason| !reason.is_ordinary()).cloned();
        (ContinueAnswer(judged.into_iter().map(|judged| judged?.ok()).collect()), refused)
    }
}

/// A session that the peer is asked for.
#[derive(Clone)]
struct Asked {
    destination: Arc<Destination>,
    session: Arc<OpenSession>,
    /// The time of its next attempt as it was before, if it was not due.
    planned: Option<NextAttempt>,
}

/// A request for some of the sessions with a peer.
pub(in crate::gateway) struct Attempt(Vec<Asked>);

impl Attempt {
    /// Returns the request with our proofs.
    pub(in crate::gateway) fn request(&self, proven: &Proven) -> ContinueRequest {
        ContinueRequest(
            self.0
                .iter()
                .map(|Asked { session, .. }| session.keys())
                .map(|keys| (keys.id(), keys.prove(Endpoint::Dialer, &proven.binding)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use pki_types::CertificateDer;

    use super::super::proof::tests::{binding, keys};
    use super::*;
    use crate::clock;

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
        tokio::spawn(async move { session.candidate().await.answer(Ok(until)) })
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
        let false_answer = ContinueAnswer(vec![Some((keys(2).prove(Endpoint::Listener, &proven.binding), after(500)))]);
        let concluded = here.conclude(attempt, &false_answer, &proven).await;
        assert_eq!(concluded, (0, Some(NotContinued::Proof)));
    }

    /// Two gateways have one address, and a session each: a connection reaches one of them.
    #[tokio::test(start_paused = true)]
    async fn the_next_connection_may_reach_the_gateway_that_has_the_session() {
        let ((tunnels, server_name), proven) = (there(), proven());
        let (here, [first, second]) = (OpenSessions::default(), [(); 2].map(|()| OpenSessions::default()));
        let peer = Group { tunnels: &tunnels, server_name: &server_name };
        let at_first = here.dial(keys(1), "feed", &server_name, own(1), after(2000));
        let at_second = here.dial(keys(2), "feed", &server_name, own(1), after(2000));
        let accepted = [first.accept(keys(1)), second.accept(keys(2))];
        let ask = async |there: &OpenSessions| {
            let [attempt] = &here.attempt(peer, own(2))[..] else { panic!("one request") };
            let (answer, _) = there.answer(&attempt.request(&proven), &proven).await;
            here.conclude(attempt, &answer, &proven).await
        };
        let wait = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
        let both = [goes_on(&accepted[0], after(2000)), goes_on(&at_first, after(2000))];
        assert_eq!(ask(&first).await, (1, None));
        drop(both);
        assert!(!here.is_due(peer, own(2)), "attempts keep their distance");
        // The same gateway answers again and again, and the other session stays due.
        for _ in 0..3 {
            wait(3).await;
            assert!(here.is_due(peer, own(2)));
            assert_eq!(ask(&first).await, (0, None));
        }
        wait(3).await;
        assert!(here.is_due(peer, own(2)));
        let both = [goes_on(&accepted[1], after(2000)), goes_on(&at_second, after(2000))];
        assert_eq!(ask(&second).await, (1, None));
        drop(both);
        // The session that the second gateway does not know was continued before, and waits for half of its time.
        wait(900).await;
        assert!(!here.is_due(peer, own(2)));
        wait(101).await;
        assert!(here.is_due(peer, own(2)));
    }

    /// Nobody has the session: that is warned of once, and attempts become rare.
    #[tokio::test(start_paused = true)]
    async fn a_session_that_nobody_knows_is_warned_of() {
        let ((tunnels, server_name), proven) = (there(), proven());
        let here = OpenSessions::default();
        let peer = Group { tunnels: &tunnels, server_name: &server_name };
        let _dialled = here.dial(keys(1), "feed", &server_name, own(1), after(2000));
        for round in 1..=LEFT_OUT {
            let [attempt] = &here.attempt(peer, own(2))[..] else { panic!("one request") };
            let warned = (round == LEFT_OUT).then_some(NotContinued::LeftOut);
            assert_eq!(here.conclude(attempt, &ContinueAnswer(vec![None]), &proven).await, (0, warned));
            tokio::time::advance(Duration::from_secs(if round == SOON { 1001 } else { 3 })).await;
            assert_eq!(here.is_due(peer, own(2)), round < LEFT_OUT, "{round}");
        }
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
        let request = ContinueRequest(vec![(keys(1).id(), keys(1).prove(Endpoint::Dialer, &proven.binding))]);
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
