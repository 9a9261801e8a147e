//! Three sites whose certificates live for seconds: feeds and NATS go on over many renewals, and come back by themselves
//! from a CA that is away for three lifetimes, and from a cable that is out for longer than one.

use std::io::{BufRead, Read};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::namespaces::{Pipe, wait_until};
use super::peers::shell;
use super::three_sites::{IN_A_ROW, Mesh, Nats, Site};

/// The renewals of each gateway while sessions are open.
const RENEWALS: u64 = 6;

/// A connection of HTTP that stays open, through a tunnel to the service of another site.
struct Feed(Pipe);

impl Feed {
    fn open(site: &Site) -> Self {
        let mut feed = Self(Pipe::open(&site.machine, 9001));
        feed.ask();
        feed
    }

    fn ask(&mut self) {
        self.0.send("GET /varz HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(self.0.out.read_line(&mut line).unwrap(), 0, "the feed was cut");
            if let Some(octets) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = octets.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        self.0.out.read_exact(&mut vec![0; length]).unwrap();
    }
}

impl Site {
    fn page(&self, path: &str) -> String {
        self.machine.shell(&format!("curl -s -m 5 http://127.0.0.1:9090{path}"))
    }

    /// Returns the number of certificates that were issued.
    fn issued(&self) -> u64 {
        let status: Value = serde_json::from_str(&self.page("/status")).unwrap_or_default();
        status["credentials"][0]["issued"].as_u64().unwrap_or_default()
    }

    /// Returns the sum of a metric over all tunnels.
    fn metric(&self, name: &str) -> u64 {
        let page = self.page("/metrics");
        let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// Passes one numbered message over NATS.
fn pass(from: &mut Nats, to: &mut Nats, number: u64) {
    from.send("numbered", &number.to_string());
    let mut arrived = Vec::new();
    wait_until(&format!("message {number}"), || {
        arrived.extend(to.settle());
        !arrived.is_empty()
    });
    assert_eq!(arrived, [number.to_string()]);
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn feeds_outlive_renewals_and_come_back_from_outages() {
    let mut mesh = Mesh::new(IN_A_ROW);
    let short = |folder: &Path| drop(shell(folder, "sed -i 's/\"24h\"/\"15s\"/; s/\"5m\"/\"1s\"/' ca.json"));
    let [a, mut b, c] = ["a", "b", "c"].map(|site| mesh.start_with(site, short));
    a.reaches(9001, "b");
    b.reaches(9001, "c");
    let (mut at_a, mut at_c) = (a.nats(), c.nats());
    at_c.subscribe("numbered");
    at_a.publish("numbered", &mut at_c);

    // Nothing is lost, and nothing connects anew.
    let (mut busy, mut idle, mut other) = (Feed::open(&a), Feed::open(&a), Feed::open(&b));
    let opened = |sites: [&Site; 3]| sites.map(|site| site.metric("edgetrust_connections_accepted_total"));
    let (before, first) = (opened([&a, &b, &c]), [&a, &b, &c].map(|site| site.issued()));
    let mut number = 0;
    while [&a, &b, &c].iter().zip(first).any(|(site, first)| site.issued() < first + RENEWALS) {
        number += 1;
        pass(&mut at_a, &mut at_c, number);
        busy.ask();
        other.ask();
        std::thread::sleep(Duration::from_millis(200));
    }
    idle.ask();
    assert_eq!(opened([&a, &b, &c]), before, "connections before and after");
    for site in [&a, &b, &c] {
        assert_eq!(site.metric("edgetrust_sessions_ended_total"), 0);
        assert!(site.metric("edgetrust_sessions_continued_total") >= RENEWALS);
    }

    // The CA of b is away for three lifetimes: a and c go on, and b comes back by itself.
    b.stop_ca();
    let first = [&a, &c].map(|site| site.issued());
    wait_until("the last certificate of b ends", || a.metric("edgetrust_sessions_ended_total") > 0);
    for (site, first) in [&a, &c].into_iter().zip(first) {
        // Each comes after two thirds of the lifetime of the one before.
        wait_until("its own CA is there", || site.issued() >= first + 5);
    }
    b.start_ca();
    a.reaches(9001, "b");
    b.reaches(9001, "c");
    at_a.publish("numbered", &mut at_c);

    // A cable is out for longer than a certificate lives, and in again.
    let ended = a.metric("edgetrust_sessions_ended_total");
    mesh.network.plug(&a.machine, "down");
    wait_until("sessions end with their certificates", || a.metric("edgetrust_sessions_ended_total") > ended);
    mesh.network.plug(&a.machine, "up");
    a.reaches(9001, "b");
    at_a.publish("numbered", &mut at_c);
}
