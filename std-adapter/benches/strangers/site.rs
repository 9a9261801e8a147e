//! The gateway under attack: a server tunnel, a client tunnel, EST, and the operator's pages.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use serde_json::json;

use crate::peers::{Program, echo};
use crate::pki::{Pki, arg};

pub struct Site {
    pub pki: Pki,
    pub program: Program,
    pub server: SocketAddr,
    pub client: SocketAddr,
    pub est: SocketAddr,
    /// The address for devices without a certificate.
    pub first: SocketAddr,
    pub pages: SocketAddr,
}

impl Site {
    /// Starts a gateway whose client tunnel leads to `upstream`.
    pub fn new(upstream: SocketAddr) -> Self {
        let pki = Pki::new("Root");
        let (cert, key) = pki.issue("gateway", &["gateway.example", "127.0.0.1"]);
        let mutual =
            json!({"enabled": true, "client_ca_files": [arg(&pki.ca())], "allowed_client_cns": ["location-b"]});
        let config = json!({
            "security": {"tls": {
                "server": {"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key), "mtls": mutual},
                "client": {"ca_files": [arg(&pki.ca())]},
            }},
            "gateway": {
                "tunnels": [
                    {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()},
                    {"name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": upstream.to_string(),
                     "server_name": "gateway.example", "tls": {}},
                ],
                "est": {"listen": "127.0.0.1:0", "acme": {
                    "directory_url": "https://127.0.0.1:1/directory", "ca_bundle": arg(&pki.ca()),
                    "http_listen": "127.0.0.1:1", "storage_path": arg(&pki.path("acme-devices")),
                }, "first_enrollment": {"listen": "127.0.0.1:0"}},
                "admin": {"listen": "127.0.0.1:0"},
                "audit_log": arg(&pki.path("audit.log")),
            },
        });
        let file = pki.path("gateway.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut program =
            Program::start_in(&["run", "--config", &arg(&file)].map(str::to_owned), &[("RUST_LOG", "info")]);
        let (mut est, mut first, mut pages) = (None, None, None);
        let mut tunnels = 0;
        while tunnels < 2 || est.is_none() || first.is_none() || pages.is_none() {
            let line = program.wait_for("address=");
            let address = line.split_once("address=").unwrap().1.split(' ').next().unwrap().to_owned();
            if line.contains("tunnel=") {
                program.listens(&line);
                tunnels += 1;
            } else if line.contains("est: listening for first enrollments") {
                first = address.parse().ok();
            } else if line.contains("est: ") {
                est = address.parse().ok();
            } else {
                pages = address.parse().ok();
            }
        }
        let (server, client) = (program.tunnel("in"), program.tunnel("out"));
        Self { pki, server, client, est: est.unwrap(), first: first.unwrap(), pages: pages.unwrap(), program }
    }

    /// Returns one of the operator's pages, with its headers.
    pub fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.pages).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer
    }

    pub fn audit_log(&self) -> PathBuf {
        self.pki.path("audit.log")
    }

    /// Returns the number of refused connections.
    pub fn refusals(&self) -> u64 {
        let page = self.page("/metrics");
        let counts = page.lines().filter(|line| line.starts_with("edgetrust_connections_refused_total{tunnel=\"in\""));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}
