//! Tests gateways that share a credential against faults in a random order. A seed replays them.

use std::time::Duration;

use super::ca::StepCa;
use super::cluster::{Gateway, come_to};
use super::jetstream::JetStream;
use super::namespaces::wait_until;
use super::replica_faults::start;

const GATEWAYS: usize = 3;

/// Numbers from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    /// Waits for up to this many milliseconds: how long a fault lasts.
    fn pause(&mut self, most: u64) {
        std::thread::sleep(Duration::from_millis(self.below(most)));
    }
}

struct Bench {
    ca: StepCa,
    nats: JetStream,
    gateways: [Gateway; GATEWAYS],
    /// The highest generation that was seen at each gateway.
    seen: [u64; GATEWAYS],
    numbers: Numbers,
    /// The longest time that a fault lasts, in milliseconds.
    longest: u64,
}

impl Bench {
    /// Causes a fault, ends it, and returns what it was.
    fn fault(&mut self) -> String {
        let at = usize::try_from(self.numbers.below(u64::try_from(GATEWAYS).unwrap())).unwrap();
        let asks = self.numbers.below(3) > 0;
        let asked = usize::try_from(self.numbers.below(u64::try_from(GATEWAYS).unwrap())).unwrap();
        if asks {
            self.gateways[asked].ask();
            // The fault may meet any step of the renewal: gateways look for requests every second.
            self.numbers.pause(1200);
        }
        let fault = self.numbers.below(6);
        let Self { ca, nats, gateways, numbers, longest, .. } = self;
        let gateway = &mut gateways[at];
        let said = match fault {
            0 => {
                gateway.kill();
                numbers.pause(*longest);
                gateway.run();
                format!("gateway {at} is killed")
            }
            1 => {
                gateway.close();
                gateway.signal("STOP");
                numbers.pause(2 * *longest);
                gateway.signal("CONT");
                gateway.visit();
                format!("gateway {at} is stopped")
            }
            2 => {
                nats.kill(0);
                numbers.pause(*longest);
                nats.start_node(0);
                "NATS is killed".to_owned()
            }
            3 => {
                ca.kill();
                numbers.pause(*longest);
                ca.restart();
                "the CA is killed".to_owned()
            }
            4 => {
                gateway.kill();
                std::fs::remove_dir_all(gateway.site.storage()).unwrap();
                self.seen[at] = 0;
                gateway.run();
                gateway.wait_for_certificate();
                format!("gateway {at} loses its folder")
            }
            _ => {
                nats.kill(0);
                gateway.kill();
                numbers.pause(*longest);
                gateway.run();
                nats.start_node(0);
                format!("NATS and gateway {at} are killed")
            }
        };
        if asks { format!("{said}, gateway {asked} was asked") } else { said }
    }

    /// Checks that no gateway went back, and that each serves its visitors.
    fn check(&mut self) {
        for (gateway, seen) in self.gateways.iter().zip(&mut self.seen) {
            let generation = gateway.generation();
            assert!(generation >= *seen, "it went back from {seen} to {generation}");
            *seen = generation;
            gateway.is_well();
        }
    }

    /// Waits until all gateways show one certificate.
    fn settle(&mut self) {
        let generations = |gateways: &[Gateway; GATEWAYS]| gateways.each_ref().map(Gateway::generation);
        let newest = generations(&self.gateways).into_iter().max().unwrap();
        self.gateways[0].ask();
        let gateways = &self.gateways;
        wait_until("one generation", || {
            let all = generations(gateways);
            all[0] > newest && all.iter().all(|one| *one == all[0])
        });
        come_to(&self.gateways.each_ref(), self.gateways[0].generation());
    }
}

fn run(seed: u64, faults: u64, longest: u64) {
    eprintln!("EDGETRUST_SEED={seed}");
    let (ca, nats) = (StepCa::with_lifetime("90s"), JetStream::start(1));
    let gateways = start(&ca, &nats, |_, _| ());
    let mut bench = Bench { ca, nats, gateways, seen: [0; GATEWAYS], numbers: Numbers(seed), longest };
    for number in 1..=faults {
        let said = bench.fault();
        eprintln!("{number}: {said}");
        bench.check();
    }
    bench.settle();
    let generation = bench.gateways[0].generation();
    eprintln!("{faults} faults, {generation} certificates");
}

/// Returns a number of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: found {text}, expected a number")))
}

/// `EDGETRUST_SEED` replays a run, and `EDGETRUST_FAULTS=200` makes a long one, whose faults may outlast a lease.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn random_faults_cause_no_outage() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let seed = number("EDGETRUST_SEED").unwrap_or(now);
    match number("EDGETRUST_FAULTS") {
        Some(faults) => run(seed, faults, 4_000),
        None => run(seed, 12, 500),
    }
}
