//! Tests malformed key files: every command names the fault and reveals nothing of the key.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::peers::{PATIENCE, edgetrust};
use super::pki::{Pki, arg};

/// Returns the key file with a hundred different faults.
fn mutilations(text: &str) -> Vec<String> {
    let body: String = text.lines().filter(|line| !line.contains("-----")).collect();
    let lines: Vec<&str> = text.lines().collect();
    let mut all = vec![
        text.replace('\n', ""),
        text.replace('\n', " "),
        text.replace('\n', "\\n"),
        text.replace('\n', "\\r\\n"),
        format!("\"{}\"", text.replace('\n', "\\n")),
        json!({ "key": text }).to_string(),
        text.replacen('\n', "\\n", 1),
        text.replace('\n', "\0"),
        body.clone(),
        format!("{body}\n"),
        format!("-----BEGIN PRIVATE KEY-----{body}-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN {body}-----\n{body}\n-----END {body}-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n-----BEGIN {body}-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{body}: {body}\n{body}\n-----END PRIVATE KEY-----\n"),
        format!(
            "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: {body}\n\n{body}\n-----END PRIVATE KEY-----\n"
        ),
        format!("{text}{text}"),
        format!("{}{text}", text.trim_end()),
        text.to_lowercase(),
        text.to_uppercase(),
        text.replace("-----", "----"),
        text.replace("-----", "\u{2014}"),
        text.replace("PRIVATE KEY", "CERTIFICATE"),
        text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        text.replace("PRIVATE KEY", "EC PRIVATE KEY"),
        text.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"),
        text.replace("BEGIN PRIVATE", "BEGIN EC PRIVATE"),
        text.chars().rev().collect(),
        text.encode_utf16().flat_map(|unit| [char::from(unit.to_le_bytes()[0]), '\0']).collect(),
    ];
    let step = text.len() / 24;
    for place in (1..24).map(|number| number * step) {
        let (before, after) = text.split_at(place);
        all.push(before.to_owned());
        all.push(format!("{before}!{after}"));
        all.push(format!("{before}{}", &after[1..]));
        all.push(format!("{before}-----{after}"));
    }
    for number in 0..lines.len() {
        let without = lines.iter().enumerate().filter(|(place, _)| *place != number).map(|(_, line)| *line);
        all.push(without.collect::<Vec<_>>().join("\n"));
    }
    all
}

/// Detects runs of eight characters of the key.
struct Secret(String);

impl Secret {
    fn of(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.contains("-----")).collect())
    }

    fn assert_not_in(&self, said: &[u8], mutilated: &str) {
        let said = String::from_utf8_lossy(said).to_lowercase();
        let body = self.0.to_lowercase();
        for run in body.as_bytes().windows(8).map(|run| std::str::from_utf8(run).unwrap()) {
            assert!(!said.contains(run), "{run} of the key is in\n{said}\nfor\n{mutilated}");
        }
    }
}

fn config(pki: &Pki, cert: &str, key: &str) -> String {
    json!({"gateway": {"admin": {"listen": "127.0.0.1:0"}, "tunnels": [{
        "name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:1",
        "tls": {"enabled": true, "cert_file": cert, "key_file": key,
            "mtls": {"enabled": true, "client_ca_files": [arg(&pki.ca())], "allowed_client_cns": ["location-b"]}},
    }]}})
    .to_string()
}

#[test]
fn no_subcommand_says_anything_of_a_key() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let text = fs::read_to_string(&key).unwrap().replace("\r\n", "\n");
    let secret = Secret::of(&text);
    let [cert, key, file] = [arg(&cert), arg(&pki.path("spoilt.key")), arg(&pki.path("gateway.json"))];
    fs::write(&file, config(&pki, &cert, &key)).unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:1"];
    for (number, spoilt) in mutilations(&text).iter().enumerate() {
        fs::write(&key, spoilt).unwrap();
        let checked = edgetrust(&["check", "--config", &file]);
        secret.assert_not_in(&[&checked.stdout[..], &checked.stderr].concat(), spoilt);
        if checked.status.success() {
            // A key that is still readable would be served.
            continue;
        }
        let commands: [Vec<&str>; 6] = [
            vec!["run", "--config", &file],
            vec!["serve", "--cert", &cert, "--key", &key],
            vec!["serve", "--cert", &key, "--key", &key],
            vec!["connect", "--cacert", &key],
            vec!["inspect", &key],
            vec!["check", "--config", &key],
        ];
        // Each kind of reader gets each kind of fault, but not every fault.
        let command = &commands[number % commands.len()];
        let more = if matches!(command[0], "serve" | "connect") { &flags[..] } else { &[] };
        let output = edgetrust(&[command, more].concat());
        secret.assert_not_in(&[&output.stdout[..], &output.stderr].concat(), spoilt);
    }
}

#[test]
fn a_key_in_place_of_its_files_name_is_not_repeated() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let text = fs::read_to_string(&key).unwrap();
    let file = arg(&pki.path("gateway.json"));
    fs::write(&file, config(&pki, &arg(&cert), &text)).unwrap();
    for command in [
        &["check", "--config", &file][..],
        &["run", "--config", &file],
        &["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", &arg(&cert), "--key", &text],
    ] {
        let output = edgetrust(command);
        let said = [&output.stdout[..], &output.stderr].concat();
        Secret::of(&text).assert_not_in(&said, &text);
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("found PEM") && said.contains("expected the name of a file"), "{said}");
    }
}

/// Returns a page of the program.
fn page(address: &str, path: &str) -> Vec<u8> {
    let arguments = ["--silent", "--max-time", "60", "--noproxy", "*", &format!("http://{address}{path}")];
    Command::new("curl").args(arguments).output().unwrap().stdout
}

#[test]
fn a_refused_reload_says_nothing_of_the_key() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let text = fs::read_to_string(&key).unwrap().replace("\r\n", "\n");
    let secret = Secret::of(&text);
    let (file, log) = (pki.path("gateway.json"), pki.path("log"));
    fs::write(&file, config(&pki, &arg(&cert), &arg(&key))).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgetrust"))
        .args(["run", "--watch-interval", "0s", "--config", &arg(&file)])
        .envs([("NO_COLOR", "1"), ("RUST_LOG", "trace")])
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    let wait = |what: &str, count: usize| {
        let until = Instant::now() + PATIENCE;
        while said().matches(what).count() < count {
            assert!(Instant::now() < until, "no {what}: {}", said());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    wait("pages address=", 1);
    let address = said().split("pages address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    wait("listening tunnel=", 1);
    for (number, spoilt) in mutilations(&text).iter().enumerate() {
        fs::write(&key, spoilt).unwrap();
        hang_up(child.id());
        wait("cause=SIGHUP", number + 1);
        secret.assert_not_in(&page(&address, "/status"), spoilt);
    }
    secret.assert_not_in(said().as_bytes(), "all of them");
    assert!(said().contains("reload refused"), "{}", said());
    child.kill().unwrap();
    child.wait().unwrap();
}

fn hang_up(process: u32) {
    let status = Command::new("kill").args(["-HUP", &process.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Neither a start nor a check waits for the first order to find a URI's fault.
#[test]
fn a_pin_in_the_uri_of_an_ordered_key_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.json");
    let acme = json!({"enabled": true, "domains": ["a.example"], "directory_url": "https://127.0.0.1:1/d",
        "storage_path": "acme", "http_listen": "127.0.0.1:0", "key": "pkcs11:token=a;object=b?pin-value=hunter2"});
    let tunnel = json!({"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:9",
        "tls": {"enabled": true, "mode": "acme", "acme": acme}});
    std::fs::write(&file, json!({"gateway": {"tunnels": [tunnel]}}).to_string()).unwrap();
    for command in ["check", "run"] {
        let output = edgetrust(&[command, "--config", &arg(&file)]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("acme.key: pkcs11 URI: pin-value: a PIN has no place"), "{command}: {said}");
        assert!(!said.contains("hunter2") && !output.status.success(), "{command}: {said}");
    }
}
