//! Tests the judgement of one file of a mesh, without the folder where it was made.

use serde_json::{Value, json};

use super::federation::{Made, federation};
use super::federation_check::says;
use super::peers::shell;
use super::pki::arg;

/// Runs the command on a file in a folder of its own, and returns its exit code and what it says.
fn check(made: &Made, file: &str, options: &[&str]) -> (Option<i32>, String) {
    let file = arg(&made.path.with_file_name(file));
    let output = federation(&[&["check", file.as_str()], options].concat());
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_file_alone_is_judged_as_in_its_folder() {
    let made = Made::new();
    made.done("unlink a b --service feed --yes");
    let c = arg(&made.file("sites/c/ca.pem"));
    made.done(&format!("deny --certificate {c} --reason stolen --yes"));
    made.done("renew b start");
    let in_folder: Value = serde_json::from_slice(&made.run("check --json").stdout).unwrap();
    shell(&made.path, "cp mesh.json mesh.signed.json ..");
    for (file, is_signed) in [("mesh.json", false), ("mesh.signed.json", true)] {
        let (code, said) = check(&made, file, &["--json"]);
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(code, Some(1), "{said}");
        assert_eq!((&report["links"], &report["mesh"]), (&in_folder["links"], &in_folder["mesh"]), "{file}");
        assert!(says(&report, "warnings", &["the mesh denies the key in use of the CA of site c"]), "{said}");
        assert!(says(&report, "notes", &["the CA of site b has two keys, and the first one is in use"]), "{said}");
        let not_seen = "not looked at, for one file alone was: the folders of sites";
        assert!(says(&report, "notes", &[not_seen]), "{said}");
        assert_eq!(says(&report, "notes", &[not_seen, "the signature and the signer"]), !is_signed, "{said}");
        assert_eq!(
            says(&report, "notes", &["signed by the signer of generation 1, under a root"]),
            is_signed,
            "{said}"
        );
        assert_eq!(report["expiries"] == in_folder["expiries"], is_signed, "{said}");
        assert!(!said.contains("the root's key is here"), "{said}");
    }
    assert!(check(&made, "mesh.json", &[]).1.contains("of the wanted links 1 hold, 4 do not"));
}

#[test]
fn files_that_are_no_mesh_are_named() {
    let made = Made::new();
    let file = made.path.with_file_name("file.json");
    let mesh = made.read("mesh.json");
    let signed = made.json("mesh.signed.json");
    let with = |field: &str, value: Value| {
        let mut signed = signed.clone();
        signed[field] = value;
        signed.to_string()
    };
    for (text, expected) in [
        (mesh[..mesh.len() / 2].to_owned(), "EOF while parsing"),
        (String::new(), "EOF while parsing a value"),
        (made.read("root/root.pem"), "expected mesh.json or mesh.signed.json, or the folder of a mesh"),
        ("[]".to_owned(), "mesh: found none, expected mesh.json or mesh.signed.json"),
        (made.read("sites/a/gateway.json"), "mesh: found none, expected mesh.json or mesh.signed.json"),
        (mesh.replace("\"sequence\"", "\"secuence\""), "unknown field `secuence`, expected one of"),
        (mesh.replace("\"feed\"", "1"), "invalid type: integer `1`, expected a string"),
        (with("payload", "?".into()), "payload: found no base64url, expected it"),
        (with("payload", "e30".into()), "payload: missing field `mesh`"),
        (with("protected", "e30".into()), "protected: missing field `alg`"),
        (with("header", json!({})), "unknown field `header`, expected one of `payload`"),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, said) = check(&made, "file.json", &[]);
        assert!(code == Some(2) && said.contains("/file.json: ") && said.contains(expected), "{expected}: {said}");
    }
    // Another mesh under the signature.
    std::fs::write(&file, with("signature", "A".repeat(86).into())).unwrap();
    let (code, said) = check(&made, "file.json", &[]);
    assert!(code == Some(0) && said.contains("warning: no gateway takes "), "{said}");
    shell(&made.path, "mkfifo ../pipe");
    let (code, said) = check(&made, "pipe", &[]);
    assert!(code == Some(2) && said.contains("/pipe: cannot be opened: found no regular file"), "{said}");
}
