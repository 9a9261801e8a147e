//! Runs the commands of `docs/ACME_SETUP.md`, with other addresses.

use std::path::Path;

use super::ca::{Names, Process, free_port, own_ip, tool};
use super::peers::{Program, blocks, echo, shell};

fn said(folder: &Path, commands: &str) -> String {
    String::from_utf8(shell(folder, commands).stdout).unwrap()
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn acme_setup_from_beginning_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ACME_SETUP.md")).unwrap();
    let (before, after) = text.split_once("## What a real run says").unwrap();
    assert!(!after.contains("\n```\n$"), "commands after the transcript are not run");
    let blocks = blocks("docs/ACME_SETUP.md");
    let count = before.matches("```\n").count() / 2;
    let [pki, ca_json, start, gateway_json, check, obtain, run, renew, device, with_devices, reenroll, first] =
        &blocks[..count]
    else {
        panic!("{count} code blocks, expected twelve: this test runs each");
    };
    let names = Names::new();
    let (ca, http) = (free_port(own_ip()), free_port(names.ip));
    let replaced = |text: &str| {
        text.replace("127.0.0.1:9000", &ca.to_string())
            .replace("\"127.0.0.1\"]", &format!("\"{}\"]", ca.ip()))
            .replace("0.0.0.0:80\"", &format!("{http}\""))
            .replace("127.0.0.1:9090", "127.0.0.1:0")
            .replace("0.0.0.0:8443", "127.0.0.1:0")
            .replace("0.0.0.0:8444", "127.0.0.1:0")
            .replace("0.0.0.0:8445", "127.0.0.1:0")
            .replace("127.0.0.1:8081", &echo().to_string())
    };
    shell(folder, pki);
    shell(folder, &replaced(ca_json));
    let mut command = tool("step-ca");
    command.current_dir(folder).args(start.split_whitespace().skip(1));
    command.args(["--insecure", "--acme-http-port", &http.port().to_string()]);
    command.args(["--resolver", &names.server.to_string()]);
    let _ca = Process::at(command, ca);
    std::fs::write(folder.join("gateway.json"), replaced(gateway_json)).unwrap();
    let shown = said(folder, check);
    for part in ["the directory answers", "its clock agrees", "http-01 can be answered"] {
        assert!(shown.contains(part), "{shown}");
    }
    let shown = said(folder, obtain);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("gateway.a.example: renewed, expires "), "{shown}");
    assert!(lines[1].starts_with("gateway.a.example: valid, expires "), "{shown}");
    let mut arguments: Vec<String> = run.split_whitespace().skip(1).map(str::to_owned).collect();
    assert_eq!(arguments, ["run", "--config", "gateway.json"]);
    // Relative paths of the configuration start at the folder in which it is run.
    let script = format!("cd {} && exec \"$0\" \"$@\"", folder.display());
    arguments.splice(0..0, [script, env!("CARGO_BIN_EXE_edgetrust").to_owned()]);
    let program = Program::start_shell(&arguments);
    program.wait_for("the issued certificate is shown");
    program.wait_for("listening tunnel=in");
    let shown = said(folder, renew);
    assert!(shown.starts_with("gateway.a.example: renewed by the running gateway, expires "), "{shown}");
    shell(folder, device);
    std::fs::write(folder.join("gateway.json"), replaced(with_devices)).unwrap();
    program.wait_for("acme-devices, expected a path below the folders of the configuration at the start");
    drop(program);
    let program = Program::start_shell(&arguments);
    let line = program.wait_for("est: listening address=");
    let est = line.rsplit_once(':').unwrap().1;
    let there = format!("--noproxy '*' --resolve gateway.a.example:{est}:127.0.0.1 https://gateway.a.example:{est}/");
    let shown = said(folder, &reenroll.replace("https://gateway.a.example:8444/", &there));
    assert_eq!(shown, "sensor-7.new.pem: OK\n");
    program.wait_for("est: a certificate was issued");
    drop(program);
    // The changes that the text names.
    let more = r#"{"listen": "0.0.0.0:8445"}"#;
    assert!(text.contains(&format!("`\"first_enrollment\": {more}`")));
    let with_first = with_devices.replace(r#""est": {"#, &format!(r#""est": {{"first_enrollment": {more},"#));
    let with_first = with_first.replace(r#"["sensor-7.a.example"]"#, r#"["sensor-7.a.example", "sensor-8.a.example"]"#);
    std::fs::write(folder.join("gateway.json"), replaced(&with_first)).unwrap();
    let program = Program::start_shell(&arguments);
    let line = program.wait_for("est: listening for first enrollments address=");
    let port = line.rsplit_once(':').unwrap().1;
    let there = format!("--noproxy '*' --resolve gateway.a.example:{port}:127.0.0.1 https://gateway.a.example:{port}/");
    let shown = said(folder, &first.replace("https://gateway.a.example:8445/", &there));
    assert!(shown.starts_with("sensor-8.a.example: used, until "), "{shown}");
    let pem = std::fs::read_to_string(folder.join("sensor-8.pem")).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1, "{pem}");
}
