//! Tests tunnels with several targets: one that lives is enough, and the first one is returned to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::addresses::free_address;
use super::pages::{get, pages};
use super::peers::{PATIENCE, Program, echo};
use super::pki::{Pki, arg};
use super::serve::{issued, serve_before};

/// A service that says its name to each client that has said something.
struct Service(SocketAddr);

impl Service {
    fn start(name: &'static str) -> Self {
        Self::start_at(&free_address(), name)
    }

    fn start_at(address: &str, name: &'static str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    stream.read_exact(&mut [0])?;
                    stream.write_all(name.as_bytes())
                });
            }
        });
        Self(address)
    }

    fn target(&self) -> String {
        self.0.to_string()
    }
}

/// Returns what the service behind a tunnel says, or nothing if the tunnel ends the connection.
fn ask(program: &Program, tunnel: &str) -> String {
    let mut stream = TcpStream::connect(program.tunnel(tunnel)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    // A tunnel without a target resets the connection.
    let _ = stream.write_all(b"?").and_then(|()| stream.read_to_string(&mut answer));
    answer
}

fn start(folder: &Path, tunnels: &[Value]) -> (Program, String) {
    start_with(folder, tunnels, &json!({}))
}

fn start_with(folder: &Path, tunnels: &[Value], limits: &Value) -> (Program, String) {
    let config =
        json!({"gateway": {"tunnels": tunnels, "admin": {"listen": "127.0.0.1:0"}, "limits": limits}}).to_string();
    let file = folder.join("gateway.json");
    std::fs::write(&file, config).unwrap();
    let mut program = Program::start_quietly(&["run", "--config", &arg(&file)].map(str::to_owned));
    tunnels.iter().for_each(|_| program.wait_for_tunnel());
    let pages = pages(&program);
    (program, pages)
}

fn plain(name: &str, targets: &[&str], interval: &str) -> Value {
    json!({
        "name": name, "mode": "server", "listen": free_address(), "targets": targets, "health_interval": interval,
        "tls": {"enabled": false},
    })
}

/// Returns which targets of the only tunnel are up, by `/status` and by the metric, which must agree.
fn up(pages: &str) -> Vec<bool> {
    let status: Value = serde_json::from_str(&get(pages, "/status", &[]).1).unwrap();
    let targets = status["tunnels"][0]["targets"].as_array().unwrap();
    let metrics = get(pages, "/metrics", &[]).1;
    let is_up = |target: &Value| {
        let is_up = target["up"].as_bool().unwrap();
        let line = format!(
            "edgetrust_target_up{{tunnel={},target={}}} {}",
            status["tunnels"][0]["name"],
            target["address"],
            u8::from(is_up)
        );
        assert!(metrics.contains(&line), "{line}\n{metrics}");
        is_up
    };
    targets.iter().map(is_up).collect()
}

#[test]
fn sessions_go_to_the_next_target_and_return_to_the_first_when_it_lives_again() {
    let pki = Pki::new("Root");
    let (first, second) = (free_address(), Service::start("second"));
    let (program, pages) = start(pki.ca().parent().unwrap(), &[plain("in", &[&first, &second.target()], "100ms")]);
    assert_eq!(up(&pages), [true, true]);
    assert_eq!(ask(&program, "in"), "second");
    let line = program.wait_for("the target is down, and is passed over: Connection refused");
    assert!(line.contains("WARN") && line.contains(&format!("tunnel=in target={first}")), "{line}");
    assert_eq!(up(&pages), [false, true]);
    assert_eq!(ask(&program, "in"), "second");
    Service::start_at(&first, "first");
    let line = program.wait_for("the target is up again");
    assert!(line.contains("INFO") && line.contains(&format!("tunnel=in target={first}")), "{line}");
    assert_eq!(ask(&program, "in"), "first");
    assert_eq!(up(&pages), [true, true]);
}

#[test]
fn a_reload_forgets_no_target_that_is_down() {
    let pki = Pki::new("Root");
    let folder = pki.ca().parent().unwrap().to_owned();
    let (first, second) = (free_address(), Service::start("second"));
    let tunnel = plain("in", &[&first, &second.target()], "1h");
    let (program, pages) = start(&folder, std::slice::from_ref(&tunnel));
    assert_eq!(ask(&program, "in"), "second");
    program.wait_for("the target is down");
    // The interval of an hour ends with the reload; what is known does not.
    let mut tunnel = tunnel;
    tunnel["health_interval"] = "2h".into();
    let config = json!({"gateway": {"tunnels": [tunnel.clone()], "admin": {"listen": "127.0.0.1:0"}}});
    std::fs::write(folder.join("gateway.json"), config.to_string()).unwrap();
    program.signal("HUP");
    program.wait_for("reload refused, the last good configuration stays: ");
    tunnel["health_interval"] = "59m".into();
    let config = json!({"gateway": {"tunnels": [tunnel], "admin": {"listen": "127.0.0.1:0"}}});
    std::fs::write(folder.join("gateway.json"), config.to_string()).unwrap();
    program.signal("HUP");
    program.wait_for("reloaded");
    assert_eq!(up(&pages), [false, true]);
}

#[test]
fn a_target_that_is_silent_costs_its_part_of_the_time_and_once() {
    let pki = Pki::new("Root");
    // The kernel drops connection requests while the listener's queue is full.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&free_address().parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(1).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(250)) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue has no end");
    }
    let second = Service::start("second");
    let tunnel = plain("in", &[&address.to_string(), &second.target()], "1h");
    let (program, pages) = start_with(pki.ca().parent().unwrap(), &[tunnel], &json!({"handshake_timeout": "4s"}));
    assert_eq!(ask(&program, "in"), "second");
    program.wait_for("the target is down, and is passed over: no answer within");
    assert_eq!(up(&pages), [false, true]);
    let since = Instant::now();
    assert_eq!(ask(&program, "in"), "second");
    assert!(since.elapsed() < Duration::from_secs(1), "it is passed over");
}

#[test]
fn a_tunnel_all_of_whose_targets_are_down_tries_them_all() {
    let pki = Pki::new("Root");
    let [first, second] = [(); 2].map(|()| free_address());
    let tunnel = plain("in", &[&first, &second], "1h");
    let (program, pages) = start(pki.ca().parent().unwrap(), &[tunnel]);
    assert_eq!(ask(&program, "in"), "");
    let line = program.wait_for("refused: target");
    assert!(line.contains(&format!("refused: target {second}: Connection refused")), "{line}");
    assert_eq!(up(&pages), [false, false]);
    Service::start_at(&second, "second");
    assert_eq!(ask(&program, "in"), "second");
    program.wait_for("the target is up again");
    assert_eq!(up(&pages), [false, true]);
}

#[test]
fn a_client_tunnel_passes_over_a_gateway_that_is_another_or_refuses_it() {
    let pki = Pki::new("Root");
    let (ca, (cert, key)) = (arg(&pki.ca()), issued(&pki, "location-b", &[]));
    let answering = Service::start("good").target();
    let refusing = serve_before(&pki, &echo().to_string(), &["--cacert", &ca, "--allow-cn", "location-c"]);
    let good = serve_before(&pki, &answering, &["--cacert", &ca, "--allow-cn", "location-b"]);
    // Its certificate is not for the name that the second target has.
    let tls = json!({"ca_files": [ca], "use_system_roots": false,
        "mtls": {"enabled": true, "cert_file": cert, "key_file": key}});
    let tunnel = |name: &str, targets: [String; 2], server_name: Option<&str>| {
        let mut tunnel = json!({"name": name, "mode": "client", "listen": free_address(), "targets": targets,
            "health_interval": "1h", "tls": tls});
        if let Some(name) = server_name {
            tunnel["server_name"] = name.into();
        }
        tunnel
    };
    let tunnels =
        [tunnel("refused", [refusing.address.to_string(), good.address.to_string()], Some("gateway.example"))];
    let (program, pages) = start(pki.ca().parent().unwrap(), &tunnels);
    // In TLS 1.3 the verdict on a client comes after it is connected: this session is lost, and only this one.
    assert_eq!(ask(&program, "refused"), "");
    program.wait_for("the target is down, and is passed over: received fatal alert: AccessDenied");
    assert_eq!(ask(&program, "refused"), "good");
    assert_eq!(up(&pages), [false, true]);
    drop(program);
    // Without server_name each target has its own: an address here, for which no certificate is.
    let localhost = format!("localhost:{}", good.address.port());
    let tunnels = [tunnel("names", [good.address.to_string(), localhost], None)];
    let (program, _) = start(pki.ca().parent().unwrap(), &tunnels);
    assert_eq!(ask(&program, "names"), "");
    let line = program.wait_for("the target is down, and is passed over: ");
    assert!(line.contains("127.0.0.1"), "{line}");
    let line = program.wait_for("the target is down, and is passed over: ");
    assert!(line.contains("localhost"), "{line}");
}
