//! Connects to the target of a tunnel: every address of a name is tried, staggered (RFC 8305).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Address;
use super::lookup::lookup;
use super::socket::Socket;
use crate::egress::{Destination, Egress, ProxyFault};

/// Connection Attempt Delay (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The divisor of `limits.handshake_timeout` for look-up and connection: the handshake needs the rest, and the error
/// names the target that did not answer.
const SHARE: u32 = 2;

/// Returns the time of `limits.handshake_timeout` that look-up and connection may take.
pub(super) fn share_of(handshake_timeout: Duration) -> Duration {
    handshake_timeout.checked_div(SHARE).unwrap_or_default()
}

/// Returns the addresses of a target, in the order in which a tunnel tries them.
///
/// # Errors
/// Returns the system's error where the target's name is not found.
pub(crate) async fn addresses(target: &Address) -> io::Result<Vec<Address>> {
    let Address::Host(host, port) = target else { return Ok(vec![target.clone()]) };
    let found = in_turns(lookup(host).await?);
    Ok(found.into_iter().map(|address| Address::Tcp(SocketAddr::new(address, *port))).collect())
}

/// Connects to a target within `patience`, through a proxy if there is one that leads there.
pub(crate) async fn connect(target: &Address, via: Option<&Egress>, patience: Duration) -> io::Result<Socket> {
    let to = destination(target);
    let via = via.zip(to).filter(|(via, to)| via.leads_to(to));
    // On the heap: freed before the handshake needs its space.
    let connected = match via {
        None => timeout(patience, Box::pin(directly(target))).await,
        Some((via, to)) => timeout(patience, Box::pin(through(via, to))).await,
    };
    connected.unwrap_or_else(|_| {
        let of_proxy = via.map(|(via, _)| format!("proxy {via}: ")).unwrap_or_default();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{of_proxy}no answer within {:?}", shown(patience))))
    })
}

/// Returns a time for a message, in whole milliseconds.
pub(super) fn shown(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Returns what a proxy is told of a target; none for a Unix socket.
fn destination(target: &Address) -> Option<Destination<'_>> {
    match target {
        Address::Tcp(address) => Some(Destination::Ip(*address)),
        Address::Host(host, port) => Some(Destination::Name(host, *port)),
        Address::Unix(_) => None,
    }
}

/// Returns whether a proxy leads to a target, so that its name is looked up there.
pub(crate) fn leads_through(via: Option<&Egress>, target: &Address) -> bool {
    via.zip(destination(target)).is_some_and(|(via, to)| via.leads_to(&to))
}

async fn directly(target: &Address) -> io::Result<Socket> {
    match target {
        Address::Tcp(address) => TcpStream::connect(address).await.map(Socket::from),
        Address::Host(host, port) => {
            let addresses = in_turns(lookup(host).await?);
            race(addresses.into_iter().map(|address| SocketAddr::new(address, *port)).collect()).await
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}

async fn through(via: &Egress, to: Destination<'_>) -> io::Result<Socket> {
    let (host, port) = via.host();
    let proxy = match host.parse() {
        Ok(ip) => Address::Tcp(SocketAddr::new(ip, port)),
        Err(_) => Address::Host(host.to_owned(), port),
    };
    let mut socket = directly(&proxy).await.map_err(|error| via.fault(ProxyFault::Io(error)))?;
    via.ask(&mut socket, &to).await?;
    Ok(socket)
}

/// Orders the address families in turns, beginning with the preferred one (RFC 8305 section 4).
fn in_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let preferred = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        match (first.next(), second.next()) {
            (None, None) => return all,
            (one, other) => all.extend(one.into_iter().chain(other)),
        }
    }
}

/// Connects to the first address that answers. The next address is tried when the attempt before has failed, or has
/// not answered for `ATTEMPT_DELAY` (RFC 8305 section 5).
async fn race(addresses: Vec<SocketAddr>) -> io::Result<Socket> {
    if let [only] = addresses.as_slice() {
        return TcpStream::connect(only).await.map(Socket::from);
    }
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failed = Vec::new();
    loop {
        match waiting.next() {
            // On return, dropping the set gives up the attempts under way.
            Some(address) => drop(attempts.spawn(async move { (address, TcpStream::connect(address).await) })),
            None if attempts.is_empty() => return Err(none_answered(failed)),
            None => {}
        }
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok((_, Ok(stream))) => return Ok(Socket::from(stream)),
                Ok((address, Err(error))) => failed.push((address, error)),
                Err(error) => return Err(io::Error::other(error)),
            },
            () = sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
    }
}

fn none_answered(failed: Vec<(SocketAddr, io::Error)>) -> io::Error {
    let kind = failed.first().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
    let reasons: Vec<_> = failed.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    io::Error::new(kind, reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::{TcpListener, TcpSocket};

    /// Returns an address where nothing answers: the queue of its listener is full, so that the kernel drops requests
    /// for a connection.
    async fn silent(port: u16) -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), port).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = timeout(ATTEMPT_DELAY, TcpStream::connect(address)).await {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue has no end");
        }
        (address, listener, queued)
    }

    #[tokio::test]
    async fn a_silent_first_address_does_not_keep_the_second_from_being_tried() {
        let (silent, _listener, _queued) = silent(0).await;
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reached = race(vec![silent, alive.local_addr().unwrap()]).await.unwrap();
        assert_eq!(reached.addresses().unwrap().0, alive.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_refusal_leads_to_the_next_address_and_all_are_named_in_the_end() {
        let gone = |ip: [u8; 4]| async move {
            TcpListener::bind(SocketAddr::from((ip, 0))).await.unwrap().local_addr().unwrap()
        };
        let (one, two) = (gone([127, 0, 0, 1]).await, gone([127, 0, 0, 3]).await);
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(race(vec![one, two, alive.local_addr().unwrap()]).await.is_ok());
        let error = race(vec![one, two]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        for address in [one, two] {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
    }

    #[tokio::test]
    async fn a_target_that_does_not_answer_is_given_up_within_its_share_of_the_deadline() {
        let (silent, _listener, _queued) = silent(0).await;
        let error = connect(&Address::Tcp(silent), None, share_of(Duration::from_millis(400))).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "no answer within 200ms");
    }

    #[test]
    fn families_take_turns() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let (v6, v4) = (["::1", "::2", "::3"], ["1.1.1.1"]);
        assert_eq!(in_turns(parse(&[&v6[..], &v4[..]].concat())), parse(&["::1", "1.1.1.1", "::2", "::3"]));
        assert_eq!(in_turns(parse(&[&v4[..], &v6[..]].concat())), parse(&["1.1.1.1", "::1", "::2", "::3"]));
        assert_eq!(in_turns(Vec::new()), parse(&[]));
    }
}
