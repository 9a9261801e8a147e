//! Runs step-ca with ACME, and a DNS server that resolves every name to the gateway's loopback address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::json;
use tempfile::TempDir;

use super::process::Process;
use super::{free_port, repository};
use crate::pki::Pki;

/// A running CA below a mesh's root, and its name server.
pub struct StepCa {
    folder: TempDir,
    process: Option<Process>,
    _names: Process,
    names: SocketAddr,
    address: SocketAddr,
    http: SocketAddr,
}

impl StepCa {
    /// Returns whether the programs are installed; `tests/run` builds them.
    pub fn is_there() -> bool {
        ["step-ca", "pebble-challtestsrv"].iter().all(|name| tools().join(name).exists())
    }

    /// Starts a CA below the mesh's root whose certificates have this lifetime (`24h`).
    ///
    /// # Errors
    /// Fails if the CA cannot be started; `Unsupported` if it is not installed.
    pub fn start(pki: &Pki, lifetime: &str) -> io::Result<Self> {
        let (folder, own, validation) = (tempfile::tempdir()?, own_address(), own_address());
        let (names, management) = (free_port(own)?, free_port(own)?);
        let mut command = tool("pebble-challtestsrv");
        command.args(["-dnsserver", &names.to_string(), "-management", &management.to_string()]);
        command.args(["-defaultIPv4", &validation.to_string(), "-defaultIPv6", ""]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]);
        let mut name_server = Process::start(command)?;
        name_server.wait_at(management)?;

        let (address, http) = (free_port(own_address())?, free_port(validation)?);
        let issuing = pki.root.below("Mesh CA S", |_| {});
        let file = |name: &str| folder.path().join(name);
        let files = [("root.crt", pki.root.pem()), ("int.crt", issuing.pem()), ("int.key", issuing.key_pem())];
        for (name, text) in files {
            std::fs::write(file(name), text)?;
        }
        std::fs::write(file("password"), "unused")?;
        let claims =
            json!({"minTLSCertDuration": "1s", "maxTLSCertDuration": lifetime, "defaultTLSCertDuration": lifetime});
        let provisioner = json!({"type": "ACME", "name": "mesh", "forceCN": true, "claims": claims});
        let config = json!({
            "root": file("root.crt"), "crt": file("int.crt"), "key": file("int.key"),
            "address": address.to_string(), "dnsNames": [address.ip().to_string(), "localhost"],
            "db": {"type": "bbolt", "dataSource": file("step.db")},
            "authority": {"backdate": "0s", "provisioners": [provisioner]},
        });
        std::fs::write(file("ca.json"), config.to_string())?;
        let mut ca = Self { folder, process: None, _names: name_server, names, address, http };
        ca.restart()?;
        Ok(ca)
    }

    /// Starts the CA, or restarts it if it runs.
    ///
    /// # Errors
    /// Fails if the CA cannot be started.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop();
        let mut command = tool("step-ca");
        command.args(["--insecure", "--acme-http-port", &self.http.port().to_string()]);
        command.args(["--resolver", &self.names.to_string()]);
        command.arg("--password-file").arg(self.folder.path().join("password"));
        command.arg(self.folder.path().join("ca.json"));
        let mut process = Process::start(command)?;
        process.wait_at(self.address)?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the CA: its address no longer answers.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Returns the `acme` object of a gateway's `est` section: accounts and orders are kept in a folder of the
    /// gateway.
    pub fn acme(&self, storage: &Path) -> serde_json::Value {
        json!({
            "directory_url": format!("https://{}/acme/mesh/directory", self.address),
            "ca_bundle": self.folder.path().join("root.crt"),
            "http_listen": self.http.to_string(),
            "storage_path": storage,
        })
    }

    /// Returns the path of the issuing certificate: devices do not send it, so gateways have to know it.
    pub fn intermediate(&self) -> PathBuf {
        self.folder.path().join("int.crt")
    }

    /// Returns the CA's log.
    pub fn said(&self) -> String {
        self.process.as_ref().map(Process::said).unwrap_or_default()
    }
}

fn tools() -> PathBuf {
    let given = std::env::var_os("EDGETRUST_TEST_TOOLS");
    given.map_or_else(|| repository().join("target/tools/go/bin"), PathBuf::from)
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(tools().join(name));
    // step-ca would validate through a configured proxy.
    command.env_remove("HTTP_PROXY").env_remove("http_proxy");
    command
}

/// Returns a loopback address that is unique within this run: validation of every name goes to the same port.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, NEXT.fetch_add(1, Ordering::Relaxed))
}
