//! Tests targets with several addresses or an unknown name.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::addresses::free_address;
use super::peers::{PATIENCE, Program, echo};
use super::pki::{Pki, arg};

/// Starts the program in a mount namespace in which files replace others. Returns `None` if this user may not create
/// one.
fn run_with(files: &[(&str, &Path)], config: &Path, tunnels: usize) -> Option<Program> {
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not have a mount namespace, which needs root");
        return None;
    }
    let mut script = String::new();
    for (place, file) in files {
        script += &format!("mount --bind '{}' {place} && ", file.display());
    }
    script = format!("exec unshare --mount sh -c \"{script}exec \\\"\\$0\\\" \\\"\\$@\\\"\" \"$0\" \"$@\"");
    let program = env!("CARGO_BIN_EXE_edgetrust").to_owned();
    let arguments = [script, program, "run".to_owned(), "--config".to_owned(), arg(config)];
    let mut program = Program::start_shell(&arguments);
    (0..tunnels).for_each(|_| program.wait_for_tunnel());
    Some(program)
}

fn plain(name: &str, target: &str) -> Value {
    json!({
        "name": name, "mode": "server", "listen": free_address(), "target": target, "allow_remote_plaintext": true,
        "tls": {"enabled": false},
    })
}

fn ask(address: SocketAddr) -> std::io::Result<[u8; 5]> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_silent_name_server_stops_neither_another_tunnel_nor_the_exit() {
    let pki = Pki::new("Root");
    let (config, resolv) = (pki.path("gateway.json"), pki.path("resolv.conf"));
    // Port 53 of an address that only this test uses; nothing answers there.
    let ip = free_address().parse::<SocketAddr>().unwrap().ip();
    let Ok(_silent) = UdpSocket::bind((ip, 53)) else {
        eprintln!("skipped: this user may not listen on port 53, which needs root");
        return;
    };
    fs::write(&resolv, format!("nameserver {ip}\noptions timeout:30 attempts:5\n")).unwrap();
    let tunnels = [plain("dead", "silent.example:80"), plain("alive", &format!("localhost:{}", echo().port()))];
    fs::write(&config, json!({"gateway": {"tunnels": tunnels}}).to_string()).unwrap();
    let Some(program) = run_with(&[("/etc/resolv.conf", &resolv)], &config, 2) else { return };
    // More than tokio has threads for blocking calls.
    let _waiting: Vec<_> = (0..600).map(|_| TcpStream::connect(program.tunnel("dead")).unwrap()).collect();
    assert_eq!(&ask(program.tunnel("alive")).unwrap(), b"hello");
    program.signal("TERM");
    program.wait_for("draining");
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
}

#[test]
fn a_dead_first_address_of_a_name_costs_a_moment_and_not_the_connection() {
    let pki = Pki::new("Root");
    let (config, hosts) = (pki.path("gateway.json"), pki.path("hosts"));
    let [dead, alive] = [(); 2].map(|()| free_address().parse::<SocketAddr>().unwrap());
    let alive = TcpListener::bind((alive.ip(), 0)).unwrap();
    let (alive_ip, port) = (alive.local_addr().unwrap().ip(), alive.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut stream in alive.incoming().map_while(Result::ok) {
            let mut hello = [0; 5];
            stream.read_exact(&mut hello)?;
            stream.write_all(&hello)?;
        }
        std::io::Result::Ok(())
    });
    // The kernel drops connection requests while the listener's queue is full.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::new(dead.ip(), port).into()).unwrap();
    full.listen(1).unwrap();
    let address = SocketAddr::new(dead.ip(), port);
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(250)) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue has no end");
    }
    fs::write(&hosts, format!("{} two.example\n{alive_ip} two.example\n", dead.ip())).unwrap();
    let tunnels = [plain("two", &format!("two.example:{port}"))];
    fs::write(&config, json!({"gateway": {"tunnels": tunnels}}).to_string()).unwrap();
    let Some(program) = run_with(&[("/etc/hosts", &hosts)], &config, 1) else { return };
    assert_eq!(&ask(program.tunnel("two")).unwrap(), b"hello");
}
