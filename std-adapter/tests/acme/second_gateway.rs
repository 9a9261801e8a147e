//! A site with two gateways, each with certificates from the CA of the site: one of them is enough, under load too.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::namespaces::{Machine, Pipe, wait_until};
use super::sites::{Mesh, Site, configure_tunnel, shorten};

/// The port of site a at which the service of site b is reached.
const SERVICE: u16 = 9001;

/// A session from site a to the service of site b, which gives back each line.
struct Session {
    pipe: Pipe,
    number: u32,
}

impl Session {
    fn open(machine: &Machine) -> Self {
        Self { pipe: Pipe::open(machine, SERVICE), number: 0 }
    }

    /// Passes the next message; returns whether it has come back. Another one is a failure.
    fn passes(&mut self) -> bool {
        self.number += 1;
        let sent = format!("{}\n", self.number);
        let came = if self.pipe.try_send(&sent) { self.pipe.line() } else { String::new() };
        assert!(came.is_empty() || came == sent, "{came:?} instead of {sent:?}");
        came == sent
    }
}

/// Gives back each line, at a socket that the gateways of site b have in common.
fn give_back(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                for line in BufReader::new(&stream).lines() {
                    writeln!(&stream, "{}", line?)?;
                }
                std::io::Result::Ok(())
            });
        }
    });
}

/// Adds the second gateway to site b, as an admin does it: by hand, and signed.
fn add_second(mesh: &Mesh) {
    let file = mesh.folder.path().join("m/mesh.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    json["sites"][1]["gateways"].as_array_mut().unwrap().push(json!({"host": "gateway2.b.example"}));
    json["sequence"] = json!(2);
    std::fs::write(file, json.to_string()).unwrap();
    mesh.federation("sign-mesh m");
}

/// Stops a gateway while sessions are opened one after the other: none fails that begins afterwards.
fn stop_under_load(a: &Site, gateway: &mut Site) {
    let (stopped, over, opened) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let afterwards = stopped.load(Ordering::Relaxed);
                let passes = Session::open(&a.machine).passes();
                assert!(passes || !afterwards, "a session failed that began after the gateway had stopped");
                opened.fetch_add(1, Ordering::Relaxed);
            }
        });
        let more = || {
            let from = opened.load(Ordering::Relaxed);
            wait_until("more sessions", || load.is_finished() || opened.load(Ordering::Relaxed) >= from + 10);
        };
        more();
        gateway.gateway.stop();
        stopped.store(true, Ordering::Relaxed);
        more();
        over.store(true, Ordering::Relaxed);
        load.join().expect("the load");
    });
}

/// Has both ends of sessions renew their certificates, three times; the sessions go on under the newer ones.
fn renew(a: &Site, there: &Site, sessions: &mut [Session]) {
    for _ in 0..3 {
        let continued = || there.metric("edgetrust_sessions_continued_total");
        let before = continued();
        std::thread::scope(|scope| [a, there].iter().for_each(|site| drop(scope.spawn(|| site.renew()))));
        wait_until("sessions are continued", || continued() >= before + sessions.len() as u64);
        assert!(sessions.iter_mut().all(Session::passes));
    }
    for site in [a, there] {
        assert_eq!(site.metric("edgetrust_sessions_ended_total"), 0);
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn one_of_two_gateways_is_enough_under_load() {
    let mesh = Mesh::new("--site a=a.example --site b=b.example --link a:b:feed");
    add_second(&mesh);
    mesh.federation("check m");
    let socket = mesh.folder.path().join("service.sock");
    give_back(&socket);
    let lead = |folder: &Path| {
        shorten(folder, 30);
        configure_tunnel(folder, "feed-in", "target", &format!("unix:{}", socket.display()));
    };
    let (a, mut b) = (mesh.start_with("a", |folder| shorten(folder, 30)), mesh.start_with("b", lead));
    let mut b2 = mesh.start_second(lead);
    wait_until("a reaches b", || Session::open(&a.machine).passes());
    let mut at_first = [(); 3].map(|()| Session::open(&a.machine));
    assert!(at_first.iter_mut().all(Session::passes));
    renew(&a, &b, &mut at_first);
    assert_eq!(b2.metric("edgetrust_connections_accepted_total"), 0);

    // The first one goes with its sessions. New ones go to the second one, and go on there over renewals.
    stop_under_load(&a, &mut b);
    assert!(!at_first.iter_mut().any(Session::passes));
    assert_ne!(a.gateway.count("the target is down, and is passed over: "), 0);
    let mut at_second = [(); 3].map(|()| Session::open(&a.machine));
    assert!(at_second.iter_mut().all(Session::passes));
    renew(&a, &b2, &mut at_second);

    // The first one comes back, and takes no session from the second one until that one goes.
    b.restart_gateway();
    assert!(at_second.iter_mut().all(Session::passes));
    stop_under_load(&a, &mut b2);
    assert!(!at_second.iter_mut().any(Session::passes));
    let mut again = [Session::open(&a.machine)];
    assert!(again.iter_mut().all(Session::passes));
    renew(&a, &b, &mut again);
}
