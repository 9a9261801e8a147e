//! Runs CAs as processes, each on its own loopback address.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::peers::PATIENCE;

/// Returns the command of a test server; `tests/run` sets the folder.
pub fn tool(name: &str) -> Command {
    let folder = std::env::var_os("EDGETRUST_TEST_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/go/bin"), PathBuf::from);
    let file = folder.join(name);
    assert!(file.exists(), "{} is missing: tests/run builds it", file.display());
    let mut command = Command::new(file);
    // step-ca validates through a proxy if it is told to.
    command.env_remove("HTTP_PROXY").env_remove("http_proxy");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Returns a loopback address that no other test of this run uses.
pub fn own_ip() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn free_port(ip: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

pub struct Process(Child);

impl Process {
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Starts a server and waits until it accepts connections.
    pub fn at(mut command: Command, address: SocketAddr) -> Self {
        let mut process = Self(command.spawn().unwrap());
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = process.0.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{command:?} does not answer at {address}: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A name server that resolves every name to one address.
pub struct Names {
    _process: Process,
    pub server: SocketAddr,
    /// The address at which TXT records are created.
    pub management: SocketAddr,
    /// The address of every name.
    pub ip: Ipv4Addr,
}

impl Names {
    pub fn new() -> Self {
        let (own, ip) = (own_ip(), own_ip());
        let (server, management) = (free_port(own), free_port(own));
        let mut command = tool("pebble-challtestsrv");
        command.args(["-dnsserver", &server.to_string(), "-management", &management.to_string()]);
        command.args(["-defaultIPv4", &ip.to_string(), "-defaultIPv6", ""]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]);
        let process = Process::at(command, management);
        Self { _process: process, server, management, ip }
    }

    /// Has a name resolve to an address of its own.
    pub fn set(&self, name: &str, ip: Ipv4Addr) {
        let body = json!({"host": format!("{name}."), "addresses": [ip]}).to_string();
        let url = format!("http://{}/add-a", self.management);
        let added = Command::new("curl").args(["-sf", "--noproxy", "*", "-d", &body, &url]).status().unwrap();
        assert!(added.success());
    }
}

/// A root CA that issues the test certificates.
pub struct Root {
    params: CertificateParams,
    key: KeyPair,
    pub pem: String,
}

impl Root {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = ca_params("Mesh Root", BasicConstraints::Constrained(1));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// Issues an intermediate; returns certificate and key as PEM.
    fn intermediate(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = ca_params(name, BasicConstraints::Constrained(0));
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Issues a device's first certificate, as a factory does; returns certificate and key as PEM.
    pub fn device(&self, cn: &str, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Issues a server's certificate; returns certificate and key as PEM.
    pub fn server(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn ca_params(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A step-ca with the ACME provisioner `mesh` (24 h) and those that a test adds.
pub struct StepCa {
    pub folder: TempDir,
    process: Option<Process>,
    pub address: SocketAddr,
    pub names: Names,
    /// The validation port for http-01 at the address [`Names::ip`]; `tls` is the one for tls-alpn-01.
    pub http: SocketAddr,
    pub tls: SocketAddr,
    pub root: Root,
}

impl StepCa {
    pub fn start() -> Self {
        Self::with_lifetime("24h")
    }

    pub fn with_lifetime(lifetime: &str) -> Self {
        let ca = Self::stopped(lifetime);
        let mut ca = ca;
        ca.restart();
        ca
    }

    /// Writes the files of a step-ca without starting it.
    pub fn stopped(lifetime: &str) -> Self {
        let (folder, root, names) = (tempfile::tempdir().unwrap(), Root::new(), Names::new());
        let address = free_port(own_ip());
        let (http, tls) = (free_port(names.ip), free_port(names.ip));
        let (intermediate, key) = root.intermediate("Mesh CA A");
        for (name, text) in [("root.crt", &root.pem), ("int.crt", &intermediate), ("int.key", &key)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::write(folder.path().join("password"), "unused").unwrap();
        let claims =
            json!({"minTLSCertDuration": "1s", "maxTLSCertDuration": lifetime, "defaultTLSCertDuration": lifetime});
        let ca = Self { folder, process: None, address, names, http, tls, root };
        ca.configure(&json!([{"type": "ACME", "name": "mesh", "forceCN": true, "claims": claims}]));
        ca
    }

    fn configure(&self, provisioners: &Value) {
        let file = |name: &str| self.folder.path().join(name);
        let config = json!({
            "root": file("root.crt"), "crt": file("int.crt"), "key": file("int.key"),
            "address": self.address.to_string(), "dnsNames": [self.address.ip().to_string(), "localhost"],
            "db": {"type": "bbolt", "dataSource": file("step.db")},
            "authority": {"backdate": "0s", "provisioners": provisioners},
        });
        std::fs::write(file("ca.json"), config.to_string()).unwrap();
    }

    /// Dates certificates back by this duration.
    pub fn backdate(&self, backdate: &str) {
        let file = self.folder.path().join("ca.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        config["authority"]["backdate"] = json!(backdate);
        std::fs::write(file, config.to_string()).unwrap();
    }

    pub fn restart(&mut self) {
        self.kill();
        let mut command = tool("step-ca");
        command.args(["--insecure", "--acme-http-port", &self.http.port().to_string()]);
        command.args(["--acme-tls-port", &self.tls.port().to_string(), "--resolver", &self.names.server.to_string()]);
        command.arg("--password-file").arg(self.folder.path().join("password")).arg(self.folder.path().join("ca.json"));
        self.process = Some(Process::at(command, self.address));
    }

    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends a signal to the running step-ca.
    pub fn signal(&self, signal: &str) {
        let process = self.process.as_ref().unwrap().0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &process]).status().unwrap().success());
    }

    /// Deletes the database with all accounts and orders.
    pub fn wipe(&mut self) {
        self.kill();
        std::fs::remove_file(self.folder.path().join("step.db")).unwrap();
        self.restart();
    }

    pub fn directory(&self) -> String {
        format!("https://{}/acme/mesh/directory", self.address)
    }

    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.crt")
    }
}
