//! Tests gateways that take signed meshes alone: what comes into force, and what is refused while the last one stays.
//! The meshes are made and signed by `edgetrust federation`.

use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::federation::{Made, federation};
use super::peers::{Program, edgetrust, shell};
use super::pki::arg;

/// The gateway of site a, beside the folder of its mesh.
struct Site {
    made: Made,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { made: Made::new(), folder: tempfile::tempdir().unwrap() };
        site.deliver();
        site.write_config();
        std::fs::copy(site.made.file("root/root.pem"), site.path("root.pem")).unwrap();
        site.made.issue("a", "gateway.a.example", site.folder.path());
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Brings the signed mesh of the folder to the gateway.
    fn deliver(&self) {
        self.write(&self.made.read("mesh.signed.json"));
    }

    /// Brings a mesh file to the gateway, as a whole.
    fn write(&self, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path("mesh.signed.json")).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.path("gateway.json")
    }

    fn write_config(&self) {
        let config = json!({
            "security": {"tls": {"server": {
                "enabled": true, "cert_file": "gateway.a.example.pem", "key_file": "gateway.a.example.key", "mtls": {"enabled": true},
            }}},
            "gateway": {
                "mesh": {"file": "mesh.signed.json", "site": "a", "storage_path": "kept", "ca_bundle": "root.pem"},
                "tunnels": [{"name": "feed-in", "mode": "server", "service": "feed", "listen": "127.0.0.1:0",
                    "target": "127.0.0.1:1"}],
            },
        });
        std::fs::write(self.config(), config.to_string()).unwrap();
    }

    /// Starts the gateway, and leaves its log unread.
    fn run(&self) -> Program {
        self.run_with(&[])
    }

    fn run_with(&self, more: &[&str]) -> Program {
        let config = arg(&self.config());
        let arguments = [&["run", "--config", &config, "--watch-interval", "50ms"], more].concat();
        Program::start_quietly(&arguments.into_iter().map(str::to_owned).collect::<Vec<_>>())
    }

    /// Returns what `check` says, and its exit code.
    fn check(&self) -> (Option<i32>, String) {
        let output = edgetrust(&["check", "--config", &arg(&self.config())]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// Returns the record of the mesh in force.
    fn kept(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("kept/mesh.json")).unwrap()).unwrap()
    }

    /// Returns what a start that fails says.
    fn refused(&self) -> String {
        let output = edgetrust(&["run", "--config", &arg(&self.config())]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }
}

const SOME_KEY: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

#[test]
fn the_higher_edition_is_in_force_and_stays_over_a_restart() {
    let site = Site::new();
    let first = site.made.read("mesh.signed.json");
    let gateway = site.run();
    gateway.wait_for("another mesh is in force: sequence 1 by a signer of generation 1");
    site.made.done(&format!("deny --key {SOME_KEY}"));
    site.deliver();
    gateway.wait_for("another mesh is in force: sequence 2 by a signer of generation 1");
    gateway.wait_for("reloaded");
    // Configuration management brings the one before: the mesh in force stays, here and after a restart.
    site.write(&first);
    gateway.wait_for("the mesh file is older than the mesh in force: found sequence 1");
    drop(gateway);
    let gateway = site.run();
    gateway.wait_for("the mesh file is older than the mesh in force: found sequence 1");
    let (code, said) = site.check();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("sequence 2 by a signer of generation 1") && said.contains("denied by the mesh: 1"),
        "{said}"
    );
    // Without any file too.
    drop(gateway);
    std::fs::remove_file(site.path("mesh.signed.json")).unwrap();
    let gateway = site.run();
    gateway.wait_for("the mesh file is not taken, and the mesh in force stays: ");
    drop(gateway);
    // A signer of the next generation comes before every sequence of the last one.
    site.deliver();
    let gateway = site.run();
    gateway.wait_for("listening");
    site.made.done("signer");
    site.deliver();
    gateway.wait_for("another mesh is in force: sequence 2 by a signer of generation 2");
    assert_eq!(site.kept()["signed"], site.made.read("mesh.signed.json"));
}

#[test]
fn meshes_stand_in_the_audit_log() {
    let site = Site::new();
    let mut config: Value = serde_json::from_slice(&std::fs::read(site.config()).unwrap()).unwrap();
    config["gateway"]["audit_log"] = json!("audit.log");
    std::fs::write(site.config(), config.to_string()).unwrap();
    let first = site.made.read("mesh.signed.json");
    let gateway = site.run();
    gateway.wait_for("listening");
    let events = |event: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(site.path("audit.log")).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    };
    gateway.wait_until("the first mesh", |_| events("mesh").len() == 1);
    site.made.done(&format!("deny --key {SOME_KEY}"));
    site.deliver();
    gateway.wait_until("the second mesh", |_| events("mesh").len() == 2 && !events("denied_key_added").is_empty());
    for (mesh, sequence) in events("mesh").iter().zip(1..) {
        assert_eq!((&mesh["sequence"], &mesh["signer_generation"]), (&json!(sequence), &json!(1)), "{mesh}");
        assert_eq!((&mesh["name"], &mesh["site"]), (&json!("Example Mesh"), &json!("a")), "{mesh}");
        let signer = &mesh["signer"];
        assert!(signer["subject"].is_string() && signer["spki_sha256"].as_str().unwrap().len() == 64, "{mesh}");
        assert!(mesh["digest"].as_str().unwrap().starts_with("sha256:"), "{mesh}");
    }
    assert!(events("mesh")[1]["cause"].as_str().unwrap().contains("mesh.signed.json"));
    assert_eq!(events("denied_key_added")[0]["key"], SOME_KEY);
    site.write(&first.replace("\"signature\": \"", "\"signature\": \"AA"));
    gateway.wait_until("the refused file", |_| events("mesh_refused").len() == 1);
    assert_eq!(events("mesh_refused")[0]["at"], "file");
}

#[test]
fn forged_meshes_are_refused_and_the_last_good_one_stays() {
    let site = Site::new();
    let gateway = site.run();
    gateway.wait_for("listening");
    let kept = site.kept();
    let other = tempfile::tempdir().unwrap();
    let there = arg(&other.path().join("mesh"));
    let said = federation(&["init", &there, "--name", "Example Mesh", "--site", "a=a.example"]);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let foreign = std::fs::read_to_string(other.path().join("mesh/mesh.signed.json")).unwrap();
    site.made.done(&format!("deny --key {SOME_KEY}"));
    let next: Value = site.made.json("mesh.signed.json");
    let with = |member: &str, value: &Value| {
        let mut text = next.clone();
        text[member] = value.clone();
        text.to_string()
    };
    let first: Value = serde_json::from_str(kept["signed"].as_str().unwrap()).unwrap();
    let unsigned = site.made.read("mesh.json");
    for (text, expected) in [
        (foreign, "the signer's certificate: "),
        (unsigned, "found a mesh that is not signed, expected the signed one"),
        (with("payload", &first["payload"]), "the signature was not made by the signer's key"),
        (with("signature", &first["signature"]), "the signature was not made by the signer's key"),
        (with("signature", &"".into()), "signature: found 0 octets, expected 64"),
        (with("header", &json!({"alg": "none"})), "header: found \"header\", expected a known key"),
        ("{".to_owned(), "not a flattened JWS"),
        (String::new(), "not a flattened JWS"),
        (" ".repeat(2 << 20), "found more than"),
    ] {
        site.write(&text);
        let line = gateway.wait_for("the mesh file is not taken, and the mesh in force stays: ");
        assert!(line.contains("mesh.signed.json: ") && line.contains(expected), "{expected}: {line}");
        assert!(line.contains("ERROR"), "{line}");
        gateway.wait_for("reloaded");
        // It starts with the mesh that it has, so that its unit may check first.
        let (code, said) = site.check();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(expected) && said.contains("sequence 1 by a signer of generation 1"), "{said}");
    }
    assert_eq!(site.kept(), kept);
    drop(gateway);
    let gateway = site.run();
    gateway.wait_for("the mesh file is not taken, and the mesh in force stays: ");
    site.deliver();
    gateway.wait_for("another mesh is in force: sequence 2");
}

#[test]
fn a_first_mesh_must_come_from_the_bundle() {
    let site = Site::new();
    let bundle = std::fs::read_to_string(site.path("root.pem")).unwrap();
    let (code, said) = site.check();
    assert_eq!(code, Some(0), "{said}");
    assert!(!site.path("kept").exists(), "check writes nothing");
    std::fs::copy(site.made.file("sites/a/ca.pem"), site.path("root.pem")).unwrap();
    let said = site.refused();
    assert!(said.contains("gateway.mesh: ") && said.contains("mesh.signed.json: the signer's certificate: "), "{said}");
    assert_eq!(site.check().0, Some(1));
    assert!(!site.path("kept/mesh.json").exists());
    std::fs::remove_file(site.path("root.pem")).unwrap();
    let said = site.refused();
    assert!(said.contains("gateway.mesh: ca_bundle: ") && said.contains("root.pem: cannot be read"), "{said}");
    std::fs::write(site.path("root.pem"), bundle).unwrap();
    site.run().wait_for("listening");
    // From now on the bundle does not count.
    std::fs::remove_file(site.path("root.pem")).unwrap();
    site.run().wait_for("listening");
}

#[test]
fn what_was_kept_and_changed_is_refused_by_name() {
    let site = Site::new();
    site.run().wait_for("listening");
    let kept = site.kept();
    let file = site.path("kept/mesh.json");
    let mut foreign = kept.clone();
    foreign["roots"] = json!([]);
    for (text, expected) in [
        (foreign.to_string(), "kept/mesh.json: the signer's certificate: "),
        ("{}".to_owned(), "kept/mesh.json: missing field"),
        (kept.to_string().replace("signed", "sealed"), "kept/mesh.json: unknown field"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = site.refused();
        assert!(said.contains(expected) && said.contains("remove this file, and the mesh file counts"), "{said}");
    }
    std::fs::write(&file, kept.to_string()).unwrap();
    std::fs::set_permissions(site.path("kept"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let said = site.refused();
    assert!(said.contains("gateway.mesh: storage_path: ") && said.contains("mode 777 lets others write"), "{said}");
}

/// Two administrators sign the same sequence: every gateway ends with one text, and denies what both deny.
#[test]
fn two_texts_of_one_sequence_converge_and_deny_what_both_deny() {
    let site = Site::new();
    let copy = tempfile::tempdir().unwrap();
    shell(copy.path(), &format!("cp -a {} mesh", arg(&site.made.path)));
    let other_key = SOME_KEY.replace("2c26", "2c27");
    site.made.done(&format!("deny --key {SOME_KEY}"));
    let there = arg(&copy.path().join("mesh"));
    assert_eq!(federation(&["deny", &there, "--key", &other_key]).status.code(), Some(0));
    let texts = [
        site.made.read("mesh.signed.json"),
        std::fs::read_to_string(copy.path().join("mesh/mesh.signed.json")).unwrap(),
    ];
    let mut ends = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let _ = std::fs::remove_dir_all(site.path("kept"));
        site.write(&texts[order[0]]);
        let gateway = site.run();
        gateway.wait_for("listening");
        site.write(&texts[order[1]]);
        let line = gateway.wait_for("both hold in what they deny, until one of a higher sequence is signed");
        assert!(line.contains("two meshes are signed as sequence 2"), "{line}");
        drop(gateway);
        let (code, said) = site.check();
        assert!(said.contains("keys denied by the mesh: 2"), "{code:?}: {said}");
        ends.push(site.kept()["signed"].clone());
    }
    assert_eq!(ends[0], ends[1]);
    // The next sequence ends it.
    site.made.done("unlink b c --service feed --yes");
    site.deliver();
    let gateway = site.run();
    gateway.wait_for("another mesh is in force: sequence 3");
    drop(gateway);
    let (code, said) = site.check();
    assert!(code == Some(0) && said.contains("keys denied by the mesh: 1"), "{said}");
}

/// Whoever passes a mesh on may add spaces, which are not signed: they are neither kept nor passed on.
#[test]
fn nobody_makes_a_mesh_too_long_to_be_kept() {
    let site = Site::new();
    let text = site.made.read("mesh.signed.json");
    site.write(&format!("{}{text}", "\n".repeat(1_300_000)));
    site.run().wait_for("listening");
    assert_eq!(site.kept()["signed"], json!(text));
    site.run().wait_for("listening");
}

#[test]
fn a_mesh_that_cannot_be_kept_is_in_force_all_the_same() {
    let site = Site::new();
    let mut gateway = site.run();
    gateway.wait_for_tunnel();
    // The name is taken, so nothing can be written over it.
    std::fs::remove_file(site.path("kept/mesh.json")).unwrap();
    std::fs::create_dir_all(site.path("kept/mesh.json.new/x")).unwrap();
    site.made.done(&format!("deny --key {SOME_KEY}"));
    site.deliver();
    let line = gateway.wait_for("the mesh in force cannot be kept: ");
    assert!(line.contains("ERROR"), "{line}");
    gateway.wait_for("reloaded");
    TcpStream::connect(gateway.address).unwrap();
    // Once there is room it is kept, without another change.
    std::fs::remove_dir_all(site.path("kept/mesh.json.new")).unwrap();
    gateway.wait_for("the mesh in force is kept now");
    assert_eq!(site.kept()["signed"], site.made.read("mesh.signed.json"));
}

#[test]
fn the_mesh_in_force_goes_along_where_its_folder_is_moved_or_lost() {
    let site = Site::new();
    let first = site.made.read("mesh.signed.json");
    // The sandbox would have the folder of the start.
    let gateway = site.run_with(&["--no-sandbox"]);
    gateway.wait_for("listening");
    site.made.done(&format!("deny --key {SOME_KEY}"));
    site.deliver();
    gateway.wait_for("another mesh is in force: sequence 2");
    site.write(&first);
    gateway.wait_for("the mesh file is older");
    // Another folder in the configuration.
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config.replace("\"kept\"", "\"moved\"")).unwrap();
    gateway.wait_for("the mesh file is older than the mesh in force: found sequence 1");
    let moved: Value = serde_json::from_slice(&std::fs::read(site.path("moved/mesh.json")).unwrap()).unwrap();
    assert_eq!(moved["signed"], site.made.read("mesh.signed.json"));
    // A folder that others may write to is not used, and what it had counts.
    std::fs::set_permissions(site.path("moved"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    gateway.signal("HUP");
    gateway.wait_for("the mesh in force cannot be kept: ");
    gateway.wait_for("reloaded");
}

#[test]
fn a_signed_file_without_its_keys_is_named() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let without =
        text.replace("\"storage_path\":\"kept\"", "").replace("\"ca_bundle\":\"root.pem\",", "").replace(",}", "}");
    std::fs::write(site.path("half.json"), without).unwrap();
    let output = edgetrust(&["check", "--config", &arg(&site.path("half.json"))]);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("found a signed mesh, expected storage_path and ca_bundle beside file"), "{said}");
}
