//! Tests `edgetrust init`: what it writes passes `check`, half answers are named, and no file is replaced.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::peers::edgetrust;
use super::pki::{Pki, arg};

/// Runs the program in a folder, where no terminal is.
fn run_in(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgetrust"));
    said(command.args(arguments).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap())
}

fn said(Output { status, stdout, stderr }: Output) -> (Option<i32>, String) {
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// A folder with files of a server and of a CA.
fn pki() -> Pki {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    std::fs::rename(cert, pki.path("a.pem")).unwrap();
    std::fs::rename(key, pki.path("a.key")).unwrap();
    std::fs::rename(pki.ca(), pki.path("root.pem")).unwrap();
    pki
}

const SERVER: &[&str] = &[
    "init",
    "--mode",
    "server",
    "--listen",
    "127.0.0.1:8443",
    "--target",
    "127.0.0.1:8081",
    "--cert",
    "a.pem",
    "--key",
    "a.key",
    "--ca",
    "root.pem",
    "--allow-cn",
    "location-b",
];

#[test]
fn what_flags_write_passes_check_and_is_not_replaced() {
    let pki = pki();
    let folder = pki.path("");
    let (code, said) = run_in(&folder, SERVER);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.ends_with("./gateway.json: written, and checked\nnext: edgetrust run --config ./gateway.json\n"),
        "{said}"
    );
    let (code, said) = run_in(&folder, &["check"]);
    assert!(code == Some(0) && said.contains("0 errors"), "{said}");
    let written = std::fs::read_to_string(pki.path("gateway.json")).unwrap();

    let (code, said) = run_in(&folder, SERVER);
    assert!(code == Some(2) && said.contains("./gateway.json: is there already, and is left as it is"), "{said}");
    // A link that leads nowhere is there, too.
    std::os::unix::fs::symlink("nowhere", pki.path("link.json")).unwrap();
    let (code, said) = run_in(&folder, &[SERVER, &["--config", "link.json"]].concat());
    assert!(code == Some(2) && said.contains("link.json: is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(pki.path("gateway.json")).unwrap(), written);
    assert!(!pki.path("nowhere").exists());
}

#[test]
fn a_client_and_a_server_that_asks_nobody_are_written_too_in_another_folder() {
    let pki = pki();
    std::fs::create_dir(pki.path("etc dir")).unwrap();
    let client =
        ["init", "--mode", "client", "--listen", "127.0.0.1:9001", "--target", "b.example:8443", "--ca", "root.pem"];
    let own = ["--cert", "a.pem", "--key", "a.key", "--server-name", "gateway.b.example"];
    let open = ["init", "--mode", "server", "--listen", "0.0.0.0:8443", "--target", "unix:/run/s", "--no-client-auth"];
    for (name, flags) in [
        ("etc dir/client.json", client.to_vec()),
        ("etc dir/own.json", [&client[..], &own].concat()),
        ("etc dir/open.json", [&open[..], &own[..4]].concat()),
    ] {
        let (code, said) = run_in(&pki.path(""), &[&flags[..], &["--config", name]].concat());
        assert!(code == Some(0) && said.ends_with(&format!("next: edgetrust run --config '{name}'\n")), "{said}");
        // The names in the file are found from its folder and from anywhere.
        let checked = edgetrust(&["check", "--config", &arg(&pki.path(name))]);
        assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

#[test]
fn half_answers_are_named_and_write_nothing() {
    let pki = pki();
    let without = |flag: &str| {
        let at = SERVER.iter().position(|argument| *argument == flag).unwrap();
        [&SERVER[..at], &SERVER[at + 2..]].concat()
    };
    let cases: &[(Vec<&str>, &str)] = &[
        (vec!["init"], "missing: --mode server or --mode client, --listen, --target; at a terminal"),
        (vec!["init", "--mode", "server"], "--cert, --key, --ca with --allow-cn or --allow-dns (or --no-client-auth"),
        (without("--cert"), "missing: --cert;"),
        (without("--key"), "missing: --key;"),
        (without("--ca"), "missing: --ca;"),
        (without("--allow-cn"), "missing: --allow-cn or --allow-dns;"),
        (without("--target"), "missing: --target;"),
        ([SERVER, &["--no-client-auth"]].concat(), "cannot be used with"),
        ([SERVER, &["--server-name", "x"]].concat(), "--server-name goes with --mode client"),
        ([&without("--cert")[..], &["--cert", "b.pem"]].concat(), "--cert: b.pem: No such file"),
        ([&without("--listen")[..], &["--listen", "8443"]].concat(), "--listen: found \"8443\", expected ADDRESS:PORT"),
        (
            [&without("--target")[..], &["--target", "10.0.0.1:1"]].concat(),
            "--target: found \"10.0.0.1:1\", to which plaintext",
        ),
        ([SERVER, &["--allow-dns", "10.0.0.1"]].concat(), "--allow-dns: found \"10.0.0.1\", expected a DNS name"),
        ([SERVER, &["--config", "no/gateway.json"]].concat(), "no/gateway.json: cannot be written: No such file"),
    ];
    for (arguments, expected) in cases {
        let (code, said) = run_in(&pki.path(""), arguments);
        assert!(code == Some(2) && said.contains(expected), "{arguments:?}: {said}");
    }
    // A key of another certificate: `check` says so, and the file is not written.
    pki.issue("other", &[]);
    let (_, other) = pki.issue("other", &[]);
    let (code, said) = run_in(&pki.path(""), &[&without("--key")[..], &["--key", &arg(&other)]].concat());
    assert!(code == Some(1) && said.contains("./gateway.json: not written, for the errors above"), "{said}");
    let left: Vec<_> = std::fs::read_dir(pki.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("gateway.json") || name.to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}

/// Answers at a terminal, of `script`.
fn at_a_terminal(folder: &Path, arguments: &str, answers: &str) -> (Option<i32>, String) {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_edgetrust"));
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    said(script.wait_with_output().unwrap())
}

#[test]
fn three_questions_at_a_terminal_are_enough() {
    let pki = pki();
    let (code, said) = at_a_terminal(
        &pki.path(""),
        "init",
        "server\n127.0.0.1:8081\n\na.pem\na.key\nroot.pem\nlocation-b location-c\n",
    );
    assert!(code == Some(0) && said.contains("next: edgetrust run --config ./gateway.json"), "{said}");
    let written = std::fs::read_to_string(pki.path("gateway.json")).unwrap();
    assert!(written.contains(r#"["location-b","location-c"]"#) && written.contains("0.0.0.0:8443"), "{written}");

    // What flags have said is not asked for.
    let flags = "init --mode client --listen 127.0.0.1:9001 --ca root.pem --config client.json";
    let (code, said) = at_a_terminal(&pki.path(""), flags, "b.example:8443\nnone\n");
    assert!(code == Some(0) && !said.contains("1/3") && said.contains("2/3"), "{said}");
    // The end of the input, as Ctrl-D types it.
    let (code, said) = at_a_terminal(&pki.path(""), "init --config half.json", "client\nb.example:8443\n\n\u{4}\u{4}");
    assert!(code == Some(2) && said.contains("missing: --ca; nothing is written"), "{said}");
    assert!(!pki.path("half.json").exists());
}
