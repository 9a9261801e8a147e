//! Tests configurations: admission by present and absent keys, matching of names, and paths of files.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::addresses::free_address;
use super::peers::{OpensslClient, Program, echo, edgetrust, served_certificate};
use super::pki::{Pki, arg};

fn run(pki: &Pki, config: &Value, tunnels: usize) -> Program {
    write(pki, config);
    let file = arg(&pki.path("gateway.json"));
    Program::start_tunnels(&["run", "--config", &file, "--watch-interval", "50ms"].map(str::to_owned), tunnels)
}

fn write(pki: &Pki, config: &Value) {
    // Renamed, so that no partial file is read.
    std::fs::write(pki.path("gateway.new"), config.to_string()).unwrap();
    std::fs::rename(pki.path("gateway.new"), pki.path("gateway.json")).unwrap();
}

/// Returns `security.tls.server` with mutual TLS and these members of `mtls`.
fn shared(pki: &Pki, mtls: &Value) -> Value {
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let mut server = json!({"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key),
        "mtls": {"enabled": true, "client_ca_files": [arg(&pki.ca())]}});
    for (key, value) in mtls.as_object().unwrap() {
        server["mtls"][key] = value.clone();
    }
    server
}

fn tunnel(name: &str, more: &Value) -> Value {
    let mut tunnel = json!({"name": name, "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()});
    for (key, value) in more.as_object().unwrap() {
        tunnel[key] = value.clone();
    }
    tunnel
}

fn config(server: &Value, tunnels: &[Value]) -> Value {
    json!({"security": {"tls": {"server": server}}, "gateway": {"tunnels": tunnels}})
}

fn client(pki: &Pki, cn: &str, dns: &[&str]) -> [String; 4] {
    let (cert, key) = pki.issue(cn, dns);
    ["-cert".to_owned(), arg(&cert), "-key".to_owned(), arg(&key)]
}

/// Returns whether a client with these arguments is admitted.
fn is_let_in(program: &Program, tunnel: &str, client: &[String]) -> bool {
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    OpensslClient::start(program.tunnel(tunnel), &client).ask("hello").as_deref() == Some("hello")
}

#[test]
fn a_tunnel_under_shared_mutual_tls_asks_for_certificates_whatever_it_names() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("own", &["own.example"]);
    let server = shared(&pki, &json!({"allowed_client_cns": ["location-b"]}));
    let tunnels = [
        ("empty", json!({})),
        ("version", json!({"min_version": "1.3"})),
        ("own-credential", json!({"cert_file": arg(&cert), "key_file": arg(&key)})),
        ("own-cas", json!({"mtls": {"client_ca_files": [arg(&pki.ca())]}})),
        ("own-rules", json!({"mtls": {"allowed_client_cns": ["location-c"]}})),
    ];
    let all: Vec<Value> = tunnels.iter().map(|(name, tls)| tunnel(name, &json!({"tls": tls}))).collect();
    let program = run(&pki, &config(&server, &all), tunnels.len());
    let (b, c) = (client(&pki, "location-b", &[]), client(&pki, "location-c", &[]));
    for (name, _) in &tunnels {
        assert!(!is_let_in(&program, name, &[]), "{name}: a stranger");
        assert_eq!(is_let_in(&program, name, &b), *name != "own-rules", "{name}: location-b");
        assert_eq!(is_let_in(&program, name, &c), *name == "own-rules", "{name}: location-c");
    }
}

#[test]
fn a_half_written_section_does_not_start() {
    let pki = Pki::new("Root");
    let mut server = shared(&pki, &json!({"allowed_client_cns": ["location-b"]}));
    server["mtls"].as_object_mut().unwrap().remove("enabled");
    write(&pki, &config(&server, &[tunnel("in", &json!({}))]));
    let file = arg(&pki.path("gateway.json"));
    for command in ["run", "check"] {
        let output = edgetrust(&[command, "--config", &file]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("security.tls.server.mtls: found allowed_client_cns but no enabled"), "{said}");
    }
}

#[test]
fn an_empty_list_lets_nobody_in_and_no_list_every_verified_client() {
    let pki = Pki::new("Root");
    let tunnels =
        [tunnel("nobody", &json!({"tls": {"mtls": {"allowed_client_uris": []}}})), tunnel("everybody", &json!({}))];
    let program = run(&pki, &config(&shared(&pki, &json!({})), &tunnels), 2);
    let b = client(&pki, "location-b", &[]);
    assert!(!is_let_in(&program, "nobody", &b));
    program.wait_for("its names are not on the allow list");
    assert!(is_let_in(&program, "everybody", &b));
}

#[test]
fn the_last_name_off_a_list_ends_its_session() {
    let pki = Pki::new("Root");
    let with = |cns: &[&str]| config(&shared(&pki, &json!({"allowed_client_cns": cns})), &[tunnel("in", &json!({}))]);
    let program = run(&pki, &with(&["location-b"]), 1);
    let b = client(&pki, "location-b", &[]);
    let arguments: Vec<&str> = b.iter().map(String::as_str).collect();
    let mut session = OpensslClient::start(program.tunnel("in"), &arguments);
    assert_eq!(session.ask("hello").as_deref(), Some("hello"));
    write(&pki, &with(&[]));
    let line = program.wait_for("closed: the peer is not let in: its names are not on the allow list");
    assert!(line.contains("peer=CN=location-b"), "{line}");
    assert_eq!(session.ask("hello"), None);
    assert!(!is_let_in(&program, "in", &b));
}

#[test]
fn names_match_with_and_without_the_dot_of_the_root() {
    let pki = Pki::new("Root");
    let listen = free_address();
    let named = |name: &str, sni: &str| {
        let (cert, key) = pki.issue(name, &[name]);
        let tls = json!({"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key)});
        tunnel(name, &json!({"listen": listen, "sni": [sni], "tls": tls}))
    };
    let port = echo().port();
    let mut service = tunnel("by-name", &json!({"tls": {"mtls": {"allowed_client_dns": ["b.example."]}}}));
    service["target"] = json!(format!("localhost.:{port}"));
    let tunnels = [named("a.example", "a.example"), named("b.example", "B.example."), service];
    let program = run(&pki, &config(&shared(&pki, &json!({})), &tunnels), 3);
    let shown = |host: &str| served_certificate(program.tunnel("a.example"), &["-servername", host]);
    let written = |host: &str| std::fs::read_to_string(pki.path(&format!("{host}.pem"))).unwrap();
    for host in ["a.example", "b.example"] {
        for asked in [host.to_owned(), format!("{host}.")] {
            assert!(written(host).contains(&shown(&asked)), "{asked}");
        }
    }
    assert!(is_let_in(&program, "by-name", &client(&pki, "b", &["b.example"])));
    assert!(!is_let_in(&program, "by-name", &client(&pki, "c", &["c.example"])));
}

#[test]
fn an_absolute_host_is_reached_and_its_certificate_is_for_the_host() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("localhost", &["localhost"]);
    let tls = json!({"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key)});
    let gateway = run(&pki, &config(&json!({}), &[tunnel("in", &json!({"tls": tls}))]), 1);
    let out = |name: &str, server_name: Option<&str>| {
        let target = format!("localhost.:{}", gateway.address.port());
        let mut out = json!({"name": name, "mode": "client", "listen": "127.0.0.1:0", "target": target});
        out["tls"] = json!({"ca_files": [arg(&pki.ca())]});
        if let Some(server_name) = server_name {
            out["server_name"] = json!(server_name);
        }
        out
    };
    let other = Pki::new("Other");
    let tunnels = [out("by-target", None), out("by-name", Some("LOCALHOST."))];
    let program = run(&other, &config(&json!({}), &tunnels), 2);
    for tunnel in ["by-target", "by-name"] {
        let mut stream = TcpStream::connect(program.tunnel(tunnel)).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello", "{tunnel}");
    }
}

#[test]
fn relative_names_are_relative_to_the_configurations_folder() {
    let pki = Pki::new("Root");
    pki.issue("gateway", &["gateway.example"]);
    pki.issue("location-b", &["location-b"]);
    let file_name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let ca = file_name(&pki.ca());
    let config = json!({
        "security": {"tls": {
            "server": {"enabled": true, "cert_file": "gateway.pem", "key_file": "gateway.key",
                       "mtls": {"enabled": true, "client_ca_files": [ca]}},
            "client": {"ca_files": [ca], "use_system_roots": false,
                       "mtls": {"enabled": true, "cert_file": "location-b.pem", "key_file": "location-b.key"}}}},
        "gateway": {"known_intermediates": [ca], "tunnels": [
            {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()},
            {"name": "out", "mode": "client", "listen": "unix:out.sock", "target": "127.0.0.1:1", "server_name": "gateway.example"},
        ]},
    });
    // The working directory of a test is the package's.
    let program = run(&pki, &config, 2);
    assert!(is_let_in(&program, "in", &client(&pki, "location-b", &[])));
    assert!(std::os::unix::net::UnixStream::connect(pki.path("out.sock")).is_ok());
    let output = edgetrust(&["check", "--config", &arg(&pki.path("gateway.json"))]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(" 0 errors") || said.starts_with("0 errors") || said.contains("\n0 errors"), "{said}");
}

#[test]
fn the_storage_of_certificates_is_beside_the_configuration() {
    let pki = Pki::new("Root");
    let acme = json!({"enabled": true, "directory_url": "https://127.0.0.1:1/d", "domains": ["a.example"],
        "storage_path": "kept", "ca_bundle": "ca.pem", "http_listen": "127.0.0.1:0"});
    write(&pki, &config(&json!({"enabled": true, "mode": "acme", "acme": acme}), &[tunnel("in", &json!({}))]));
    let output = edgetrust(&["acme", "status", "--json", "--config", &arg(&pki.path("gateway.json"))]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&arg(&pki.path("kept"))), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn check_says_where_each_setting_is_written() {
    let pki = Pki::new("Root");
    let tunnels = [
        tunnel("in", &json!({"tls": {"mtls": {"allowed_client_cns": []}}})),
        json!({"name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": "b.example:1",
               "tls": {"ca_files": [arg(&pki.ca())]}}),
    ];
    write(&pki, &config(&shared(&pki, &json!({"allowed_client_cns": ["location-b"]})), &tunnels));
    let file = arg(&pki.path("gateway.json"));
    let output = edgetrust(&["check", "--effective", "--json", "--config", &file]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (tunnel, setting, value, source) in [
        (0, "tls.enabled", json!(true), "gateway.tunnels[0].tls"),
        (0, "tls.cert_file", json!(arg(&pki.path("gateway.pem"))), "security.tls.server"),
        (0, "tls.min_version", json!("1.2"), "default"),
        (0, "tls.mtls.enabled", json!(true), "security.tls.server.mtls"),
        (0, "tls.mtls.client_ca_files", json!([arg(&pki.ca())]), "security.tls.server.mtls"),
        (0, "tls.mtls.require_client_cert", json!(true), "default"),
        (0, "tls.mtls.allowed_client_cns", json!([]), "gateway.tunnels[0].tls.mtls"),
        (1, "server_name", json!("b.example"), "gateway.tunnels[1].target"),
        (1, "tls.ca_files", json!([arg(&pki.ca())]), "gateway.tunnels[1].tls"),
        (1, "tls.use_system_roots", json!(false), "default"),
        (1, "tls.insecure_skip_verify", json!(false), "default"),
    ] {
        let settings = report["effective"][tunnel]["settings"].as_array().unwrap();
        let found: Vec<_> = settings.iter().filter(|found| found["setting"] == setting).collect();
        assert_eq!(found, [&json!({"setting": setting, "value": value, "source": source})], "{settings:#?}");
    }
    let table = String::from_utf8(edgetrust(&["check", "--effective", "--config", &file]).stdout).unwrap();
    let line =
        table.lines().find(|line| line.contains("tls.mtls.allowed_client_cns")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.ends_with(" gateway.tunnels[0].tls.mtls"), "{line}");
    let warned = table.contains(
        "warning  every allow list is empty: no client's certificate is let in, where SemStreams reads [] as everybody",
    );
    assert!(warned, "{table}");
    assert!(!table.contains("PRIVATE KEY"));
}
