//! Tests the configuration that is found where none is named.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::peers::{Program, echo};
use super::pki::{Pki, arg};
use serde_json::json;

fn run_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgetrust"));
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
}

const COMMANDS: &[&[&str]] =
    &[&["check"], &["probe", "--tunnel", "out"], &["acme", "status"], &["acme", "obtain"], &["run"]];

#[test]
fn the_file_of_the_working_folder_is_taken_and_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.json"), "{\"gateway\": {\n  \"tunels\": []}}").unwrap();
    for command in COMMANDS {
        let said = run_in(folder.path(), command);
        let error = String::from_utf8_lossy(&said.stderr);
        assert!(error.contains("./gateway.json:2:3: gateway.tunels: found \"tunels\""), "{command:?}: {error}");
        // Probe shows its table alone, which names the file.
        let told = error.contains("configuration file found file=./gateway.json") || command[0] == "probe";
        assert!(told && said.status.code() == Some(2), "{command:?}: {error}");
    }
}

#[test]
fn the_places_are_named_where_no_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let system = Path::new("/etc/edgetrust/gateway.json");
    if system.exists() {
        // The unit test of the choice remains.
        return eprintln!("not tested: this machine has {}", system.display());
    }
    for command in COMMANDS {
        let said = run_in(folder.path(), command);
        let error = String::from_utf8_lossy(&said.stderr);
        let expected = "neither ./gateway.json nor /etc/edgetrust/gateway.json is there";
        assert!(error.contains(expected) && said.status.code() == Some(2), "{command:?}: {error}");
    }
}

#[test]
fn a_gateway_runs_with_the_file_that_it_finds() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let config = json!({
        "security": {"tls": {"server": {"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key)}}},
        "gateway": {"tunnels": [
            {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()}]},
    });
    std::fs::write(pki.path("gateway.json"), config.to_string()).unwrap();
    let command = format!("cd {} && exec {} run", arg(&pki.path("")), env!("CARGO_BIN_EXE_edgetrust"));
    let program = Program::start_shell(&[command]);
    program.wait_for("configuration file found file=./gateway.json");
}
