//! Tests the control channel: gateways that bring each other the newest mesh, and all who try to disturb them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::addresses::free_address;
use super::federation::Made;
use super::peers::{OpensslClient, PATIENCE, Program, echo, shell};
use super::pki::arg;

/// A mesh of sites on loopback, each at an address of its own, with one port for the only service. The links lead from
/// each site to the next one.
pub struct Sites {
    pub made: Made,
    folder: TempDir,
    port: u16,
}

pub const SOME_KEY: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

impl Sites {
    pub fn new() -> Self {
        // A port that is free at all loopback addresses.
        let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let service = format!("feed={port}");
        let made = Made::init(
            &[
                &["--service", &service],
                &["--site", "a=a.example", "--address", "a=127.0.0.1"][..],
                &["--site", "b=b.example", "--address", "b=127.0.0.2"],
                &["--site", "c=c.example", "--address", "c=127.0.0.3"],
                &["--link", "a:b:feed", "--link", "b:c:feed"],
            ]
            .concat(),
        );
        let sites = Self { made, folder: tempfile::tempdir().unwrap(), port };
        for site in ["a", "b", "c"] {
            sites.settle(site);
        }
        sites
    }

    /// Makes the folder of a site's gateway, with the mesh as it is now.
    fn settle(&self, site: &str) {
        let folder = self.folder_of(site);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(self.made.file("root/root.pem"), folder.join("root.pem")).unwrap();
        self.made.issue(site, &format!("gateway.{site}.example"), &folder);
        self.deliver(site);
    }

    pub fn folder_of(&self, site: &str) -> PathBuf {
        self.folder.path().join(site)
    }

    /// Brings the signed mesh to one site.
    pub fn deliver(&self, site: &str) {
        let folder = self.folder_of(site);
        std::fs::copy(self.made.file("mesh.signed.json"), folder.join("new")).unwrap();
        std::fs::rename(folder.join("new"), folder.join("mesh.signed.json")).unwrap();
    }

    pub fn address(&self, site: &str) -> SocketAddr {
        let last = site.as_bytes()[0] - b'a' + 1;
        SocketAddr::from(([127, 0, 0, last], self.port))
    }

    /// Runs the gateway of a site, which has a tunnel to the next one.
    pub fn run(&self, site: &str, next: Option<&str>) -> Program {
        self.run_with(site, next, &json!({}), &json!({}), &[])
    }

    /// Runs a gateway with more keys of `gateway.mesh` and of `gateway`.
    pub fn run_with(&self, site: &str, next: Option<&str>, mesh: &Value, more: &Value, others: &[Value]) -> Program {
        let name = format!("gateway.{site}.example");
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        let mut tunnels = vec![json!({"name": "feed-in", "mode": "server", "service": "feed",
            "listen": self.address(site).to_string(), "target": echo().to_string()})];
        tunnels.extend(next.map(|to| {
            json!({"name": format!("feed-to-{to}"), "mode": "client", "service": "feed", "to": to, "listen": "127.0.0.1:0",
                "health_interval": "200ms"})
        }));
        tunnels.extend_from_slice(others);
        let mut section =
            json!({"file": "mesh.signed.json", "site": site, "storage_path": "kept", "ca_bundle": "root.pem"});
        section.as_object_mut().unwrap().extend(mesh.as_object().unwrap().clone());
        let mut config = json!({
            "security": {"tls": {
                "server": {"enabled": true, "cert_file": cert, "key_file": key, "mtls": {"enabled": true}},
                "client": {"use_system_roots": false, "mtls": {"enabled": true, "cert_file": cert, "key_file": key}},
            }},
            "gateway": {"mesh": section, "tunnels": tunnels},
        });
        config["gateway"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let file = self.folder_of(site).join("gateway.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let arguments = ["run", "--config", &arg(&file), "--watch-interval", "50ms"].map(str::to_owned);
        Program::start_quietly(&arguments)
    }

    /// Returns what makes openssl a gateway that asks for the control channel.
    fn arguments(&self, site: &str) -> Vec<String> {
        let folder = self.folder_of(site);
        let file = |end: &str| arg(&folder.join(format!("gateway.{site}.example.{end}")));
        let (cert, key) = (file("pem"), file("key"));
        ["-cert", &cert, "-cert_chain", &cert, "-key", &key, "-alpn", "edgetrust/1"].map(str::to_owned).into()
    }

    /// Opens as many control connections to a site as the gateway of another one may have.
    fn four_connections(&self, to: &str, of: &str) -> Vec<OpensslClient> {
        let arguments = self.arguments(of);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let open = |_| {
            let mut client = OpensslClient::start(self.address(to), &arguments);
            assert!(client.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().starts_with("HTTP/1.1 404"));
            client
        };
        (0..4).map(open).collect()
    }

    /// Offers as the gateway of a site until the offer is heard: one a second is.
    fn offer(&self, to: &str, of: &str, request: &[u8]) -> String {
        let (folder, name, until) = (self.folder_of(of), format!("gateway.{of}.example"), Instant::now() + PATIENCE);
        loop {
            let answer = self.ask(to, &folder, &name, request);
            if !answer.starts_with("HTTP/1.1 429 ") {
                return answer;
            }
            assert!(Instant::now() < until, "{answer}");
        }
    }

    /// Sends a request on a control connection of its own, and returns what comes back until the end.
    pub fn ask(&self, site: &str, folder: &Path, name: &str, request: &[u8]) -> String {
        self.ask_by(site, folder, name, &["-alpn", "edgetrust/1"], request)
    }

    fn ask_by(&self, site: &str, folder: &Path, name: &str, more: &[&str], request: &[u8]) -> String {
        let (cert, key) = (arg(&folder.join(format!("{name}.pem"))), arg(&folder.join(format!("{name}.key"))));
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-ign_eof", "-connect", &self.address(site).to_string()])
            .args(["-cert", &cert, "-cert_chain", &cert, "-key", &key])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Whoever is refused does not read it.
        let _ = client.stdin.as_mut().unwrap().write_all(request);
        let mut answer = Vec::new();
        client.stdout.as_mut().unwrap().read_to_end(&mut answer).unwrap();
        let _ = client.kill();
        client.wait().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn get(more: &str) -> Vec<u8> {
    format!("GET /mesh HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n").into_bytes()
}

fn put(text: &str) -> Vec<u8> {
    format!("PUT /mesh HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        .into_bytes()
}

#[test]
fn news_goes_along_links_and_against_them() {
    let sites = Sites::new();
    let [a, b, c] = [("a", Some("b")), ("b", Some("c")), ("c", None)].map(|(site, next)| sites.run(site, next));
    for gateway in [&a, &b, &c] {
        gateway.wait_for("listening tunnel=feed-in");
    }
    // c dials nobody, and its news comes to a all the same.
    sites.made.done(&format!("deny --key {SOME_KEY}"));
    sites.deliver("c");
    for gateway in [&c, &b, &a] {
        gateway.wait_for("another mesh is in force: sequence 2");
    }
    // And from a to c.
    sites.made.done(&format!("allow --key {SOME_KEY}"));
    sites.deliver("a");
    for gateway in [&a, &b, &c] {
        gateway.wait_for("another mesh is in force: sequence 3");
    }
    // A restart finds what was brought.
    drop(c);
    sites.run("c", None).wait_for("the mesh file is older than the mesh in force: found sequence 2");
}

#[test]
fn a_new_site_brings_the_mesh_that_admits_it() {
    let sites = Sites::new();
    let [a, b, c] = [("a", Some("b")), ("b", Some("c")), ("c", None)].map(|(site, next)| sites.run(site, next));
    for gateway in [&a, &b, &c] {
        gateway.wait_for("listening tunnel=feed-in");
    }
    sites.made.done("add --site d=d.example --address d=127.0.0.4 --link d:c:feed");
    sites.settle("d");
    let mut d = sites.run("d", Some("c"));
    for gateway in [&c, &b, &a] {
        gateway.wait_for("another mesh is in force: sequence 2");
    }
    d.wait_for_tunnel();
    d.wait_for_tunnel();
    let mut feed = TcpStream::connect(d.tunnel("feed-to-c")).unwrap();
    feed.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    feed.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    // The denied key of d's gateway is news for d too, and it is out.
    let gateway = arg(&sites.folder_of("d").join("gateway.d.example.pem"));
    sites.made.done(&format!("deny --certificate {gateway} --yes"));
    sites.deliver("a");
    c.wait_for("another mesh is in force: sequence 3");
    assert_eq!(feed.read(&mut answer).unwrap_or_default(), 0);
    let answer = sites.ask("c", &sites.folder_of("d"), "gateway.d.example", &get(""));
    assert_eq!(answer, "");
}

#[test]
fn gateways_may_ask_and_nobody_else() {
    let sites = Sites::new();
    let c = sites.run("c", None);
    c.wait_for("listening tunnel=feed-in");
    let b = sites.folder_of("b");
    let answer = sites.ask("c", &b, "gateway.b.example", &get(""));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("etag: \"1.1.sha256:"), "{answer}");
    assert!(answer.contains("\"payload\": \""), "{answer}");
    for (request, expected) in [
        (put(&sites.made.read("mesh.signed.json")), "204"),
        (b"DELETE /mesh HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(), "405"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(), "404"),
        (b"no HTTP\r\n\r\n".to_vec(), "400"),
        ([b"GET /mesh HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 20_000], b"\r\n\r\n"].concat(), "431"),
    ] {
        let answer = sites.ask("c", &b, "gateway.b.example", &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{expected}: {answer}");
    }
    // A device of site b: its CA is that of a site, and its name is no gateway's.
    sites.made.issue("b", "device.b.example", &b);
    assert_eq!(sites.ask("c", &b, "device.b.example", &get("")), "");
    c.wait_for("control: refused: no gateway of a site of the mesh: ");
    assert_eq!(sites.ask("c", &b, "device.b.example", &put("{}")), "");
    c.wait_for("control: refused: no gateway of a site of the mesh: ");
    // The gateway's name from the CA of another site.
    sites.made.issue("b", "device.b.example", &b);
    // Somebody of another mesh.
    let other = Made::init(&["--site", "b=b.example"]);
    let foreign = tempfile::tempdir().unwrap();
    other.issue("b", "gateway.b.example", foreign.path());
    assert_eq!(sites.ask("c", foreign.path(), "gateway.b.example", &get("")), "");
    c.wait_for("refused: ");
    // Whoever asks for other protocols too is a client of the tunnel, and no protocol is chosen for it.
    let cert = arg(&b.join("gateway.b.example.pem"));
    let key = arg(&b.join("gateway.b.example.key"));
    for alpn in ["edgetrust/1,h2", "h2", "http/1.1,edgetrust/1"] {
        let arguments = ["-cert", &cert, "-cert_chain", &cert, "-key", &key, "-alpn", alpn];
        assert_eq!(OpensslClient::start(sites.address("c"), &arguments).ask("x").as_deref(), Some("x"), "{alpn}");
    }
    // TLS 1.2 has no control channel.
    let answer = sites.ask_by("c", &b, "gateway.b.example", &["-alpn", "edgetrust/1", "-tls1_2"], &get(""));
    assert_eq!(answer, "");
}

#[test]
fn forged_offers_are_refused_and_come_seldom() {
    let sites = Sites::new();
    let c = sites.run("c", None);
    c.wait_for("listening tunnel=feed-in");
    let first = sites.made.read("mesh.signed.json");
    sites.made.done(&format!("deny --key {SOME_KEY}"));
    let mut forged: Value = sites.made.json("mesh.signed.json");
    forged["signature"] = serde_json::from_str::<Value>(&first).unwrap()["signature"].clone();
    let foreign = Made::init(&["--site", "b=b.example"]).read("mesh.signed.json");
    for (text, code, reason) in [
        (forged.to_string(), "422", "the signature was not made by the signer's key"),
        (foreign, "422", "the signer's certificate: "),
        (sites.made.read("mesh.json"), "422", "found a mesh that is not signed"),
        ("{}".to_owned(), "422", "not a flattened JWS"),
    ] {
        let answer = sites.offer("c", "b", put(&text).as_ref());
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(reason), "{reason}: {answer}");
        c.wait_for(&format!("control: the mesh that was brought is refused: {reason}"));
    }
    // More than a mesh can have is not read to its end.
    let too_much = [b"PUT /mesh HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".as_slice(), &[b'x'; 2 << 20]];
    let answer = sites.offer("c", "b", &too_much.concat());
    // The end may come before the answer is read: what was not read resets the connection.
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // An older one is no news, and the good one comes in.
    let bring = |text: &str, expected: &str| {
        let answer = sites.offer("c", "b", put(text).as_ref());
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{expected}: {answer}");
    };
    bring(&sites.made.read("mesh.signed.json"), "204");
    c.wait_for("control: another mesh was brought: sequence 2");
    c.wait_for("another mesh is in force: sequence 2");
    bring(&first, "409");
}

/// Whoever has a stolen key takes no place for long, and one whose other end has gone is not in the way.
#[test]
fn a_fifth_connection_of_a_gateway_takes_the_place_of_the_first() {
    let sites = Sites::new();
    let c = sites.run("c", None);
    c.wait_for("listening tunnel=feed-in");
    let mut open = sites.four_connections("c", "b");
    let b = sites.folder_of("b");
    assert!(sites.ask("c", &b, "gateway.b.example", &get("")).starts_with("HTTP/1.1 200 "));
    c.wait_for("control: closed: its peer has opened a newer connection");
    open[0].rest();
    // Others are not concerned.
    let a = sites.folder_of("a");
    assert!(sites.ask("c", &a, "gateway.a.example", &get("")).starts_with("HTTP/1.1 200 "));
}

/// Somebody with the key of a's gateway sends offers without an end, so that nobody else can offer.
#[test]
fn slow_offers_of_one_gateway_hold_up_no_other() {
    let sites = Sites::new();
    let c = sites.run("c", None);
    c.wait_for("listening tunnel=feed-in");
    let mut slow = sites.four_connections("c", "a");
    for client in &mut slow {
        client.say("PUT /mesh HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{");
    }
    let stolen = arg(&sites.folder_of("a").join("gateway.a.example.pem"));
    sites.made.done(&format!("deny --certificate {stolen} --yes"));
    let b = sites.folder_of("b");
    let answer = sites.ask("c", &b, "gateway.b.example", &put(&sites.made.read("mesh.signed.json")));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    c.wait_for("control: closed: the peer's certificate: its key is denied");
    assert!(sites.ask("c", &b, "gateway.b.example", &get("")).contains("etag: \"1.2.sha256:"));
}

#[test]
fn a_denial_counts_where_the_reload_is_refused_for_another_reason() {
    let sites = Sites::new();
    let c = sites.run("c", None);
    c.wait_for("listening tunnel=feed-in");
    let b = sites.folder_of("b");
    let arguments = sites.arguments("b");
    let arguments: Vec<&str> = arguments[..6].iter().map(String::as_str).collect();
    let mut session = OpensslClient::start(sites.address("c"), &arguments);
    assert_eq!(session.ask("x").as_deref(), Some("x"));
    std::fs::write(sites.folder_of("c").join("gateway.c.example.pem"), "nonsense").unwrap();
    c.wait_for("reload refused");
    let stolen = arg(&b.join("gateway.b.example.pem"));
    sites.made.done(&format!("deny --certificate {stolen} --yes"));
    let a = sites.folder_of("a");
    let answer = sites.ask("c", &a, "gateway.a.example", &put(&sites.made.read("mesh.signed.json")));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    c.wait_for("keys that the refused configuration denies are denied all the same keys=1");
    assert_eq!(session.ask("x"), None);
    assert_eq!(OpensslClient::start(sites.address("c"), &arguments).ask("x"), None);
    // And others hear of it.
    let answer = sites.ask("c", &a, "gateway.a.example", &get(""));
    assert!(answer.contains("etag: \"1.2.sha256:"), "{answer}");
}

#[test]
fn strangers_hear_nothing_of_the_mesh() {
    let sites = Sites::new();
    let c = sites.run("c", None);
    c.wait_for("listening tunnel=feed-in");
    let first = sites.made.read("mesh.signed.json");
    sites.made.done("add --site d=d.example --address d=127.0.0.4 --link d:c:feed");
    sites.settle("d");
    let d = sites.folder_of("d");
    for (request, code) in [(get(""), "403"), (put("{}"), "422"), (get(""), "403")] {
        let answer = sites.ask("c", &d, "gateway.d.example", &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
        assert!(!answer.contains("etag") && !answer.contains("sequence"), "{answer}");
    }
    let answer = sites.offer("c", "d", put(&first).as_ref());
    assert!(answer.starts_with("HTTP/1.1 204 ") && !answer.contains("etag"), "{answer}");
}

#[test]
fn two_texts_of_one_sequence_that_gateways_bring_are_told() {
    let sites = Sites::new();
    let copy = tempfile::tempdir().unwrap();
    shell(copy.path(), &format!("cp -a {} mesh", arg(&sites.made.path)));
    let c = sites.run("c", None);
    c.wait_for("listening tunnel=feed-in");
    sites.made.done(&format!("deny --key {SOME_KEY}"));
    shell(copy.path(), &format!("edgetrust federation deny mesh --key {}", SOME_KEY.replace("2c26", "2c27")));
    let other = std::fs::read_to_string(copy.path().join("mesh/mesh.signed.json")).unwrap();
    for (site, text) in [("a", sites.made.read("mesh.signed.json")), ("b", other)] {
        let answer = sites.ask("c", &sites.folder_of(site), &format!("gateway.{site}.example"), &put(&text));
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        c.wait_for("reloaded");
    }
    drop(c);
    let c = sites.run("c", None);
    c.wait_for("two meshes are signed as sequence 2");
}

#[test]
fn a_server_that_is_no_gateway_sees_a_client_like_others() {
    let sites = Sites::new();
    let c = sites.folder_of("c");
    let address = sites.address("c").to_string();
    // It answers in capital letters, and knows nothing of ALPN.
    let server = format!(
        "openssl s_server -quiet -accept {address} -cert gateway.c.example.pem -cert_chain gateway.c.example.pem \
         -key gateway.c.example.key -Verify 2 -CAfile root.pem -rev"
    );
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {server}")]).current_dir(&c);
    let mut server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut b = sites.run("b", Some("c"));
    b.wait_for_tunnel();
    b.wait_for_tunnel();
    b.wait_for("control: it does not know edgetrust/1");
    let mut feed = TcpStream::connect(b.tunnel("feed-to-c")).unwrap();
    feed.write_all(b"abc\n").unwrap();
    let mut answer = [0; 4];
    feed.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"cba\n");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn the_channel_can_be_off() {
    let sites = Sites::new();
    let c = sites.run_with("c", None, &json!({"control": false}), &json!({}), &[]);
    c.wait_for("listening tunnel=feed-in");
    let b = sites.run("b", Some("c"));
    b.wait_for("control: it does not know edgetrust/1");
    sites.made.done(&format!("deny --key {SOME_KEY}"));
    sites.deliver("b");
    b.wait_for("another mesh is in force: sequence 2");
    sites.deliver("c");
    c.wait_for("another mesh is in force: sequence 2");
    shell(&sites.folder_of("c"), "test -s kept/mesh.json");
}

#[test]
fn a_gateway_without_room_for_connections_learns_of_a_denial() {
    let sites = Sites::new();
    let pages = free_address();
    let more = json!({"limits": {"connections": 1}, "admin": {"listen": pages}});
    let mut c = sites.run_with("c", None, &json!({}), &more, &[]);
    c.wait_for_tunnel();
    let b = sites.folder_of("b");
    let (cert, key) = (arg(&b.join("gateway.b.example.pem")), arg(&b.join("gateway.b.example.key")));
    let arguments = ["-cert", &cert, "-cert_chain", &cert, "-key", &key];
    let mut session = OpensslClient::start(sites.address("c"), &arguments);
    assert_eq!(session.ask("x").as_deref(), Some("x"));
    sites.made.done(&format!("deny --certificate {cert} --yes"));
    let answer = sites.ask("c", &b, "gateway.b.example", &put(&sites.made.read("mesh.signed.json")));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    c.wait_for("closed: the peer's certificate: its key is denied");
    assert_eq!(session.ask("x"), None);
    c.wait_until("the mesh is told", |_| {
        page(&pages, "/metrics").contains("edgetrust_mesh_sequence{mesh=\"Example Mesh\",site=\"c\"} 2\n")
    });
    let status: Value = serde_json::from_str(&page(&pages, "/status")).unwrap();
    let mesh = &status["mesh"];
    assert_eq!((&mesh["name"], &mesh["site"], &mesh["sequence"]), (&"Example Mesh".into(), &"c".into(), &2.into()));
    assert_eq!((&mesh["signer_generation"], &mesh["conflict"]), (&1.into(), &false.into()));
}

pub fn page(address: &str, path: &str) -> String {
    let output = Command::new("curl").args(["-s", &format!("http://{address}{path}")]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
