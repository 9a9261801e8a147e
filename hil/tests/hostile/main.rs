//! Tests the hostile server with three clients: the device's own and the engine's, which behave as the tables say, and
//! rustls, which shows that the server works apart from its fault. The hostile clients meet the engine and rustls.

mod desktop;
mod device;
mod engine;
mod stranger;
mod tunnels;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use device::{Device, Outcome};
use edgetrust_hil::hostile::{Expected, MODES, Mode, Seen, Server, mode};
use edgetrust_hil::pki::{Credential, Pki, Wish};

const NAME: &str = "gateway.a.example";
/// The time limit for events that occur.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time limit for events that never occur.
const SHORT: Duration = Duration::from_secs(4);

fn device() -> (Pki, Credential) {
    let pki = Pki::new();
    let credential = pki.device(&Wish::client("sensor-7.a.example"));
    (pki, credential)
}

fn ask(server: &Server, pki: &Pki, credential: &Credential, time: Duration) -> Outcome {
    let device = Device { server: server.address(), name: NAME, root: &pki.root.der, credential, time };
    device::ask(device, b"GET / HTTP/1.1\r\n\r\n", |_| false)
}

/// Compares a device's behaviour with the mode's expectation.
fn judge(mode: &Mode, outcome: &Outcome, seen: &Seen) -> Result<(), String> {
    let fine = match (mode.expected, outcome) {
        (Expected::Served, Outcome::Ended(octets)) => octets.starts_with(b"HTTP/1.1 200 "),
        (Expected::Refused(reason), Outcome::Refused(error)) => error.contains(reason) && !seen.gave_away(),
        (Expected::Broken(reason), Outcome::Broken(error)) => error.contains(reason),
        (Expected::Ended, Outcome::Ended(octets)) => octets.is_empty(),
        (Expected::GivenUp, Outcome::Refused(error)) => error.contains("TimedOut") && !seen.gave_away(),
        (Expected::Silent, Outcome::Broken(error)) => error.contains("TimedOut") && seen.finished == 1,
        (Expected::Panics, Outcome::Panicked) => true,
        _ => false,
    };
    if fine { Ok(()) } else { Err(format!("{}: expected {:?}: {outcome:?}, {seen:?}", mode.name, mode.expected)) }
}

#[test]
fn a_device_does_what_the_table_says() {
    let (pki, credential) = device();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(mode) = MODES.get(next.fetch_add(1, Ordering::Relaxed)) {
            let server = Server::start(mode, &pki, NAME).unwrap();
            let time = if matches!(mode.expected, Expected::GivenUp | Expected::Silent) { SHORT } else { PATIENCE };
            let outcome = ask(&server, &pki, &credential, time);
            wrong.extend(judge(mode, &outcome, &server.seen()).err());
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_survives_its_clients_and_serves_the_next() {
    let (pki, credential) = device();
    let server = Server::start(mode("good").unwrap(), &pki, NAME).unwrap();
    for round in 1..=3 {
        let outcome = ask(&server, &pki, &credential, PATIENCE);
        judge(mode("good").unwrap(), &outcome, &server.seen()).unwrap();
        assert_eq!(server.seen().connections, round);
    }
    let seen = server.seen();
    assert_eq!((seen.hellos, seen.finished, seen.certificates), (3, 3, 3), "{seen:?}");
    assert!(seen.application_data.starts_with(b"GET / HTTP/1.1"), "{seen:?}");
}

#[test]
fn rustls_is_served_by_the_good_and_refuses_the_others() {
    let (pki, _) = device();
    for mode in MODES {
        let server = || Server::start(mode, &pki, NAME).unwrap();
        match mode.expected {
            Expected::Served if LAX.contains(&mode.name) => {
                let answer = desktop::ask(server().address(), NAME, &pki.root.der, PATIENCE);
                assert!(answer.is_err(), "{}: {answer:?}", mode.name);
            }
            Expected::Served => {
                let answer = desktop::ask(server().address(), NAME, &pki.root.der, PATIENCE);
                assert!(
                    answer.as_ref().is_ok_and(|octets| octets.starts_with(b"HTTP/1.1 200 ")),
                    "{}: {answer:?}",
                    mode.name
                );
            }
            // Fragments, odd lists and keys of other kinds are legal: devices do not support them.
            Expected::Refused(_) if LAWFUL.contains(&mode.name) => {
                let answer = desktop::ask(server().address(), NAME, &pki.root.der, PATIENCE);
                assert!(answer.is_ok(), "{}: {answer:?}", mode.name);
            }
            Expected::Refused(_) => {
                let server = server();
                let answer = desktop::ask(server.address(), NAME, &pki.root.der, SHORT);
                assert!(answer.is_err() && server.seen().application_data.is_empty(), "{}: {answer:?}", mode.name);
            }
            _ => {}
        }
    }
}

#[test]
fn rustls_refuses_messages_across_a_change_of_keys() {
    let (pki, _) = device();
    for mode in MODES.iter().filter(|mode| mode.name.starts_with("across-")) {
        let server = Server::start(mode, &pki, NAME).unwrap();
        let answer = desktop::ask(server.address(), NAME, &pki.root.der, SHORT);
        let error = answer.expect_err(mode.name).to_string();
        assert!(error.contains("KeyEpochWithPendingFragment"), "{}: {error}", mode.name);
        // RFC 8446 section 5.1: unexpected_message
        let alerts = server.seen().alerts;
        assert!(alerts.is_empty() || alerts == [(2, 10)], "{}: {alerts:?}", mode.name);
    }
}

/// Modes that TLS allows and a device does not support.
const LAWFUL: &[&str] =
    &["fragmented-messages", "long-chain", "odd-certificate-request", "oversized-chain", "p384-certificate"];

/// Modes that TLS forbids and a device does not detect; none of them concerns the server's identity.
const LAX: &[&str] = &["long-extensions"];

#[test]
fn modes_have_names_of_their_own_and_say_what_they_do() {
    let names: BTreeSet<&str> = MODES.iter().map(|mode| mode.name).collect();
    assert_eq!(names.len(), MODES.len());
    assert!(MODES.len() >= 30 && MODES.iter().all(|mode| !mode.does.is_empty()));
    assert!(mode("nonsense").is_none());
}
