//! Looks up a target and connects to each of its addresses.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::handshake;
use super::planned::Planned;
use super::report::{Level, Part, Report};
use crate::egress::Egress;
use crate::gateway::{Address, Socket, addresses, connect, leads_through};

/// Tries a tunnel as far as it works; each step that waits has `patience`.
pub(super) async fn attempt(planned: &Planned, patience: Duration, report: &mut Report) {
    let via = planned.via.as_ref().filter(|via| leads_through(Some(via), &planned.target));
    let found = match via {
        None => look_up(&planned.target, patience, report).await,
        Some(via) => {
            report.add(Part::LookUp, Level::Ok, format!("{}: left to the proxy {via}", planned.target));
            vec![planned.target.clone()]
        }
    };
    let Some((address, stream)) = connect_each(found, via, patience, report).await else { return };
    report.address = Some(address.to_string());
    handshake::shake(planned, &address, stream, patience, report).await;
}

async fn look_up(target: &Address, patience: Duration, report: &mut Report) -> Vec<Address> {
    let found = timeout(patience, addresses(target)).await;
    let why = match found {
        Ok(Ok(found)) => {
            let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
            let what = match target {
                Address::Host(host, _) => format!("{host} has {}", shown.join(", ")),
                Address::Tcp(_) | Address::Unix(_) => format!("{target} needs none"),
            };
            report.add(Part::LookUp, Level::Ok, what);
            return found;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {patience:?}"),
    };
    report.advise(
        Part::LookUp,
        Level::Error,
        format!("{target}: {why}"),
        "correct the name in `target` or in the mesh; else this machine's name server or /etc/hosts lacks it",
    );
    Vec::new()
}

/// Connects to all addresses at once, and returns the first in the tunnel's order that has answered.
async fn connect_each(
    found: Vec<Address>,
    via: Option<&Arc<Egress>>,
    patience: Duration,
    report: &mut Report,
) -> Option<(Address, Socket)> {
    let mut attempts = JoinSet::new();
    for (place, address) in found.into_iter().enumerate() {
        let via = via.cloned();
        attempts.spawn(async move {
            let connected = connect(&address, via.as_deref(), patience).await;
            (place, address, connected)
        });
    }
    let mut tried: Vec<_> = attempts.join_all().await;
    tried.sort_by_key(|(place, ..)| *place);
    let any = tried.iter().any(|(.., connected)| connected.is_ok());
    let mut first = None;
    for (_, address, connected) in tried {
        match connected {
            Ok(stream) => {
                let through = via.map(|via| format!(" through {via}")).unwrap_or_default();
                report.add(Part::Connection, Level::Ok, format!("{address} answers{through}"));
                // The others are closed without an octet, as health checks are.
                first = first.or(Some((address, stream)));
            }
            // The tunnel goes to an address that answers.
            Err(error) if any => report.add(Part::Connection, Level::Warning, format!("{address}: {error}")),
            Err(error) => {
                let advice = if via.is_some() { PROXY_ADVICE } else { advice(&error) };
                report.advise(Part::Connection, Level::Error, format!("{address}: {error}"), advice);
            }
        }
    }
    first
}

/// The advice where a proxy does not lead to a target.
const PROXY_ADVICE: &str = "look at `proxy` of the tunnel, and at the proxy's own log and rules for this target";

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: the other side starts its gateway, or the port is another one"
        }
        io::ErrorKind::TimedOut => "a firewall or a route in between takes the packets, or that machine is off",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "this machine has no route there: look at its network, VPN and routes"
        }
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => "look at the socket's file, and who may open it",
        _ => "look at the network between this machine and that one",
    }
}
