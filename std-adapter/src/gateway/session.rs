//! Carries a session: moves bytes both ways, and judges the peer again whenever the verdict may have changed.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::continuation::{
    HeldCertificates, NotContinued, OpenSessions, OwnCertificate, Registered, SessionKeys, same_names,
};
use super::health::Health;
use super::leaving::{Manner, OpenSide, SessionStream, leave};
use super::limits::Limits;
use super::sessions::SessionStatus;
use super::socket::{Remote, Socket};
use super::splice::{Splice, SpliceError, Turn};
use super::state::{Common, ListenerState};
use super::status::Status;
use super::tallies::Tallied;
use super::tunnel::{Route, successor};
use super::verdict::{Evidence, Judged, Verdict, Withdrawn};
use crate::clock;
use crate::tls::{Admission, ClientStream, Peer, ServerStream, without_link};

/// The maximum time between readings of the clock while a session waits for an expiry: the clock may be set meanwhile.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

/// The age at which a session's target gets its keepalive: five system calls that short sessions do without. A peer that
/// has gone earlier is missed this much later.
const SETTLED: Duration = Duration::from_secs(1);

/// A connection whose client and target are both connected.
pub(super) struct Opened {
    pub(super) route: Arc<Route>,
    pub(super) admission: Admission,
    pub(super) streams: Streams,
    /// The target, if it was dialled by TLS.
    pub(super) dialled: Option<Box<Dialled>>,
}

/// A server that was dialled.
pub(super) struct Dialled {
    pub(super) health: Arc<Health>,
    pub(super) server_name: ServerName<'static>,
    /// Our own certificate before the handshake.
    pub(super) own: Option<OwnCertificate>,
}

/// The streams of client and target, of one size: idle connections of plain tunnels are no larger than necessary.
pub(super) enum Streams {
    Plain(Socket, Socket),
    Server(Box<ServerStream<Socket>>, Socket),
    Client(Socket, Box<ClientStream<Socket>>),
}

/// The way a connection ended.
pub(super) enum End {
    Both,
    Failed(SpliceError),
    /// The target, a TLS server, failed before it accepted us or sent anything.
    Refused(io::Error),
    Idle,
    /// One side had ended, and the other carried nothing for too long.
    HalfClosed,
    /// It was continued until it had the greatest age.
    Aged,
    /// The peer is no longer authorized.
    Over(Withdrawn),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both => f.write_str("both sides ended"),
            Self::Failed(SpliceError::Client(error)) => {
                write!(f, "client: {}", without_link(&error.to_string()))
            }
            Self::Failed(SpliceError::Target(error)) | Self::Refused(error) => {
                write!(f, "target: {}", without_link(&error.to_string()))
            }
            Self::Idle => f.write_str("idle for too long"),
            Self::HalfClosed => f.write_str("one side had ended, and the other carried nothing for too long"),
            Self::Aged => f.write_str("it was continued until limits.session_max_age"),
            Self::Over(withdrawn) => withdrawn.fmt(f),
        }
    }
}

/// The result of a session.
pub(super) struct Carried {
    pub(super) end: End,
    /// The bytes moved up and down.
    pub(super) bytes: (u64, u64),
    /// The work that remains to close the sides.
    pub(super) leaving: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The session counts as open while this is held.
    pub(super) _counted: Counted,
}

/// Counts and lists a session as open from the target's acceptance until the session ends in any way, by a drain too.
pub(super) struct Counted {
    session: Arc<SessionStatus>,
    status: Arc<Status>,
    open: Option<Open>,
}

/// A session that counts as open.
struct Open {
    /// The session's number among the open ones.
    number: u64,
    tallied: Tallied,
    since: Instant,
}

impl Counted {
    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn open(&mut self, admission: &Admission) {
        if self.open.is_none() {
            let tallied = self.session.route().counters.open(admission.peer().map(|peer| &**peer));
            let number = self.status.sessions().add(self.session.clone());
            self.open = Some(Open { number, tallied, since: Instant::now() });
        }
    }

    /// Counts the session where its peer belongs now.
    fn follow(&mut self, admission: &Admission) {
        if let Some(open) = &mut self.open {
            let tallies = self.session.route().counters.every_tally();
            open.tallied.follow(admission.peer().map(|peer| &**peer), tallies);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            self.session.route().counters.close(open.since.elapsed());
            self.status.sessions().remove(open.number);
        }
    }
}

pub(super) async fn carry(
    opened: Opened,
    remote: Remote,
    state: watch::Receiver<Arc<ListenerState>>,
    common: &Common,
) -> Carried {
    let Opened { route, admission, streams, dialled } = opened;
    let session = Arc::new(SessionStatus::new(route.clone(), admission.clone(), remote));
    let counted = Counted { session, status: common.status.clone(), open: None };
    let sessions = common.control.sessions();
    let registered =
        sessions.and_then(|sessions| register(sessions, &route.name, &admission, &streams, dialled.as_deref()));
    let server = dialled.map(|dialled| dialled.server_name);
    let session = Session { route, admission, state, counted, server, held: HeldCertificates::new(registered) };
    match streams {
        Streams::Plain(client, target) => session.run(client, target, Judged::Neither).await,
        Streams::Server(client, target) => session.run(client, target, Judged::Client).await,
        Streams::Client(client, target) => session.run(client, target, Judged::Target).await,
    }
}

/// Adds a session with an authorized peer to those that may be continued.
fn register(
    sessions: &OpenSessions,
    tunnel: &str,
    admission: &Admission,
    streams: &Streams,
    dialled: Option<&Dialled>,
) -> Option<Registered> {
    let peer = admission.peer()?;
    match streams {
        Streams::Plain(..) => None,
        Streams::Server(client, _) => Some(sessions.accept(SessionKeys::of(client.get_ref().1)?)),
        Streams::Client(_, target) => {
            let (keys, dialled) = (SessionKeys::of(target.get_ref().1)?, dialled?);
            Some(sessions.dial(keys, tunnel, &dialled.server_name, dialled.own, peer.valid_until()))
        }
    }
}

struct Session {
    route: Arc<Route>,
    admission: Admission,
    state: watch::Receiver<Arc<ListenerState>>,
    counted: Counted,
    /// The name of the server that was dialled.
    server: Option<ServerName<'static>>,
    held: HeldCertificates,
}

impl Session {
    async fn run<C: SessionStream + 'static, T: SessionStream + 'static>(
        mut self,
        client: C,
        target: T,
        judged: Judged,
    ) -> Carried {
        let (mut client, mut target) = (OpenSide::new(client), OpenSide::new(target));
        let mut splice = Splice::new(C::PROVES_ITS_END, T::PROVES_ITS_END);
        if target.has_verdict() {
            self.counted.open(&self.admission);
        }
        let end = match self.go_on(&mut client, &mut target, &mut splice, judged).await {
            End::Failed(SpliceError::Target(error)) if !self.counted.is_open() => End::Refused(error),
            end => end,
        };
        if !matches!(end, End::Refused(_)) {
            self.counted.open(&self.admission);
        }
        let (to_client, to_target) = manners(&end, &splice, judged);
        client.settle(to_client);
        target.settle(to_target);
        let patience = self.state.borrow().limits.patience();
        let leaving = (to_client != Manner::Whole || to_target != Manner::Whole).then(|| {
            let leaving = async move {
                tokio::join!(leave(client, to_client, patience), leave(target, to_target, patience));
            };
            Box::pin(leaving) as Pin<Box<dyn Future<Output = ()> + Send>>
        });
        Carried { end, bytes: splice.bytes(), leaving, _counted: self.counted }
    }

    /// Moves bytes until both sides end, nothing moves for too long, or the peer is no longer authorized.
    async fn go_on<C: SessionStream, T: SessionStream>(
        &mut self,
        client: &mut OpenSide<C>,
        target: &mut OpenSide<T>,
        splice: &mut Splice,
        judged: Judged,
    ) -> End {
        let mut listened = true;
        let mut settles = Instant::now().checked_add(SETTLED);
        let mut withdrawn: Option<(Withdrawn, Instant)> = None;
        let mut still = Still::begin(splice);
        loop {
            let limits = self.state.borrow().limits;
            let idle_timeout = self.idle_timeout(&**client);
            let wake = [
                withdrawn.as_ref().and_then(|(_, since)| since.checked_add(limits.expired_grace)),
                self.admission.peer().filter(|_| withdrawn.is_none()).and_then(|peer| next_look(peer)),
                still_until(&limits, idle_timeout, splice).and_then(|patience| still.since.checked_add(patience)),
                self.held.ends(limits.session_max_age),
                settles,
            ];
            let wake = wake.into_iter().flatten().min();
            let asleep = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            };
            let (counters, counted, admission) = (&self.route.counters, &mut self.counted, &self.admission);
            tokio::select! {
                // Bytes come last: tokio gives a task a budget, and a peer with a steady flow must not use up the
                // budget before the rules are checked.
                biased;
                // Without its listener a connection continues under the last state.
                changed = self.state.changed(), if listened => listened = changed.is_ok(),
                () = asleep => if settles.is_some() && wake == settles {
                    // Nothing else may be due; what is wakes the session at once.
                    target.socket().keep_alive(&limits);
                    settles = None;
                    continue;
                },
                candidate = self.held.candidate() => {
                    let judged = self.continue_under(&candidate.chain, &**client, &**target, judged);
                    let (up, down) = splice.bytes();
                    if judged.is_ok() {
                        withdrawn = None;
                        if self.held.refreshes(up.saturating_add(down)) {
                            target.refresh_traffic_keys();
                            poll_fn(|cx| {
                                // What is not taken now goes with the next octets.
                                let _ = Pin::new(&mut **target).poll_flush(cx);
                                Poll::Ready(())
                            })
                            .await;
                        }
                    }
                    candidate.answer(judged);
                    continue;
                }
                turn = poll_fn(|cx| {
                    let turn = splice.poll(cx, &mut **client, &mut **target, counters);
                    let moved = splice.bytes();
                    counted.session.moved(moved);
                    if !counted.is_open() && (moved.1 > 0 || target.has_verdict()) {
                        counted.open(admission);
                    }
                    turn
                }) => match turn {
                    // Nothing that the verdict depends on has changed.
                    Turn::Half => {
                        still = Still::begin(splice);
                        continue;
                    }
                    Turn::Over => return splice.error().map_or(End::Both, End::Failed),
                }
            }
            if let Some(patience) = still_until(&limits, idle_timeout, splice)
                && still.is_over(progress(splice, client, target), patience)
            {
                let half = splice.is_half() && limits.half_close_timeout == Some(patience);
                return if half { End::HalfClosed } else { End::Idle };
            }
            if self.held.ends(limits.session_max_age).is_some_and(|ends| Instant::now() >= ends) {
                return End::Aged;
            }
            let state = self.state.borrow().clone();
            let evidence = self.evidence(self.held.chain(), &**client, &**target, judged);
            match evidence.now(&state, &self.route, &self.admission) {
                Ok(Verdict::Admitted(admission)) => {
                    withdrawn = None;
                    // Where the same certificates have another path now, no key of the path before has made them valid.
                    self.go_on_as(admission);
                }
                Ok(Verdict::Expired(refusal, admission)) => {
                    self.go_on_as(admission);
                    let since = withdrawn.map_or_else(Instant::now, |(_, since)| since);
                    if since.elapsed() >= state.limits.expired_grace {
                        return End::Over(refusal);
                    }
                    withdrawn = Some((refusal, since));
                }
                Err(withdrawn) => return End::Over(withdrawn),
            }
        }
    }
}

/// Returns how client and target are closed.
fn manners(end: &End, splice: &Splice, judged: Judged) -> (Manner, Manner) {
    let (client, target) = splice.seen();
    let by_what_was_seen = (Manner::of_answered(client, splice.target_proves()), Manner::of(target));
    match (end, judged) {
        (End::Both | End::Failed(_) | End::Refused(_) | End::HalfClosed | End::Aged, _) => by_what_was_seen,
        // Pending octets were not taken for the whole idle timeout.
        (End::Idle, _) => (
            if client.whole { by_what_was_seen.0 } else { Manner::AtOnce },
            if target.whole { by_what_was_seen.1 } else { Manner::AtOnce },
        ),
        (End::Over(_), Judged::Client | Judged::Neither) => (Manner::AtOnce, by_what_was_seen.1),
        (End::Over(_), Judged::Target) => (Manner::of(client), Manner::AtOnce),
    }
}

impl Session {
    /// Goes on under another admission of the same peer.
    fn go_on_as(&mut self, admission: Admission) {
        self.admission = admission;
        self.counted.follow(&self.admission);
    }

    /// Returns how long the session may carry nothing, by the current configuration.
    fn idle_timeout<C: SessionStream>(&self, client: &C) -> Option<Duration> {
        let state = self.state.borrow();
        let route = successor(&state.everywhere, &self.route, client.server_name()).unwrap_or(&self.route);
        route.idle_timeout(self.admission.peer().is_some())
    }

    /// Returns what the session is judged by: newer certificates, or those of the handshake.
    fn evidence<'a, C: SessionStream, T: SessionStream>(
        &'a self,
        newer: Option<&'a [CertificateDer<'static>]>,
        client: &'a C,
        target: &'a T,
        judged: Judged,
    ) -> Evidence<'a> {
        let of_handshake = match judged {
            Judged::Neither => None,
            Judged::Client => client.peer_certificates(),
            Judged::Target => target.peer_certificates(),
        };
        Evidence {
            judged,
            shown: newer.or(of_handshake),
            earlier: self.held.earlier(),
            server_name: client.server_name(),
            server: self.server.as_ref(),
        }
    }

    /// Goes on under certificates that the peer has shown and proved beside the session. They are judged as those of a
    /// new session would be, and are of the same peer: let in by the same rule, or, without rules, under the same names. A
    /// server is the same by its name.
    ///
    /// # Errors
    /// Returns why the session does not go on under them; nothing changes then.
    fn continue_under<C: SessionStream, T: SessionStream>(
        &mut self,
        chain: &Arc<[CertificateDer<'static>]>,
        client: &C,
        target: &T,
        judged: Judged,
    ) -> Result<UnixTime, NotContinued> {
        let state = self.state.borrow().clone();
        self.held.consider(chain, state.limits.session_max_age)?;
        let newer = self.evidence(Some(chain), client, target, judged);
        let admission = newer.at(clock::now(), &state, &self.route, &self.admission);
        let admission = admission.map_err(|withdrawn| NotContinued::Peer(withdrawn.to_string()))?;
        let (Some(peer), Some(before)) = (admission.peer(), self.admission.peer()) else {
            return Err(NotContinued::AnotherPeer);
        };
        let shown = self.evidence(self.held.chain(), client, target, judged).shown;
        let is_same = peer.rule() == before.rule()
            && (judged == Judged::Target
                || peer.rule().is_some()
                || same_names(chain.first(), shown.and_then(<[_]>::first)));
        if !is_same {
            return Err(NotContinued::AnotherPeer);
        }
        let until = peer.valid_until();
        if shown == Some(&**chain) {
            return Ok(until);
        }
        self.held.replace(chain.clone(), before)?;
        self.route.counters.go_on();
        self.counted.session.go_on(until);
        self.go_on_as(admission);
        Ok(until)
    }
}

/// Returns when to judge next: one second after the last second of the verdict, and at intervals before.
fn next_look(peer: &Peer) -> Option<Instant> {
    let left = peer.verdict_until().as_secs().saturating_add(1).saturating_sub(clock::now().as_secs());
    Instant::now().checked_add(Duration::from_secs(left.max(1)).min(CLOCK_CHECK))
}

/// Returns how long a session may carry nothing; `None` means for ever.
fn still_until(limits: &Limits, idle_timeout: Option<Duration>, splice: &Splice) -> Option<Duration> {
    let half = limits.half_close_timeout.filter(|_| splice.is_half());
    half.into_iter().chain(idle_timeout).min()
}

/// Returns values that change while a session carries anything: octets read, written, and not yet taken by readers.
fn progress<C: SessionStream, T: SessionStream>(
    splice: &Splice,
    client: &OpenSide<C>,
    target: &OpenSide<T>,
) -> [u64; 6] {
    let [up, down, given_up, given_down] = splice.progress();
    let [client, target] = [client.socket(), target.socket()].map(|socket| u64::from(socket.queued()));
    [up, down, given_up, given_down, client, target]
}

/// The last progress, and the time since which nothing was carried.
struct Still {
    progress: [u64; 6],
    since: Instant,
}

impl Still {
    /// Begins to wait. The send queues are taken for empty, which saves two system calls at each half-closed session: a
    /// queue that is not counts as progress once.
    fn begin(splice: &Splice) -> Self {
        let [up, down, given_up, given_down] = splice.progress();
        Self { progress: [up, down, given_up, given_down, 0, 0], since: Instant::now() }
    }

    /// Returns whether nothing was carried for `patience`; called after that time, not at every byte.
    fn is_over(&mut self, progress: [u64; 6], patience: Duration) -> bool {
        if progress != self.progress {
            *self = Self { progress, since: Instant::now() };
            return false;
        }
        self.since.elapsed() >= patience
    }
}
