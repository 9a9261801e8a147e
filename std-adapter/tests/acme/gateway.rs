//! A gateway with an `acme` section, in a folder of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::StepCa;
use super::peers::{Program, echo, served_certificate};

pub struct Site {
    pub folder: TempDir,
    pub listen: SocketAddr,
    pub acme: Value,
    /// The keys of `security.tls.server` beside `acme`.
    pub server: Value,
    /// The value of `security.tls.client`; its tunnels are in `tunnels`.
    pub client: Value,
    pub tunnels: Vec<Value>,
    /// More keys of `gateway`.
    pub gateway: Value,
    /// More variables of the environment.
    pub environment: Vec<(String, String)>,
}

impl Site {
    /// Returns a site that proves these names over http-01.
    pub fn new(ca: &StepCa, domains: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let acme = json!({
            "enabled": true, "directory_url": ca.directory(), "domains": domains, "challenge_type": "http-01",
            "storage_path": folder.path().join("acme"), "ca_bundle": ca.root_file(), "http_listen": ca.http.to_string(),
        });
        let (server, client, gateway) = (json!({}), json!({}), json!({}));
        Self { folder, listen: ca.tls, acme, server, client, tunnels: Vec::new(), gateway, environment: Vec::new() }
    }

    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("acme")
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.json")
    }

    /// Writes a new manual certificate of the root, `manual.pem` and `manual.key`, and returns it as PEM.
    pub fn write_fallback(&mut self, ca: &StepCa) -> String {
        let (cert, key) = ca.root.server(&["gateway.mesh.test"]);
        let [cert_file, key_file] = ["manual.pem", "manual.key"].map(|name| self.folder.path().join(name));
        std::fs::write(&cert_file, &cert).unwrap();
        std::fs::write(&key_file, key).unwrap();
        self.server = json!({"cert_file": cert_file, "key_file": key_file});
        cert
    }

    pub fn write(&self) {
        let mut server = json!({"enabled": true, "mode": "acme", "acme": self.acme});
        for (key, value) in self.server.as_object().unwrap() {
            server[key] = value.clone();
        }
        let mut tunnels = vec![
            json!({"name": "in", "mode": "server", "listen": self.listen.to_string(), "target": echo().to_string()}),
        ];
        tunnels.extend(self.tunnels.iter().cloned());
        let mut config = json!({
            "security": {"tls": {"server": server, "client": self.client}},
            "gateway": {"admin": {"listen": "127.0.0.1:0"}, "tunnels": tunnels},
        });
        for (key, value) in self.gateway.as_object().unwrap() {
            config["gateway"][key] = value.clone();
        }
        std::fs::write(self.file(), serde_json::to_string_pretty(&config).unwrap()).unwrap();
    }

    pub fn run(&self) -> Running {
        self.run_with(&[])
    }

    /// Runs the gateway with more arguments.
    pub fn run_with(&self, more: &[&str]) -> Running {
        self.run_by(Command::new(env!("CARGO_BIN_EXE_edgetrust")), more)
    }

    /// Runs the gateway by a command that ends in the program.
    pub fn run_by(&self, command: Command, more: &[&str]) -> Running {
        self.write();
        let file = self.file().display().to_string();
        let arguments = [&["run", "--config", &file, "--watch-interval", "50ms"], more].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut program = Program::spawn(command, &arguments, &environment);
        (0..=self.tunnels.len()).for_each(|_| program.wait_for_tunnel());
        let pages = program.wait_for("pages address=");
        let pages = pages.split_once("address=").unwrap().1.trim().parse().unwrap();
        Running { program, pages }
    }
}

pub struct Running {
    pub program: Program,
    pages: SocketAddr,
}

impl Running {
    pub fn page(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.pages);
        let shown = Command::new("curl").args(["-s", "--noproxy", "*", &url]).output().unwrap();
        String::from_utf8(shown.stdout).unwrap()
    }

    /// Returns the only credential's entry of `/status`.
    pub fn credential(&self) -> Value {
        let status: Value = serde_json::from_str(&self.page("/status")).unwrap();
        status["credentials"][0].clone()
    }

    /// Returns the sum of a metric over all its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.page("/metrics");
        let lines = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Waits until the gateway shows the issued certificate.
    pub fn wait_for_certificate(&self) {
        self.program.wait_until("an issued certificate", |_| {
            let credential = self.credential();
            credential["phase"] == "waiting" && credential["serving"] == "issued"
        });
    }

    pub fn served(&self) -> String {
        served_certificate(self.program.tunnel("in"), &[])
    }
}
