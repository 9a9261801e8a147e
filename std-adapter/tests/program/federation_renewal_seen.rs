//! Tests what gateways say of the mesh that they have: gateways that run, files of their pages, and servers that lie.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::control::Sites;
use super::control_servers::{say, serve};
use super::federation::Made;
use super::pages::{get, pages};
use super::peers::{Program, shell};
use super::pki::arg;

/// Runs a step that fails or not, and returns its exit code and what it says.
fn run(made: &Made, command: &str) -> (Option<i32>, String) {
    let output = made.run(command);
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Runs the gateways of three sites, each with its pages.
fn three(sites: &Sites) -> [Program; 3] {
    let admin = json!({"admin": {"listen": "127.0.0.1:0"}});
    [("a", Some("b")), ("b", Some("c")), ("c", None)]
        .map(|(site, next)| sites.run_with(site, next, &json!({}), &admin, &[]))
}

/// Saves the `/status` of a gateway, as its operator does.
fn save(sites: &Sites, site: &str, pages: &str) -> String {
    let (code, text) = get(pages, "/status", &[]);
    assert_eq!(code, "200");
    let file = sites.folder_of(site).join("status.json");
    std::fs::write(&file, text).unwrap();
    arg(&file)
}

#[test]
fn a_ca_gets_a_new_key_once_all_gateways_have_said_that_they_know_it() {
    let sites = Sites::new();
    let [a, b, c] = three(&sites);
    let pages_of_a = pages(&a);
    for gateway in [&b, &c] {
        gateway.wait_for("listening tunnel=feed-in");
    }
    let config = arg(&sites.folder_of("b").join("gateway.json"));
    let made = &sites.made;
    made.done("renew c start");
    let (code, said) = run(made, &format!("renew c status --config {config}"));
    assert_eq!(code, Some(1), "{said}");
    for host in ["gateway.b.example, site b", "gateway.c.example, site c"] {
        let expected = format!("NO  {host}: has sequence 1 by a signer of generation 1 in force, expected sequence 2");
        assert!(said.contains(&expected), "{said}");
    }
    assert!(said.contains("gateway.a.example, site a: no tunnel of a service leads to it: --status"), "{said}");
    let (code, said) = run(made, &format!("renew c commit --config {config}"));
    assert!(code == Some(1) && said.contains("against it: gateway.b.example of site b"), "{said}");

    sites.deliver("b");
    for gateway in [&a, &b, &c] {
        gateway.wait_for("another mesh is in force: sequence 2");
        gateway.wait_for("reloaded");
    }
    let of_a = save(&sites, "a", &pages_of_a);
    let heard = format!("--config {config} --status a={of_a}");
    let (code, said) = run(made, &format!("renew c status {heard}"));
    assert!(code == Some(0) && said.contains("3 of 3 gateways have acknowledged the mesh"), "{said}");
    // By its host name too.
    made.done(&format!("renew c status --config {config} --status gateway.a.example={of_a}"));
    let said = made.done(&format!("renew c commit {heard}"));
    assert!(!said.contains("on your word"), "{said}");

    sites.deliver("a");
    for gateway in [&a, &b, &c] {
        gateway.wait_for("another mesh is in force: sequence 3");
        gateway.wait_for("reloaded");
    }
    let heard = format!("--config {config} --status a={}", save(&sites, "a", &pages_of_a));
    let (code, said) = run(made, &format!("renew c finish --lifetime 0s {heard}"));
    assert_eq!(code, Some(1), "{said}");
    let expected = "against it: gateway.c.example of site c shows a certificate of another CA than the one in use";
    assert!(said.contains(expected) && said.matches("against it").count() == 1, "{said}");
    made.issue("c", "gateway.c.example", &sites.folder_of("c"));
    c.wait_for("reloaded");
    let (code, said) = run(made, &format!("renew c finish {heard}"));
    assert!(
        code == Some(1) && said.matches("against it").count() == 1 && said.contains("may be valid until"),
        "{said}"
    );
    let said = made.done(&format!("renew c finish --lifetime 0s {heard}"));
    assert!(said.contains("3 of 3 gateways have acknowledged the mesh"), "{said}");
}

#[test]
fn pages_say_which_ca_a_gateway_shows() {
    let sites = Sites::new();
    let [_a, _b, c] = three(&sites);
    let pages = pages(&c);
    let made = &sites.made;
    made.done("renew c start");
    made.done("renew c commit --yes");
    let of_c = save(&sites, "c", &pages);
    let finish = format!("renew c finish --lifetime 0s --status c={of_c}");
    let (_, said) = run(made, &finish);
    assert!(said.contains("gateway.c.example of site c shows a certificate of another CA"), "{said}");
    made.issue("c", "gateway.c.example", &sites.folder_of("c"));
    c.wait_for("reloaded");
    save(&sites, "c", &pages);
    let (code, said) = run(made, &finish);
    // It has the first mesh still.
    assert!(code == Some(1) && said.contains("; shows a certificate of the CA in use"), "{said}");
    assert!(said.contains("against it: gateway.c.example of site c has not acknowledged the mesh"), "{said}");
}

#[test]
fn files_that_are_no_status_are_named() {
    let made = Made::new();
    let file = made.file("../status.json");
    let mesh = json!({"name": "Example Mesh", "site": "a", "sequence": 1, "signer_generation": 1,
        "digest": format!("sha256:{}", "0".repeat(64)), "not_after": null, "file_refused": null, "conflict": false});
    let with = |key: &str, value: Value| {
        let mut mesh = mesh.clone();
        mesh[key] = value;
        json!({"mesh": mesh, "tunnels": []}).to_string()
    };
    for (text, expected) in [
        (String::new(), "EOF while parsing a value"),
        ("[]".to_owned(), "expected the /status of a gateway"),
        (json!({"mesh": null}).to_string(), "mesh: found none, expected the mesh in force"),
        (with("site", "b".into()), "mesh: found site \"b\" of mesh \"Example Mesh\", expected site \"a\""),
        (with("name", "Other".into()), "mesh: found site \"a\" of mesh \"Other\""),
        (with("digest", "x".into()), "mesh.digest: found \"x\", expected sha256:"),
        (with("sequence", (-1).into()), "invalid value"),
        (with("signer_generation", 4_294_967_296_u64.into()), "invalid value"),
        (format!("{}{}", " ".repeat(3 << 20), with("site", "a".into())), "found more than 2097152 octets"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = made.refused(&format!("renew a status --status a={}", arg(&file)), 2);
        assert!(said.contains("status.json: ") && said.contains(expected), "{expected}: {said}");
    }
    let text = json!({"mesh": mesh, "tunnels": [{"certificate_issuer": "sha256:00"}]});
    std::fs::write(&file, text.to_string()).unwrap();
    let said = made.refused(&format!("renew a status --status a={}", arg(&file)), 2);
    assert!(said.contains("tunnels.certificate_issuer: found \"sha256:00\""), "{said}");
    std::fs::write(&file, with("site", "a".into())).unwrap();
    let said = made.refused(&format!("renew a status --status a={}", arg(&file)), 1);
    assert!(said.contains("has another mesh in force that is signed as sequence 1"), "{said}");
    std::fs::write(&file, with("sequence", 9.into())).unwrap();
    let said = made.refused(&format!("renew a status --status a={}", arg(&file)), 1);
    assert!(said.contains("has sequence 9 by a signer of generation 1 in force, and here is sequence 1"), "{said}");
    for (option, expected) in [
        ("x=y", "--status: found \"x\", expected a site of the mesh or the host of a gateway"),
        ("a=none", "none: not there, expected the /status of a gateway"),
        ("a", "expected NAME=VALUE"),
    ] {
        let said = made.refused(&format!("renew a status --status {option}"), 2);
        assert!(said.contains(expected), "{option}: {said}");
    }
    // Nobody writes to it.
    shell(&made.path, "mkfifo ../pipe");
    let said = made.refused(&format!("renew a status --status a={}", arg(&made.file("../pipe"))), 2);
    assert!(said.contains("pipe: cannot be opened: found no regular file, expected one"), "{said}");
    let said = made.refused(&format!("renew a start --request {}", arg(&made.file("../pipe"))), 2);
    assert!(said.contains("pipe: cannot be read: found no regular file, expected one"), "{said}");
    let said = made.refused("renew a status --config none", 2);
    assert!(said.contains("none: cannot be read"), "{said}");
    std::fs::write(&file, json!({"gateway": {"tunnels": []}}).to_string()).unwrap();
    let said = made.refused(&format!("renew a status --config {}", arg(&file)), 2);
    assert!(said.contains("--config: found no tunnel of a service with a certificate"), "{said}");
}

/// Whoever has the key of a gateway says nothing by which a command hangs, or takes it for what it is not.
#[test]
fn servers_that_lie_are_not_believed() {
    let sites = Sites::new();
    // The configuration of b, whose certificate is shown.
    drop(sites.run("b", Some("c")));
    let config = arg(&sites.folder_of("b").join("gateway.json"));
    let answers = std::sync::Mutex::new(0);
    let _asked = serve(&sites, move |stream, _| {
        let mut number = answers.lock().unwrap();
        *number += 1;
        match *number {
            1 => say(stream, 304, ""),
            2 => say(stream, 200, "no tag"),
            3 => stream.write_all(b"HTTP/1.1 200 X\r\nETag: \"1.1.sha256:00\"\r\nContent-Length: 0\r\n\r\n"),
            4 => stream.write_all(b"SSH-2.0-x\r\n"),
            5 => (0..1_000).try_for_each(|_| stream.write_all("HTTP/1.1 103 X\r\n\r\n".repeat(200).as_bytes())),
            // A body without an end is not waited for.
            6 => {
                let tag = format!("\"1.1.sha256:{}\"", "0".repeat(64));
                let head = format!("HTTP/1.1 200 X\r\nETag: {tag}\r\nContent-Length: 1000000\r\n\r\n");
                stream.write_all(head.as_bytes())
            }
            _ => {
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            }
        }
    });
    for (timeout, expected) in [
        ("50s", "it answers 304 Not Modified"),
        ("50s", "its answer has no ETag of a mesh"),
        ("50s", "its answer has no ETag of a mesh"),
        ("50s", "the connection has ended: "),
        ("50s", "found more, expected at most"),
        ("50s", "has another mesh in force that is signed as sequence 1"),
        ("1s", "no answer within 1s"),
    ] {
        let (code, said) = run(&sites.made, &format!("renew c status --timeout {timeout} --config {config}"));
        let line = said.lines().find(|line| line.contains("gateway.c.example")).unwrap();
        assert!(code == Some(1) && line.contains(expected) && line.contains("NO "), "{expected}: {said}");
    }
    // A gateway whose CA has no place in the mesh of this folder is not believed either.
    let c = arg(&sites.made.file("sites/c/ca.pem"));
    sites.made.done(&format!("deny --certificate {c} --yes"));
    let (_, said) = run(&sites.made, &format!("renew c status --config {config}"));
    assert!(said.contains("gateway.c.example, site c: 127.0.0.3:") && said.contains("its key is denied"), "{said}");
}
