//! Tests NATS servers of three sites as leaf nodes of each other, by the files that `edgetrust federation` writes.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::{Process, free_port, own_ip, tool};
use super::peers::{PATIENCE, Program, shell};

/// The sites a, b and c, each at an address of its own. The links lead from a to b, and from b to c.
struct Sites {
    folder: TempDir,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

impl Sites {
    fn new() -> Self {
        let (folder, addresses) = (tempfile::tempdir().unwrap(), [(); 3].map(|()| own_ip()));
        let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let [a, b, c] = addresses;
        let init = format!(
            "edgetrust federation init mesh --name Example --service nats={port} --link a:b:nats --link b:c:nats \
             --site a=a.example --address a={a} --site b=b.example --address b={b} --site c=c.example --address c={c}"
        );
        shell(folder.path(), &init);
        let sites = Self { folder };
        for (name, address) in NAMES.into_iter().zip(addresses) {
            // One machine has room for one server at the ports of the files. What people may change are addresses.
            sites.change(name, "gateway.json", |text| {
                let leafs = free_port(address).to_string();
                let dials = free_port(address).to_string();
                text.replace("127.0.0.1:7422", &leafs)
                    .replace("127.0.0.1:9001", &dials)
                    .replace("0.0.0.0", &address.to_string())
            });
            sites.change(name, "nats.conf", |text| text.replace("127.0.0.1:4222", &free_port(address).to_string()));
        }
        // Any command writes what follows from them.
        shell(sites.folder.path(), "edgetrust federation sign-mesh mesh");
        sites
    }

    fn file(&self, site: &str, name: &str) -> PathBuf {
        self.folder.path().join("mesh/sites").join(site).join(name)
    }

    fn read(&self, site: &str, name: &str) -> String {
        std::fs::read_to_string(self.file(site, name)).unwrap()
    }

    fn change(&self, site: &str, name: &str, change: impl FnOnce(&str) -> String) {
        std::fs::write(self.file(site, name), change(&self.read(site, name))).unwrap();
    }

    /// Runs a site's gateway by its generated file, with a certificate that openssl issues by the site's CA.
    fn gateway(&self, site: &str) -> Program {
        let host = format!("gateway.{site}.example");
        let issue = format!(
            "test -e own.pem && exit
            openssl pkey -in ca.key -passin file:../../passwords/site-{site} -out open.key
            openssl ecparam -name prime256v1 -genkey -noout -out own.key && chmod 600 own.key
            openssl req -new -key own.key -subj /CN={host} -out own.csr
            echo subjectAltName=DNS:{host} > ext
            openssl x509 -req -in own.csr -CA ca.pem -CAkey open.key -CAcreateserial -days 1 -extfile ext -out own.pem
            cat ca.pem >> own.pem; rm open.key"
        );
        shell(self.file(site, ".").as_path(), &issue);
        let mut config: Value = serde_json::from_str(&self.read(site, "gateway.json")).unwrap();
        let (cert, key) = (json!("own.pem"), json!("own.key"));
        config["security"]["tls"] = json!({
            "server": {"enabled": true, "cert_file": cert, "key_file": key, "mtls": {"enabled": true}},
            "client": {"use_system_roots": false, "mtls": {"enabled": true, "cert_file": cert, "key_file": key}},
        });
        config["gateway"]["mesh"]["storage_path"] = json!("kept");
        config["gateway"].as_object_mut().unwrap().remove("admin");
        let file = self.file(site, "own.json");
        std::fs::write(&file, config.to_string()).unwrap();
        Program::start_quietly(&["run", "--config", &file.display().to_string()].map(str::to_owned))
    }

    /// Runs a site's NATS server by its generated files, and returns where its clients connect.
    fn nats(&self, site: &str) -> (Process, SocketAddr) {
        let text = self.read(site, "nats.conf");
        let address = text.split("listen: \"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        let mut command = tool("nats-server");
        command.args(["-c", "nats.conf"]).current_dir(self.file(site, "."));
        (Process::at(command, address), address)
    }
}

/// A client of NATS.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self(BufReader::new(stream));
        client.send("CONNECT {\"verbose\":false}\r\n");
        client.settle();
        client
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|octets| *octets > 0)?;
        Some(line)
    }

    /// Waits until the server has taken all before.
    fn settle(&mut self) {
        self.send("PING\r\n");
        while !self.line().unwrap().starts_with("PONG") {}
    }

    fn subscribe(&mut self, subject: &str) {
        self.send(&format!("SUB {subject} 1\r\n"));
        self.settle();
    }

    /// Publishes a message until another site's client has it: interest takes a moment to spread.
    fn publish_to(&mut self, subject: &str, text: &str, other: &mut Self) {
        let until = Instant::now() + PATIENCE;
        other.0.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        loop {
            self.send(&format!("PUB {subject} {}\r\n{text}\r\n", text.len()));
            self.settle();
            if let Some(line) = other.line().filter(|line| line.starts_with("MSG ")) {
                assert!(line.starts_with(&format!("MSG {subject} 1 ")), "{line}");
                assert_eq!(other.line().unwrap().trim_end(), text);
                break;
            }
            assert!(Instant::now() < until, "no message on {subject}");
        }
        other.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    }
}

#[test]
#[ignore = "needs nats-server: tests/run"]
fn messages_cross_three_sites_both_ways() {
    let sites = Sites::new();
    let [a, b, c] = NAMES.map(|site| sites.gateway(site));
    for gateway in [&a, &b, &c] {
        gateway.wait_for("listening tunnel=nats-");
    }
    let servers = NAMES.map(|site| sites.nats(site));
    let [mut at_a, mut at_b, mut at_c] = [0, 1, 2].map(|place: usize| Client::new(servers[place].1));
    at_a.subscribe("from.c");
    at_c.subscribe("from.a");
    at_a.publish_to("from.a", "hello c", &mut at_c);
    at_c.publish_to("from.c", "hello a", &mut at_a);
    at_b.subscribe("from.both");
    at_a.publish_to("from.both", "a", &mut at_b);
    at_c.publish_to("from.both", "c", &mut at_b);
    // The gateway in the middle goes away, and comes back: so do the leaf nodes.
    drop(b);
    let b = sites.gateway("b");
    b.wait_for("listening tunnel=nats-");
    let (mut late_a, mut late_c) = (Client::new(servers[0].1), Client::new(servers[2].1));
    late_a.subscribe("late.c");
    late_c.publish_to("late.c", "again", &mut late_a);
    // A leaf node without a certificate of a site gets nowhere.
    let text = sites.read("a", "leafnodes.conf");
    assert!(text.contains("ignore_discovered_servers: true") && text.contains("no_advertise: true"), "{text}");
    let port: Value = serde_json::from_str(&sites.read("b", "gateway.json")).unwrap();
    let listen = port["gateway"]["tunnels"][0]["listen"].as_str().unwrap().to_owned();
    let said = Command::new("openssl").args(["s_client", "-quiet", "-connect", &listen]).stdin(Stdio::null()).output();
    assert!(!String::from_utf8_lossy(&said.unwrap().stdout).contains("INFO"));
    b.wait_for("refused: the peer showed no certificate");
}
