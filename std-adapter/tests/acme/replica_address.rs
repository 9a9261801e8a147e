//! Tests two machines with one virtual address, whose gateways share a certificate. The test moves the address, as
//! keepalived does, once the gateway at it is not ready.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::jetstream::JetStream;
use super::namespaces::{Machine, Running, wait_until};
use super::replica_door::{AFTERWARDS, Load, wait_for_more};
use super::replicas::SEALING;
use super::sites::{Mesh, Site, configure, program};

/// The virtual address, which is that of the gateways' name.
const VIRTUAL: &str = "10.99.0.100";

fn take(machine: &Machine) {
    assert_eq!(machine.shell(&format!("ip addr add {VIRTUAL}/24 dev eth0")), "");
}

/// Tells a neighbour that the address is here now: an ARP request from it does (RFC 826). keepalived sends its own.
fn announce(machine: &Machine, neighbour: &Machine) {
    let to = &neighbour.address;
    machine.shell(&format!("ip neigh del {to} dev eth0; curl -s -m 1 --interface {VIRTUAL} http://{to}:1/ || true"));
}

fn is_ready(gateway: &Site) -> bool {
    let code = "curl -s -m 1 -o /dev/null -w '%{http_code}' http://127.0.0.1:9090/readyz";
    gateway.machine.shell(&format!("{code} || true")) == "200"
}

/// Returns the certificate that is shown to a machine at an address; nothing if there is none.
fn shown(to: &Machine, address: &str) -> String {
    let text = to.shell(&format!("timeout 5 openssl s_client -connect {address}:8443 </dev/null 2>/dev/null || true"));
    let certificate = text.split("-----BEGIN CERTIFICATE-----").nth(1).unwrap_or_default();
    certificate.split("-----END CERTIFICATE-----").next().unwrap_or_default().to_owned()
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn the_other_machine_takes_the_address_of_a_gateway_that_dies() {
    let mesh = Mesh::new("--site a=a.example --site b=b.example --link a:b:feed");
    let hosts = mesh.folder.path().join("hosts");
    let names = std::fs::read_to_string(&hosts).unwrap();
    std::fs::write(hosts, names.replace(" gateway.b.example ", " ") + VIRTUAL + " gateway.b.example\n").unwrap();
    let (store, client) = (mesh.machine("c"), mesh.machine("d"));
    let nats = JetStream::elsewhere(format!("{}:4222", store.address).parse().unwrap());
    let mut server = store.command(Path::new("/"), &program("nats-server"));
    server.arg("-c").arg(nats.config(0));
    let server = Running::start(server);
    server.wait_for("Server is ready");
    let share = |folder: &Path| {
        let storage = nats.storage(folder, SEALING);
        configure(folder, |config| config["security"]["tls"]["server"]["acme"]["storage"] = storage.clone());
    };
    let (first, second) = (mesh.machine("b"), mesh.machine("b2"));
    take(&first);
    let mut one = mesh.start_on(first, "b", share);
    let other = mesh.start_replica_on(second, share);
    let certificate = shown(&client, VIRTUAL);
    assert_ne!(certificate, "");
    for gateway in [&one, &other] {
        assert_eq!(shown(&client, &gateway.machine.address), certificate);
        wait_until("it is ready", || is_ready(gateway));
    }

    let (all, moved, mut died) = (Mutex::new(HashSet::new()), AtomicBool::new(false), Instant::now());
    let attempt = || {
        let certificate = shown(&client, VIRTUAL);
        let succeeded = !certificate.is_empty();
        all.lock().unwrap().insert(certificate);
        succeeded
    };
    let load = Load::during(attempt, |succeeded| {
        wait_for_more(succeeded, 20, Instant::now());
        std::thread::scope(|scope| {
            let (address, there) = (one.machine.clone(), &other.machine);
            let (one, other, client, moved) = (&mut one, &other, &client, &moved);
            let health = scope.spawn(move || {
                let check = "curl -s -m 1 -o /dev/null http://127.0.0.1:9090/readyz || echo down";
                while address.shell(check).is_empty() {
                    std::thread::sleep(Duration::from_millis(100));
                }
                address.shell(&format!("ip addr del {VIRTUAL}/24 dev eth0"));
                assert!(is_ready(other));
                take(there);
                announce(there, client);
                moved.store(true, Ordering::Relaxed);
            });
            died = Instant::now();
            one.gateway.stop();
            wait_for_more(succeeded, 20, died + AFTERWARDS + Duration::from_millis(500));
            health.join().unwrap();
        });
    });
    assert!(moved.into_inner());
    let (longest, failed) = load.check(died);
    println!("{longest:?} without a success at most, {failed} failed");
    let mut all = all.into_inner().unwrap();
    all.remove("");
    assert_eq!(all, HashSet::from([certificate.clone()]), "one certificate throughout");

    // The first one is back, and stays without the address until the second one dies.
    one.restart_gateway();
    assert_eq!(shown(&client, &one.machine.address), certificate);
    assert_eq!(shown(&client, VIRTUAL), certificate);
}
