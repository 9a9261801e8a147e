//! Keys are denied and a link goes while all flows, said at one site and then at another one, against the links' direction:
//! what is denied ends everywhere, and nothing else does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};

use super::namespaces::{Machine, Running, wait_until};
use super::peers::shell;
use super::sites::{Mesh, Site, configure, deliver, shorten};
use super::traffic::{OpenPost, SERVICES, Traffic, WAYS, Way, example, lead_to_components};

/// The greatest number of connections at site b.
const CONNECTIONS: u32 = 64;

/// Prepares a site: sessions whose certificates have expired would go on for an hour, and so would those of a removed
/// tunnel; the CA renews certificates for whoever has their keys.
fn prepare(folder: &Path) {
    shorten(folder, 60);
    shell(folder, "sed -i 's/\"disableRenewal\": true/\"disableRenewal\": false/' ca.json");
    lead_to_components(folder);
    configure(folder, |config| {
        let connections = if folder.ends_with("b") { CONNECTIONS } else { 10_000 };
        config["gateway"]["limits"] =
            json!({"expired_grace": "1h", "keep_removed_sessions": true, "connections": connections});
    });
}

/// A thief on a machine of its own, with the key that the gateway of a site showed as a client.
struct Thief {
    machine: Arc<Machine>,
    folder: PathBuf,
}

impl Thief {
    fn steal(mesh: &Mesh, from: &Site) -> Self {
        let folder = mesh.folder.path().join("thief");
        std::fs::create_dir(&folder).unwrap();
        let said = from.machine.shell(&format!("cp /var/lib/edgetrust/acme-client/live/*.pem {}", folder.display()));
        assert_eq!(said, "");
        std::fs::copy(from.folder.join("root.pem"), folder.join("root.pem")).unwrap();
        Self { machine: mesh.machine("thief"), folder }
    }

    /// Renews the stolen certificate without an order, as whoever has its key can where the CA allows it.
    fn renew(&self) {
        let mut curl = self.machine.command(&self.folder, "curl");
        curl.args(["-sS", "-m", "10", "-X", "POST", "--cacert", "root.pem", "--cert", "cert.pem", "--key", "key.pem"]);
        let output = curl.arg("https://ca.a.example:9000/renew").output().unwrap();
        let renewed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let chain = [&renewed["crt"], &renewed["ca"]].map(|pem| pem.as_str().unwrap().to_owned());
        std::fs::write(self.folder.join("renewed.pem"), chain.concat()).unwrap();
    }

    /// Returns whether a service lets the thief in with a certificate.
    fn gets_in(&self, cert: &str, address: &str) -> bool {
        let mut post = self.machine.command(&self.folder, &example("httppost"));
        post.args([address, address.split(':').next().unwrap(), "/", "root.pem", cert, "key.pem"]);
        post.stdin(Stdio::null()).output().unwrap().stdout == b"200 OK\n"
    }
}

/// Takes all connections that site b has for posts, as a client of site a.
fn exhaust(a: &Site, b: &Site) -> Running {
    let port = a.port("post-to-b");
    let script =
        format!("for i in $(seq {CONNECTIONS}); do exec {{all}}<>/dev/tcp/127.0.0.1/{port}; done; exec sleep infinity");
    let mut command = a.machine.command(Path::new("/"), "bash");
    command.args(["-c", &script]);
    let hog = Running::start(command);
    b.gateway.wait_for("refused: no handshake and no target within the deadline");
    hog
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn what_is_denied_ends_everywhere_and_the_rest_goes_on() {
    let mesh = Mesh::new(&format!("{SERVICES} --service spare=9553 --link a:b:spare"));
    let [a, b, c] = ["a", "b", "c"].map(|site| mesh.start_with(site, prepare));
    let traffic = Traffic::start(&mesh, &a, &b, &c);
    let thief = Thief::steal(&mesh, &a);
    thief.renew();
    for cert in ["cert.pem", "renewed.pem"] {
        wait_until("the thief is let in", || thief.gets_in(cert, "gateway.b.example:9443"));
    }

    // Sessions that were opened under the key go on under three others; then the tunnel of one is removed.
    let [mut old, mut spare] = ["post-to-b", "spare-to-b"].map(|tunnel| OpenPost::open(&a.machine, a.port(tunnel)));
    assert!(old.answers() && spare.answers());
    for _ in 0..3 {
        let continued = || b.metric("edgetrust_sessions_continued_total");
        let before = continued();
        a.renew();
        // Of NATS too.
        wait_until("sessions are continued", || continued() >= before + 3);
    }
    configure(&b.folder, |config| {
        let tunnels = config["gateway"]["tunnels"].as_array_mut().unwrap();
        tunnels.retain(|tunnel| tunnel["name"] != "spare-in");
    });
    b.gateway.wait_for("no longer listening address=0.0.0.0:9553");
    let mut fresh = OpenPost::open(&a.machine, a.port("post-to-b"));
    assert!(old.answers() && spare.answers() && fresh.answers());

    // The key is denied at a, while b has no connection left: what began under it ends at b, and at c nobody knows it.
    let mut hog = exhaust(&a, &b);
    mesh.federation(&format!("deny m --certificate {}/cert.pem --reason stolen --yes", thief.folder.display()));
    deliver(&mesh, &a);
    for site in [&b, &c] {
        site.gateway.wait_for("another mesh is in force: sequence 2");
    }
    wait_until("they end", || !old.answers() && !spare.answers());
    assert!(fresh.answers());
    assert!(b.gateway.count("a key that it ran under before is denied: sha256:") >= 2);
    hog.stop();
    traffic.goes_on(&WAYS);
    for cert in ["cert.pem", "renewed.pem"] {
        for address in ["gateway.b.example:9443", "gateway.b.example:7443", "gateway.c.example:7443"] {
            let site = if address.contains(".b.") { &b } else { &c };
            assert!(!thief.gets_in(cert, address), "{cert} at {address}");
            site.gateway.wait_for_all(&["refused: ", "its key is denied: sha256:", "gateway.a.example"]);
        }
    }

    // The key that b shows as a client, said at c: b gets another one by itself, and comes back to a and c.
    let said = b.machine.shell(&format!("cp /var/lib/edgetrust/acme-client/live/cert.pem {}", b.folder.display()));
    assert_eq!(said, "");
    let denied = [&a, &c].map(|site| site.gateway.count(" is denied: sha256:"));
    mesh.federation(&format!("deny m --certificate {}/cert.pem --yes", b.folder.display()));
    deliver(&mesh, &c);
    for site in [&a, &b] {
        site.gateway.wait_for("another mesh is in force: sequence 3");
    }
    for (site, before) in [&a, &c].into_iter().zip(denied) {
        wait_until("the sessions of b end", || site.gateway.count(" is denied: sha256:") > before);
    }
    traffic.goes_on(&WAYS);
    assert!(fresh.answers());

    // A link goes, said at c: its sessions end at a and b, and the rest goes on.
    mesh.federation("unlink m a b --service post --yes");
    deliver(&mesh, &c);
    a.gateway.wait_for("the tunnel is left out: ");
    b.gateway.wait_for("closed: the peer is not let in: its names are not on the allow list tunnel=post-in");
    wait_until("it ends", || !fresh.answers());
    let kept = [Way::Feed, Way::NatsToA, Way::NatsToC];
    traffic.goes_on(&kept);
    traffic.finish(&[]);
}
