//! Tests the sandbox of a running gateway, and the helper that runs hooks for it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::addresses::{free_address, nowhere};
use super::pages::get;
use super::peers::{OpensslClient, PATIENCE, Program, echo, edgetrust, served_certificate};
use super::pki::{Pki, arg};

/// Returns a field of a task's status (proc_pid_status(5)).
fn field(status: &Path, name: &str) -> String {
    let text = fs::read_to_string(status.join("status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name}: {text}")).trim().to_owned()
}

/// A configuration with one tunnel and pages, in a folder of its own.
struct Site {
    pki: Pki,
    config: Value,
}

impl Site {
    fn new() -> Self {
        let pki = Pki::new("Root");
        let (cert, key) = pki.issue("gateway", &["gateway.example"]);
        let tunnel = json!({"name": "in", "mode": "server", "listen": free_address(), "target": echo().to_string(),
            "tls": {"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key)}});
        let config = json!({"gateway": {"admin": {"listen": free_address()}, "tunnels": [tunnel]}});
        Self { pki, config }
    }

    fn write(&self, config: &Value) {
        let beside = self.pki.path("beside.json");
        fs::write(&beside, config.to_string()).unwrap();
        fs::rename(beside, self.pki.path("gateway.json")).unwrap();
    }

    fn run(&self, more: &[&str]) -> Program {
        self.write(&self.config);
        let file = arg(&self.pki.path("gateway.json"));
        let arguments = [&["run", "--config", &file, "--watch-interval", "50ms", "--workers", "2"], more].concat();
        Program::start(&arguments.into_iter().map(str::to_owned).collect::<Vec<_>>())
    }

    fn status(&self) -> Value {
        let admin = self.config["gateway"]["admin"]["listen"].as_str().unwrap();
        serde_json::from_str(&get(admin, "/status", &[]).1).unwrap()
    }
}

#[test]
fn every_thread_is_confined_and_the_pages_say_by_what() {
    let site = Site::new();
    let program = site.run(&[]);
    // Work for all threads, those that read files among them.
    assert_eq!(OpensslClient::start(program.address, &[]).ask("hello").as_deref(), Some("hello"));
    let process = Path::new("/proc").join(program.id().to_string());
    let tasks: Vec<_> = fs::read_dir(process.join("task")).unwrap().map(|task| task.unwrap().path()).collect();
    assert!(tasks.len() > 3, "{tasks:?}");
    for task in tasks {
        let [no_new, seccomp, effective, permitted, bounding] =
            ["NoNewPrivs", "Seccomp", "CapEff", "CapPrm", "CapAmb"].map(|name| field(&task, name));
        assert_eq!((no_new.as_str(), seccomp.as_str()), ("1", "2"), "{}", task.display());
        for set in [effective, permitted, bounding] {
            assert_eq!(u64::from_str_radix(&set, 16), Ok(0), "{}", task.display());
        }
    }
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    let status = site.status();
    let sandbox = &status["sandbox"];
    assert_eq!(sandbox["capabilities"], "none", "{status}");
    assert!(sandbox["system_calls"].as_str().unwrap().ends_with(" refused"), "{status}");
    if sandbox["landlock"].as_str().unwrap().starts_with("ABI ") {
        let read: Vec<&str> = sandbox["read"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        let own = site.pki.ca().parent().unwrap().canonicalize().unwrap();
        assert!(read.iter().any(|folder| Path::new(folder) == own), "{read:?}");
        assert!(!read.contains(&"/etc") && sandbox["write"] == json!([]), "{status}");
    }
}

#[test]
fn a_low_port_keeps_the_one_capability_for_it() {
    if !is_root() {
        eprintln!("skipped: a low port is bound, for which this test has to be run by root");
        return;
    }
    let mut site = Site::new();
    let listen = free_address();
    let low = format!("{}:981", listen.rsplit_once(':').unwrap().0);
    site.config["gateway"]["tunnels"][0]["listen"] = json!(low);
    let program = site.run(&[]);
    let process = Path::new("/proc").join(program.id().to_string());
    // CAP_NET_BIND_SERVICE (linux/capability.h) is number 10.
    assert_eq!(u64::from_str_radix(&field(&process, "CapEff"), 16), Ok(1 << 10));
    assert_eq!(site.status()["sandbox"]["capabilities"], "CAP_NET_BIND_SERVICE");
    // A reload that binds the port again, at another address.
    let mut other = site.config.clone();
    other["gateway"]["tunnels"][0]["name"] = json!("again");
    other["gateway"]["tunnels"][0]["listen"] = json!(free_address().rsplit_once(':').unwrap().0.to_owned() + ":981");
    site.write(&other);
    program.wait_for("listening tunnel=again");
}

/// Returns whether this process may do what root may.
fn is_root() -> bool {
    field(Path::new("/proc/self"), "CapEff").ends_with("ffffff")
}

#[test]
fn without_a_sandbox_nothing_is_refused_and_it_is_said() {
    let site = Site::new();
    let program = site.run(&["--no-sandbox"]);
    let process = Path::new("/proc").join(program.id().to_string());
    assert_eq!(site.status()["sandbox"], Value::Null);
    assert_eq!(field(&process, "Seccomp"), field(Path::new("/proc/self"), "Seccomp"));
    let mut other = site.config.clone();
    other["gateway"]["tunnels"][0]["target"] = json!(free_address());
    site.write(&other);
    program.wait_for("reloaded");
}

#[test]
fn a_reload_that_needs_more_is_refused_and_says_to_restart() {
    let site = Site::new();
    let program = site.run(&[]);
    let before = served_certificate(program.address, &[]);
    let elsewhere = Pki::new("Other");
    let (cert, key) = elsewhere.issue("gateway", &["gateway.example"]);
    let tunnel = |key: &str, value: Value| {
        let mut config = site.config.clone();
        config["gateway"]["tunnels"][0][key] = value;
        config
    };
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let (listen, target) = (free_address(), free_address());
    let files = json!({"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key)});
    let acme = json!({"enabled": true, "mode": "acme", "acme": {"enabled": true, "domains": ["a.example"],
        "directory_url": "https://127.0.0.1:1/", "storage_path": "kept", "ca_bundle": "root.pem",
        "challenge_type": "tls-alpn-01", "hook": "/bin/touch it"}});
    for (config, expected) in [
        (tunnel("tls", files), arg(&cert)),
        (tunnel("listen", json!(listen)), format!("tunnel in: found port {} to listen on", port(&listen))),
        (tunnel("target", json!(target)), format!("tunnel in: found port {} to connect to", port(&target))),
        (tunnel("tls", acme), arg(&site.pki.path("kept"))),
    ] {
        site.write(&config);
        let line = program.wait_for("reload refused, the last good configuration stays: ");
        assert!(line.contains(&expected) && line.contains("restart to change it"), "{expected}: {line}");
    }
    // The denied keys of a refused configuration are denied all the same.
    let mut denies = tunnel("listen", json!(listen));
    denies["security"] = json!({"tls": {"denied_keys": [{"key": format!("sha256:{}", "0".repeat(64))}]}});
    site.write(&denies);
    program.wait_for("keys that the refused configuration denies are denied all the same");
    // Files that take the place of others go on being read.
    let (cert, key) = elsewhere.issue("again", &["gateway.example"]);
    for (new, name) in [(&key, "gateway.key"), (&cert, "gateway.pem")] {
        let beside = site.pki.path("beside");
        fs::copy(new, &beside).unwrap();
        fs::rename(&beside, site.pki.path(name)).unwrap();
    }
    site.write(&site.config);
    program.wait_until("the new certificate is shown", |program| served_certificate(program.address, &[]) != before);
}

#[test]
fn a_configuration_that_can_be_read_once_is_for_no_sandbox() {
    let output = edgetrust(&["run", "--config", "/dev/null"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("/dev/null: found no regular file") && said.contains("--no-sandbox"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

/// Waits for a condition.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The helper of hooks, as a gateway starts it.
struct Helper {
    child: std::process::Child,
    socket: BufReader<UnixStream>,
}

impl Helper {
    fn start(renewal: &[&str], dns: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_edgetrust")), renewal, dns)
    }

    fn start_by(mut command: Command, renewal: &[&str], dns: &[&str]) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = command.arg("hook-helper").stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
        // Without its end of the pair here, the end of the helper is seen.
        drop(command);
        let mut helper = Self { child, socket: BufReader::new(ours) };
        helper.say(&json!({"renewal": renewal, "dns": dns}));
        helper
    }

    fn say(&mut self, text: &Value) {
        writeln!(self.socket.get_mut(), "{text}").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

#[test]
fn the_helper_runs_the_hooks_of_the_start_and_ends_with_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let (out, sleeps) = (folder.path().join("out"), folder.path().join("sleeps"));
    let script = folder.path().join("hook");
    fs::write(&script, "echo \"$EDGETRUST_NAME $1 $2 $3\" >> \"$0.out\"; exit \"${4:-0}\"").unwrap();
    let slow = folder.path().join("slow");
    fs::write(&slow, format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", sleeps.display())).unwrap();
    let [hook, slow] = [&script, &slow].map(|script| format!("/bin/sh {}", script.display()));
    let mut helper = Helper::start(&[&hook, &slow], &[&hook]);
    let renewed = |name: &str| json!({"Renewed": {"cert_file": "c", "key_file": "k", "name": name}});
    let present = json!({"Present": {"name": "_acme-challenge.a.example", "value": "a_-1a_-1a_-1a_-1a_-1a_-1a_-1a_-1a_-1a_-1a_-"}});
    for (id, call) in [(1, renewed("a")), (2, present)] {
        helper.say(&json!({"id": id, "hook": hook, "call": call}));
        assert_eq!(helper.hear(), json!({"id": id, "failed": null}));
    }
    let said = fs::read_to_string(script.with_extension("out")).unwrap();
    assert_eq!(said, "a   \n present _acme-challenge.a.example a_-1a_-1a_-1a_-1a_-1a_-1a_-1a_-1a_-1a_-1a_-\n");
    let touch = format!("/bin/touch {}", out.display());
    helper.say(&json!({"id": 3, "hook": touch, "call": renewed("a")}));
    let answer = helper.hear();
    assert!(answer["failed"].as_str().unwrap().contains("found no such hook"), "{answer}");
    assert!(!out.exists());
    // What a service manager sends to all processes of the gateway does not end it.
    let signalled = Command::new("kill").args(["-TERM", &helper.child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    helper.say(&json!({"id": 4, "hook": slow, "call": renewed("a")}));
    until("the hook runs", || sleeps.exists());
    let running = fs::read_to_string(&sleeps).unwrap();
    let running = Path::new("/proc").join(running.trim()).join("cmdline");
    until("it sleeps", || fs::read_to_string(&running).unwrap().starts_with("sleep"));
    drop(helper.socket);
    assert!(helper.child.wait().unwrap().success());
    until("it has ended", || !fs::read_to_string(&running).is_ok_and(|line| line.starts_with("sleep")));
}

#[test]
fn hooks_inherit_no_descriptor_that_the_program_was_started_with() {
    let folder = tempfile::tempdir().unwrap();
    let (left, script) = (folder.path().join("left"), folder.path().join("hook"));
    fs::write(&left, "").unwrap();
    fs::write(&script, "exec ls -l /proc/self/fd > \"$0.out\"").unwrap();
    let hook = format!("/bin/sh {}", script.display());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec 7<\"$1\"; exec 9<&7; exec \"$0\" \"$2\"", env!("CARGO_BIN_EXE_edgetrust"), &arg(&left)]);
    let mut helper = Helper::start_by(command, &[&hook], &[]);
    helper.say(&json!({"id": 1, "hook": hook, "call": {"Renewed": {"cert_file": "c", "key_file": "k", "name": "a"}}}));
    assert_eq!(helper.hear(), json!({"id": 1, "failed": null}));
    let said = fs::read_to_string(script.with_extension("out")).unwrap();
    // The third is the folder that `ls` reads.
    let open: Vec<_> = said.lines().filter_map(|line| line.split_once(" -> ")?.0.rsplit(' ').next()).collect();
    assert_eq!(open, ["0", "1", "2", "3"], "{said}");
    assert!(!said.contains(&arg(&left)), "{said}");
    drop(helper.socket);
    assert!(helper.child.wait().unwrap().success());
}

/// Returns the process that a gateway has started with this subcommand.
fn child(gateway: u32, command: &str) -> Option<String> {
    let is_it = |process: &Path| {
        let read = |file: &str| fs::read_to_string(process.join(file)).unwrap_or_default();
        let parent = format!("PPid:\t{gateway}");
        read("cmdline").split('\0').nth(1) == Some(command) && read("status").lines().any(|line| line == parent)
    };
    let mut processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    Some(processes.find(|process| is_it(process))?.file_name()?.to_str()?.to_owned())
}

#[test]
fn the_end_of_the_helper_of_hooks_is_told_at_once() {
    let mut site = Site::new();
    let tls = &mut site.config["gateway"]["tunnels"][0]["tls"];
    tls["mode"] = json!("acme");
    tls["acme"] = json!({"enabled": true, "directory_url": format!("https://{}/directory", nowhere()), "domains": ["gateway.example"],
        "storage_path": arg(&site.pki.path("acme")), "http_listen": "127.0.0.1:0", "hook": "/bin/true"});
    let program = site.run(&[]);
    let helper = child(program.id(), "hook-helper").unwrap();
    assert!(Command::new("kill").args(["-KILL", &helper]).status().unwrap().success());
    program.wait_for("the helper that runs hooks has ended: hooks fail until the gateway is restarted");
    assert_eq!(OpensslClient::start(program.address, &[]).ask("hello").as_deref(), Some("hello"));
}
