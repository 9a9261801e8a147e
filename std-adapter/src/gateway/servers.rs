//! The servers that a client tunnel leads to: several gateways of a site, of which one is enough.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pki_types::ServerName;
use tokio::time::timeout;
use tracing::warn;

use super::Address;
use super::handshakes::Handshakes;
use super::leaving::leave_told;
use super::socket::Socket;
use super::target;
use crate::tls::{AcceptError, Admission, Agreed, ClientStream, TlsClient};

/// A server: its address, and the name that its certificate must be for.
pub(crate) type ServerAddress = (Address, ServerName<'static>);

/// The servers of a tunnel, at least one.
#[derive(Debug)]
pub(super) struct Servers {
    first: ServerAddress,
    others: Vec<ServerAddress>,
    /// The number of the one that was reached last.
    last: AtomicUsize,
}

/// The reason that a server was not reached.
pub(super) enum Unreached {
    Connect(io::Error),
    Tls(AcceptError),
    /// Nothing was agreed on within this time, and another server is there to be tried.
    Silent(Duration),
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Silent(time) => write!(f, "no handshake within {time:?}"),
        }
    }
}

impl Servers {
    pub(super) fn new(first: ServerAddress, others: Vec<ServerAddress>) -> Self {
        Self { first, others, last: AtomicUsize::new(0) }
    }

    fn count(&self) -> usize {
        self.others.len().saturating_add(1)
    }

    /// Returns the server with this number, counted round and round.
    fn get(&self, number: usize) -> &ServerAddress {
        let place = number.checked_rem(self.count()).unwrap_or_default();
        place.checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.first)
    }

    /// Returns the name to judge a server by that was reached as `was`: its own, or the first one's if it is no server of
    /// the tunnel any more.
    pub(super) fn name<'a>(&'a self, was: Option<&'a ServerName<'static>>) -> &'a ServerName<'static> {
        let known = |name: &&ServerName<'static>| (0..self.count()).any(|number| self.get(number).1 == **name);
        was.filter(known).unwrap_or(&self.first.1)
    }

    /// Connects to the server that was reached last, or else to the next one that can be reached. Each has an equal part of
    /// `patience`, the last one what is left.
    ///
    /// # Errors
    /// Returns the last server that was tried, and why it was not reached. If it was sent a fatal alert, its stream is left
    /// in `told`.
    pub(super) async fn connect(
        &self,
        tunnel: &str,
        handshakes: &Handshakes,
        tls: &TlsClient,
        patience: Duration,
        told: &mut Option<Socket>,
    ) -> Result<(ClientStream<Socket>, Admission, ServerAddress), (Address, Unreached)> {
        let begin = self.last.load(Ordering::Relaxed);
        let count = self.count();
        let part = u32::try_from(count).ok().and_then(|count| patience.checked_div(count)).unwrap_or_default();
        let mut tried = 0_usize;
        loop {
            let number = begin.wrapping_add(tried);
            let (address, name) = self.get(number);
            tried = tried.saturating_add(1);
            let is_last = tried >= count;
            let attempt = attempt(address, name, handshakes, tls, target::share_of(part), told);
            let attempted = match is_last {
                true => attempt.await,
                false => timeout(part, attempt).await.unwrap_or(Err(Unreached::Silent(part))),
            };
            match attempted {
                Ok((stream, admission)) => {
                    self.last.store(number.checked_rem(count).unwrap_or_default(), Ordering::Relaxed);
                    return Ok((stream, admission, (address.clone(), name.clone())));
                }
                Err(reason) if is_last => return Err((address.clone(), reason)),
                Err(reason) => {
                    warn!(%tunnel, target = %address, "not reached, the next gateway is tried: {reason}");
                    // Its alert arrives meanwhile.
                    if let Some(socket) = told.take() {
                        drop(tokio::spawn(leave_told(socket)));
                    }
                }
            }
        }
    }

    /// Begins with the next server from now on: this one has refused us. In TLS 1.3 a client is done before the server's
    /// verdict.
    pub(super) fn pass_over(&self, refused: &ServerName<'_>) {
        let last = self.last.load(Ordering::Relaxed);
        if self.get(last).1 == *refused {
            self.last.store(last.wrapping_add(1).checked_rem(self.count()).unwrap_or_default(), Ordering::Relaxed);
        }
    }
}

async fn attempt(
    address: &Address,
    name: &ServerName<'static>,
    handshakes: &Handshakes,
    tls: &TlsClient,
    patience: Duration,
    told: &mut Option<Socket>,
) -> Result<(ClientStream<Socket>, Admission), Unreached> {
    let socket = target::connect(address, patience).await.map_err(Unreached::Connect)?;
    let begun = handshakes.begin(Instant::now());
    let connected = tls.connect_telling(name.clone(), socket, told).await;
    match &connected {
        Ok((stream, _)) => begun.accept(Agreed::of(stream.get_ref().1)),
        Err(error) => begun.fail_by(error),
    }
    connected.map_err(Unreached::Tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerAddress {
        (Address::Host(name.to_owned(), 1), ServerName::try_from(name.to_owned()).unwrap())
    }

    #[test]
    fn servers_take_turns_and_are_known_by_their_names() {
        let servers = Servers::new(server("one.example"), vec![server("two.example"), server("three.example")]);
        let name = |number| servers.get(number).1.to_str().into_owned();
        assert_eq!(
            [0, 1, 2, 3, 5].map(name),
            ["one.example", "two.example", "three.example", "one.example", "three.example"]
        );
        assert_eq!(servers.name(Some(&server("two.example").1)).to_str(), "two.example");
        assert_eq!(servers.name(Some(&server("gone.example").1)).to_str(), "one.example");
        assert_eq!(servers.name(None).to_str(), "one.example");
        let last = || servers.get(servers.last.load(Ordering::Relaxed)).1.to_str().into_owned();
        let passed = ["two.example", "one.example", "one.example", "two.example", "three.example"].map(|refused| {
            servers.pass_over(&server(refused).1);
            last()
        });
        assert_eq!(passed, ["one.example", "two.example", "two.example", "three.example", "one.example"]);
    }
}
