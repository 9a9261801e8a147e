//! Tests the changes of a mesh: what they say, what they refuse, and what an interruption leaves.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::federation::{Made, federation};
use super::peers::{edgetrust, shell};
use super::pki::arg;

#[test]
fn options_that_do_not_go_together_are_named_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = arg(&folder.path().join("mesh"));
    let long = format!("{}=x.example", "x".repeat(64));
    for (options, expected) in [
        ("--site a=a.example --site b=a.example", "--site: found \"a.example\", expected a domain that shares no name"),
        ("--site a=a.example --site b=x.a.example", "--site: found \"x.a.example\", expected a domain that shares no"),
        ("--site a=a.example --site a=b.example", "--site: found a twice, expected each site once"),
        ("--site A=a.example", "--site: found \"A\", expected 1 to 63 characters"),
        ("--site ../a=a.example", "--site: found \"../a\", expected 1 to 63 characters"),
        (&format!("--site {long}"), "expected 1 to 63 characters"),
        ("--site a=example", "--site: found \"example\", expected a domain as a.example"),
        ("--site a", "found \"a\", expected NAME=VALUE"),
        ("--site a=a.example --link a:b:feed", "--link: found site \"b\", expected one of a"),
        (
            "--site a=a.example --site b=b.example --link a:b:nats",
            "--link: found service \"nats\", expected one of feed",
        ),
        ("--site a=a.example --site b=b.example --link a:b", "expected FROM:TO:SERVICE"),
        ("--site a=a.example --link a:a:feed", "--link: found a to a, expected two sites"),
        ("--site a=a.example --address b=192.0.2.7", "--address: found site \"b\", expected one of a"),
        ("--site a=a.example --address a=here", "--address: found \"here\", expected an IP address"),
        ("--site a=a.example --service a=8443 --service b=8443", "--service: found port 8443 for a and b"),
        ("--site a=a.example --service feed=80", "--service: found port 80 for feed, expected another than 80, 9000"),
        ("--site a=a.example --service feed=0", "--service: found port 0 for feed"),
        ("--site a=a.example --service feed=70000", "found port \"70000\", expected 1 to 65535"),
        ("--site a=a.example --service Feed=1", "--service: found \"Feed\""),
        ("--site a=a.example --passphrase-file /nowhere", "/nowhere: cannot be read"),
    ] {
        let words: Vec<_> = ["init", &mesh, "--name", "Example"].into_iter().chain(options.split(' ')).collect();
        let output = federation(&words);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{options}: {error}");
        assert!(error.contains(expected), "{options}: {error}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "{options}");
    }
    let output = federation(&["init", &mesh, "--name", "a\"b", "--site", "a=a.example"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--name: found \"a\\\"b\""), "{output:?}");
}

#[test]
fn no_folder_is_made_where_there_is_one_or_none_can_be() {
    let made = Made::new();
    let site = ["--name", "Example", "--site", "a=a.example"];
    for (folder, expected) in [
        (made.path.clone(), "exists already"),
        (made.file("mesh.json"), "exists already"),
        (made.file("mesh.json/mesh"), "mesh.json: found no folder, expected one to make"),
        (made.file("nowhere/mesh"), "nowhere: found no folder"),
        ("/proc/mesh".into(), "cannot be"),
        ("/".into(), "exists already"),
    ] {
        let before = made.contents();
        let folder = arg(&folder);
        let output = federation(&["init", &folder].into_iter().chain(site).collect::<Vec<_>>());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{folder}: {error}");
        assert!(error.contains(expected), "{folder}: {error}");
        assert_eq!(made.contents(), before);
    }
}

#[test]
fn a_chosen_password_is_that_of_the_root_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mesh, file) = (folder.path().join("mesh"), folder.path().join("password"));
    let init = ["init", &arg(&mesh), "--name", "Example", "--site", "a=a.example", "--passphrase-file", &arg(&file)]
        .map(str::to_owned);
    let init: Vec<&str> = init.iter().map(String::as_str).collect();
    std::fs::write(&file, "short\n").unwrap();
    let error = String::from_utf8(federation(&init).stderr).unwrap();
    assert!(error.contains("found 5 characters, expected a password of at least 8 on the first line"), "{error}");
    std::fs::write(&file, "correct horse battery\nnot this\n").unwrap();
    assert_eq!(federation(&init).status.code(), Some(0));
    assert!(!mesh.join("passwords/root").exists() && mesh.join("passwords/site-a").exists());
    shell(&mesh, "openssl pkey -in root/root.key -passin 'pass:correct horse battery' -noout");
    // Without it the root cannot be used, and with it it can.
    let add = ["add", &arg(&mesh), "--site", "b=b.example"].map(str::to_owned);
    let mut add: Vec<&str> = add.iter().map(String::as_str).collect();
    let error = String::from_utf8(federation(&add).stderr).unwrap();
    assert!(error.contains("root.key: found no password, expected --passphrase-file"), "{error}");
    let file = arg(&file);
    add.extend(["--passphrase-file", &file]);
    assert_eq!(federation(&add).status.code(), Some(0));
}

#[test]
fn sites_come_and_go() {
    let made = Made::new();
    let said = made.done("add --site d=d.example --address d=192.0.2.9 --link d:a:feed");
    for part in ["d: is a new site", "d: reaches a for feed", "a: lets d in for feed", "sequence 2, signed"] {
        assert!(said.contains(part), "{said}");
    }
    let mesh = made.json("mesh.json");
    assert_eq!(mesh["sites"][3]["gateways"], json!([{"host": "gateway.d.example", "address": "192.0.2.9"}]));
    shell(&made.path, "openssl verify -CAfile root/root.pem sites/d/ca.pem");
    shell(&made.path, "openssl pkey -in sites/d/ca.key -passin file:passwords/site-d -noout");
    // Once more: nothing is different, and no key is made anew.
    let before = made.contents();
    assert_eq!(made.done("add --site d=d.example --link d:a:feed"), "nothing to change\n");
    assert_eq!(made.contents(), before);
    for (command, expected) in [
        ("add --site d=e.example", "--site: found d twice"),
        ("add --site d=d.example --address d=192.0.2.8", "--address: found another one for d, which is there with"),
        ("add --site e=x.d.example", "expected a domain that shares no name with \"d.example\" of site d"),
        ("add --site e=e.example --link e:x:feed", "--link: found site \"x\", expected one of a, b, c, d, e"),
        ("remove x", "SITE: found site \"x\", expected one of a, b, c, d"),
    ] {
        let error = made.refused(command, 2);
        assert!(error.contains(expected), "{command}: {error}");
    }
    let said = made.refused("remove d", 1);
    assert!(said.contains("a: no longer lets d in for feed") && said.contains("--yes does it"), "{said}");
    made.done("remove d --yes");
    let mesh = made.json("mesh.json");
    assert_eq!(mesh["sites"].as_array().unwrap().len(), 3);
    assert!(!mesh["links"].to_string().contains("\"d\""), "{mesh}");
    assert!(!made.file("sites/d").exists());
    shell(&made.path, "openssl pkey -in removed/d-3/ca.key -passin file:passwords/removed-d-3 -noout");
}

#[test]
fn links_come_and_go() {
    let made = Made::new();
    let gateway = made.read("sites/a/gateway.json");
    let said = made.refused("unlink a b --service feed", 1);
    let expected = "would be done: a: no longer reaches b for feed\nwould be done: b: no longer lets a in for feed\n";
    assert!(said.contains(expected), "{said}");
    made.done("unlink a b --service feed --yes");
    assert!(!made.read("sites/a/gateway.json").contains("feed-to-b"));
    made.done("link a b --service feed");
    // The tunnels that were there kept their ports.
    let again: Value = made.json("sites/a/gateway.json");
    assert_eq!(again, serde_json::from_str::<Value>(&gateway).unwrap());
    for (command, expected) in [
        ("link a b --service nats", "link: found service \"nats\", expected one of feed"),
        ("link a a --service feed", "link: found a to a, expected two sites"),
        ("link a x --service feed", "link: found site \"x\", expected one of a, b, c"),
    ] {
        let error = made.refused(command, 2);
        assert!(error.contains(expected), "{command}: {error}");
    }
}

#[test]
fn a_configuration_changed_by_hand_is_left_alone() {
    let made = Made::new();
    let [file, other] = ["sites/a/gateway.json", "sites/b/gateway.json"];
    // Another port is kept, whatever else is written anew.
    std::fs::write(made.file(other), made.read(other).replace("127.0.0.1:8081", "127.0.0.1:4222")).unwrap();
    let changed = made.read(file).replace("\"renew_before\": \"8h\"", "\"renew_before\": \"6h\"");
    std::fs::write(made.file(file), &changed).unwrap();
    let said = made.done("unlink a b --service feed --yes");
    assert!(said.contains("sites/a/gateway.json: was changed by hand"), "{said}");
    assert_eq!(made.read(file), changed);
    made.done("unlink b c --service feed --yes");
    assert!(made.read(other).contains("127.0.0.1:4222") && !made.read(other).contains("feed-to-c"));
}

#[test]
fn keys_are_denied_and_allowed() {
    let made = Made::new();
    let hash = |file: &str| {
        let command = format!("openssl x509 -in {file} -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum");
        let said = String::from_utf8(shell(&made.path, &command).stdout).unwrap();
        format!("sha256:{}", said.split(' ').next().unwrap())
    };
    let file = arg(&made.file("sites/b/ca.pem"));
    let said = made.refused(&format!("deny --certificate {file}"), 1);
    assert!(said.contains("b: no certificate of its CA is accepted"), "{said}");
    made.done(&format!("deny --certificate {file} --yes --reason stolen --until 2126-01-01"));
    let key = hash("sites/b/ca.pem");
    let denied = json!([{"key": key, "reason": "stolen", "until": "2126-01-01T00:00:00Z"}]);
    assert_eq!(made.json("mesh.json")["denied_keys"], denied);
    for (file, whose) in
        [("root/root.pem", "no certificate under the root"), ("signer/signer.pem", "no signature by it counts")]
    {
        let said = made.refused(&format!("deny --certificate {}", arg(&made.file(file))), 1);
        assert!(said.contains(whose), "{said}");
    }
    for (command, expected) in [
        ("deny --key sha256:00", "expected sha256: and 64 hexadecimal digits"),
        ("deny", "required"),
        (&format!("deny --key {key} --until soon"), "--until: found \"soon\""),
        (&format!("deny --key {key} --reason a\\b"), "--reason: found"),
    ] {
        let error = made.refused(command, 2);
        assert!(error.contains(expected), "{command}: {error}");
    }
    // What is not said again stays, and another end is a change of its own.
    made.done(&format!("deny --key {key} --reason found"));
    let denied = json!([{"key": key, "reason": "found", "until": "2126-01-01T00:00:00Z"}]);
    assert_eq!(made.json("mesh.json")["denied_keys"], denied);
    let error = made.refused(&format!("deny --key {key} --until 2026-01-01"), 2);
    assert!(error.contains("--until: found 2026-01-01T00:00:00Z, which is past"), "{error}");
    let said = made.refused(&format!("deny --key {key} --until 2125-01-01"), 1);
    assert!(said.contains("has another end: 2125-01-01T00:00:00Z"), "{said}");
    made.done(&format!("allow --key {key}"));
    assert_eq!(made.json("mesh.json")["denied_keys"], json!([]));
    assert_eq!(made.done(&format!("allow --key {key}")), "nothing to change\n");
}

#[test]
fn a_wrong_password_changes_nothing() {
    let made = Made::new();
    std::fs::write(made.file("../wrong"), "not the password\n").unwrap();
    let wrong = arg(&made.file("../wrong"));
    for command in [
        format!("add --site d=d.example --passphrase-file {wrong}"),
        format!("add --site d=d.example --signer-passphrase-file {wrong}"),
        format!("deny --key sha256:{} --signer-passphrase-file {wrong}", "0".repeat(64)),
        format!("sign-mesh --signer-passphrase-file {wrong}"),
        format!("signer --passphrase-file {wrong}"),
    ] {
        let error = made.refused(&command, 2);
        assert!(error.contains(".key: this password does not open it"), "{command}: {error}");
        assert!(!error.contains("not the password"), "{error}");
    }
}

#[test]
fn without_its_password_the_mesh_stays_unsigned_until_it_is_signed() {
    let made = Made::new();
    std::fs::rename(made.file("passwords/signer-1"), made.file("../signer")).unwrap();
    let said = made.done("unlink a b --service feed --yes");
    assert!(said.contains("sequence 2, NOT SIGNED\n") && said.contains("  edgetrust federation sign-mesh /"), "{said}");
    assert!(!said.contains("bring"), "{said}");
    assert!(made.done("show").contains("warning: mesh.signed.json is not mesh.json as it is"));
    let error = made.refused("sign-mesh", 2);
    assert!(error.contains("signer.key: found no password, expected --signer-passphrase-file, "), "{error}");
    let said = made.done(&format!("sign-mesh --signer-passphrase-file {}", arg(&made.file("../signer"))));
    assert!(said.contains("sequence 2, signed"), "{said}");
    // A change by hand, with the sequence left as it was.
    let text = made.read("mesh.json").replace("\"port\": 8443", "\"port\": 9443");
    std::fs::write(made.file("mesh.json"), text).unwrap();
    let said = made.done(&format!("sign-mesh --signer-passphrase-file {}", arg(&made.file("../signer"))));
    assert!(said.contains("sequence 3, signed"), "{said}");
    assert_eq!(made.read("sites/a/mesh.signed.json"), made.read("mesh.signed.json"));
}

#[test]
fn files_changed_by_others_are_named() {
    let made = Made::new();
    let text = made.read("mesh.json");
    let issuers: Value = serde_json::from_str(&text).unwrap();
    let [a, b] = [0, 1].map(|site| issuers["sites"][site]["issuers"][0].as_str().unwrap().to_owned());
    for (from, to, expected) in [
        (a.as_str(), b.as_str(), "sites[1].issuers: found the key of site a for b, expected a key of its own"),
        ("b.example\"", "x.a.example\"", "sites[1].domains: found \"x.a.example\""),
        ("\"sequence\": 1", "\"sequence\": -1", "invalid value"),
        ("\"mesh\"", "\"mosh\"", "mosh"),
        ("{", "[", "mesh.json: "),
    ] {
        std::fs::write(made.file("mesh.json"), text.replace(from, to)).unwrap();
        let error = made.refused("link a b --service feed", 2);
        assert!(error.contains(expected), "{to}: {error}");
    }
    std::fs::write(made.file("mesh.json"), &text).unwrap();
    std::fs::write(made.file("signer/signer.key"), made.read("root/root.key")).unwrap();
    std::fs::write(made.file("passwords/signer-1"), made.read("passwords/root")).unwrap();
    let error = made.refused("unlink a b --service feed --yes", 2);
    assert!(error.contains("signer.key: found another key than that of its certificate"), "{error}");
}

#[test]
fn one_command_at_a_time() {
    let made = Made::new();
    let held = std::fs::File::open(&made.path).unwrap();
    held.lock().unwrap();
    let error = made.refused("link a b --service feed", 2);
    assert!(error.contains("mesh: another command uses it"), "{error}");
    // Looking needs no lock.
    made.done("show");
}

#[test]
fn show_has_all_in_json() {
    let made = Made::new();
    let shown: Value = serde_json::from_str(&made.done("show --json")).unwrap();
    assert_eq!(
        (&shown["mesh"], &shown["sequence"], &shown["signed"]),
        (&"Example Mesh".into(), &1.into(), &"yes".into())
    );
    assert_eq!(shown["signer"]["generation"], 1);
    assert_eq!(shown["roots"][0]["subject"], "O=Example Mesh,CN=Example Mesh Root");
    assert_eq!(shown["sites"][0]["issuers"][0]["subject"], "O=Example Mesh,CN=Site a CA");
    assert_eq!(shown["links"].as_array().unwrap().len(), 6);
    assert_eq!(shown["links"][0], json!({"from": "a", "to": "b", "service": "feed"}));
    assert!(shown["warnings"][0].as_str().unwrap().contains("the root's key is here"));
    // By its other name.
    let output = edgetrust(&["mesh", "show", &arg(&made.path)]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("Example Mesh: sequence 1, signed, "));
}

/// A path need not be text.
#[test]
fn a_folder_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mesh = folder.path().join(std::ffi::OsStr::from_bytes(b"m\xffsh"));
    let run = |words: &[&str], more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgetrust"));
        command.arg("federation").args(words).arg(&mesh).args(more).arg("--json").stdin(Stdio::null());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let made = run(&["init"], &["--name", "Example", "--site", "a=a.example", "--site", "b=b.example"]);
    assert_eq!(made["linked_by_default"], true);
    std::fs::write(mesh.join("sites/a/gateway.json"), "{}").unwrap();
    // What is not ours stays.
    std::fs::write(mesh.join("passwords/.keep"), "").unwrap();
    let changed = run(&["unlink"], &["a", "b", "--service", "feed", "--yes"]);
    assert_eq!(changed["left"].as_array().unwrap().len(), 1, "{changed}");
    assert!(mesh.join("passwords/.keep").exists());
}

/// Kills a command as soon as `reached` holds of its folder, or at its end.
pub fn kill_when(made: &Made, command: &str, reached: impl Fn(&Made) -> bool) {
    let mut words: Vec<&str> = command.split(' ').collect();
    let folder = arg(&made.path);
    words.insert(1, &folder);
    let mut program = Command::new(env!("CARGO_BIN_EXE_edgetrust"));
    program.arg("federation").args(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = program.spawn().unwrap();
    while !reached(made) && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn a_killed_command_can_be_run_again() {
    let made = Made::new();
    let command = "add --site d=d.example --link d:a:feed";
    let save = arg(&made.path.with_file_name("saved"));
    shell(&made.path, &format!("cp -a . {save}"));
    for name in [
        "sites/.d.new",
        "sites/.d.new/README.txt",
        "passwords/.site-d.new",
        "sites/a/.README.txt.new",
        ".mesh.json.new",
        ".mesh.signed.json.new",
        "passwords/site-d",
        "sites/d",
        "sites/d/mesh.signed.json",
    ] {
        kill_when(&made, command, |made| made.file(name).exists());
        made.done("show");
        made.done(command);
        let mesh = made.json("mesh.json");
        assert_eq!((&mesh["sequence"], mesh["sites"].as_array().unwrap().len()), (&2.into(), 4), "{name}");
        shell(&made.path, "openssl verify -CAfile root/root.pem sites/d/ca.pem");
        shell(&made.path, "openssl pkey -in sites/d/ca.key -passin file:passwords/site-d -noout");
        assert!(made.done("show").starts_with("Example Mesh: sequence 2, signed, "), "{name}");
        shell(&made.path, &format!("cd .. && rm -rf mesh && cp -a {save} mesh"));
    }
}

/// A command that was killed right after it replaced `mesh.json`, or right before, is finished by the next one.
#[test]
fn what_an_interruption_leaves_is_finished() {
    let made = Made::new();
    let before = made.read("mesh.json");
    shell(&made.path, "cp mesh.signed.json ../signed");
    made.done("add --site d=d.example --link d:a:feed");
    // After: the folder has no name yet, the signature is that of before, and the copies are old.
    shell(
        &made.path,
        "mv sites/d sites/.d.new; mv passwords/site-d passwords/.site-d.new; cp ../signed mesh.signed.json; echo old > sites/a/mesh.signed.json",
    );
    made.done("add --site d=d.example --link d:a:feed");
    shell(&made.path, "openssl pkey -in sites/d/ca.key -passin file:passwords/site-d -noout");
    assert_eq!(made.read("sites/a/mesh.signed.json"), made.read("mesh.signed.json"));
    // Before: the mesh does not know the folder, and another key is made.
    let key = made.read("sites/d/ca.key");
    shell(&made.path, "mv sites/d sites/.d.new; mv passwords/site-d passwords/.site-d.new");
    std::fs::write(made.file("mesh.json"), before).unwrap();
    made.done("add --site d=d.example");
    assert_ne!(made.read("sites/d/ca.key"), key);
    shell(&made.path, "openssl pkey -in sites/d/ca.key -passin file:passwords/site-d -noout");
    // A signer that has no name yet.
    made.done("signer");
    shell(&made.path, "mv signer .signer.new");
    assert!(made.done("sign-mesh").contains("signed by the signer of generation 2"));
    shell(&made.path, "test -f signer/signer.key && mkdir .signer.new && echo half > .signer.new/signer.key");
    made.done("sign-mesh");
    assert!(!made.file(".signer.new").exists());
}

#[test]
fn a_killed_init_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = folder.path().join("mesh");
    let init = ["init", &arg(&mesh), "--name", "Example", "--site", "a=a.example"].map(str::to_owned);
    let init: Vec<&str> = init.iter().map(String::as_str).collect();
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgetrust")).arg("federation").args(&init).spawn().unwrap();
    let staged = folder.path().join(".mesh.new");
    while !staged.join("root/root.pem").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
    assert!(staged.exists() && !mesh.exists(), "killed in the middle");
    assert_eq!(federation(&init).status.code(), Some(0));
    assert!(!staged.exists() && mesh.join("mesh.signed.json").exists());
}

#[test]
fn the_gateway_takes_its_configuration() {
    let made = Made::new();
    for site in ["a", "b", "c"] {
        let file = made.file(&format!("sites/{site}/gateway.json"));
        let text = std::fs::read_to_string(&file).unwrap().replace("/var/lib/edgetrust/", "state/");
        std::fs::write(&file, text).unwrap();
        let output = edgetrust(&["check", "--config", &arg(&file)]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}{output:?}");
        for other in ["a", "b", "c"].iter().filter(|other| **other != site) {
            assert!(text.contains(&format!("feed lets in gateway.{other}.example of site {other}")), "{text}");
            assert!(text.contains(&format!("feed leads to gateway.{other}.example of site {other}")), "{text}");
        }
    }
}

#[test]
fn a_mesh_from_a_backup_gets_a_sequence_above_all_that_were_signed() {
    let made = Made::new();
    let backup = made.read("mesh.json");
    let key = |digit: &str| format!("sha256:{}", digit.repeat(64));
    for digit in ["1", "2", "3"] {
        made.done(&format!("deny --key {}", key(digit)));
    }
    assert_eq!(made.json("mesh.json")["sequence"], 4);
    std::fs::write(made.file("mesh.json"), backup).unwrap();
    let said = made.done(&format!("deny --key {}", key("4")));
    assert!(said.contains("sequence 5, signed"), "{said}");
}

#[test]
fn the_root_of_another_mesh_issues_nothing_here() {
    let (made, other) = (Made::new(), tempfile::tempdir().unwrap());
    let there = arg(&other.path().join("mesh"));
    let said = federation(&["init", &there, "--name", "Other", "--site", "x=x.example"]);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let (from, to) = (&there, arg(&made.path));
    shell(other.path(), &format!("cd {from} && cp root/* {to}/root && cp passwords/root {to}/passwords"));
    for command in ["add --site d=d.example", "signer"] {
        let error = made.refused(command, 2);
        assert!(error.contains("root.pem: is no root of mesh.json, expected one of its roots"), "{error}");
    }
}
