//! The mesh of three sites, made and changed by `edgetrust federation`, and the certificates of their gateways.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use super::gateway::program;
use super::{LINKS, SITES, target};

/// The most connections of a gateway at a time.
pub const MOST_CONNECTIONS: usize = 48;

/// The files of all sites.
#[derive(Clone)]
pub struct Sites {
    folder: PathBuf,
    /// The port of the service, at all addresses.
    port: u16,
    /// The ports of the client tunnels and of the operator's pages.
    pub tunnels: Vec<SocketAddr>,
    pub pages: Vec<SocketAddr>,
}

fn free() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(|error| error.to_string())
}

fn said(command: &str, output: &Output) -> Result<String, String> {
    let [said, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    if output.status.success() { Ok(said) } else { Err(format!("{command}: {said}{error}")) }
}

/// Writes a file as a whole.
fn replace(file: &Path, text: &[u8]) -> Result<(), String> {
    let new = file.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, file)).map_err(|error| format!("{}: {error}", file.display()))
}

impl Sites {
    /// Makes the mesh, and the folder of each gateway.
    ///
    /// # Errors
    /// Fails if a command does.
    pub fn make(folder: &Path, services: &[SocketAddr]) -> Result<Self, String> {
        // A port that is free at all loopback addresses.
        let port = TcpListener::bind("0.0.0.0:0").and_then(|listener| listener.local_addr());
        let port = port.map_err(|error| error.to_string())?.port();
        let tunnels = (0..LINKS).map(|_| free()).collect::<Result<_, _>>()?;
        let pages = (0..LINKS).map(|_| free()).collect::<Result<_, _>>()?;
        let sites = Self { folder: folder.to_owned(), port, tunnels, pages };
        let mut words = vec!["init".to_owned(), "m".to_owned(), "--name".to_owned(), "Soak".to_owned()];
        words.extend(["--service".to_owned(), format!("feed={port}")]);
        for (number, site) in SITES.iter().enumerate() {
            let address = sites.line(number).ip();
            words.extend(["--site".to_owned(), format!("{site}={site}.example")]);
            words.extend(["--address".to_owned(), format!("{site}={address}")]);
            words.extend(["--link".to_owned(), format!("{site}:{}:feed", SITES[target(number)])]);
        }
        sites.federation(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        for (number, site) in SITES.iter().enumerate() {
            let there = sites.of(number);
            fs::create_dir(&there).map_err(|error| format!("{}: {error}", there.display()))?;
            sites.shell(&format!(
                "cp m/root/root.pem {site}/root.pem
                openssl pkey -in m/sites/{site}/ca.key -passin file:m/passwords/site-{site} -out {site}/ca.key
                openssl ecparam -name prime256v1 -genkey -noout -out {site}/gateway.key"
            ))?;
            sites.renew(number, true)?;
            sites.deliver(number)?;
            replace(&there.join("gateway.json"), sites.configuration(number, services[number]).as_bytes())?;
        }
        Ok(sites)
    }

    /// Returns the folder of a site's gateway.
    pub fn of(&self, site: usize) -> PathBuf {
        self.folder.join(SITES[site])
    }

    /// Returns the address that the mesh has for a site: a proxy is there.
    pub fn line(&self, site: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + site as u8), self.port))
    }

    /// Returns the address where the gateway itself listens.
    pub fn gateway(&self, site: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 0, 0, 12 + site as u8), self.port))
    }

    fn configuration(&self, site: usize, service: SocketAddr) -> String {
        let to = SITES[target(site)];
        let credential = json!({"cert_file": "gateway.pem", "key_file": "gateway.key"});
        let mut server = json!({"enabled": true, "min_version": "1.3", "mtls": {"enabled": true}});
        let mut client = json!({"enabled": true});
        for (name, value) in credential.as_object().into_iter().flatten() {
            (server[name], client[name]) = (value.clone(), value.clone());
        }
        let config = json!({
            "security": {"tls": {
                "server": server, "client": {"min_version": "1.3", "use_system_roots": false, "mtls": client},
            }},
            "gateway": {
                "mesh": {"file": "mesh.signed.json", "site": SITES[site], "storage_path": "kept", "ca_bundle": "root.pem"},
                "admin": {"listen": self.pages[site].to_string()},
                "limits": {"connections": MOST_CONNECTIONS},
                "tunnels": [
                    {"name": "feed-in", "mode": "server", "service": "feed", "listen": self.gateway(site).to_string(),
                        "target": service.to_string()},
                    {"name": format!("feed-to-{to}"), "mode": "client", "service": "feed", "to": to,
                        "listen": self.tunnels[site].to_string()},
                ],
            },
        });
        config.to_string()
    }

    /// Runs a command of `edgetrust federation`.
    ///
    /// # Errors
    /// Returns what it says where it fails.
    pub fn federation(&self, words: &[&str]) -> Result<String, String> {
        let mut command = program();
        let output = command.arg("federation").args(words).current_dir(&self.folder).output();
        said(&words.join(" "), &output.map_err(|error| error.to_string())?)
    }

    fn shell(&self, script: &str) -> Result<String, String> {
        let output = Command::new("sh").args(["-ec", script]).current_dir(&self.folder).output();
        said(script, &output.map_err(|error| format!("sh: {error}"))?)
    }

    /// Brings the signed mesh to one site.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn deliver(&self, site: usize) -> Result<(), String> {
        let signed = self.folder.join("m/mesh.signed.json");
        let text = fs::read(&signed).map_err(|error| format!("{}: {error}", signed.display()))?;
        replace(&self.of(site).join("mesh.signed.json"), &text)
    }

    /// Issues another certificate for a site's gateway, for a new key or for the same.
    ///
    /// # Errors
    /// Fails if openssl does.
    pub fn renew(&self, site: usize, new_key: bool) -> Result<(), String> {
        let (name, ca) = (SITES[site], format!("../m/sites/{}/ca.pem", SITES[site]));
        let host = format!("gateway.{name}.example");
        let key = match new_key {
            true => "openssl ecparam -name prime256v1 -genkey -noout -out next.key",
            false => "cp gateway.key next.key",
        };
        self.shell(&format!(
            "cd {name} && {key} && chmod 600 next.key ca.key
            openssl req -new -key next.key -subj /CN={host} -out csr && echo subjectAltName=DNS:{host} > ext
            openssl x509 -req -in csr -CA {ca} -CAkey ca.key -CAcreateserial -CAserial serial -days 1 -extfile ext -out leaf
            cat leaf {ca} > next.pem && mv next.key gateway.key && mv next.pem gateway.pem"
        ))
        .map(drop)
    }

    /// Shows the certificate of a site's gateway at another one, and says something there. Returns whether it is echoed.
    pub fn knocks(&self, site: usize, at: usize, words: &str) -> bool {
        let script = format!(
            "(echo {words}; sleep 1) | timeout 5 openssl s_client -quiet -connect {} -cert {site}/gateway.pem -key \
             {site}/gateway.key -cert_chain {site}/gateway.pem 2>/dev/null || true",
            self.line(at),
            site = SITES[site]
        );
        self.shell(&script).is_ok_and(|answer| answer.contains(words))
    }

    /// Makes a certificate that no CA of the mesh has issued.
    ///
    /// # Errors
    /// Fails if openssl does.
    pub fn make_stranger(&self) -> Result<(), String> {
        self.shell(
            "mkdir x && cd x && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
             -keyout gateway.key -out gateway.pem -subj /CN=gateway.a.example -addext subjectAltName=DNS:gateway.a.example",
        )
        .map(drop)
    }

    /// Knocks with that certificate.
    pub fn stranger_knocks(&self, at: usize, words: &str) -> bool {
        let script = format!(
            "(echo {words}; sleep 1) | timeout 5 openssl s_client -quiet -connect {} -cert x/gateway.pem -key \
             x/gateway.key 2>/dev/null || true",
            self.line(at)
        );
        self.shell(&script).is_ok_and(|answer| answer.contains(words))
    }
}
