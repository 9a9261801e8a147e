//! Carries a session: moves bytes both ways, and judges the peer again whenever the verdict may have changed.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pki_types::UnixTime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::leaving::{Manner, OpenSide, SessionStream, leave};
use super::limits::Limits;
use super::socket::Socket;
use super::splice::{Splice, SpliceError, Turn};
use super::state::ListenerState;
use super::tunnel::{Route, RouteKind, successor};
use crate::clock;
use crate::tls::{Admission, Anyone, ClientStream, Peer, Refusal, ServerStream};

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
    /// The peer is no longer authorized.
    Over(Withdrawn),
}

/// The reason a session is no longer authorized.
pub(super) enum Withdrawn {
    Peer(Refusal),
    /// The tunnel is of another kind now: TLS instead of plaintext, for example.
    AnotherKind,
    /// No tunnel leads from the session's address to its target any more.
    Removed,
}

impl Withdrawn {
    fn is_expiry(&self) -> bool {
        matches!(self, Self::Peer(refusal) if refusal.is_expiry())
    }
}

/// The verdict on the peer of a session that may go on.
enum Verdict {
    Admitted(Admission),
    /// The peer's certificates have expired, and nothing else is wrong with them.
    Expired(Withdrawn),
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(refusal) => refusal.fmt(f),
            Self::AnotherKind => f.write_str("its tunnel is of another kind now"),
            Self::Removed => f.write_str("its tunnel is no longer configured"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both => f.write_str("both sides ended"),
            Self::Failed(SpliceError::Client(error)) => write!(f, "client: {error}"),
            Self::Failed(SpliceError::Target(error)) | Self::Refused(error) => write!(f, "target: {error}"),
            Self::Idle => f.write_str("idle for too long"),
            Self::HalfClosed => f.write_str("one side had ended, and the other carried nothing for too long"),
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

/// Counts a session as open from the target's acceptance until the session ends in any way, by a drain too.
pub(super) struct Counted {
    route: Arc<Route>,
    admission: Admission,
    open: bool,
}

impl Counted {
    fn open(&mut self) {
        if !self.open {
            self.open = true;
            self.route.counters.open(self.admission.peer().and_then(|peer| peer.rule()));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.open {
            self.route.counters.close();
        }
    }
}

pub(super) async fn carry(opened: Opened, state: watch::Receiver<Arc<ListenerState>>) -> Carried {
    let Opened { route, admission, streams } = opened;
    let counted = Counted { route: route.clone(), admission: admission.clone(), open: false };
    let session = Session { route, admission, state, counted };
    match streams {
        Streams::Plain(client, target) => {
            session
                .run(client, target, Judged::Client, |_, _, kind, _| match kind {
                    RouteKind::Plain { .. } => Ok(Anyone::admitted()),
                    RouteKind::Server { .. } | RouteKind::Client { .. } => Err(Withdrawn::AnotherKind),
                })
                .await
        }
        Streams::Server(client, target) => {
            session
                .run(client, target, Judged::Client, |client, _, kind, now| match kind {
                    RouteKind::Plain { .. } => Ok(Anyone::admitted()),
                    RouteKind::Server { tls, .. } => tls.admit_at(client.get_ref().1, now).map_err(Withdrawn::Peer),
                    RouteKind::Client { .. } => Err(Withdrawn::AnotherKind),
                })
                .await
        }
        Streams::Client(client, target) => {
            session
                .run(client, target, Judged::Target, |_, target, kind, now| match kind {
                    RouteKind::Client { tls, server_name } => {
                        tls.admit_at(target.get_ref().1, server_name, now).map_err(Withdrawn::Peer)
                    }
                    RouteKind::Plain { .. } | RouteKind::Server { .. } => Err(Withdrawn::AnotherKind),
                })
                .await
        }
    }
}

/// The side whose peer is authorized.
#[derive(Clone, Copy)]
enum Judged {
    Client,
    Target,
}

struct Session {
    route: Arc<Route>,
    admission: Admission,
    state: watch::Receiver<Arc<ListenerState>>,
    counted: Counted,
}

impl Session {
    async fn run<C: SessionStream + 'static, T: SessionStream + 'static>(
        mut self,
        client: C,
        target: T,
        judged: Judged,
        judge: impl Fn(&C, &T, &RouteKind, UnixTime) -> Result<Admission, Withdrawn>,
    ) -> Carried {
        let (mut client, mut target) = (OpenSide::new(client), OpenSide::new(target));
        let mut splice = Splice::new(C::PROVES_ITS_END, T::PROVES_ITS_END);
        if target.has_verdict() {
            self.counted.open();
        }
        let end = match self.go_on(&mut client, &mut target, &mut splice, judge).await {
            End::Failed(SpliceError::Target(error)) if !self.counted.open => End::Refused(error),
            end => end,
        };
        if !matches!(end, End::Refused(_)) {
            self.counted.open();
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
        judge: impl Fn(&C, &T, &RouteKind, UnixTime) -> Result<Admission, Withdrawn>,
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
                settles,
            ];
            let wake = wake.into_iter().flatten().min();
            let asleep = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            };
            let (counters, counted) = (&self.route.counters, &mut self.counted);
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
                turn = poll_fn(|cx| {
                    let turn = splice.poll(cx, &mut **client, &mut **target, counters);
                    if !counted.open && (splice.bytes().1 > 0 || target.has_verdict()) {
                        counted.open();
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
            let state = self.state.borrow().clone();
            match self.judge(&state, &**client, &**target, &judge) {
                Ok(Verdict::Admitted(admission)) => {
                    withdrawn = None;
                    self.admission = admission;
                }
                Ok(Verdict::Expired(refusal)) => {
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
    let by_what_was_seen = (Manner::of(client, true), Manner::of(target, false));
    match (end, judged) {
        (End::Both | End::Failed(_) | End::Refused(_) | End::HalfClosed, _) => by_what_was_seen,
        // Pending octets were not taken for the whole idle timeout.
        (End::Idle, _) => (
            if client.whole { by_what_was_seen.0 } else { Manner::AtOnce },
            if target.whole { by_what_was_seen.1 } else { Manner::AtOnce },
        ),
        (End::Over(_), Judged::Client) => (Manner::AtOnce, by_what_was_seen.1),
        (End::Over(_), Judged::Target) => (Manner::of(client, false), Manner::AtOnce),
    }
}

impl Session {
    /// Returns how long the session may carry nothing, by the current configuration.
    fn idle_timeout<C: SessionStream>(&self, client: &C) -> Option<Duration> {
        let state = self.state.borrow();
        let route = successor(&state.everywhere, &self.route, client.server_name()).unwrap_or(&self.route);
        route.idle_timeout(self.admission.peer().is_some())
    }

    /// Judges the peer by the current rules. `expired_grace` is for expiry alone, so an expired peer is judged at its
    /// last second of validity too: a denied key or a withdrawn rule ends its session at once.
    fn judge<C: SessionStream, T: SessionStream>(
        &self,
        state: &ListenerState,
        client: &C,
        target: &T,
        judge: &impl Fn(&C, &T, &RouteKind, UnixTime) -> Result<Admission, Withdrawn>,
    ) -> Result<Verdict, Withdrawn> {
        match (self.judge_at(clock::now(), state, client, target, judge), self.admission.peer()) {
            (Ok(admission), _) => Ok(Verdict::Admitted(admission)),
            (Err(withdrawn), Some(peer)) if withdrawn.is_expiry() && !state.limits.expired_grace.is_zero() => {
                self.judge_at(peer.valid_until(), state, client, target, judge).map(|_| Verdict::Expired(withdrawn))
            }
            (Err(withdrawn), _) => Err(withdrawn),
        }
    }

    /// Judges the peer at a time; a removed tunnel has no rules left to judge by.
    fn judge_at<C: SessionStream, T: SessionStream>(
        &self,
        now: UnixTime,
        state: &ListenerState,
        client: &C,
        target: &T,
        judge: &impl Fn(&C, &T, &RouteKind, UnixTime) -> Result<Admission, Withdrawn>,
    ) -> Result<Admission, Withdrawn> {
        if let Some(route) = successor(&state.everywhere, &self.route, client.server_name()) {
            return judge(client, target, &route.kind, now);
        }
        match &self.admission {
            _ if !state.limits.keep_removed_sessions => Err(Withdrawn::Removed),
            Admission::Anyone(anyone) => Ok(Admission::Anyone(*anyone)),
            // With `keep_removed_sessions`, a session continues as long as some tunnel would authorize its peer.
            Admission::Peer(_) => {
                let judged = state.everywhere.iter().map(|route| judge(client, target, &route.kind, now));
                judged.filter_map(Result::ok).find(|one| one.peer().is_some()).ok_or(Withdrawn::Removed)
            }
        }
    }
}

/// Returns when to judge next: one second after the last second of validity, and at intervals before.
fn next_look(peer: &Peer) -> Option<Instant> {
    let left = peer.valid_until().as_secs().saturating_add(1).saturating_sub(clock::now().as_secs());
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
