//! Runs the commands of `docs/TLS_SETUP.md`, with other addresses and folders, and those of the README.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use super::peers::{Program, blocks, edgetrust, http, shell};

/// Returns the arguments after `edgetrust`, with files of a folder and these texts replaced.
fn arguments(command: &str, folder: &Path, replaced: &[(&str, &str)]) -> Vec<String> {
    let words = command.split_whitespace().skip(1).map(|word| {
        let word = replaced.iter().fold(word.to_owned(), |word, (from, to)| word.replace(from, to));
        let is_file = word.ends_with(".pem") || word.ends_with(".key");
        if is_file { folder.join(word).display().to_string() } else { word }
    });
    words.collect()
}

/// Starts a server tunnel and a client tunnel by their commands, and sends a request through both; returns the server.
fn through(folder: &Path, serve: &str, connect: &str) -> Program {
    let service = http("hello").to_string();
    let server =
        Program::start(&arguments(serve, folder, &[("0.0.0.0:8443", "127.0.0.1:0"), ("127.0.0.1:8081", &service)]));
    let address = server.address.to_string();
    let mut connect =
        arguments(connect, folder, &[("127.0.0.1:9001", "127.0.0.1:0"), ("gateway.a.example:8443", &address)]);
    connect.extend(["--server-name".to_owned(), "gateway.a.example".to_owned()]);
    let client = Program::start(&connect);
    let mut stream = TcpStream::connect(client.address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    server
}

/// Returns the same commands for location b.
fn for_b(commands: &str) -> String {
    let names = commands.replace("location-a", "location-b").replace("gateway.a.", "gateway.b.");
    ["key", "csr", "ext", "pem"]
        .iter()
        .fold(names, |commands, end| commands.replace(&format!(" a.{end}"), &format!(" b.{end}")))
}

#[test]
fn tls_setup_from_beginning_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let blocks = blocks("docs/TLS_SETUP.md");
    let [root, certificate, judge, self_signed, pinned, serve, connect, others] = blocks.as_slice() else {
        panic!("{} code blocks, expected eight: this test runs each", blocks.len());
    };
    shell(folder, root);
    shell(folder, certificate);
    shell(folder, &for_b(certificate));
    let said = String::from_utf8(shell(folder, judge).stdout).unwrap();
    assert_eq!(said.matches("accepted").count(), 2, "{said}");
    assert!(said.contains("DNS gateway.a.example"), "{said}");

    let without_ca = tempfile::tempdir().unwrap();
    shell(without_ca.path(), self_signed);
    shell(without_ca.path(), &for_b(self_signed));
    let (pinned_server, pinned_client) = pinned.trim().split_once('\n').unwrap();
    through(without_ca.path(), pinned_server, pinned_client);
    let server = through(folder, serve, connect);
    let address = server.address.to_string();
    let port = server.address.port();
    let others = others
        .replace("curl ", &format!("curl -sS --noproxy '*' --resolve gateway.a.example:{port}:127.0.0.1 "))
        .replace("gateway.a.example:8443/", &format!("gateway.a.example:{port}/"))
        .replace("gateway.a.example:8443", &address)
        .replace("openssl s_client", "openssl s_client -verify_return_error </dev/null");
    let said = String::from_utf8_lossy(&shell(folder, &others).stdout).into_owned();
    assert!(said.contains("hello") && said.contains("Verify return code: 0 (ok)"), "{said}");
}

/// Checks that every flag in the README's commands exists.
#[test]
fn the_readme_names_flags_that_exist() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let mut commands = 0;
    for line in text.lines().filter(|line| line.starts_with("edgetrust ")) {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        let command = words.iter().take_while(|word| !word.starts_with("--")).chain([&"--help"]).copied();
        let help = edgetrust(&command.collect::<Vec<_>>());
        assert_eq!(help.status.code(), Some(0), "{line}");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for flag in words.into_iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{line}: {flag} is not there");
        }
        commands += 1;
    }
    assert!(commands >= 6, "{commands} commands found");
}

/// The matrix in the README is what its two commands print.
#[test]
fn the_readme_shows_the_matrix_of_its_commands() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("P"), "a password\n").unwrap();
    let blocks = blocks("README.md");
    let place = blocks.iter().position(|block| block.starts_with("edgetrust federation init")).unwrap();
    let said = String::from_utf8(shell(folder.path(), &blocks[place]).stdout).unwrap();
    assert!(said.contains(&blocks[place + 1]), "{said}");
}
