//! Tests gateways of one machine at one address: each has a listening socket of its own with `SO_REUSEPORT`, and all share
//! a certificate. The test plays systemd with `ReusePort=yes`.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use socket2::{Domain, Socket, Type};

use super::ca::{StepCa, free_port, own_ip};
use super::gateway::{Running, Site};
use super::jetstream::JetStream;
use super::peers::{OpensslClient, PATIENCE};
use super::replicas::{one_certificate, replica};

/// The time after the death of a gateway from which on each new connection succeeds.
pub const AFTERWARDS: Duration = Duration::from_secs(2);

/// Listens at an address that others may listen at.
fn reuse_port(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(128).unwrap();
    socket.into()
}

/// Runs a gateway that finds this socket at descriptor 3.
fn run_at(site: &Site, socket: &TcpListener) -> Running {
    let mut command = Command::new("sh");
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "edgetrust");
    let passed = FdMapping { parent_fd: socket.try_clone().unwrap().into(), child_fd: 3 };
    command.fd_mappings(vec![passed]).unwrap();
    command.args(["-ec", "export LISTEN_PID=$$; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_edgetrust")]);
    site.run_by(command, &[])
}

/// An attempt to be served: when it began, when it ended, and whether it succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    began: Instant,
    ended: Instant,
    succeeded: bool,
}

/// All attempts under load.
pub struct Load(Vec<Attempt>);

impl Load {
    /// Makes attempts over and over, four at a time, while `meanwhile` runs with what says how many have succeeded.
    pub fn during(attempt: impl Fn() -> bool + Sync, meanwhile: impl FnOnce(&dyn Fn() -> usize)) -> Self {
        let (over, all) = (AtomicBool::new(false), Mutex::new(Vec::<Attempt>::new()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        let succeeded = attempt();
                        all.lock().unwrap().push(Attempt { began, ended: Instant::now(), succeeded });
                    }
                });
            }
            let succeeded = || all.lock().unwrap().iter().filter(|attempt| attempt.succeeded).count();
            // The threads end although `meanwhile` panics.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&succeeded)));
            over.store(true, Ordering::Relaxed);
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
        });
        Self(all.into_inner().unwrap())
    }

    /// Checks what the death of a gateway has cost: every attempt succeeded that ended before it or began a while after
    /// it, and there was never a longer time without a success. Returns the longest, and how many failed.
    pub fn check(&self, died: Instant) -> (Duration, usize) {
        let mut ends: Vec<_> = self.0.iter().filter(|one| one.succeeded).map(|one| one.ended).collect();
        ends.sort();
        let longest = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        let failed: Vec<_> = self.0.iter().filter(|one| !one.succeeded).collect();
        let wrong = failed.iter().find(|one| one.ended < died || one.began > died + AFTERWARDS);
        assert!(wrong.is_none(), "{wrong:?}, the death was {died:?}");
        assert!(ends.last().unwrap() > &(died + AFTERWARDS), "the load ended early");
        assert!(longest < AFTERWARDS, "{longest:?} without a success");
        (longest, failed.len())
    }
}

/// Waits until so many attempts more have succeeded, and until a time.
pub fn wait_for_more(succeeded: &dyn Fn() -> usize, more: usize, at_least: Instant) {
    let (from, until) = (succeeded(), Instant::now() + PATIENCE);
    while succeeded() < from + more || Instant::now() < at_least {
        assert!(Instant::now() < until, "connections wait in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Completes a handshake with the gateway, which shows its certificate: a TCP connection may wait for a dead one.
fn shake_hands(address: SocketAddr) -> bool {
    let shaken = Command::new("timeout")
        .args(["5", "openssl", "s_client", "-connect", &address.to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&shaken.stdout).contains("-----BEGIN CERTIFICATE-----")
}

fn accepted(gateway: &Running) -> u64 {
    gateway.metric("edgetrust_connections_accepted_total")
}

/// `stays`: whether the socket of the one that dies stays where it is, as systemd keeps it.
fn one_dies(stays: bool) {
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let mut sites = [(); 2].map(|()| replica(&ca, &nats, "gateway.mesh.test"));
    let address = free_port(own_ip());
    sites.iter_mut().for_each(|site| site.listen = address);
    let mut socket = Some(reuse_port(address));
    let other = reuse_port(address);
    let gateways = [run_at(&sites[0], socket.as_ref().unwrap()), run_at(&sites[1], &other)];
    one_certificate(&gateways, "");
    let [one, other] = gateways;
    // Sessions at both.
    let (before, mut sessions) = ([&one, &other].map(accepted), Vec::new());
    while [&one, &other].map(accepted).iter().zip(before).any(|(now, before)| *now == before) {
        let mut session = OpensslClient::start(address, &[]);
        assert_eq!(session.ask("hello").as_deref(), Some("hello"));
        sessions.push(session);
    }
    let held = usize::try_from(accepted(&one) - before[0]).unwrap();
    let (mut died, mut left) = (Instant::now(), None);
    let load = Load::during(
        || shake_hands(address),
        |succeeded| {
            wait_for_more(succeeded, 20, Instant::now());
            assert!(accepted(&one) > 0 && accepted(&other) > 0, "the kernel gives to both");
            socket = socket.take().filter(|_| stays);
            one.program.signal("KILL");
            died = Instant::now();
            drop(one);
            let over = sessions.iter_mut().map(|session| session.ask("again").is_none()).filter(|over| *over).count();
            assert_eq!(over, held, "it costs the sessions that it held");
            // systemd starts it again after RestartSec=, which is 100 ms where nothing is said.
            let restarted = socket.as_ref().map(|socket| run_at(&sites[0], socket));
            wait_for_more(succeeded, 20, died + AFTERWARDS + Duration::from_millis(500));
            // It takes connections again.
            let socket = socket.take().unwrap_or_else(|| reuse_port(address));
            let restarted = restarted.unwrap_or_else(|| run_at(&sites[0], &socket));
            let until = Instant::now() + PATIENCE;
            while accepted(&restarted) < 5 {
                assert!(Instant::now() < until, "the one that is back gets nothing");
            }
            let gateways = [restarted, other];
            one_certificate(&gateways, "");
            // They are there until the load is over.
            left = Some((gateways, socket));
        },
    );
    drop(left);
    let (longest, failed) = load.check(died);
    println!("stays: {stays}: {longest:?} without a success at most, {failed} failed of {}", load.0.len());
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn a_gateway_dies_with_its_socket_and_the_other_one_takes_all() {
    one_dies(false);
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn connections_wait_at_the_socket_of_a_gateway_that_is_started_again() {
    one_dies(true);
}
