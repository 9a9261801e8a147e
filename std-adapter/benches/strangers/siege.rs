//! Measures the latency of authorized clients while one core makes hostile handshakes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::hostile::{Shown, admitted, client, refused, serve};
use crate::site::Site;
use crate::work::attacks;

/// The duration of each measurement.
const PART: Duration = Duration::from_secs(10);
/// The number of authorized sessions, each with a round trip every ten milliseconds.
const SESSIONS: usize = 8;
/// The number of concurrent hostile connections.
const ATTACKERS: usize = 16;
const EVERY: Duration = Duration::from_millis(10);
/// The attacks: one of the most expensive to refuse, one that costs signatures, and one that is cheap to make.
const ATTACKS: [&str; 3] = ["constraints: DNS names", "forged: P-256", "a ladder of CAs of one name"];

/// The attack that is a line of the audit log for each handshake: those of one certificate are folded.
const FRESH: &str = "another certificate each time";

/// Shows another self-signed certificate at each handshake, until the process is killed.
fn attack_afresh(address: SocketAddr) -> ! {
    std::thread::scope(|scope| {
        for attacker in 0..ATTACKERS {
            scope.spawn(move || {
                let key = KeyPair::generate().unwrap();
                for count in 0_u64.. {
                    let name = format!("stranger-{attacker}-{count}.example");
                    let certificate = CertificateParams::new(vec![name]).unwrap().self_signed(&key).unwrap();
                    refused(address, &client(Shown::new(&[certificate.der().to_vec()])));
                }
            });
        }
    });
    unreachable!("nobody stops");
}

/// Attacks until the process is killed.
pub fn attack(address: SocketAddr, name: &str) -> ! {
    if name == FRESH {
        attack_afresh(address);
    }
    let attack = attacks().into_iter().find(|attack| attack.name == name).unwrap();
    let config = client(Shown::new(&attack.chain));
    std::thread::scope(|scope| {
        for _ in 0..ATTACKERS {
            scope.spawn(|| {
                loop {
                    refused(address, &config);
                }
            });
        }
    });
    unreachable!("nobody stops");
}

struct Attacker(Child);

impl Attacker {
    /// Starts attacks on one core.
    fn start(address: SocketAddr, name: &str) -> Self {
        let me = std::env::current_exe().unwrap();
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(me).args(["attack", &address.to_string(), name]);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls `ask` every `EVERY` and returns the latencies.
fn sample(mut ask: impl FnMut()) -> Vec<Duration> {
    let until = Instant::now() + PART;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let start = Instant::now();
        ask();
        latencies.push(start.elapsed());
        std::thread::sleep(EVERY.saturating_sub(start.elapsed()));
    }
    latencies
}

/// Returns median, 99th percentile and maximum as text, and the 99th percentile.
fn told(mut latencies: Vec<Duration>) -> (String, Duration) {
    latencies.sort();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    let milliseconds = [50, 99, 100].map(|share| format!("{:.2}", at(share).as_secs_f64() * 1e3));
    (milliseconds.join(" / ") + " ms", at(99))
}

pub fn print() {
    let site = Site::new(serve(Shown::new(&attacks()[0].chain)));
    let (chain, key) = site.pki.issue("location-b", &[]);
    let read = |path: &std::path::Path| std::fs::read(path).unwrap();
    let config = admitted(&read(&site.pki.ca()), &read(&chain), &read(&key));
    let mut sessions: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let name = ServerName::try_from("gateway.example").unwrap();
            let stream = TcpStream::connect(site.server).unwrap();
            stream.set_nodelay(true).unwrap();
            rustls::StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), stream)
        })
        .collect();
    let mut part = |what: &str, attack: Option<&str>| {
        let attacker = attack.map(|name| Attacker::start(site.server, name));
        let refused = || site.refusals();
        // The attack is under way.
        if attacker.is_some() {
            let before = refused();
            site.program.wait_until("no attack", |_| refused() > before + 10);
        }
        let audited = || std::fs::metadata(site.audit_log()).unwrap().len();
        let (before, cpu, octets) = (refused(), site.program.processor_time(), audited());
        let (trips, pages) = std::thread::scope(|scope| {
            let trips: Vec<_> = sessions
                .iter_mut()
                .map(|session| {
                    scope.spawn(|| {
                        sample(|| {
                            session.write_all(&[7; 1024]).unwrap();
                            session.read_exact(&mut [0; 1024]).unwrap();
                        })
                    })
                })
                .collect();
            let pages = sample(|| drop(site.page("/healthz")));
            (trips.into_iter().flat_map(|trips| trips.join().unwrap()).collect::<Vec<_>>(), pages)
        });
        let seconds = PART.as_secs_f64();
        let rate = (refused() - before) as f64 / seconds;
        let audited = (audited() - octets) as f64 / 1e6 / seconds;
        let cpu = (site.program.processor_time() - cpu).as_secs_f64() / seconds;
        drop(attacker);
        let ((trips, first), (pages, second)) = (told(trips), told(pages));
        println!("| {what} | {rate:.0} | {cpu:.2} | {trips} | {pages} | {audited:.3} MB |");
        first.max(second)
    };
    println!(
        "\n| | refused a second | the gateway's cores | round trip of 1 KiB: median / p99 / most | `/healthz` | audit log a second |\n|---|---|---|---|---|---|"
    );
    part("nobody attacks", None);
    part(FRESH, Some(FRESH));
    let worst = ATTACKS.map(|name| part(name, Some(name))).into_iter().max().unwrap();
    assert!(worst < Duration::from_millis(50), "p99 of {worst:?}, expected less than 50 ms");
}
