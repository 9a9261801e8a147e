//! Tests `gateway.crl_files` with a CA and lists by openssl.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::peers::{OpensslClient, Program, echo, edgetrust, shell};

/// A root, an intermediate below it, and their databases; files of each are named `CA.*`.
struct Authority {
    folder: TempDir,
}

const CONFIG: &str = "\
[ca]
default_ca = this
[this]
database = $ENV::CA.txt
certificate = $ENV::CA.pem
private_key = $ENV::CA.key
crlnumber = $ENV::CA.number
new_certs_dir = .
serial = $ENV::CA.serial
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
crl_extensions = list
unique_subject = no
[any]
commonName = supplied
[list]
authorityKeyIdentifier = keyid:always
[req]
distinguished_name = name
[name]
[issuer]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:gateway.example
";

impl Authority {
    fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.path("ca.cnf"), CONFIG).unwrap();
        authority.shell(
            "for ca in root site; do : > $ca.txt; echo 01 > $ca.number; echo 1A2B > $ca.serial; done; export CA=root; \
             openssl req -x509 -config ca.cnf -extensions issuer -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
             -days 30 -subj '/CN=Mesh Root' -keyout root.key -out root.pem",
        );
        authority.issue("root", "site", "issuer");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn shell(&self, commands: &str) {
        let output = shell(self.folder.path(), &format!("set -e; {commands}"));
        assert!(output.status.success(), "{commands}: {output:?}");
    }

    /// Issues `NAME.pem`, with its CA after it unless that is the root.
    fn issue(&self, ca: &str, name: &str, extensions: &str) {
        let chain = if ca == "root" { String::new() } else { format!("cat {ca}.pem >> {name}.pem;") };
        self.shell(&format!(
            "export CA={ca}; openssl req -new -config ca.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
             -subj '/CN={name}' -keyout {name}.key -out {name}.csr; \
             openssl ca -batch -notext -config ca.cnf -extensions {extensions} -in {name}.csr -out {name}.pem; {chain}"
        ));
    }

    fn revoke(&self, ca: &str, name: &str) {
        self.shell(&format!("export CA={ca}; openssl ca -config ca.cnf -revoke {name}.pem -crl_reason keyCompromise"));
    }

    /// Publishes the list of a CA in DER, as a timer does: beside the file, then renamed.
    fn publish(&self, ca: &str, options: &str) {
        self.shell(&format!(
            "export CA={ca}; openssl ca -config ca.cnf -gencrl {options} | openssl crl -outform DER -out new.crl; \
             mv new.crl {ca}.crl"
        ));
    }

    /// Starts a gateway that trusts the root, with these lists.
    fn gateway(&self, lists: &[&str], more: &Value) -> Program {
        let file = self.configure(lists, more);
        let file = file.display().to_string();
        Program::start_tunnels(&["run", "--config", &file, "--watch-interval", "50ms"].map(str::to_owned), 1)
    }

    fn configure(&self, lists: &[&str], more: &Value) -> PathBuf {
        if !self.path("gateway.pem").exists() {
            self.issue("site", "gateway", "leaf");
        }
        let mut config = json!({
            "security": {"tls": {"server": {
                "enabled": true, "cert_file": "gateway.pem", "key_file": "gateway.key",
                "mtls": {"enabled": true, "client_ca_files": ["root.pem"]},
            }}},
            "gateway": {
                "crl_files": lists,
                "admin": {"listen": "127.0.0.1:0"},
                "tunnels": [{"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()}],
            },
        });
        for (key, value) in more.as_object().unwrap() {
            config["gateway"][key] = value.clone();
        }
        std::fs::write(self.path("gateway.json"), config.to_string()).unwrap();
        self.path("gateway.json")
    }

    fn client(&self, program: &Program, name: &str) -> OpensslClient {
        let file = |end: &str| self.path(&format!("{name}.{end}")).display().to_string();
        let (cert, key) = (file("pem"), file("key"));
        OpensslClient::start(program.address, &["-cert", &cert, "-cert_chain", &cert, "-key", &key])
    }

    fn is_let_in(&self, program: &Program, name: &str) -> bool {
        self.client(program, name).ask("hello").as_deref() == Some("hello")
    }

    fn check(&self, lists: &[&str]) -> String {
        self.check_with(lists, &json!({}))
    }

    fn check_with(&self, lists: &[&str], gateway: &Value) -> String {
        let file = self.configure(lists, gateway);
        let output = edgetrust(&["check", "--config", &file.display().to_string()]);
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_revoked_certificate_ends_its_sessions_and_no_others() {
    let site = Authority::new();
    for name in ["b", "c"] {
        site.issue("site", name, "leaf");
    }
    site.publish("site", "");
    let program = site.gateway(&["site.crl"], &json!({}));
    let (mut goes, mut stays) = (site.client(&program, "b"), site.client(&program, "c"));
    assert_eq!((goes.ask("hello").as_deref(), stays.ask("hello").as_deref()), (Some("hello"), Some("hello")));

    site.revoke("site", "b");
    site.publish("site", "");
    let line = program.wait_for("closed: the peer's certificate: revoked: serial number ");
    assert!(line.contains(", keyCompromise, at 20") && line.contains("peer=CN=b"), "{line}");
    assert_eq!(goes.ask("hello"), None);
    assert_eq!(stays.ask("still here").as_deref(), Some("still here"));
    assert!(!site.is_let_in(&program, "b"));
    program.wait_for("refused: the peer's certificate: revoked: serial number ");

    // What is no list is refused, and the last one stays in force.
    std::fs::write(site.path("site.crl"), "<html>404</html>").unwrap();
    let line = program.wait_for("reload refused");
    assert!(line.contains("gateway.crl_files: ") && line.contains("found no CRL, expected DER, or PEM"), "{line}");
    assert!(site.is_let_in(&program, "c") && !site.is_let_in(&program, "b"));
    assert_eq!(stays.ask("still here").as_deref(), Some("still here"));
}

#[test]
fn a_list_that_has_ended_refuses_its_cas_certificates_and_stops_no_gateway() {
    let site = Authority::new();
    site.issue("site", "b", "leaf");
    site.issue("root", "c", "leaf");
    // It ends while a session is open.
    site.publish("site", "-crlsec 6");
    let program = site.gateway(&["site.crl"], &json!({"limits": {"expired_grace": "1h"}}));
    let mut session = site.client(&program, "b");
    assert_eq!(session.ask("hello").as_deref(), Some("hello"));
    let mut other = site.client(&program, "c");
    assert_eq!(other.ask("hello").as_deref(), Some("hello"));
    program.wait_for("the CRL of CN=site ends at 20");
    // The session ends by its own timer. `expired_grace` is not for that.
    program.wait_for_all(&[
        "certificates of this CA are refused until there is a newer one",
        "closed: the peer's certificate: the CRL of its CA expired at 20",
    ]);
    assert_eq!(session.ask("hello"), None);
    assert!(!site.is_let_in(&program, "b"));
    assert_eq!(other.ask("of another CA").as_deref(), Some("of another CA"));
    drop(program);

    let program = site.gateway(&["site.crl"], &json!({}));
    assert!(!site.is_let_in(&program, "b") && site.is_let_in(&program, "c"));
    site.publish("site", "");
    program.wait_for("reloaded cause=changed: ");
    assert!(site.is_let_in(&program, "b"));
}

#[test]
fn a_revoked_intermediate_and_a_ca_without_a_list() {
    let site = Authority::new();
    site.issue("site", "b", "leaf");
    site.issue("root", "c", "leaf");
    for ca in ["root", "site"] {
        site.publish(ca, "");
    }
    let verdicts = |lists: &[&str], required: &str| {
        let program = site.gateway(lists, &json!({"crls_required": required}));
        ["b", "c"].map(|name| site.is_let_in(&program, name))
    };
    let without = site.check_with(&[], &json!({"crls_required": "leaf"}));
    assert!(without.contains("gateway.crl_files: found none, expected one at least"), "{without}");
    assert_eq!(verdicts(&["site.crl"], "none"), [true, true]);
    assert_eq!(verdicts(&["site.crl"], "leaf"), [true, false]);
    assert_eq!(verdicts(&["site.crl"], "chain"), [false, false]);
    assert_eq!(verdicts(&["site.crl", "root.crl"], "chain"), [true, true]);
    site.revoke("root", "site");
    site.publish("root", "");
    assert_eq!(verdicts(&["root.crl"], "none"), [false, true]);
}

#[test]
fn check_reports_on_lists_and_metrics_say_when_they_end() {
    let site = Authority::new();
    site.issue("site", "b", "leaf");
    site.revoke("site", "b");
    for ca in ["root", "site"] {
        site.publish(ca, "");
    }
    let said = site.check(&["root.crl"]);
    assert!(said.contains("/root.crl: the CRL of CN=Mesh Root, 0 revoked, until 20"), "{said}");
    assert!(said.contains("crls_required is none"), "{said}");
    let said = site.check(&["site.crl"]);
    assert!(said.contains("site.crl: the CRL of CN=site, 1 revoked, until 20"), "{said}");
    assert!(said.contains("is signed by no CA of this configuration"), "{said}");
    site.publish("root", "-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z");
    let said = site.check(&["root.crl"]);
    assert!(said.contains("/root.crl: the CRL of CN=Mesh Root, 0 revoked: ended at 2020-02-01T"), "{said}");
    site.shell("export CA=site; openssl ca -config ca.cnf -gencrl -out site.crl");
    std::fs::write(site.path("broken.crl"), [0x30, 0x82, 0, 0]).unwrap();
    let said = site.check(&["site.crl", "broken.crl"]);
    assert!(said.contains("/broken.crl: the CRL: at byte 0: "), "{said}");

    site.publish("site", "-crl_lastupdate 20200101000000Z -crl_nextupdate $(date -u -d '+1 day' +%Y%m%d%H%M%SZ)");
    let program = site.gateway(&["root.crl", "site.crl"], &json!({}));
    let pages = program.wait_for("pages address=");
    let address = pages.split_once("address=").unwrap().1.split(' ').next().unwrap();
    let output = shell(site.folder.path(), &format!("curl -s --noproxy '*' http://{address}/metrics"));
    let metrics = String::from_utf8(output.stdout).unwrap();
    let line = format!(
        "edgetrust_crl_expiration_timestamp_seconds{{file=\"{}\",issuer=\"CN=Mesh Root\"}} 1580515200\n",
        site.path("root.crl").display()
    );
    assert!(metrics.contains(&line), "{metrics}");
    // One has ended, and the other one is in the last sixth of its life.
    let output = shell(site.folder.path(), &format!("curl -s --noproxy '*' http://{address}/status"));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let alarms = status["alarms"].as_array().unwrap().iter();
    let alarms: Vec<_> = alarms
        .filter(|alarm| alarm["name"].as_str().unwrap().starts_with("Crl"))
        .map(|alarm| (alarm["name"].as_str().unwrap(), alarm["subject"].as_str().unwrap()))
        .collect();
    let [root, list] = ["root.crl", "site.crl"].map(|name| site.path(name).display().to_string());
    assert_eq!(alarms, [("CrlEnded", root.as_str()), ("CrlEnds", list.as_str())]);
}
