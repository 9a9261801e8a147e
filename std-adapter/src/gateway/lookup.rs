//! Looks up names of targets with the system (`getaddrinfo`: /etc/hosts, DNS, whatever `nsswitch.conf` says).
//!
//! The system's look-up blocks for as long as a name server is silent. Each name has one thread at a time, and all
//! connections to that name wait for the thread: a silent name server delays no other tunnel, and threads are bounded
//! by the configured names. The threads are not the runtime's, so that the program's end does not wait for them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

type Found = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

/// The look-ups under way, by name.
static UNDER_WAY: LazyLock<Mutex<HashMap<String, watch::Receiver<Option<Found>>>>> = LazyLock::new(Mutex::default);

fn under_way() -> MutexGuard<'static, HashMap<String, watch::Receiver<Option<Found>>>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the addresses of a host, in the system's order of preference (RFC 6724).
///
/// # Errors
/// Returns the system's error.
pub(super) async fn lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    lookup_by(host, |host| {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in (host, 0).to_socket_addrs()? {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        Ok(addresses)
    })
    .await
}

async fn lookup_by(
    host: &str,
    ask: impl FnOnce(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
) -> io::Result<Vec<IpAddr>> {
    let mut found = start(host, ask)?;
    let told = found.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
    match told {
        Some(Ok(addresses)) if addresses.is_empty() => {
            Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
        }
        Some(Ok(addresses)) => Ok(addresses),
        Some(Err((kind, reason))) => Err(io::Error::new(kind, reason)),
        // The thread ended without a result.
        None => Err(io::Error::other("the look-up failed")),
    }
}

/// Joins the look-up of this name, or starts one.
fn start(
    host: &str,
    ask: impl FnOnce(&str) -> io::Result<Vec<IpAddr>> + Send + 'static,
) -> io::Result<watch::Receiver<Option<Found>>> {
    let mut all = under_way();
    if let Some(known) = all.get(host) {
        return Ok(known.clone());
    }
    let (tell, found) = watch::channel(None);
    let name = host.to_owned();
    let work = move || {
        let asked = ask(&name).map_err(|error| (error.kind(), error.to_string()));
        // The next connection starts a new look-up: only waiting connections get this result.
        under_way().remove(&name);
        tell.send_replace(Some(asked));
    };
    std::thread::Builder::new().name("lookup".to_owned()).spawn(work)?;
    all.insert(host.to_owned(), found.clone());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn one_thread_answers_all_who_ask_for_a_name_meanwhile() {
        let (go_on, wait) = channel::<()>();
        let first = tokio::spawn(lookup_by("one.test", move |_| {
            let _ = wait.recv();
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        }));
        while !under_way().contains_key("one.test") {
            tokio::task::yield_now().await;
        }
        let never = |_: &str| -> io::Result<Vec<IpAddr>> { unreachable!("a second thread for the same name") };
        let others: Vec<_> = (0..100).map(|_| start("one.test", never).unwrap()).collect();
        // Another name does not wait for the first.
        let other = lookup_by("two.test", |_| Ok(vec![Ipv4Addr::BROADCAST.into()])).await;
        assert_eq!(other.unwrap(), [Ipv4Addr::BROADCAST]);
        go_on.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), [Ipv4Addr::LOCALHOST]);
        for mut other in others {
            assert!(other.wait_for(Option::is_some).await.is_ok());
        }
        assert!(!under_way().contains_key("one.test"), "a result that is kept");
    }

    #[tokio::test]
    async fn the_system_finds_localhost_and_says_what_it_does_not_find() {
        assert!(lookup("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
        assert!(lookup("no-such-host.invalid").await.is_err());
    }
}
