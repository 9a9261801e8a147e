//! Tests a mesh whose root is in SoftHSM, and the documented commands.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::peers::{blocks, shell};
use super::pkcs11::{Tokens, p256};
use super::pki::{Pki, arg};

/// Runs a command on the folder of a mesh to its end.
fn federation(tokens: &Tokens, command: &str) -> (Option<i32>, String) {
    let folder = arg(&tokens.pki.path("mesh"));
    let mut words: Vec<&str> = command.split(' ').collect();
    words.insert(1, &folder);
    words.insert(0, "federation");
    let (output, said) = tokens.run(&words);
    (output.status.code(), said)
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn a_root_in_a_token_makes_a_mesh_and_gives_way_to_the_next() {
    let tokens = Tokens::new();
    tokens.generate("EC:prime256v1", "root");
    tokens.generate("EC:secp384r1", "next");
    tokens.generate("rsa:2048", "rsa");
    let done = |command: &str| {
        let (code, said) = federation(&tokens, command);
        assert_eq!(code, Some(0), "{command}: {said}");
        said
    };
    let init = "init --name Mesh --site a=a.example --root-key";
    for (object, expected) in [
        ("rsa", "found an RSA key, expected P-256 or P-384 for a root"),
        ("none", "found no such private key in the token"),
    ] {
        let (code, said) = federation(&tokens, &format!("{init} {}", tokens.uri(object)));
        assert!(code == Some(2) && said.contains("--root-key: ") && said.contains(expected), "{said}");
        assert!(!tokens.pki.path("mesh").exists());
    }
    let said = done(&format!("{init} {}", tokens.uri("root")));
    assert!(said.contains("root/root.key names the root's key, which stays in its token"), "{said}");
    let file = |name: &str| fs::read_to_string(tokens.pki.path("mesh").join(name)).unwrap();
    assert_eq!(file("root/root.key"), format!("{}\n", tokens.uri("root")));
    assert!(!tokens.pki.path("mesh/passwords/root").exists());
    let verifies = || {
        let folder = tokens.pki.path("mesh");
        let (root, ca) = (arg(&folder.join("root/root.pem")), arg(&folder.join("sites/a/ca.pem")));
        Command::new("openssl").args(["verify", "-CAfile", &root, &ca]).output().unwrap().status.success()
    };
    assert!(verifies());
    assert!(!done("show").contains("keep it offline"));
    done("add --site b=b.example");
    done("signer");
    done(&format!("rollover start --next-root-key {}", tokens.uri("next")));
    done("rollover commit --yes");
    assert_eq!(file("root/root.key"), format!("{}\n", tokens.uri("next")));
    assert!(verifies());
    // Without the token nothing is signed, and the mesh stays as it is.
    let before = file("mesh.json");
    fs::rename(tokens.pki.path("tokens"), tokens.pki.path("away")).unwrap();
    fs::create_dir(tokens.pki.path("tokens")).unwrap();
    let (code, said) = federation(&tokens, "add --site c=c.example");
    assert!(
        code == Some(2) && said.contains("root.key: token \"edge\", object \"next\": found no such token"),
        "{said}"
    );
    assert_eq!(file("mesh.json"), before);
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn the_documented_commands_make_a_token_a_key_and_a_mesh() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let conf = folder.path().join("softhsm2.conf");
    fs::write(&conf, format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display())).unwrap();
    let key = p256();
    fs::write(folder.path().join("a.key"), key.serialize_pem()).unwrap();
    let pki = Pki::new("Root");
    fs::write(folder.path().join("a.pem"), pki.sign("a", &["gateway.example"], &key)).unwrap();
    let run = |commands: &str| {
        let commands = commands.replace("/etc/edgetrust", &arg(folder.path()));
        shell(folder.path(), &format!("export SOFTHSM2_CONF={}; {commands}", conf.display()))
    };
    let documented = blocks("docs/OPERATIONS.md");
    let of_tokens = ["softhsm2-util --init-token", "softhsm2-util --import", "federation init mesh"];
    for text in of_tokens {
        let found: Vec<_> = documented.iter().filter(|block| block.contains(text)).collect();
        assert_eq!(found.len(), 1, "{text}");
        run(found[0]);
    }
    // The configuration's example names the key of the first block.
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIGURATION.md")).unwrap();
    let line = text.lines().find(|line| line.starts_with("\"key_file\": \"pkcs11:")).unwrap();
    let config = format!(
        r#"{{"security": {{"tls": {{"server": {{"enabled": true, "cert_file": "a.pem", {line}}}}}}},
            "gateway": {{"tunnels": [{{"name": "a", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:1"}}]}}}}"#
    );
    let config = config.replace("/etc/edgetrust", &arg(folder.path()));
    fs::write(folder.path().join("gateway.json"), config.replace("object=gateway", "object=a")).unwrap();
    let said = String::from_utf8(run("edgetrust check --config gateway.json || true").stdout).unwrap();
    assert!(said.contains(r#"the key matches, the key is in token "edge", object "a""#), "{said}");
    fs::write(folder.path().join("gateway.json"), config).unwrap();
    let said = String::from_utf8(run("edgetrust check --config gateway.json || true").stdout).unwrap();
    assert!(said.contains("the key does not belong to the first certificate"), "{said}");
}
