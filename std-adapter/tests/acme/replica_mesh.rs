//! Tests that the signed mesh reaches gateways of a site by the store that they share, without a link between them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::cluster::{Bucket, memory};
use super::jetstream::JetStream;
use super::namespaces::wait_until;
use super::peers::{PATIENCE, Program, shell};

const INIT: &str = "edgetrust federation init mesh --name Example --service nats=7000 --link a:b:nats \
    --site a=a.example --address a=127.0.0.1 --site b=b.example --address b=127.0.0.2";

/// A gateway of site a that has no tunnel of a service, and so no connection to any other.
struct Member {
    folder: PathBuf,
}

impl Member {
    fn new(mesh: &Path, nats: &JetStream, name: &str) -> Self {
        let folder = mesh.join(name);
        std::fs::create_dir(&folder).unwrap();
        let mut storage = nats.storage(&folder, "unused");
        storage["nats"].as_object_mut().unwrap().remove("sealing_key_files");
        let config = json!({"gateway": {
            "tunnels": [{"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:9"}],
            "admin": {"listen": "127.0.0.1:0"},
            "mesh": {
                "file": "mesh.signed.json", "site": "a", "storage_path": "kept",
                "ca_bundle": mesh.join("sites/a/root.pem"), "storage": storage,
            },
        }});
        std::fs::write(folder.join("gateway.json"), config.to_string()).unwrap();
        let member = Self { folder };
        member.bring(mesh);
        member
    }

    /// Brings the mesh file as it is now.
    fn bring(&self, mesh: &Path) {
        std::fs::copy(mesh.join("mesh.signed.json"), self.folder.join("mesh.signed.json")).unwrap();
    }

    fn run(&self) -> Program {
        let file = self.folder.join("gateway.json").display().to_string();
        Program::start_quietly(&["run", "--config", &file, "--watch-interval", "50ms"].map(str::to_owned))
    }

    /// Waits until the mesh of this sequence is kept.
    fn keeps(&self, sequence: u64) {
        let until = Instant::now() + PATIENCE;
        let wanted = format!("\"sequence\":{sequence}");
        loop {
            let kept = std::fs::read_to_string(self.folder.join("kept/mesh.json")).unwrap_or_default();
            if payload(&kept).contains(&wanted) {
                return;
            }
            assert!(Instant::now() < until, "sequence {sequence}: {kept:.200}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Returns the payload of the signed text that is kept (RFC 7515 section 7.2.1), without spaces.
fn payload(kept: &str) -> String {
    use base64::Engine;
    let encoded = kept.split("payload").nth(1).and_then(|rest| rest.split('"').find(|part| part.len() > 64));
    let decoded =
        encoded.and_then(|text| base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('\\')).ok());
    String::from_utf8(decoded.unwrap_or_default()).unwrap().replace([' ', '\n'], "")
}

#[test]
#[ignore = "needs nats-server: tests/run"]
fn a_signed_mesh_reaches_the_other_gateways_of_a_site() {
    let (folder, nats): (TempDir, _) = (tempfile::tempdir().unwrap(), JetStream::start(1));
    shell(folder.path(), INIT);
    let mesh = folder.path().join("mesh");
    let [one, other] = ["one", "other"].map(|name| Member::new(&mesh, &nats, name));
    let (first, second) = (one.run(), other.run());
    for member in [&one, &other] {
        member.keeps(1);
    }
    // It is brought to one gateway alone.
    shell(folder.path(), "edgetrust federation unlink mesh a b --service nats --yes");
    one.bring(&mesh);
    for member in [&one, &other] {
        member.keeps(2);
    }
    first.wait_for("the mesh is in the store: ");
    second.wait_for("the store of the mesh has another one: ");

    // One that was away hears of it at its start, and one with an older mesh takes nothing back.
    drop(second);
    shell(folder.path(), "edgetrust federation link mesh a b --service nats");
    one.bring(&mesh);
    one.keeps(3);
    let second = other.run();
    other.keeps(3);
    second.wait_for("the store of the mesh has another one: ");

    // A large mesh: all the denied keys that there may be.
    let file = mesh.join("mesh.json");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let denied = (0..1024).map(|number| json!({"key": format!("sha256:{number:064x}"), "reason": "r".repeat(200)}));
    (text["denied_keys"], text["sequence"]) = (denied.collect(), json!(4));
    std::fs::write(&file, text.to_string()).unwrap();
    shell(folder.path(), "edgetrust federation sign-mesh mesh");
    assert!(std::fs::metadata(mesh.join("mesh.signed.json")).unwrap().len() > 300_000);
    one.bring(&mesh);
    for member in [&one, &other] {
        member.keeps(4);
    }

    // What nobody signed is refused, and the mesh in force is put in its place.
    let bucket = Bucket::of(&nats);
    let signed = bucket.get("mesh.signed");
    bucket.put("mesh.signed", b"{\"payload\": \"e30\"}".to_vec());
    second.wait_for("the mesh in the store is refused: ");
    wait_until("the mesh in force is in the store", || bucket.get("mesh.signed") == signed);
    other.keeps(4);

    // Whoever fills the key costs a gateway what waits of it, here and on its way: not the 300 MB that were written.
    let before = [&first, &second].map(memory);
    let mut highest = before;
    for number in 0_u32..300 {
        let mut text = vec![b'x'; 1_000_000];
        text.extend_from_slice(&number.to_be_bytes());
        bucket.put("mesh.signed", text);
        let now = [&first, &second].map(memory);
        highest = [highest[0].max(now[0]), highest[1].max(now[1])];
    }
    wait_until("the mesh in force is in the store", || bucket.get("mesh.signed") == signed);
    eprintln!("{before:?} octets before, {highest:?} at most");
    for (before, highest) in before.iter().zip(highest) {
        assert!(highest < before + (128 << 20), "{before} octets before, {highest} at most");
    }
}
