//! Tests tunnels that lead through proxies, real ones and hostile ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

use super::addresses::{free_address, nowhere};
use super::peers::{PATIENCE, Program, echo, edgetrust, http};
use super::pki::{Pki, arg};
use super::serve::{issued, serve_before};

/// A proxy of another maker, stopped when dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// Starts a program and waits until it listens; returns `None` if it is not installed.
    fn start(program: &str, package: &str, arguments: impl FnOnce(SocketAddr) -> Vec<String>) -> Option<Self> {
        let address: SocketAddr = free_address().parse().unwrap();
        let spawned = Command::new(program)
            .args(arguments(address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            eprintln!("skipped: {program} is missing (apt-get install {package})");
            return None;
        };
        let proxy = Self { child, address };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "{program} listens");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Some(proxy)
    }

    fn tinyproxy(pki: &Pki, more: &str) -> Option<Self> {
        let file = pki.path("tinyproxy.conf");
        Self::start("tinyproxy", "tinyproxy-bin", |address| {
            let (ip, port) = (address.ip(), address.port());
            std::fs::write(&file, format!("Listen {ip}\nPort {port}\nTimeout 600\nMaxClients 50\n{more}")).unwrap();
            ["-d", "-c", &arg(&file)].map(str::to_owned).into()
        })
    }

    fn microsocks(more: &[&str]) -> Option<Self> {
        Self::start("microsocks", "microsocks", |address| {
            let mut arguments =
                vec!["-i".to_owned(), address.ip().to_string(), "-p".to_owned(), address.port().to_string()];
            arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
            arguments
        })
    }
}

/// A gateway in front of an echo service, and the client tunnel to it through a proxy.
struct Way {
    pki: Pki,
    server: Program,
    tunnel: Value,
}

impl Way {
    fn new(proxy: &str) -> Self {
        let pki = Pki::new("Root");
        let server = serve_before(&pki, &echo().to_string(), &["--cacert", &arg(&pki.ca())]);
        let (cert, key) = issued(&pki, "location-b", &[]);
        let tunnel = json!({
            "name": "out", "mode": "client", "listen": "127.0.0.1:0", "proxy": proxy,
            "target": format!("localhost:{}", server.address.port()), "server_name": "gateway.example",
            "tls": {"ca_files": [arg(&pki.ca())], "use_system_roots": false,
                "mtls": {"enabled": true, "cert_file": cert, "key_file": key}},
        });
        Self { pki, server, tunnel }
    }

    fn credentials(&mut self, text: &str) {
        let file = self.pki.path("proxy-credentials");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        self.tunnel["proxy_credentials_file"] = arg(&file).into();
    }

    fn file(&self) -> String {
        let file = self.pki.path("gateway.json");
        let limits = json!({"handshake_timeout": "2s"});
        std::fs::write(&file, json!({"gateway": {"tunnels": [self.tunnel], "limits": limits}}).to_string()).unwrap();
        arg(&file)
    }

    fn start(&self, environment: &[(&str, &str)]) -> Program {
        let mut program = Program::start_in(&["run", "--config", &self.file()].map(str::to_owned), environment);
        program.wait_for_tunnel();
        program
    }

    /// Returns whether an octet comes back through the tunnel.
    fn passes(program: &Program) -> bool {
        let mut stream = TcpStream::connect(program.tunnel("out")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])).is_ok()
    }
}

/// Starts a proxy that reads what it is asked, answers with these octets, and then reads on until the other side ends.
fn hostile(answer: Vec<u8>) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (sender, answer) = (sender.clone(), answer.clone());
            std::thread::spawn(move || {
                let mut request = vec![0; 4096];
                let count = stream.read(&mut request).unwrap_or(0);
                // Whoever has heard enough does not read the rest.
                let _ = sender.send(request[..count].to_vec());
                let _ = stream.write_all(&answer);
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    (address, asked)
}

#[test]
fn an_http_proxy_leads_to_the_gateway_by_its_name() {
    let pki = Pki::new("Proxy");
    let Some(proxy) = Proxy::tinyproxy(&pki, "") else { return };
    let way = Way::new(&format!("http://{}", proxy.address));
    let program = way.start(&[]);
    assert!(Way::passes(&program));
    way.server.wait_for("open tunnel=serve");
    // The same way is taken by `probe` and said by `check`.
    let probed = edgetrust(&["probe", "--config", &way.file(), "--tunnel", "out"]);
    let said = String::from_utf8_lossy(&probed.stdout).into_owned();
    assert!(probed.status.success(), "{said}");
    assert!(said.contains(&format!("left to the proxy http://{}", proxy.address)), "{said}");
    let checked = edgetrust(&["check", "--config", &way.file()]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains(&format!("leads through the proxy http://{}", proxy.address)), "{said}");
}

#[test]
fn an_http_proxy_asks_for_a_password_and_none_is_shown() {
    let pki = Pki::new("Proxy");
    let Some(proxy) = Proxy::tinyproxy(&pki, "BasicAuth edge hunter2\n") else { return };
    let mut way = Way::new(&format!("http://{}", proxy.address));
    let refused = way.start(&[]);
    assert!(!Way::passes(&refused));
    let line = refused.wait_for("refused: target");
    let expected =
        format!("proxy http://{}: it answered \"HTTP/1.0 407 Proxy Authentication Required\"", proxy.address);
    assert!(line.contains(&expected.replace("1.0", "1.1")) || line.contains(&expected), "{line}");
    drop(refused);
    way.credentials("edge:wrong-hunter");
    let refused = way.start(&[]);
    assert!(!Way::passes(&refused));
    let line = refused.wait_for("refused: target");
    assert!(line.contains("proxy_credentials_file") && !line.contains("hunter"), "{line}");
    drop(refused);
    way.credentials("edge:hunter2\n");
    assert!(Way::passes(&way.start(&[])));
}

#[test]
fn a_socks_proxy_leads_to_the_gateway_with_a_password_and_without() {
    let Some(open) = Proxy::microsocks(&[]) else { return };
    assert!(Way::passes(&Way::new(&format!("socks5://{}", open.address)).start(&[])));
    let Some(closed) = Proxy::microsocks(&["-u", "edge", "-P", "hunter2"]) else { return };
    let mut way = Way::new(&format!("socks5://{}", closed.address));
    let refused = way.start(&[]);
    assert!(!Way::passes(&refused));
    refused.wait_for(&format!("proxy socks5://{}: it answered that it takes nobody without a user", closed.address));
    drop(refused);
    way.credentials("edge:hunter2");
    assert!(Way::passes(&way.start(&[])));
    // A target that is down is the proxy's answer, and is named.
    way.tunnel["target"] = format!("localhost:{}", nowhere().port()).into();
    let program = way.start(&[]);
    assert!(!Way::passes(&program));
    program.wait_for("it answered 5: the destination refused the connection, expected 0");
}

#[test]
fn the_environment_counts_only_where_it_is_asked_for() {
    let (address, asked) = hostile(b"HTTP/1.1 403 No\r\n\r\n".to_vec());
    let proxy = format!("http://edge:hunter2@{address}");
    let mut way = Way::new("environment");
    let program = way.start(&[("https_proxy", &proxy)]);
    assert!(!Way::passes(&program));
    let line = program.wait_for("refused: target");
    assert!(line.contains(&format!("proxy http://{address}: it answered \"HTTP/1.1 403 No\"")), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
    let request = String::from_utf8(asked.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert!(request.starts_with("CONNECT localhost:") && request.contains("Proxy-Authorization: Basic "), "{request}");
    drop(program);
    let excepted = way.start(&[("https_proxy", &proxy), ("no_proxy", "x.example,localhost")]);
    assert!(Way::passes(&excepted));
    drop(excepted);
    way.tunnel.as_object_mut().unwrap().remove("proxy");
    assert!(Way::passes(&way.start(&[("https_proxy", &proxy), ("HTTPS_PROXY", &proxy)])));
    assert!(asked.try_recv().is_err());
}

#[test]
fn a_hostile_proxy_is_told_and_costs_no_more_than_the_deadline() {
    let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Filler: 0123456789\r\n".repeat(100_000)].concat();
    let hello = b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03\0\x7a\x02\0\0\x76".to_vec();
    for (scheme, answer, expected) in [
        ("http", endless, "its answer has more than 8192 octets"),
        ("http", hello, "found octets after its answer, expected none before the handshake"),
        ("http", b"HTTP/1.1 200 OK\r\nX: ".to_vec(), "no answer within 1s"),
        ("http", Vec::new(), "no answer within 1s"),
        ("http", b"\x05\0".to_vec(), "found \"\\u{5}\\0\", expected an answer of HTTP/1.1"),
        ("http", b"HTTP/1.1 302 \x1b[2J\xff\r\n\r\n".to_vec(), "it answered \"HTTP/1.1 302 \\u{1b}[2J"),
        ("socks5", Vec::new(), "no answer within 1s"),
        ("socks5", b"\x05".to_vec(), "no answer within 1s"),
        ("socks5", b"\x05\x02".to_vec(), "it chose the method 2, which was not offered"),
        ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "found 72 as the version of SOCKS, expected 5"),
    ] {
        let (address, _asked) = hostile(answer);
        let way = Way::new(&format!("{scheme}://{address}"));
        let program = way.start(&[]);
        assert!(!Way::passes(&program), "{expected}");
        let line = program.wait_for("refused: target");
        assert!(line.contains(&format!("proxy {scheme}://{address}: {expected}")), "{line}");
    }
}

#[test]
fn a_proxy_that_answers_in_the_place_of_the_gateway_is_refused() {
    // It agrees to everything, and speaks no TLS: whatever it says is judged as the gateway's.
    let (address, asked) = hostile(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
    let way = Way::new(&format!("http://{address}"));
    let program = way.start(&[]);
    assert!(!Way::passes(&program));
    program.wait_for("refused: no handshake and no target within the deadline");
    assert!(asked.recv_timeout(PATIENCE).unwrap().starts_with(b"CONNECT localhost:"));
    // One that leads to another server is found out by its certificate.
    let other = Pki::new("Other root");
    let impostor = serve_before(&other, &http("x").to_string(), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            let mut to = TcpStream::connect(impostor.address).unwrap();
            let (mut from, mut back) = (stream.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let _ = std::io::copy(&mut back, &mut stream);
        }
    });
    let way = Way::new(&format!("http://{address}"));
    let program = way.start(&[]);
    assert!(!Way::passes(&program));
    program.wait_for("refused: the peer's certificate: its issuer is neither a configured CA");
}

#[test]
fn what_is_no_proxy_is_refused_and_no_password_is_shown() {
    for (proxy, credentials, expected) in [
        ("http://edge:hunter2@proxy:1", None, "out: proxy: found a URL with a user"),
        ("https://proxy:1", None, "expected \\\"http://HOST:PORT\\\""),
        ("environment", Some("edge:hunter2"), "expected nothing, or a proxy with HOST:PORT"),
        ("http://proxy:1", Some("hunter2"), "found no colon, expected one line with user:password"),
    ] {
        let mut way = Way::new(proxy);
        if let Some(text) = credentials {
            way.credentials(text);
        }
        let output = edgetrust(&["check", "--config", &way.file()]);
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(!output.status.success(), "{said}");
        let expected = expected.strip_prefix("out: ").unwrap_or(expected).replace('\\', "");
        assert!(said.contains(&expected) && !said.contains("hunter2"), "{said}");
    }
}
