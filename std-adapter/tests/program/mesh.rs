//! Tests gateways whose tunnels follow from a mesh file: three sites below one root, each with a CA of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust::core::x509::{Certificate, KeyHash};
use serde_json::{Value, json};

use super::addresses::free_address;
use super::peers::{OpensslClient, Program, echo, edgetrust};
use super::pki::{Pki, arg};

fn der(file: &Path) -> Vec<u8> {
    edgetrust::pem::read_certificates(file).unwrap()[0].to_vec()
}

fn key_hash(file: &Path) -> String {
    let der = der(file);
    KeyHash::of(&Certificate::from_der(&der).unwrap().subject_public_key_info()).to_string()
}

/// Three sites, and the mesh file of each gateway, which is the same for all.
pub struct Mesh {
    root: Pki,
    sites: [(&'static str, Pki); 3],
    address: String,
}

impl Mesh {
    pub fn new() -> Self {
        let root = Pki::new("Root");
        let sites = ["a", "b", "c"].map(|name| (name, root.intermediate(&format!("CA {name}"))));
        for (name, pki) in &sites {
            pki.issue_chain("gateway", &[&format!("gateway.{name}.example")]);
        }
        Self { root, sites, address: free_address() }
    }

    fn pki(&self, site: &str) -> &Pki {
        &self.sites.iter().find(|(name, _)| *name == site).unwrap().1
    }

    fn file(&self) -> PathBuf {
        self.root.path("mesh.json")
    }

    /// Writes the mesh file: who has a link for `feed` to site a, and which keys are denied.
    pub fn write(&self, links: &Value, denied: &[String]) {
        let encoded = |pki: &Pki| BASE64_STANDARD.encode(der(&pki.ca()));
        let address: SocketAddr = self.address.parse().unwrap();
        let sites = self.sites.each_ref().map(|(name, pki)| {
            let mut gateway = json!({"host": format!("gateway.{name}.example")});
            if *name == "a" {
                gateway["address"] = json!(address.ip().to_string());
                gateway["ports"] = json!({"feed": address.port()});
            }
            json!({"name": name, "domains": [format!("{name}.example")], "issuers": [encoded(pki)], "gateways": [gateway]})
        });
        let denied: Vec<Value> = denied.iter().map(|key| json!({"key": key, "reason": "stolen"})).collect();
        let mesh = json!({
            "mesh": "Example", "sequence": 1, "roots": [encoded(&self.root)], "sites": sites,
            "services": [{"name": "feed", "port": 8443}], "links": links, "denied_keys": denied,
        });
        // A gateway that looks in between sees the old file or the new one.
        let beside = self.root.path("mesh.json.new");
        std::fs::write(&beside, mesh.to_string()).unwrap();
        std::fs::rename(beside, self.file()).unwrap();
    }

    /// Starts the gateway of a site with one tunnel.
    pub fn run(&self, site: &str, tunnel: &Value, tunnels: usize) -> Program {
        let config = self.config(site, tunnel);
        let arguments = ["run", "--config", &arg(&config), "--watch-interval", "50ms"].map(str::to_owned);
        Program::start_tunnels(&arguments, tunnels)
    }

    pub fn config(&self, site: &str, tunnel: &Value) -> PathBuf {
        let known = self.sites.iter().find(|(name, _)| *name == site);
        let pki = known.map_or(&self.sites[0].1, |(_, pki)| pki);
        let (cert, key) = (arg(&pki.path("gateway.pem")), arg(&pki.path("gateway.key")));
        let config = json!({
            "security": {"tls": {
                "server": {"enabled": true, "cert_file": cert, "key_file": key, "mtls": {"enabled": true}},
                "client": {"use_system_roots": false, "mtls": {"enabled": true, "cert_file": cert, "key_file": key}},
            }},
            "gateway": {"mesh": {"file": self.file(), "site": site}, "tunnels": [tunnel]},
        });
        let file = pki.path("gateway.json");
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    pub fn server(&self) -> Value {
        let target = echo().to_string();
        json!({"name": "feed-in", "mode": "server", "service": "feed", "listen": self.address, "target": target})
    }
}

pub fn client() -> Value {
    json!({"name": "feed-to-a", "mode": "client", "service": "feed", "to": "a", "listen": "127.0.0.1:0"})
}

fn ask(stream: &mut TcpStream) -> Option<[u8; 5]> {
    let mut octets = [0; 5];
    stream.write_all(b"hello").ok()?;
    stream.read_exact(&mut octets).ok()?;
    Some(octets)
}

#[test]
fn a_tunnel_of_a_service_lets_in_the_linked_sites_and_no_others() {
    let mesh = Mesh::new();
    let of_b = json!([{"service": "feed", "from": ["b"], "to": ["a"]}]);
    mesh.write(&of_b, &[]);
    let a = mesh.run("a", &mesh.server(), 1);
    let b = mesh.run("b", &client(), 1);
    let mut session = TcpStream::connect(b.address).unwrap();
    assert_eq!(ask(&mut session).as_ref(), Some(b"hello"));
    a.wait_for("DNS gateway.b.example by sha256:");

    // Site c has no link, and the CA of c cannot speak for b.
    let (cert, key) = mesh.pki("c").issue_chain("impostor", &["gateway.b.example"]);
    let own = (mesh.pki("c").path("gateway.pem"), mesh.pki("c").path("gateway.key"));
    for ((cert, key), reason) in [
        (&own, "its names are not on the allow list"),
        (&(cert, key), "its name may come from the named issuers only, and its issuer's key is"),
    ] {
        let arguments = ["-cert", &arg(cert), "-cert_chain", &arg(cert), "-key", &arg(key)];
        assert_eq!(OpensslClient::start(a.address, &arguments).ask("x"), None, "{reason}");
        a.wait_for(reason);
    }

    // One file changes, and no configuration: c is let in.
    let of_both = json!([{"service": "feed", "from": ["b", "c"], "to": ["a"]}]);
    mesh.write(&of_both, &[]);
    a.wait_for("reloaded");
    let arguments = ["-cert", &arg(&own.0), "-cert_chain", &arg(&own.0), "-key", &arg(&own.1)];
    assert_eq!(OpensslClient::start(a.address, &arguments).ask("x").as_deref(), Some("x"));
    assert_eq!(ask(&mut session).as_ref(), Some(b"hello"), "the others stay");
}

#[test]
fn a_link_that_is_taken_out_ends_its_sessions_at_both_ends() {
    let mesh = Mesh::new();
    mesh.write(&json!([{"service": "feed", "from": ["*"], "to": ["a"]}]), &[]);
    let (a, b) = (mesh.run("a", &mesh.server(), 1), mesh.run("b", &client(), 1));
    let mut session = TcpStream::connect(b.address).unwrap();
    assert_eq!(ask(&mut session).as_ref(), Some(b"hello"));
    mesh.write(&json!([{"service": "feed", "from": ["c"], "to": ["a"]}]), &[]);
    let line = b.wait_for("the tunnel is left out: ");
    assert!(line.contains("no link of the mesh lets site \"b\" reach \"feed\" at site \"a\""), "{line}");
    a.wait_for("closed: ");
    assert_eq!(ask(&mut session), None);
    // And back again.
    mesh.write(&json!([{"service": "feed", "from": ["b"], "to": ["a"]}]), &[]);
    let line = b.wait_for("listening tunnel=feed-to-a");
    let address = line.split_once("address=").unwrap().1.split(' ').next().unwrap();
    assert_eq!(ask(&mut TcpStream::connect(address).unwrap()).as_ref(), Some(b"hello"));
}

#[test]
fn keys_that_the_mesh_denies_end_their_sessions() {
    let mesh = Mesh::new();
    let links = json!([{"service": "feed", "from": ["*"], "to": ["a"]}]);
    for denied in [mesh.pki("b").path("gateway.pem"), mesh.pki("b").ca()] {
        mesh.write(&links, &[]);
        let (a, b) = (mesh.run("a", &mesh.server(), 1), mesh.run("b", &client(), 1));
        let mut session = TcpStream::connect(b.address).unwrap();
        assert_eq!(ask(&mut session).as_ref(), Some(b"hello"));
        mesh.write(&links, &[key_hash(&denied)]);
        a.wait_for(&format!("its key is denied: {}", key_hash(&denied)));
        assert_eq!(ask(&mut session), None);
    }
}

#[test]
fn a_server_of_another_site_is_not_taken_for_the_wanted_one() {
    let mesh = Mesh::new();
    mesh.write(&json!([{"service": "feed", "from": ["b"], "to": ["a"]}]), &[]);
    // Site c shows a certificate with a's name, from its own CA, at a's address.
    let (cert, key) = mesh.pki("c").issue_chain("impostor", &["gateway.a.example"]);
    let target = echo().to_string();
    let arguments =
        ["serve", "--listen", &mesh.address, "--target", &target, "--cert", &arg(&cert), "--key", &arg(&key)];
    let _impostor = Program::start(&arguments.map(str::to_owned));
    let b = mesh.run("b", &client(), 1);
    assert_eq!(ask(&mut TcpStream::connect(b.address).unwrap()), None);
    let line = b.wait_for("its name may come from the named issuers only");
    assert!(line.contains(&key_hash(&mesh.pki("c").ca())), "{line}");
}

#[test]
fn a_faulty_mesh_is_refused_by_its_place_and_changes_nothing() {
    let mesh = Mesh::new();
    mesh.write(&json!([{"service": "feed", "from": ["b"], "to": ["a"]}]), &[]);
    let a = mesh.run("a", &mesh.server(), 1);
    std::fs::write(mesh.file(), "{\"mesh\": 1}").unwrap();
    let line = a.wait_for("reload refused");
    assert!(line.contains("gateway.mesh: ") && line.contains("mesh.json: mesh: found 1"), "{line}");
    let own = (mesh.pki("b").path("gateway.pem"), mesh.pki("b").path("gateway.key"));
    let arguments = ["-cert", &arg(&own.0), "-cert_chain", &arg(&own.0), "-key", &arg(&own.1)];
    assert_eq!(OpensslClient::start(a.address, &arguments).ask("x").as_deref(), Some("x"));
    std::fs::remove_file(mesh.file()).unwrap();
    let line = a.wait_for("reload refused");
    assert!(line.contains("mesh.json: cannot be read: No such file"), "{line}");
    let output = edgetrust(&["check", "--config", &arg(&mesh.config("a", &mesh.server()))]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && text.contains("mesh.json: cannot be read"), "{text}");
}

#[test]
fn check_says_whom_a_service_lets_in_and_where_a_tunnel_leads() {
    let mesh = Mesh::new();
    mesh.write(&json!([{"service": "feed", "from": ["b"], "to": ["a"]}]), &[key_hash(&mesh.pki("c").ca())]);
    let check = |site: &str, tunnel: &Value| {
        let output = edgetrust(&["check", "--config", &arg(&mesh.config(site, tunnel))]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (_, text) = check("a", &mesh.server());
    assert!(text.contains("feed lets in gateway.b.example of site b"), "{text}");
    assert!(!text.contains("allow list is empty"), "{text}");
    assert!(text.contains("keys denied by the mesh: 1"), "{text}");
    let (_, text) = check("b", &client());
    assert!(text.contains(&format!("feed leads to gateway.a.example of site a at {}", mesh.address)), "{text}");
    // The gateway runs without the tunnel.
    mesh.write(&json!([{"service": "feed", "from": ["b"], "to": ["a"]}]), &[]);
    let (code, text) = check("c", &client());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("no link of the mesh lets site \"c\" reach \"feed\" at site \"a\""), "{text}");
    let (code, text) = check("d", &mesh.server());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the mesh has no site \"d\""), "{text}");
}
