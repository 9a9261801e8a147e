//! Gateways with their pages at addresses that are known before they start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::addresses::free_address;
use super::peers::{OpensslClient, Program, echo};
use super::pki::{Pki, arg};

/// Returns what `/status` says.
pub fn status(pages: &str) -> Value {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "60", "--noproxy", "*", &format!("http://{pages}/status")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One gateway with a server tunnel for clients of its PKI, run from a file.
pub struct Gateway {
    pub pki: Pki,
    pub program: Program,
    pub pages: String,
    pub config: PathBuf,
}

impl Gateway {
    /// Runs a gateway whose tunnel `feed` leads to a target.
    pub fn run(target: SocketAddr) -> Self {
        let pki = Pki::new("Example Root");
        pki.issue("gateway", &["gateway.example"]);
        let pages = free_address();
        let config = pki.path("gateway.json");
        write(&config, &configuration(&pages, &target.to_string()));
        let program = start(&config, &pages);
        Self { pki, program, pages, config }
    }

    /// Runs a gateway in front of a service that echoes.
    pub fn echoing() -> Self {
        Self::run(echo())
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.pages)
    }

    pub fn status(&self) -> Value {
        status(&self.pages)
    }

    /// Opens a session of a client with this name.
    pub fn session(&self, name: &str) -> OpensslClient {
        let mut client = self.client(name);
        assert_eq!(client.ask("hello").as_deref(), Some("hello"), "{name}");
        client
    }

    /// Connects as a client with this name, who may be refused.
    pub fn client(&self, name: &str) -> OpensslClient {
        let (cert, key) = (self.pki.path(&format!("{name}.pem")), self.pki.path(&format!("{name}.key")));
        if !cert.exists() {
            self.pki.issue(name, &[]);
        }
        OpensslClient::start(self.program.address, &["-cert", &arg(&cert), "-key", &arg(&key)])
    }
}

/// Returns a configuration with one server tunnel that admits `location-b`.
pub fn configuration(pages: &str, target: &str) -> Value {
    json!({
        "security": {"tls": {"server": {"enabled": true, "cert_file": "gateway.pem", "key_file": "gateway.key",
            "mtls": {"enabled": true, "client_ca_files": ["ca.pem"], "allowed_client_cns": ["location-b"]}}}},
        "gateway": {
            "admin": {"listen": pages},
            "tunnels": [{"name": "feed", "mode": "server", "listen": "127.0.0.1:0", "target": target}],
        },
    })
}

pub fn write(file: &Path, config: &Value) {
    let next = file.with_extension("next");
    std::fs::write(&next, config.to_string()).unwrap();
    std::fs::rename(next, file).unwrap();
}

/// Runs a gateway with one tunnel, and waits for its pages.
pub fn start(config: &Path, pages: &str) -> Program {
    let program = Program::start(&["run", "--config", &arg(config), "--watch-interval", "50ms"].map(str::to_owned));
    wait_for_pages(&program, pages);
    program
}

/// Waits until the pages are served.
pub fn wait_for_pages(program: &Program, pages: &str) {
    program.wait_until("the pages are not served", |_| std::net::TcpStream::connect(pages).is_ok());
}
