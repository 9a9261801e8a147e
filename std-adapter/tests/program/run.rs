//! Tests `edgetrust run` with several tunnels in one file.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::addresses::free_address;
use super::peers::{OpensslClient, Program, echo, own_echo, served_certificate};
use super::pki::{Pki, arg};

/// A PKI with a configuration file in its folder.
struct Site {
    pki: Pki,
    file: PathBuf,
}

impl Site {
    fn new() -> Self {
        let pki = Pki::new("Root");
        let file = pki.path("gateway.json");
        Self { pki, file }
    }

    fn write(&self, config: &Value) {
        // Like an operator's file: with comments, and with sections of other programs.
        let text = format!("// a site\n{}", serde_json::to_string_pretty(config).unwrap());
        std::fs::write(&self.file, text).unwrap();
    }

    fn run(&self, config: &Value, tunnels: usize) -> Program {
        self.run_with(config, tunnels, &[])
    }

    fn run_with(&self, config: &Value, tunnels: usize, more: &[&str]) -> Program {
        self.write(config);
        let file = arg(&self.file);
        let arguments = [&["run", "--config", &file, "--watch-interval", "50ms"], more].concat();
        Program::start_tunnels(&arguments.into_iter().map(str::to_owned).collect::<Vec<_>>(), tunnels)
    }

    /// Issues a certificate for a host; returns it as a `tls` object.
    fn tls(&self, host: &str) -> Value {
        let (cert, key) = self.pki.issue(host, &[host]);
        json!({"enabled": true, "mode": "manual", "cert_file": arg(&cert), "key_file": arg(&key)})
    }

    fn mutual(&self, host: &str, allowed: &[&str]) -> Value {
        let mut tls = self.tls(host);
        tls["mtls"] = json!({"enabled": true, "client_ca_files": [arg(&self.pki.ca())], "allowed_client_cns": allowed});
        tls
    }

    fn client(&self, cn: &str) -> [String; 4] {
        let (cert, key) = self.pki.issue(cn, &[]);
        ["-cert".to_owned(), arg(&cert), "-key".to_owned(), arg(&key)]
    }
}

fn server(name: &str, listen: &str, tls: &Value) -> Value {
    json!({"name": name, "mode": "server", "listen": listen, "target": echo().to_string(), "tls": tls})
}

fn config(tunnels: &[Value]) -> Value {
    json!({"platform": {"id": "edge-a"}, "gateway": {"tunnels": tunnels}})
}

#[test]
fn the_server_name_chooses_among_tunnels_of_one_port() {
    let site = Site::new();
    let listen = free_address();
    let mut tunnels: Vec<Value> = ["a.example", "b.example"]
        .map(|host| {
            let mut tunnel = server(host, &listen, &site.tls(host));
            tunnel["sni"] = json!([host]);
            tunnel
        })
        .into();
    let program = site.run(&config(&tunnels), 2);
    let shown = |host: &str| served_certificate(program.address, &["-servername", host]);
    let written = |host: &str| std::fs::read_to_string(site.pki.path(&format!("{host}.pem"))).unwrap();
    for host in ["a.example", "b.example"] {
        assert!(written(host).contains(&shown(host)), "{host}");
        assert_eq!(OpensslClient::start(program.address, &["-servername", host]).ask("x").as_deref(), Some("x"));
    }
    assert_eq!(OpensslClient::start(program.address, &["-servername", "c.example"]).ask("x"), None);
    program.wait_for("refused: no tunnel here is for the server name \"c.example\"");
    assert_eq!(OpensslClient::start(program.address, &["-noservername"]).ask("x"), None);
    program.wait_for("refused: no tunnel here is for clients without a server name");

    // A tunnel without names takes the rest.
    tunnels.push(server("rest", &listen, &site.tls("rest.example")));
    site.write(&config(&tunnels));
    program.wait_for("reloaded");
    assert!(written("rest.example").contains(&served_certificate(program.address, &["-servername", "c.example"])));
    assert!(written("a.example").contains(&served_certificate(program.address, &["-servername", "a.example"])));
}

#[test]
fn a_tier_1_tunnel_beside_a_client_tunnel_to_a_host() {
    let (a, b) = (Site::new(), Site::new());
    let tls = a.mutual("gateway.example", &["location-b"]);
    let gateway = a.run(&config(&[server("in", "127.0.0.1:0", &tls)]), 1);
    let (cert, key) = a.pki.issue("location-b", &[]);
    let own = json!({"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key)});
    let config = json!({
        "security": {"tls": {"client": {"ca_files": [arg(&a.pki.ca())], "mtls": own}}},
        "gateway": {"tunnels": [
            {"name": "plain", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()},
            {"name": "out", "mode": "client", "listen": "127.0.0.1:0", "server_name": "gateway.example",
             "target": format!("localhost:{}", gateway.address.port())},
        ]},
    });
    let program = b.run(&config, 2);
    for tunnel in ["plain", "out"] {
        let mut stream = TcpStream::connect(program.tunnel(tunnel)).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello", "{tunnel}");
    }
    let line = gateway.wait_for("open tunnel=in");
    assert!(line.contains("peer=CN=location-b"), "{line}");
}

#[test]
fn tunnels_come_and_go_and_connections_of_others_stay() {
    let site = Site::new();
    let (one, two) = (
        server("one", "127.0.0.1:0", &site.tls("one.example")),
        server("two", "127.0.0.1:0", &site.tls("two.example")),
    );
    // Sessions go on with another tunnel where it has the same target.
    let mut one = one;
    one["target"] = json!(own_echo().to_string());
    // The sandbox has the ports of the start.
    let mut program = site.run_with(&config(std::slice::from_ref(&one)), 1, &["--no-sandbox"]);
    let mut old = OpensslClient::start(program.tunnel("one"), &[]);
    assert_eq!(old.ask("before").as_deref(), Some("before"));
    site.write(&config(&[one, two.clone()]));
    program.wait_for_tunnel();
    let mut stays = OpensslClient::start(program.tunnel("two"), &[]);
    assert_eq!(stays.ask("x").as_deref(), Some("x"));
    site.write(&config(&[two]));
    program.wait_for("no longer listening");
    program.wait_for("closed: its tunnel is no longer configured");
    program.wait_until("one still listens", |program| TcpStream::connect(program.tunnel("one")).is_err());
    assert_eq!(old.ask("after"), None);
    assert_eq!(stays.ask("after").as_deref(), Some("after"));
    assert_eq!(OpensslClient::start(program.tunnel("two"), &[]).ask("x").as_deref(), Some("x"));
}

/// Admits two clients, then removes location-c from the list together with the change `more`.
fn withdraw(more: impl FnOnce(&mut Value)) {
    let site = Site::new();
    let mut tunnel = server("in", "127.0.0.1:0", &site.mutual("gateway.example", &["location-b", "location-c"]));
    let program = site.run_with(&config(std::slice::from_ref(&tunnel)), 1, &["--no-sandbox"]);
    let mut clients = ["location-b", "location-c"].map(|cn| {
        let arguments = site.client(cn);
        let mut client = OpensslClient::start(program.address, &arguments.each_ref().map(String::as_str));
        assert_eq!(client.ask("hello").as_deref(), Some("hello"));
        client
    });
    tunnel["tls"]["mtls"]["allowed_client_cns"] = json!(["location-b"]);
    more(&mut tunnel);
    site.write(&config(&[tunnel]));
    let line = program.wait_for("closed: the peer is not let in: its names are not on the allow list");
    assert!(line.contains("peer=CN=location-c"), "{line}");
    assert_eq!(clients[1].ask("hello"), None);
    assert_eq!(clients[0].ask("hello").as_deref(), Some("hello"));
}

#[test]
fn a_withdrawn_name_ends_its_session() {
    withdraw(|_| {});
}

#[test]
fn a_rule_follows_its_tunnel_to_another_address() {
    withdraw(|tunnel| tunnel["listen"] = json!(free_address()));
}

#[test]
fn a_rule_follows_its_renamed_tunnel() {
    withdraw(|tunnel| tunnel["name"] = json!("renamed"));
}

#[test]
fn swapped_names_do_not_swap_rules() {
    let site = Site::new();
    let tunnel = |name: &str, listen: &str, allowed: &[&str]| {
        let mut tunnel = server(name, listen, &site.mutual("gateway.example", allowed));
        tunnel["sni"] = json!([]);
        tunnel
    };
    let addresses = [free_address(), free_address()];
    let mut one = tunnel("one", &addresses[0], &["location-b", "location-c"]);
    let mut two = tunnel("two", &addresses[1], &["location-b", "location-c"]);
    let program = site.run(&config(&[one.clone(), two.clone()]), 2);
    let mut clients = ["location-b", "location-c"].map(|cn| {
        let arguments = site.client(cn);
        let mut client = OpensslClient::start(program.tunnel("one"), &arguments.each_ref().map(String::as_str));
        assert_eq!(client.ask("hello").as_deref(), Some("hello"));
        client
    });
    one["tls"]["mtls"]["allowed_client_cns"] = json!(["location-b"]);
    (one["name"], two["name"]) = (json!("two"), json!("one"));
    site.write(&config(&[one, two]));
    let line = program.wait_for("closed: the peer is not let in: its names are not on the allow list");
    assert!(line.contains("peer=CN=location-c"), "{line}");
    assert_eq!(clients[1].ask("hello"), None);
    assert_eq!(clients[0].ask("hello").as_deref(), Some("hello"));
}

#[test]
fn sessions_of_a_removed_tunnel_go_on_only_where_told_and_while_their_peer_is_let_in() {
    let site = Site::new();
    let mut goes = server("goes", "127.0.0.1:0", &site.mutual("goes.example", &["location-b", "location-c"]));
    // Sessions go on with another tunnel, if at all, where it has the same target.
    goes["target"] = json!(own_echo().to_string());
    let stays = server("stays", "127.0.0.1:0", &site.mutual("stays.example", &["location-b", "location-c"]));
    let with = |tunnels: &[&Value], limits: Value| {
        let mut config = config(&tunnels.iter().copied().cloned().collect::<Vec<_>>());
        config["gateway"]["limits"] = limits;
        config
    };
    let keep = json!({"keep_removed_sessions": true});
    let program = site.run(&with(&[&goes, &stays], keep.clone()), 2);
    let mut clients = ["location-b", "location-c"].map(|cn| {
        let arguments = site.client(cn);
        let mut client = OpensslClient::start(program.tunnel("goes"), &arguments.each_ref().map(String::as_str));
        assert_eq!(client.ask("hello").as_deref(), Some("hello"));
        client
    });
    site.write(&with(&[&stays], keep.clone()));
    program.wait_for("reloaded");
    for client in &mut clients {
        assert_eq!(client.ask("still").as_deref(), Some("still"));
    }
    let mut fewer = stays.clone();
    fewer["tls"]["mtls"]["allowed_client_cns"] = json!(["location-b"]);
    site.write(&with(&[&fewer], keep));
    let line = program.wait_for("closed: its tunnel is no longer configured");
    assert!(line.contains("peer=CN=location-c"), "{line}");
    assert_eq!(clients[1].ask("hello"), None);
    assert_eq!(clients[0].ask("hello").as_deref(), Some("hello"));
    // The grace is for expiry alone.
    site.write(&with(&[&fewer], json!({"expired_grace": "1h"})));
    let line = program.wait_for("closed: its tunnel is no longer configured");
    assert!(line.contains("peer=CN=location-b"), "{line}");
}

#[test]
fn plaintext_ends_where_tls_begins() {
    let site = Site::new();
    let listen = free_address();
    let plain = json!({"name": "in", "mode": "server", "listen": listen, "target": echo().to_string()});
    let program = site.run(&config(std::slice::from_ref(&plain)), 1);
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    let mut tls = plain;
    tls["tls"] = site.tls("gateway.example");
    site.write(&config(&[tls]));
    program.wait_for("closed: its tunnel is of another kind now");
    assert_ne!(stream.read(&mut answer).ok(), Some(5));
}

#[test]
fn a_bad_file_changes_nothing_and_is_named_with_its_line() {
    let site = Site::new();
    let tunnel = server("in", "127.0.0.1:0", &site.tls("gateway.example"));
    // The sandbox would refuse another port before it is tried.
    let program = site.run_with(&config(std::slice::from_ref(&tunnel)), 1, &["--no-sandbox"]);
    let mut bad = tunnel.clone();
    bad["tls"]["cert_fil"] = json!("x");
    site.write(&config(&[bad]));
    let line = program.wait_for("reload refused");
    assert!(line.contains("gateway.json:") && line.contains("did you mean \"cert_file\"?"), "{line}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = server("other", &taken.local_addr().unwrap().to_string(), &site.tls("other.example"));
    site.write(&config(&[tunnel.clone(), other]));
    let line = program.wait_for("reload refused");
    assert!(line.contains("tunnel other: cannot listen on"), "{line}");
    assert_eq!(OpensslClient::start(program.tunnel("in"), &[]).ask("x").as_deref(), Some("x"));
    site.write(&config(&[tunnel]));
    program.wait_for("reloaded");
}

#[test]
fn the_limit_is_for_all_tunnels_and_an_idle_one_takes_nothing_of_it() {
    let site = Site::new();
    let tunnels = ["one.example", "two.example"].map(|host| server(host, "127.0.0.1:0", &site.tls(host)));
    let mut config = config(&tunnels);
    config["gateway"]["limits"] = json!({"connections": 1});
    let program = site.run(&config, 2);
    for host in ["one.example", "two.example", "one.example"] {
        let mut client = OpensslClient::start(program.tunnel(host), &[]);
        assert_eq!(client.ask("hello").as_deref(), Some("hello"), "{host}");
    }
}

/// Returns a port that is free at every address, below those that the kernel assigns to other tests.
fn free_port_everywhere() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    (first..32_768).find(free).unwrap()
}

#[test]
fn one_port_for_all_ipv4_and_one_for_all_ipv6_addresses() {
    let site = Site::new();
    let port = free_port_everywhere();
    let (four, six) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let tunnel = |name: &str, listen: &str| server(name, listen, &site.tls(&format!("{name}.example")));
    let both = [tunnel("four", &four), tunnel("six", &six)];
    let program = site.run(&config(&both), 2);
    for (address, host) in [(format!("127.0.0.1:{port}"), "four"), (format!("[::1]:{port}"), "six")] {
        let shown = served_certificate(address.parse().unwrap(), &[]);
        let written = std::fs::read_to_string(site.pki.path(&format!("{host}.example.pem"))).unwrap();
        assert!(written.contains(&shown), "{address}");
    }
    // Alone, this address also accepts IPv4, which would need a new listener.
    site.write(&config(&both[1..]));
    let line = program.wait_for("reload refused");
    assert!(line.contains(&format!("tunnel six: {six} needs a restart")), "{line}");
    assert_eq!(OpensslClient::start(format!("127.0.0.1:{port}").parse().unwrap(), &[]).ask("x").as_deref(), Some("x"));
}

#[test]
fn an_address_that_overlaps_with_one_in_use_needs_a_restart_and_changes_nothing() {
    let site = Site::new();
    let listen = free_address();
    let port = listen.rsplit_once(':').unwrap().1;
    let mut tunnel = server("in", &listen, &site.tls("gateway.example"));
    let program = site.run(&config(std::slice::from_ref(&tunnel)), 1);
    tunnel["listen"] = json!(format!("0.0.0.0:{port}"));
    site.write(&config(&[tunnel]));
    let line = program.wait_for("reload refused");
    assert!(line.contains(&format!("tunnel in: 0.0.0.0:{port} needs a restart")), "{line}");
    assert_eq!(OpensslClient::start(program.address, &[]).ask("x").as_deref(), Some("x"));
}

#[test]
fn logs_can_be_json() {
    let site = Site::new();
    site.write(&config(&[server("in", "127.0.0.1:0", &site.tls("gateway.example"))]));
    let program =
        Program::start_quietly(&["--log-format", "json", "run", "--config", &arg(&site.file)].map(str::to_owned));
    let line: Value = serde_json::from_str(&program.wait_for("listening")).unwrap();
    assert_eq!(
        (&line["tunnel"], &line["message"], &line["level"]),
        (&json!("in"), &json!("listening"), &json!("INFO"))
    );
    let address = line["address"].as_str().unwrap();
    TcpStream::connect(address).unwrap().write_all(b"no TLS").unwrap();
    let line: Value = serde_json::from_str(&program.wait_for("refused")).unwrap();
    assert_eq!(line["tunnel"], json!("in"));
}
