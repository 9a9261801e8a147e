//! Tests the units that `edgetrust unit` prints: systemd understands them, they open little, and a gateway runs with what
//! they grant.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::activation::Sockets;
use super::addresses::free_address;
use super::peers::{OpensslClient, Program, edgetrust};
use super::pki::{Pki, arg};

/// The settings of a unit, in order.
struct Unit(Vec<(String, String)>);

impl Unit {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let settings = text.lines().filter_map(|line| line.split_once('='));
        Self(settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn one<'a>(&'a self, key: &'a str) -> &'a str {
        let mut all = self.all(key);
        let found = all.next().unwrap_or_else(|| panic!("no {key}"));
        assert_eq!(all.next(), None, "{key} twice");
        found
    }
}

/// Writes the units of a configuration, with the program of this test, and returns their folder.
fn units(pki: &Pki, command: &str, more: &[&str]) -> PathBuf {
    let folder = pki.path("units");
    let mut arguments = vec!["unit", command, "--program", env!("CARGO_BIN_EXE_edgetrust")];
    let (folder_name, file) = (arg(&folder), arg(&pki.path("config.json")));
    arguments.extend(["--out", &folder_name, "--config", &file]);
    let output = edgetrust(&[&arguments[..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// Returns the version of systemd here; none without `systemd-analyze`.
fn systemd() -> Option<u32> {
    let output = Command::new("systemd-analyze").arg("--version").output().ok()?;
    let said = String::from_utf8(output.stdout).unwrap();
    let version = said.split_whitespace().nth(1).and_then(|version| version.parse().ok());
    Some(version.unwrap_or_else(|| panic!("{said}")))
}

/// Returns what systemd says about units, with those in their folder alone and with nothing of this machine.
fn verify(folder: &Path, names: &[&str]) -> String {
    let files = names.iter().map(|name| folder.join(name));
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(files).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    // Units of this machine that the ones at hand are ordered after may have faults of their own.
    let ours = said.lines().filter(|line| names.iter().any(|name| line.contains(name)));
    ours.map(|line| line.to_owned() + "\n").collect()
}

/// Returns how exposed `systemd-analyze security` finds a service, from 0 to 10.
fn exposure(file: &Path) -> f64 {
    let output = Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (_, level) = said.rsplit_once("Overall exposure level for ").unwrap_or_else(|| panic!("{said}"));
    level.split(' ').nth(1).and_then(|level| level.parse().ok()).unwrap_or_else(|| panic!("{level}"))
}

fn config(pki: &Pki, listen: &str, cert: &str, key: &str, more: serde_json::Value) {
    let tls = json!({"enabled": true, "cert_file": cert, "key_file": key});
    let tunnel = json!({"name": "in", "mode": "server", "listen": listen, "target": "127.0.0.1:1", "tls": tls});
    let mut gateway = json!({"tunnels": [tunnel]});
    gateway.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fs::write(pki.path("config.json"), json!({"gateway": gateway}).to_string()).unwrap();
}

const KEY: &str = "/run/credentials/edgetrust.service/gateway.key";

#[test]
fn systemd_takes_the_units_and_finds_little_exposed() {
    let Some(version) = systemd() else {
        eprintln!("skipped: systemd-analyze is not here (Debian: apt-get install systemd)");
        return;
    };
    let pki = Pki::new("Root");
    config(&pki, "0.0.0.0:443", "gateway.pem", KEY, json!({"admin": {"listen": "127.0.0.1:9464"}}));
    for (more, sockets, most) in [(&[][..], true, 1.5), (&["--no-socket"][..], false, 2.0)] {
        let folder = units(&pki, "gateway", more);
        let names = ["edgetrust.service", "edgetrust.socket"];
        let names = if sockets { &names[..] } else { &names[..1] };
        let drop_in = folder.join("edgetrust.service.d");
        if version >= 253 {
            assert_eq!(verify(&folder, names), "");
        }
        // Debian 12 has systemd 252, which does not know the type of the drop-in.
        fs::remove_dir_all(drop_in).unwrap();
        assert_eq!(verify(&folder, names), "");
        let level = exposure(&folder.join("edgetrust.service"));
        assert!(level <= most, "{more:?}: {level}");
        fs::remove_dir_all(folder).unwrap();
    }
    fs::write(pki.path("config.json"), r#"{"address": ":9000", "db": {"dataSource": "db"}}"#).unwrap();
    let folder = units(&pki, "ca", &["--installed-as", "/etc/step-ca/ca.json"]);
    assert_eq!(verify(&folder, &["step-ca.service"]), "");
    let level = exposure(&folder.join("step-ca.service"));
    assert!(level <= 1.5, "{level}");
    let unit = Unit::read(&folder.join("step-ca.service"));
    assert_eq!(unit.one("ReadWritePaths"), "/etc/step-ca/db");
    // A fault is found: the checks above can fail.
    fs::write(folder.join("step-ca.service"), "[Service]\nExecStart=/nonexistent\nType=other\n").unwrap();
    assert!(verify(&folder, &["step-ca.service"]).contains("service type"));
    assert!(exposure(&folder.join("step-ca.service")) > 9.0);
}

#[test]
fn sockets_and_keys_are_those_of_the_configuration() {
    let pki = Pki::new("Root");
    let acme = json!({
        "enabled": true,
        "directory_url": "https://ca.example/acme/acme/directory", "domains": ["a.example"],
        "storage_path": "/var/lib/edgetrust/acme", "http_listen": "0.0.0.0:80",
    });
    let tunnel = |name: &str, listen: &str, tls| json!({"name": name, "mode": "server", "listen": listen, "target": "127.0.0.1:1", "tls": tls});
    let manual = json!({"enabled": true, "cert_file": "gateway.pem", "key_file": KEY});
    let config = json!({"gateway": {
        "admin": {"listen": "127.0.0.1:9464"},
        "limits": {"drain_timeout": "45s"},
        "tunnels": [
            tunnel("six", "[::]:8443", manual.clone()),
            tunnel("four", "0.0.0.0:8443", json!({"enabled": true, "mode": "acme", "acme": acme})),
            {"name": "out", "mode": "client", "listen": "unix:/run/edgetrust/out.sock", "target": "b.example:8443"},
            tunnel("any", "127.0.0.1:0", manual),
        ],
    }});
    fs::write(pki.path("config.json"), config.to_string()).unwrap();
    let folder = units(&pki, "gateway", &["--installed-as", "/etc/edgetrust/gateway.json"]);
    let (service, socket) =
        (Unit::read(&folder.join("edgetrust.service")), Unit::read(&folder.join("edgetrust.socket")));
    let expected = ["[::]:8443", "0.0.0.0:8443", "/run/edgetrust/out.sock", "127.0.0.1:9464", "0.0.0.0:80"];
    assert_eq!(socket.all("ListenStream").collect::<Vec<_>>(), expected);
    assert_eq!(socket.one("BindIPv6Only"), "ipv6-only");
    assert_eq!(socket.one("SocketMode"), "0660");
    assert_eq!(service.one("LoadCredential"), "gateway.key:/etc/edgetrust/gateway.key");
    assert_eq!(service.one("TimeoutStopSec"), "60s");
    assert_eq!(service.one("Type"), "notify");
    assert_eq!(service.one("CapabilityBoundingSet"), "");
    assert_eq!(service.all("ReadWritePaths").count(), 0);
    let drop_in = Unit::read(&folder.join("edgetrust.service.d/notify-reload.conf"));
    assert_eq!((drop_in.one("Type"), drop_in.one("ExecReload")), ("notify-reload", ""));

    let folder = units(&pki, "gateway", &["--no-socket", "--installed-as", "/etc/edgetrust/gateway.json"]);
    let service = Unit::read(&folder.join("edgetrust.service"));
    assert_eq!(service.one("AmbientCapabilities"), "CAP_NET_BIND_SERVICE");
    assert_eq!(service.all("Requires").count(), 0);
}

#[test]
fn what_the_unit_would_hide_is_said() {
    let pki = Pki::new("Root");
    config(&pki, "127.0.0.1:8443", "/home/a/gateway.pem", "/etc/edgetrust/gateway.key", json!({}));
    let output = edgetrust(&["unit", "gateway", "--config", &arg(&pki.path("config.json"))]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for expected in [
        "/home/a/gateway.pem: the unit hides this folder from the service",
        "key_file: the user edgetrust has to be able to read /etc/edgetrust/gateway.key",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let printed = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = printed.lines().filter(|line| line.starts_with("# /etc/systemd/system/")).collect();
    let expected = ["edgetrust.service", "edgetrust.socket", "edgetrust.service.d/notify-reload.conf"];
    assert_eq!(names, expected.map(|name| format!("# /etc/systemd/system/{name}")));
}

#[test]
fn a_watchdog_hears_from_the_program() {
    let pki = Pki::new("Root");
    let socket = pki.path("notify.sock");
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(super::peers::PATIENCE)).unwrap();
    let heard = || {
        let mut octets = [0; 256];
        let length = systemd.recv(&mut octets).unwrap();
        String::from_utf8(octets[..length].to_vec()).unwrap()
    };
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", &arg(&cert), "--key", &arg(&key)];
    let environment = [("NOTIFY_SOCKET", arg(&socket)), ("WATCHDOG_USEC", "100000".to_owned())];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let program = Program::start_in(&arguments.map(str::to_owned), &environment);
    assert_eq!(heard(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(heard(), "WATCHDOG=1\n");
    }
    program.signal("TERM");
    while heard() != "STOPPING=1\n" {}
    assert_eq!(program.wait(), Some(0));
}

/// The unit is played by namespaces and `setpriv`: what it grants, and no more.
#[test]
fn a_gateway_runs_with_what_its_unit_grants() {
    let may =
        "mount -t tmpfs tmpfs /mnt && setpriv --reuid 64999 --regid 64999 --clear-groups --bounding-set=-all true";
    if !Command::new("unshare").args(["-m", "sh", "-c", may]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a mount namespace and another user need root, and unshare and setpriv of util-linux");
        return;
    }
    // The script copies it, and the program, to where the unit hides nothing: /tmp and /home may have this checkout.
    let folder = tempfile::tempdir().unwrap();
    Command::new("chmod").arg("755").arg(folder.path()).status().unwrap();
    let (pki, listen) = (Pki::new("Root"), format!("{}:443", free_address().split(':').next().unwrap()));
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    fs::copy(cert, folder.path().join("gateway.pem")).unwrap();
    fs::copy(&key, folder.path().join("gateway.key")).unwrap();
    Command::new("chmod").args(["600", &arg(&folder.path().join("gateway.key"))]).status().unwrap();
    let http01 = free_address();
    let acme = json!({
        "enabled": true,
        "directory_url": "https://127.0.0.1:1/acme/acme/directory", "domains": ["a.example"],
        "storage_path": "/var/lib/edgetrust/acme", "http_listen": http01, "ca_bundle": "gateway.pem",
    });
    let tls = json!({"enabled": true, "mode": "acme", "cert_file": "gateway.pem", "key_file": KEY, "acme": acme});
    let tunnel = json!({"name": "in", "mode": "server", "listen": listen, "target": super::peers::echo(), "tls": tls});
    let file = folder.path().join("gateway.json");
    let gateway = json!({"audit_log": "/var/log/edgetrust/audit.log", "tunnels": [tunnel]});
    fs::write(&file, json!({"gateway": gateway}).to_string()).unwrap();
    let output = edgetrust(&[
        "unit",
        "gateway",
        "--config",
        &arg(&file),
        "--installed-as",
        "/srv/gateway.json",
        "--program",
        "/srv/edgetrust",
        "--out",
        &arg(&folder.path().join("units")),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let unit = Unit::read(&folder.path().join("units/edgetrust.service"));
    let settings: BTreeMap<_, _> = unit.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    for (key, value) in [
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("StateDirectory", "edgetrust"),
        ("StateDirectoryMode", "0700"),
        ("LogsDirectory", "edgetrust"),
        ("LogsDirectoryMode", "0750"),
        ("ProcSubset", "pid"),
        ("UMask", "0077"),
    ] {
        assert_eq!(settings.get(key), Some(&value), "{key}: the script below plays another unit");
    }
    let (name, source) = settings["LoadCredential"].split_once(':').unwrap();
    let mut script = format!(
        "mount --make-rprivate /; mount -t tmpfs -o mode=755 tmpfs /srv
         cp {files}/gateway.* /srv; cp {program} /srv/edgetrust; chmod 755 /srv/edgetrust; mount -o remount,ro /srv
         mount --rbind / /; mount -o remount,bind,ro /
         for folder in /tmp /var/tmp /home /root /run /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done
         mkdir -p /run/credentials/edgetrust.service -m 755; mkdir /var/lib/edgetrust /var/log/edgetrust -m 700
         cp {source} /run/credentials/edgetrust.service/{name}; chmod 400 /run/credentials/edgetrust.service/{name}
         chown -R 64999:64999 /run/credentials/edgetrust.service/{name} /var/lib/edgetrust
         for folder in /home /root /run /var/lib /var/log; do mount -o remount,ro $folder; done
         mount -t tmpfs tmpfs /mnt; mkdir /mnt/state /mnt/logs; chown 64999:64999 /mnt/state /mnt/logs
         mount --bind /mnt/state /var/lib/edgetrust; mount --bind /mnt/logs /var/log/edgetrust
         umask {}; ulimit -n {}\n",
        settings["UMask"],
        1024,
        files = folder.path().display(),
        program = env!("CARGO_BIN_EXE_edgetrust"),
    );
    // One mount for each line of /proc/mounts may be read-write yet; what counts is what the gateway's user can write to.
    let setpriv =
        "setpriv --reuid 64999 --regid 64999 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs";
    script += &format!("{setpriv} {}\n", settings["ExecStartPre"].strip_prefix('-').unwrap());
    script += &format!(
        "{setpriv} sh -c 'for file in /etc/x /var/lib/x /run/x /srv/x; do if touch $file 2>/dev/null; then exit 9; fi; done'\n"
    );
    script += &format!("exec {setpriv} {}\n", settings["ExecStart"]);
    let mut sockets = Sockets::default();
    for address in Unit::read(&folder.path().join("units/edgetrust.socket")).all("ListenStream") {
        sockets.listener("edgetrust", TcpListener::bind(address).unwrap());
    }
    // `unshare` and `setpriv` replace themselves, so that the process keeps its number.
    let script = script.replace('\'', "'\\''");
    let command = sockets.shell(&format!("exec unshare -m sh -ec '{script}' \"$0\""));
    let mut program = Program::spawn(command, &[], &[]);
    program.wait_for_tunnel();
    // The account's key is in the state folder by then.
    program.wait_for("no certificate: ");
    let shown = OpensslClient::start(program.address, &["-servername", "gateway.example"]).ask("hello");
    assert_eq!(shown.as_deref(), Some("hello"));
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
}
