//! Tests the library's examples, three components of SemStreams.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::peers::http;
use super::pki::{Pki, arg};
use super::serve::serve_before;

/// Returns the command of an example, which is built with the tests of this package.
fn example(name: &str) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_edgetrust"));
    let file = program.parent().unwrap().join("examples").join(name);
    assert!(file.exists(), "{} is missing: cargo test builds it unless it is told what to test", file.display());
    Command::new(file)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_websocket_feeds_two() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("output", &["output.example"]);
    let ca = arg(&pki.ca());
    let mut output = Running(
        example("websocket_output")
            .args(["127.0.0.1:0", &arg(&cert), &arg(&key), &ca, "input-1", "input-2"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut log = BufReader::new(output.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = log.next().unwrap().split_once("address=").unwrap().1.to_owned();
    let input = |cn: &str| {
        let (cert, key) = pki.issue(cn, &[]);
        let mut command = example("websocket_input");
        command.args([&address, "output.example", &ca, &arg(&cert), &arg(&key)]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut inputs = ["input-1", "input-2"].map(|cn| Running(input(cn).spawn().unwrap()));
    for line in log.by_ref().take(2) {
        assert!(line.starts_with("open peer=CN=input-"), "{line}");
    }
    let stranger = input("stranger").output().unwrap();
    assert!(!stranger.status.success());
    let line = log.next().unwrap();
    assert!(line.contains("its names are not on the allow list"), "{line}");
    let mut stdin = output.0.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").unwrap();
    for input in &mut inputs {
        let lines: Vec<String> =
            BufReader::new(input.0.stdout.take().unwrap()).lines().take(2).map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two"]);
    }
}

#[test]
fn a_post_over_mutual_tls() {
    let pki = Pki::new("Root");
    let (ca, target) = (arg(&pki.ca()), http("taken").to_string());
    let program = serve_before(&pki, &target, &["--cacert", &ca]);
    let (cert, key) = pki.issue("location-b", &[]);
    let post = |credential: &[String]| {
        let mut child = example("httppost")
            .args([&program.address.to_string(), "gateway.example", "/semantic", &ca])
            .args(credential)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A refused client reads nothing.
        let _ = child.stdin.take().unwrap().write_all(b"{\"reading\": 1}");
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().success(), said)
    };
    assert_eq!(post(&[arg(&cert), arg(&key)]), (true, "200 OK\ntaken".to_owned()));
    assert_eq!(post(&[]), (false, String::new()));
}
