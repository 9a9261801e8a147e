//! Tests a log and a standard output that nobody reads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::addresses::free_address;
use super::pages::metric;
use super::peers::{OpensslClient, PATIENCE, Program, echo};
use super::pki::{Pki, arg};

/// A gateway with a log chosen by the test.
struct Gateway {
    child: Child,
    address: SocketAddr,
    pages: String,
}

impl Gateway {
    fn start(pki: &Pki, log: Stdio) -> Self {
        let (address, pages) = (free_address(), free_address());
        let (cert, key) = pki.issue("localhost", &["localhost"]);
        let target = echo().to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_edgetrust"))
            .args(["serve", "--listen", &address, "--target", &target, "--cert", &arg(&cert), "--key", &arg(&key)])
            .args(["--admin", &pages])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let gateway = Self { child, address: address.parse().unwrap(), pages };
        gateway.wait_until("it listens", |gateway| TcpStream::connect(&gateway.pages).is_ok());
        gateway
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn carries(&self) {
        let mut client = OpensslClient::start(self.address, &[]);
        assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    }

    /// Causes a line in the log.
    fn be_refused(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        // The gateway may reset the connection first.
        let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    }

    fn terminate(mut self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_on_a_full_disk_is_counted_and_ends_nothing() {
    let pki = Pki::new("Root");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let gateway = Gateway::start(&pki, full.into());
    gateway.be_refused();
    gateway.carries();
    gateway
        .wait_until("lost lines are counted", |gateway| metric(&gateway.pages, "edgetrust_log_lines_lost_total") > 1);
    gateway.terminate();
}

#[test]
fn a_log_whose_reader_left_ends_nothing() {
    let pki = Pki::new("Root");
    let (reader, writer) = std::io::pipe().unwrap();
    let gateway = Gateway::start(&pki, OwnedFd::from(writer).into());
    drop(reader);
    gateway.be_refused();
    gateway.carries();
    gateway
        .wait_until("lost lines are counted", |gateway| metric(&gateway.pages, "edgetrust_log_lines_lost_total") > 0);
    gateway.terminate();
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let pki = Pki::new("Root");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let log = OwnedFd::from(writer.try_clone().unwrap());
    // A pipe holds 64 KiB (pipe(7)); the write after those waits for the end of this test.
    let written = Arc::new(AtomicUsize::new(0));
    let counted = written.clone();
    std::thread::spawn(move || {
        while writer.write_all(&[b'\n'; 4096]).is_ok() {
            counted.fetch_add(4096, Ordering::Relaxed);
        }
    });
    let gateway = Gateway::start(&pki, log.into());
    gateway.wait_until("the pipe is full", |_| written.load(Ordering::Relaxed) >= 65_536);
    gateway.be_refused();
    gateway.carries();
    gateway.terminate();
    drop(reader);
}

/// Runs the program with a standard output of this kind; returns the exit code and standard error.
fn code(arguments: &[&str], stdout: Stdio) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_edgetrust"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_subcommand_that_prints_survives_a_reader_that_left_and_reports_a_full_disk() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("localhost", &["localhost"]);
    let (cert, key, ca) = (arg(&cert), arg(&key), arg(&pki.ca()));
    let config = pki.path("gateway.json");
    let tls = serde_json::json!({"enabled": true, "cert_file": cert, "key_file": key});
    let tunnel = serde_json::json!({
        "name": "in", "mode": "server", "listen": "127.0.0.1:8443", "target": "127.0.0.1:8081", "tls": tls,
    });
    std::fs::write(&config, serde_json::json!({"gateway": {"tunnels": [tunnel]}}).to_string()).unwrap();
    let config = arg(&config);
    let commands: [&[&str]; 8] = [
        &["inspect", &ca],
        &["inspect", "--json", &ca],
        &["verify", "--ca", &ca, "--leaf", &cert, "--purpose", "server", "--name", "localhost"],
        &["check", "--config", &config],
        &["check", "--json", "--config", &config],
        &["completions", "bash"],
        &["man"],
        &["demo", "--seconds", "1"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (left, said) = code(arguments, OwnedFd::from(writer).into());
        assert_eq!((left, said.as_str()), (Some(0), ""), "{arguments:?}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, said) = code(arguments, full.into());
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("edgetrust: standard output: No space left on device"), "{arguments:?}: {said}");
    }
}

#[test]
fn the_first_line_and_the_version_flag_name_version_and_commit() {
    let said = Command::new(env!("CARGO_BIN_EXE_edgetrust")).arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let version = said.trim_end().strip_prefix("edgetrust ").unwrap();
    assert!(version.starts_with(env!("CARGO_PKG_VERSION")), "{version}");
    if let Ok(head) = Command::new("git").args(["rev-parse", "HEAD"]).output()
        && head.status.success()
    {
        let (_, commit) = version.split_once(" (").expect("a commit");
        let commit = commit.trim_end_matches(')');
        assert!(commit.len() == 12 && commit.bytes().all(|octet| octet.is_ascii_hexdigit()), "{version}");
    }
    let program = Program::start_quietly(&["run", "--config", "/nowhere/gateway.json"].map(str::to_owned));
    let line = program.wait_for("edgetrust starts");
    assert!(line.contains(version), "{line}");
}
