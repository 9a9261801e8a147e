//! Tests with pebble: rejected nonces, slow validations, Retry-After, profiles, renewal information, external
//! accounts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::{Names, Process, Root, free_port, own_ip, tool};
use super::gateway::Site;
use super::peers::edgetrust;

pub struct Pebble {
    folder: TempDir,
    _process: Process,
    pub address: SocketAddr,
    management: SocketAddr,
    _names: Names,
    pub http: SocketAddr,
    tls: SocketAddr,
}

fn curl(arguments: &[&str]) -> String {
    let shown = Command::new("curl").args(["-sfk", "--noproxy", "*"]).args(arguments).output().unwrap();
    assert!(shown.status.success(), "{arguments:?}: {shown:?}");
    String::from_utf8(shown.stdout).unwrap()
}

impl Pebble {
    pub fn start(settings: &Value, environment: &[(&str, &str)]) -> Self {
        let (folder, root, names) = (tempfile::tempdir().unwrap(), Root::new(), Names::new());
        let own = own_ip();
        let (address, management) = (free_port(own), free_port(own));
        let (http, tls) = (free_port(names.ip), free_port(names.ip));
        let (cert, key) = root.server(&[&own.to_string()]);
        let file = |name: &str| folder.path().join(name);
        for (name, text) in [("root.crt", &root.pem), ("cert.pem", &cert), ("key.pem", &key)] {
            std::fs::write(file(name), text).unwrap();
        }
        let mut pebble = json!({
            "listenAddress": address.to_string(), "managementListenAddress": management.to_string(),
            "certificate": file("cert.pem"), "privateKey": file("key.pem"),
            "httpPort": http.port(), "tlsPort": tls.port(), "ocspResponderURL": "",
            "profiles": {"default": {"description": "a day", "validityPeriod": 86400, "promoteCommonName": true}},
        });
        for (key, value) in settings.as_object().unwrap() {
            pebble[key] = value.clone();
        }
        std::fs::write(file("pebble.json"), json!({ "pebble": pebble }).to_string()).unwrap();
        let mut command = tool("pebble");
        command.arg("-config").arg(file("pebble.json")).args(["-dnsserver", &names.server.to_string()]);
        command.env("PEBBLE_WFE_NONCEREJECT", "0").env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.envs(environment.iter().copied());
        let process = Process::at(command, address);
        let roots = curl(&[&format!("https://{management}/roots/0")]);
        std::fs::write(file("issuer.crt"), roots).unwrap();
        Self { folder, _process: process, address, management, _names: names, http, tls }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn site(&self) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let acme = json!({
            "enabled": true, "directory_url": format!("https://{}/dir", self.address), "email": "ops@mesh.test",
            "domains": ["gateway.mesh.test"], "challenge_type": "http-01", "storage_path": folder.path().join("acme"),
            "ca_bundle": self.file("root.crt"), "issuer_bundle": self.file("issuer.crt"),
            "http_listen": self.http.to_string(),
        });
        Site {
            folder,
            listen: self.tls,
            acme,
            server: json!({}),
            client: json!({}),
            tunnels: Vec::new(),
            gateway: json!({}),
            environment: Vec::new(),
        }
    }
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn half_of_all_nonces_are_rejected() {
    let pebble = Pebble::start(&json!({}), &[("PEBBLE_WFE_NONCEREJECT", "50")]);
    for _ in 0..5 {
        let site = pebble.site();
        let gateway = site.run();
        gateway.wait_for_certificate();
        assert_eq!(gateway.credential()["failed"], 0);
    }
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn a_certificate_is_ordered_through_a_proxy_and_not_past_it() {
    if !Command::new("tinyproxy").arg("-v").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: tinyproxy is missing (apt-get install tinyproxy-bin)");
        return;
    }
    let pebble = Pebble::start(&json!({}), &[]);
    let mut site = pebble.site();
    let address = free_port(own_ip());
    site.acme["proxy"] = json!(format!("http://{address}"));
    let gateway = site.run();
    let line = gateway.program.wait_for("no certificate: ");
    assert!(line.contains(&format!("proxy http://{address}: Connection refused")), "{line}");
    drop(gateway);
    let file = pebble.file("tinyproxy.conf");
    std::fs::write(&file, format!("Listen {}\nPort {}\nTimeout 600\nMaxClients 20\n", address.ip(), address.port()))
        .unwrap();
    let mut command = Command::new("tinyproxy");
    command.arg("-d").arg("-c").arg(&file);
    let _proxy = Process::at(command, address);
    let gateway = site.run();
    gateway.wait_for_certificate();
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn slow_validations_and_wishes_for_later() {
    let settings = json!({"retryAfter": {"authz": 1, "order": 2}});
    let pebble = Pebble::start(&settings, &[("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "3")]);
    for challenge in ["http-01", "tls-alpn-01"] {
        let mut site = pebble.site();
        site.acme["challenge_type"] = json!(challenge);
        let gateway = site.run();
        gateway.wait_for_certificate();
        assert_eq!(gateway.credential()["failed"], 0);
    }
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn a_profile_that_is_not_there_is_refused_with_its_reason() {
    let pebble = Pebble::start(&json!({}), &[]);
    let mut site = pebble.site();
    site.acme["profile"] = json!("nonsense");
    let gateway = site.run();
    let line = gateway.program.wait_for("no certificate: a new order: ");
    assert!(line.contains("urn:ietf:params:acme:error:invalidProfile, status 400"), "{line}");
    gateway.program.wait_for("the CA refuses: something must be changed before it can work");
    // The operator changes it, and it works without a restart.
    site.acme["profile"] = json!("default");
    site.write();
    gateway.wait_for_certificate();
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn renewal_information_in_the_past_renews_once() {
    let pebble = Pebble::start(&json!({}), &[]);
    let site = pebble.site();
    let gateway = site.run();
    gateway.wait_for_certificate();
    gateway.program.wait_for("the CA suggests a renewal");
    // A renewal says which certificate it replaces (RFC 9773 section 5).
    std::fs::write(site.storage().join("renew.request"), "").unwrap();
    let order = gateway.program.wait_for("an order was created");
    assert!(order.contains("replaces=true"), "{order}");
    gateway.program.wait_until("a renewal", |_| gateway.credential()["issued"] == 2);
    assert_eq!(gateway.credential()["failed"], 0);
    gateway.wait_for_certificate();
    let before = gateway.served();
    drop(gateway);
    let window = json!({"suggestedWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}});
    let body =
        json!({"certificate": format!("{before}-----END CERTIFICATE-----\n"), "ariResponse": window.to_string()});
    curl(&["-d", &body.to_string(), &format!("https://{}/set-renewal-info/", pebble.management)]);
    let gateway = site.run();
    assert_eq!(gateway.served(), before);
    // RFC 9773 section 4.3: not before a hundredth of its life has passed, lest a CA that errs be asked without end.
    gateway.program.wait_for("the CA suggests a renewal");
    gateway.program.wait_until("the renewal is moved forward", |_| {
        gateway.credential()["next"].as_str().is_some_and(|next| *next < *in_twenty_minutes())
    });
}

/// Returns the time in twenty minutes as `/status` writes it.
fn in_twenty_minutes() -> String {
    let shown = Command::new("date").args(["-u", "-d", "+20 minutes", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn every_line_of_an_attempt_names_its_credential() {
    let pebble = Pebble::start(&json!({}), &[]);
    let mut site = pebble.site();
    let folders = ["acme", "acme-client"].map(|name| site.folder.path().join(name));
    // Two credentials with the same name.
    site.client = json!({
        "ca_files": [pebble.file("root.crt")], "use_system_roots": false, "mtls": {"enabled": true, "acme": site.acme},
    });
    site.client["mtls"]["acme"]["storage_path"] = json!(folders[1]);
    site.tunnels = vec![json!({
        "name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": "127.0.0.1:9", "server_name": "b.example",
    })];
    let gateway = site.run();
    let fields = folders.map(|folder| format!(" credential=gateway.mesh.test storage_path={} ", folder.display()));
    let mut orders = [0, 0];
    // pebble issues for servers only, so the client's attempt fails.
    let mut ends = vec!["the issued certificate is shown", "no certificate: the new certificate: "];
    while !ends.is_empty() {
        let line = gateway.program.wait_for(" ");
        ends.retain(|end| !line.contains(end));
        let of = fields.iter().position(|fields| format!("{line} ").contains(fields));
        let messages = [
            "ordering a certificate",
            "the directory answered",
            "ACME account",
            "an order was created",
            "no certificate:",
        ];
        for message in messages {
            let found = ["DEBUG", "INFO", "ERROR"].iter().any(|level| line.contains(&format!(" {level} {message} ")));
            assert!(!found || of.is_some(), "{line}");
        }
        if let Some(of) = of.filter(|_| line.contains(" INFO an order was created ")) {
            orders[of] += 1;
        }
    }
    assert!(orders.iter().all(|orders| *orders > 0), "{orders:?}");
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn an_external_account_is_bound() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let settings = json!({"externalAccountBindingRequired": true, "externalAccountMACKeys": {"kid-1": KEY}});
    let pebble = Pebble::start(&settings, &[]);
    let mut site = pebble.site();
    let gateway = site.run();
    let line = gateway.program.wait_for("no certificate: the account: ");
    assert!(line.contains("externalAccountRequired"), "{line}");
    drop(gateway);
    let key = site.folder.path().join("eab.key");
    std::fs::write(&key, format!("{KEY}\n")).unwrap();
    site.acme["eab"] = json!({"kid": "kid-1", "hmac_key_file": key});
    let gateway = site.run();
    gateway.wait_for_certificate();
}

/// pebble issues certificates for servers only, like public CAs.
#[test]
#[ignore = "needs pebble: tests/run"]
fn a_certificate_that_peers_would_refuse_is_never_shown() {
    let pebble = Pebble::start(&json!({}), &[]);
    let mut site = pebble.site();
    site.client = json!({
        "ca_files": [pebble.file("root.crt")], "use_system_roots": false, "mtls": {"enabled": true, "acme": site.acme},
    });
    site.client["mtls"]["acme"]["storage_path"] = json!(site.folder.path().join("acme-client"));
    site.tunnels = vec![json!({
        "name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": "127.0.0.1:9", "server_name": "b.example",
    })];
    let gateway = site.run();
    let line = gateway.program.wait_for("no certificate: the new certificate: ");
    assert!(line.contains("peers would not accept it as a client's: "), "{line}");
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn the_account_has_a_new_key_and_goes_on() {
    let pebble = Pebble::start(&json!({}), &[]);
    let site = pebble.site();
    site.write();
    let file = site.file().display().to_string();
    let acme = |arguments: &[&str]| {
        let output = edgetrust(&[&["acme"], arguments, &["--config", &file]].concat());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let kept = || std::fs::read_to_string(site.storage().join("account.json")).unwrap();
    let before = acme(&["account"]);
    let key = kept();
    let after = acme(&["account", "--roll-key"]);
    assert_eq!(after.replace(", with a new key", ""), before, "the same account");
    assert_ne!(kept(), key);
    assert!(acme(&["obtain"]).contains("renewed"));
    assert!(acme(&["revoke", "--key-compromise"]).contains("revoked"));
}
