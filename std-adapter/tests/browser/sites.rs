//! A mesh of three sites as `edgetrust federation init` makes it, each with a gateway on an address of loopback of its own,
//! and traffic between them; and how the page shows it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::addresses::free_address;
use super::chromium::Chromium;
use super::gateways::{start, status, wait_for_pages, write};
use super::peers::{Program, echo, shell};
use super::pki::{Pki, arg};

/// The links in the order of client tunnels: who reaches whom for what.
const LINKS: [(&str, &str, &str); 6] = [
    ("a", "b", "feed"),
    ("a", "c", "feed"),
    ("b", "c", "feed"),
    ("c", "b", "feed"),
    ("a", "b", "nats"),
    ("b", "c", "nats"),
];

pub struct Sites {
    folder: TempDir,
    ports: [(&'static str, u16); 2],
    pub gateways: Vec<(&'static str, Program, String)>,
    traffic: Arc<AtomicBool>,
}

fn ip(site: &str) -> [u8; 4] {
    [127, 0, 0, site.as_bytes()[0] - b'a' + 1]
}

impl Sites {
    /// Makes the mesh, and starts its gateways.
    pub fn start() -> Self {
        let ports = ["feed", "nats"]
            .map(|service| (service, TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()));
        let folder = tempfile::tempdir().unwrap();
        let services: String = ports.iter().map(|(service, port)| format!("--service {service}={port} ")).collect();
        let sites: String = ["a", "b", "c"]
            .iter()
            .map(|site| {
                let [.., last] = ip(site);
                format!("--site {site}={site}.example --address {site}=127.0.0.{last} ")
            })
            .collect();
        let links: String = LINKS.iter().map(|(from, to, service)| format!("--link {from}:{to}:{service} ")).collect();
        shell(folder.path(), &format!("edgetrust federation init mesh --name 'Example Mesh' {services}{sites}{links}"));
        let mut all = Self { folder, ports, gateways: Vec::new(), traffic: Arc::new(AtomicBool::new(true)) };
        for site in ["c", "b", "a"] {
            all.settle(site);
            all.run(site);
        }
        all
    }

    /// Makes the folder of a site's gateway, with a certificate for a day.
    fn settle(&self, site: &str) {
        let issue = format!(
            "mkdir {site}; cd {site}; cp ../mesh/root/root.pem ../mesh/mesh.signed.json .
            openssl pkey -in ../mesh/sites/{site}/ca.key -passin file:../mesh/passwords/site-{site} -out ca.key
            openssl ecparam -name prime256v1 -genkey -noout -out own.key && chmod 600 own.key
            openssl req -new -key own.key -subj /CN=gateway.{site}.example -out own.csr
            echo subjectAltName=DNS:gateway.{site}.example > ext
            openssl x509 -req -in own.csr -CA ../mesh/sites/{site}/ca.pem -CAkey ca.key -CAcreateserial -days 1 \
                -extfile ext -out own.pem
            cat ../mesh/sites/{site}/ca.pem >> own.pem; rm ca.key"
        );
        shell(self.folder.path(), &issue);
        let mut tunnels = Vec::new();
        for (service, port) in self.ports {
            if LINKS.iter().any(|(_, to, what)| *to == site && *what == service) {
                let listen = SocketAddr::from((ip(site), port)).to_string();
                tunnels.push(json!({"name": format!("{service}-in"), "mode": "server", "service": service,
                    "listen": listen, "target": echo().to_string()}));
            }
        }
        for (_, to, service) in LINKS.iter().filter(|(from, ..)| *from == site) {
            tunnels.push(json!({"name": format!("{service}-to-{to}"), "mode": "client", "service": service, "to": to,
                "listen": free_address()}));
        }
        let config = json!({
            "security": {"tls": {
                "server": {"enabled": true, "cert_file": "own.pem", "key_file": "own.key", "mtls": {"enabled": true}},
                "client": {"use_system_roots": false,
                    "mtls": {"enabled": true, "cert_file": "own.pem", "key_file": "own.key"}},
            }},
            "gateway": {
                "admin": {"listen": free_address()},
                "mesh": {"file": "mesh.signed.json", "site": site, "storage_path": "kept", "ca_bundle": "root.pem"},
                "tunnels": tunnels,
            },
        });
        write(&self.folder.path().join(site).join("gateway.json"), &config);
    }

    /// Runs the gateway of a site.
    pub fn run(&mut self, site: &'static str) {
        let file = self.folder.path().join(site).join("gateway.json");
        let config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let tunnels = config["gateway"]["tunnels"].as_array().unwrap().len();
        let arguments = ["run", "--config", &arg(&file), "--watch-interval", "50ms"].map(str::to_owned);
        let program = Program::start_tunnels(&arguments, tunnels);
        let pages = config["gateway"]["admin"]["listen"].as_str().unwrap().to_owned();
        wait_for_pages(&program, &pages);
        self.gateways.push((site, program, pages));
    }

    /// Stops the gateway of a site at once.
    pub fn stop(&mut self, site: &str) {
        self.gateways.retain(|(name, ..)| *name != site);
    }

    pub fn pages(&self, site: &str) -> String {
        self.gateways.iter().find(|(name, ..)| *name == site).unwrap().2.clone()
    }

    /// Sends `size` octets each `pause` through a tunnel, and reads them back, until the sites are dropped.
    pub fn send(&self, site: &str, tunnel: &str, size: usize, pause: Duration) {
        let gateway = self.gateways.iter().find(|(name, ..)| *name == site).unwrap();
        let (address, going) = (gateway.1.tunnel(tunnel), self.traffic.clone());
        std::thread::spawn(move || {
            while going.load(Ordering::Relaxed) {
                // It begins again where a session was cut.
                let _ = exchange(address, size, pause, &going);
                std::thread::sleep(pause);
            }
        });
    }
}

fn exchange(address: SocketAddr, size: usize, pause: Duration, going: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let mut octets = vec![b'x'; size];
    while going.load(Ordering::Relaxed) {
        stream.write_all(&octets)?;
        stream.read_exact(&mut octets)?;
        std::thread::sleep(pause);
    }
    Ok(())
}

impl Drop for Sites {
    fn drop(&mut self) {
        self.traffic.store(false, Ordering::Relaxed);
    }
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn the_mesh_is_a_picture_and_a_table_that_say_the_same() {
    let mut sites = Sites::start();
    sites.send("a", "feed-to-b", 500, Duration::from_millis(200));
    sites.send("b", "feed-to-c", 500, Duration::from_millis(200));
    let mut browser = Chromium::start(1280);
    browser.open(&format!("http://{}/", sites.pages("b")));
    browser.wait_for_text("#links", "connected");
    browser.wait_for_text("#links", "1 session");
    let row = |browser: &mut Chromium, key: &str| {
        let rows = browser.texts("#links tbody tr");
        rows.into_iter().find(|row| row.starts_with(key)).unwrap_or_else(|| panic!("no row {key}"))
    };
    let report = status(&sites.pages("b"));
    assert_eq!(report["mesh"]["contacts"][0]["state"], "connected", "{report:#}");
    browser.wait_for("document.querySelectorAll('#links tbody tr').length === 3");
    browser.wait_for("document.getElementById('links').textContent.includes('connected, 1 session')");
    assert!(row(&mut browser, "c→ from here").contains("feed, nats"));
    assert!(row(&mut browser, "a← to here").contains("1 session"));
    assert!(row(&mut browser, "c← to here").contains("no session now"));
    // Three sites, this one in the middle; a link of others is grey.
    assert_eq!(browser.texts("#map .site text:first-of-type, #map .here text:first-of-type"), ["a", "b", "c"]);
    assert_eq!(browser.text("#map .here title"), "b");
    let count = |browser: &mut Chromium, what: &str| browser.texts(&format!("#map path.{what}:not(.tip)")).len();
    assert_eq!((count(&mut browser, "ok"), count(&mut browser, "idle"), count(&mut browser, "other")), (2, 1, 1));
    assert_eq!(browser.text("#said"), "All is well");

    // The other gateway goes, and comes back.
    sites.stop("c");
    browser.wait_for_text("#links", "failed");
    browser.wait_for_text("#alarm-list", "gateway.c.example");
    assert_eq!(count(&mut browser, "err"), 1);
    let file = arg(&sites.folder.path().join("b/gateway.json"));
    let probe = format!("edgetrust probe --config {file} --tunnel feed-to-c");
    assert!(browser.text("#alarm-list").contains(&probe), "what to do stands beside it");
    let reason = status(&sites.pages("b"))["mesh"]["contacts"][0]["reason"].as_str().unwrap().to_owned();
    assert!(row(&mut browser, "c→ from here").contains(&reason));
    sites.run("c");
    browser.wait_for("document.getElementById('links').textContent.includes('connected')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn two_meshes_of_one_sequence_are_the_keepers() {
    let sites = Sites::start();
    let mut browser = Chromium::start(1280);
    browser.open(&format!("http://{}/", sites.pages("b")));
    browser.wait_for_text("#said", "All is well");
    let key = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let sign = format!(
        "cp -r mesh other
        edgetrust federation deny mesh --key {} --yes; edgetrust federation deny other --key {} --yes
        cp mesh/mesh.signed.json b/new; mv b/new b/mesh.signed.json",
        key("1"),
        key("2")
    );
    shell(sites.folder.path(), &sign);
    // The first one is everywhere before the second one comes.
    for (_, gateway, pages) in &sites.gateways {
        gateway.wait_until("sequence 2 is not there", |_| status(pages)["mesh"]["sequence"] == 2);
    }
    shell(sites.folder.path(), "cp other/mesh.signed.json c/new; mv c/new c/mesh.signed.json");
    browser.wait_for_text("#alarm-list", "two meshes are signed with sequence 2");
    let alarm = browser.text("#alarm-list");
    assert!(alarm.contains("Whose: The keeper's") && alarm.contains("sign it with a higher sequence"), "{alarm}");
    assert!(browser.text("#mesh dl").contains("two texts have this sequence"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn a_large_mesh_is_a_table_without_a_picture() {
    let (folder, pki, pages) = (tempfile::tempdir().unwrap(), Pki::new("Example Root"), free_address());
    shell(folder.path(), "edgetrust federation init mesh --name Large --site s0=s0.example");
    // Thirty-one sites, each with a key of its own for its CA.
    let text = folder.path().join("mesh/mesh.json");
    let mut mesh: Value = serde_json::from_slice(&std::fs::read(&text).unwrap()).unwrap();
    for number in 1..=30 {
        mesh["sites"].as_array_mut().unwrap().push(json!({
            "name": format!("s{number}"), "domains": [format!("s{number}.example")],
            "issuers": [format!("sha256:{number:064}")], "gateways": [{"host": format!("gateway.s{number}.example")}],
        }));
    }
    mesh["links"] = json!([{"service": "feed", "from": ["*"], "to": ["*"]}]);
    mesh["sequence"] = json!(2);
    write(&text, &mesh);
    shell(folder.path(), "edgetrust federation sign-mesh mesh");
    let (cert, key) = pki.issue("gateway.s7.example", &["gateway.s7.example"]);
    let config = json!({
        "security": {"tls": {"server": {"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key),
            "mtls": {"enabled": true}}}},
        "gateway": {
            "admin": {"listen": pages},
            "mesh": {"file": "mesh/mesh.signed.json", "site": "s7", "storage_path": "kept",
                "ca_bundle": "mesh/root/root.pem"},
            "tunnels": [{"name": "feed-in", "mode": "server", "service": "feed", "listen": "127.0.0.1:0",
                "target": echo().to_string()}],
        },
    });
    let file = folder.path().join("gateway.json");
    write(&file, &config);
    let _gateway = start(&file, &pages);
    let mut browser = Chromium::start(1280);
    browser.open(&format!("http://{pages}/"));
    assert_eq!(browser.texts("#map").len(), 0);
    assert_eq!(browser.texts("#links tbody tr").len(), 12);
    browser.eval("document.querySelector('#links + button').click()");
    assert_eq!(browser.texts("#links tbody tr").len(), 60, "to and from thirty others");
    assert!(browser.text("#links tbody tr").starts_with("s0→ from here"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
