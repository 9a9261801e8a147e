//! The targets of a tunnel, of which one is enough: the first one that lives.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use pki_types::ServerName;
use tokio::time::{Instant, timeout};

use super::Address;
use super::handshakes::Handshakes;
use super::health::{Failure, Health};
use super::leaving::leave_told;
use super::socket::Socket;
use super::target;
use crate::egress::Egress;
use crate::tls::{AcceptError, Admission, Agreed, ClientStream, TlsClient};

/// A server: its address, and the name that its certificate must be for.
pub(crate) type ServerAddress = (Address, ServerName<'static>);

/// The targets of a tunnel, at least one. `N` is what is to be known of a target beside its address: the name that its
/// certificate must be for, where it is a server.
#[derive(Debug)]
pub(super) struct Targets<N> {
    first: Target<N>,
    others: Vec<Target<N>>,
    via: Option<Arc<Egress>>,
}

/// A target of a tunnel.
#[derive(Debug)]
struct Target<N> {
    name: N,
    health: Arc<Health>,
}

/// The reason that a target was not reached.
pub(super) enum Unreached {
    Connect(io::Error),
    Tls(AcceptError),
    /// Nothing was agreed on within this time, and another target is there to be tried.
    Silent(Duration),
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Silent(time) => write!(f, "no handshake within {:?}", target::shown(*time)),
        }
    }
}

impl Unreached {
    fn failure(&self) -> Failure {
        match self {
            Self::Connect(_) => Failure::Connection,
            Self::Tls(_) | Self::Silent(_) => Failure::Refusal,
        }
    }
}

/// A server that was reached.
pub(super) struct Reached {
    pub(super) stream: ClientStream<Socket>,
    pub(super) admission: Admission,
    pub(super) server_name: ServerName<'static>,
    pub(super) health: Arc<Health>,
}

/// The targets that one connection tries: those that live, in their order, and then the others. Each has an equal part
/// of the time that is left, the last one all of it.
struct Attempts<'a, N> {
    left: std::vec::IntoIter<&'a Target<N>>,
    /// The whole time, until the first one is tried.
    whole: Option<Duration>,
    until: Instant,
}

/// One of them.
struct Attempt<'a, N> {
    target: &'a Target<N>,
    part: Duration,
    is_last: bool,
}

impl<'a, N> Iterator for Attempts<'a, N> {
    type Item = Attempt<'a, N>;

    fn next(&mut self) -> Option<Self::Item> {
        let count = u32::try_from(self.left.len()).unwrap_or(u32::MAX);
        let target = self.left.next()?;
        let left = self.whole.take().unwrap_or_else(|| self.until.saturating_duration_since(Instant::now()));
        Some(Attempt { target, part: left.checked_div(count).unwrap_or_default(), is_last: count == 1 })
    }
}

impl<N> Targets<N> {
    /// Makes the targets of a tunnel; those in `known` keep their health.
    pub(super) fn new(
        tunnel: &str,
        first: (Address, N),
        others: Vec<(Address, N)>,
        (interval, via): (Duration, Option<Arc<Egress>>),
        known: &[Arc<Health>],
    ) -> Self {
        let has_others = !others.is_empty();
        let target = |(address, name): (Address, N)| {
            let before = known.iter().find(|health| *health.address() == address).cloned();
            let health = before.unwrap_or_else(|| Health::new(tunnel, address));
            health.take_over(interval, via.clone(), has_others);
            Target { name, health }
        };
        Self { first: target(first), others: others.into_iter().map(target).collect(), via }
    }

    fn all(&self) -> impl Iterator<Item = &Target<N>> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Returns what is known of each target.
    pub(super) fn healths(&self) -> Vec<Arc<Health>> {
        self.all().map(|target| target.health.clone()).collect()
    }

    fn attempts(&self, patience: Duration) -> Attempts<'_, N> {
        let order = if self.others.is_empty() {
            vec![&self.first]
        } else {
            let (mut up, down): (Vec<_>, Vec<_>) = self.all().partition(|target| target.health.is_up());
            up.extend(down);
            up
        };
        let now = Instant::now();
        Attempts { left: order.into_iter(), whole: Some(patience), until: now.checked_add(patience).unwrap_or(now) }
    }

    /// Notes that a target was not reached, so that it is passed over if there are others.
    fn failed(&self, target: &Target<N>, failure: Failure, reason: &dyn fmt::Display) {
        if self.others.is_empty() {
            target.health.note(false);
        } else {
            target.health.failed(failure, reason);
        }
    }

    fn reached(&self, target: &Target<N>) {
        if self.others.is_empty() {
            target.health.note(true);
        } else {
            target.health.reached();
        }
    }
}

impl Targets<()> {
    /// Connects to the first target that lives, within `patience`.
    ///
    /// # Errors
    /// Returns the last target that was tried, and why it was not reached.
    pub(super) async fn connect(&self, patience: Duration) -> Result<(Socket, &Health), (Address, io::Error)> {
        let mut last = None;
        for Attempt { target, part, .. } in self.attempts(patience) {
            match target::connect(target.health.address(), self.via.as_deref(), part).await {
                Ok(socket) => {
                    self.reached(target);
                    return Ok((socket, &target.health));
                }
                Err(error) => {
                    self.failed(target, Failure::Connection, &error);
                    last = Some((target.health.address().clone(), error));
                }
            }
        }
        let none = || (self.first.health.address().clone(), io::Error::from(io::ErrorKind::NotFound));
        Err(last.unwrap_or_else(none))
    }
}

impl Targets<ServerName<'static>> {
    /// Returns the name to judge a server by that was reached as `was`: its own, or the first one's if it is no server of
    /// the tunnel any more.
    pub(super) fn name<'a>(&'a self, was: Option<&'a ServerName<'static>>) -> &'a ServerName<'static> {
        was.filter(|was| self.all().any(|target| target.name == **was)).unwrap_or(&self.first.name)
    }

    /// Connects to the first server that lives, within `patience`.
    ///
    /// # Errors
    /// Returns the last server that was tried, and why it was not reached. If it was sent a fatal alert, its stream is left
    /// in `told`.
    pub(super) async fn connect_by_tls(
        &self,
        tls: &TlsClient,
        handshakes: &Handshakes,
        patience: Duration,
        told: &mut Option<Socket>,
    ) -> Result<Reached, (Address, Unreached)> {
        let mut last = None;
        for Attempt { target, part, is_last } in self.attempts(patience) {
            // The alert for the server before arrives meanwhile.
            if let Some(socket) = told.take() {
                drop(tokio::spawn(leave_told(socket)));
            }
            let attempt = attempt(target, self.via.as_deref(), (tls, handshakes), target::share_of(part), told);
            let attempted = match is_last {
                true => attempt.await,
                false => timeout(part, attempt).await.unwrap_or(Err(Unreached::Silent(part))),
            };
            match attempted {
                Ok((stream, admission)) => {
                    self.reached(target);
                    let (server_name, health) = (target.name.clone(), target.health.clone());
                    return Ok(Reached { stream, admission, server_name, health });
                }
                Err(reason) => {
                    self.failed(target, reason.failure(), &reason);
                    last = Some((target.health.address().clone(), reason));
                }
            }
        }
        let none = || (self.first.health.address().clone(), Unreached::Silent(patience));
        Err(last.unwrap_or_else(none))
    }

    /// Notes the verdict of a server on us, which in TLS 1.3 comes after a client is done: one that refuses us is passed
    /// over.
    pub(super) fn judged(&self, health: &Arc<Health>, refused: Option<&io::Error>) {
        match refused {
            _ if self.others.is_empty() => health.note(refused.is_none()),
            Some(reason) => health.failed(Failure::Refusal, reason),
            None => health.accepted(),
        }
    }
}

async fn attempt(
    target: &Target<ServerName<'static>>,
    via: Option<&Egress>,
    (tls, handshakes): (&TlsClient, &Handshakes),
    patience: Duration,
    told: &mut Option<Socket>,
) -> Result<(ClientStream<Socket>, Admission), Unreached> {
    let socket = target::connect(target.health.address(), via, patience).await.map_err(Unreached::Connect)?;
    let begun = handshakes.begin(std::time::Instant::now());
    let connected = tls.connect_telling(target.name.clone(), socket, told).await;
    match &connected {
        Ok((stream, _)) => begun.accept(Agreed::of(stream.get_ref().1)),
        Err(error) => begun.fail_by(error),
    }
    connected.map_err(Unreached::Tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(3600);

    fn server(name: &str) -> ServerAddress {
        (Address::Host(name.to_owned(), 1), ServerName::try_from(name.to_owned()).unwrap())
    }

    fn order<N>(targets: &Targets<N>) -> Vec<String> {
        targets.attempts(INTERVAL).map(|attempt| attempt.target.health.address().to_string()).collect()
    }

    #[tokio::test]
    async fn the_first_that_lives_comes_first_and_a_reload_knows_who_does() {
        let others = || vec![server("two.example"), server("three.example")];
        let before = Targets::new("tunnel", server("one.example"), others(), (INTERVAL, None), &[]);
        assert_eq!(order(&before), ["one.example:1", "two.example:1", "three.example:1"]);
        before.failed(&before.first, Failure::Connection, &"gone");
        assert_eq!(order(&before), ["two.example:1", "three.example:1", "one.example:1"]);
        let after = Targets::new(
            "tunnel",
            server("two.example"),
            vec![server("one.example")],
            (INTERVAL, None),
            &before.healths(),
        );
        assert_eq!(order(&after), ["two.example:1", "one.example:1"]);
        after.reached(&after.others[0]);
        assert_eq!(order(&before), ["one.example:1", "two.example:1", "three.example:1"]);
    }

    #[tokio::test]
    async fn the_only_target_is_never_passed_over() {
        let only = Targets::new("tunnel", server("one.example"), Vec::new(), (INTERVAL, None), &[]);
        only.failed(&only.first, Failure::Connection, &"gone");
        assert!(!only.first.health.is_up());
        assert_eq!(order(&only), ["one.example:1"]);
        only.reached(&only.first);
        assert!(only.first.health.is_up());
    }

    #[test]
    fn servers_are_known_by_their_names() {
        let servers = Targets::new("tunnel", server("one.example"), vec![server("two.example")], (INTERVAL, None), &[]);
        assert_eq!(servers.name(Some(&server("two.example").1)).to_str(), "two.example");
        assert_eq!(servers.name(Some(&server("gone.example").1)).to_str(), "one.example");
        assert_eq!(servers.name(None).to_str(), "one.example");
    }

    #[tokio::test(start_paused = true)]
    async fn each_target_has_its_part_of_the_time_that_is_left() {
        let others = vec![server("two.example"), server("three.example")];
        let targets = Targets::new("tunnel", server("one.example"), others, (INTERVAL, None), &[]);
        let mut attempts = targets.attempts(Duration::from_secs(9));
        let mut next = || attempts.next().map(|attempt| (attempt.part.as_secs(), attempt.is_last));
        assert_eq!(next(), Some((3, false)));
        assert_eq!(next(), Some((4, false)), "the first one failed at once");
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(next(), Some((5, true)));
        assert_eq!(next(), None);
    }
}
