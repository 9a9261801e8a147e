//! Tests a site's folder as `edgetrust federation init` makes it: step-ca starts in it, and issues to the site's gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::{Names, Process, Root, free_port, own_ip, tool};
use super::peers::{Program, edgetrust, shell};

/// A mesh, and the CA of its site a. The gateway reaches the CA through two tunnels, since no name server of this
/// machine knows `ca.a.example`.
struct SiteA {
    folder: TempDir,
    ca: SocketAddr,
    http: SocketAddr,
    /// The port at which the CA is `localhost`.
    directory: SocketAddr,
    proxy_root: PathBuf,
    _ca: Process,
    _names: Names,
    _tunnels: [Program; 2],
}

fn arg(path: &Path) -> String {
    path.display().to_string()
}

/// Changes a JSON file.
fn change(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(file, json.to_string()).unwrap();
}

impl SiteA {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        shell(
            folder.path(),
            "edgetrust federation init mesh --name 'Example Mesh' --site a=a.example --site b=b.example",
        );
        let (names, ca) = (Names::new(), free_port(own_ip()));
        let http = free_port(names.ip);
        let site = folder.path().join("mesh/sites/a");
        change(&site.join("ca.json"), |json| json["address"] = json!(ca.to_string()));
        let mut command = tool("step-ca");
        command.current_dir(&site).args(["--insecure", "--acme-http-port", &http.port().to_string()]);
        command.args(["--resolver", &names.server.to_string(), "--password-file", "../../passwords/site-a", "ca.json"]);
        let process = Process::at(command, ca);
        let between = Program::start(
            &["connect", "--listen", "127.0.0.1:0", "--target", &ca.to_string(), "--server-name", "ca.a.example"]
                .into_iter()
                .chain(["--no-system-roots", "--cacert", &arg(&site.join("root.pem"))])
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
        let root = Root::new();
        let (cert, key) = root.server(&["localhost"]);
        let [proxy_root, cert_file, key_file] =
            ["proxy.root", "proxy.pem", "proxy.key"].map(|name| folder.path().join(name));
        for (file, text) in [(&proxy_root, &root.pem), (&cert_file, &cert), (&key_file, &key)] {
            std::fs::write(file, text).unwrap();
        }
        shell(folder.path(), "chmod 600 proxy.key");
        let outside = Program::start(
            &["serve", "--listen", "127.0.0.1:0", "--target", &between.address.to_string()]
                .into_iter()
                .chain(["--cert", &arg(&cert_file), "--key", &arg(&key_file)])
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
        let directory = outside.address;
        Self { folder, ca, http, directory, proxy_root, _ca: process, _names: names, _tunnels: [between, outside] }
    }

    fn site(&self) -> PathBuf {
        self.folder.path().join("mesh/sites/a")
    }

    /// Writes the site's gateway.json for this machine, with tunnels that say themselves what a mesh says for them.
    fn gateway(&self, domain: &str) -> PathBuf {
        let (site, file) = (self.site(), self.folder.path().join("gateway.json"));
        std::fs::copy(site.join("gateway.json"), &file).unwrap();
        change(&file, |json| {
            let root = arg(&site.join("root.pem"));
            for side in ["server", "client/mtls"] {
                let acme = json.pointer_mut(&format!("/security/tls/{side}/acme")).unwrap();
                acme["directory_url"] =
                    json!(format!("https://localhost:{}/acme/acme/directory", self.directory.port()));
                acme["domains"] = json!([domain]);
                acme["http_listen"] = json!(self.http.to_string());
                acme["storage_path"] = json!(format!("state-{}", side.replace('/', "-")));
                acme["ca_bundle"] = json!(arg(&self.proxy_root));
                acme["issuer_bundle"] = json!(root);
            }
            json["security"]["tls"]["server"]["mtls"]["client_ca_files"] = json!([root]);
            json["security"]["tls"]["client"]["ca_files"] = json!([root]);
            json["gateway"] = json!({"tunnels": [
                {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:8081"},
                {"name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": "gateway.b.example:8443"},
            ]});
        });
        file
    }

    fn obtain(&self, domain: &str) -> Output {
        edgetrust(&["acme", "obtain", "--config", &arg(&self.gateway(domain))])
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_sites_ca_issues_to_its_gateway() {
    let site = SiteA::start();
    let output = site.obtain("gateway.a.example");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let folder = site.folder.path();
    for side in ["server", "client-mtls"] {
        let live = format!("state-{side}/live");
        let commands = format!(
            "openssl verify -CAfile mesh/root/root.pem -untrusted mesh/sites/a/ca.pem {live}/cert.pem
             openssl x509 -in {live}/cert.pem -noout -subject -ext subjectAltName"
        );
        let said = String::from_utf8(shell(folder, &commands).stdout).unwrap();
        assert!(said.contains("CN = gateway.a.example") && said.contains("DNS:gateway.a.example"), "{said}");
        let root = arg(&folder.join("mesh/root/root.pem"));
        let leaf = arg(&folder.join(&live).join("cert.pem"));
        for purpose in ["server", "client"] {
            let output = edgetrust(&["verify", "--ca", &root, "--leaf", &leaf, "--purpose", purpose]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
    }
    // Whoever has the key of a certificate cannot renew it without an order.
    let renewed = Command::new("curl")
        .current_dir(folder.join("state-server/live"))
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-X", "POST"])
        .args(["--cacert", "../../mesh/root/root.pem", "--cert", "cert.pem", "--key", "key.pem"])
        .args(["--resolve", &format!("ca.a.example:{}:{}", site.ca.port(), site.ca.ip())])
        .arg(format!("https://ca.a.example:{}/renew", site.ca.port()))
        .output()
        .unwrap();
    assert_eq!(renewed.stdout, b"401", "{renewed:?}");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_sites_ca_has_no_names_of_other_sites() {
    let site = SiteA::start();
    for name in ["gateway.b.example", "xa.example"] {
        let output = site.obtain(name);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("rejectedIdentifier"), "{name}: {said}");
    }
}
