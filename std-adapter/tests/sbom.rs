//! Tests the bill of materials that `packaging/build` writes: against the schema of CycloneDX, and against what cargo says
//! of the same program without a build.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Returns a file of the repository's folder.
fn place(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(file)
}

fn json(file: &str) -> Value {
    let text = std::fs::read(place(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_slice(&text).unwrap()
}

/// `packaging/reproduce` leaves it there.
fn materials() -> Value {
    json("target/reproduced/edgetrust.cdx.json")
}

fn property(materials: &Value, name: &str) -> String {
    let properties = materials["metadata"]["properties"].as_array().unwrap();
    let found = properties.iter().find(|one| one["name"] == format!("edgetrust:{name}"));
    found.unwrap_or_else(|| panic!("no property {name}"))["value"].as_str().unwrap().to_owned()
}

/// Returns the crates that cargo's tree has along `edges`, as name and version.
fn tree(materials: &Value, edges: &str) -> BTreeSet<String> {
    let [target, features] = ["target", "features"].map(|name| property(materials, name));
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--package", "edgetrust", "--no-default-features"])
        .args(["--features", &features, "--target", &target, "--edges", edges, "--prefix", "none", "--format", "{p}"])
        .current_dir(place(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    String::from_utf8(output.stdout).unwrap().lines().map(words).collect()
}

fn named(component: &Value) -> String {
    format!("{} v{}", component["name"].as_str().unwrap(), component["version"].as_str().unwrap())
}

#[test]
#[ignore = "needs packaging/build: tests/run"]
fn it_names_the_crates_of_the_program_and_no_others() {
    let materials = materials();
    let program = named(&materials["metadata"]["component"]);
    let scoped = |scopes: &[&str]| -> BTreeSet<String> {
        let components = materials["components"].as_array().unwrap().iter();
        let chosen = components.filter(|one| scopes.contains(&one["scope"].as_str().unwrap())).map(named);
        chosen.chain([program.clone()]).collect()
    };
    let linked = tree(&materials, "normal,no-proc-macro");
    assert!(linked.len() > 50, "{linked:?}");
    assert_eq!(scoped(&["required"]), linked);
    assert_eq!(scoped(&["required", "excluded"]), tree(&materials, "normal,build"));
}

#[test]
#[ignore = "needs packaging/build: tests/run"]
fn it_is_about_the_program_beside_it_and_each_crate_has_a_licence_and_a_digest() {
    let materials = materials();
    let program = std::fs::read(place("target/reproduced/edgetrust")).unwrap();
    let digest: String = Sha256::digest(&program).iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(materials["metadata"]["component"]["hashes"][0]["content"], digest);
    for component in materials["components"].as_array().unwrap() {
        assert!(component["licenses"][0]["expression"].is_string(), "{component:#}");
        let ours = named(component).starts_with("edgetrust");
        assert_eq!(component["hashes"].is_array(), !ours, "{component:#}");
    }
}

#[test]
#[ignore = "needs packaging/build: tests/run"]
fn it_has_the_shape_of_cyclonedx() {
    let schema = |name| json(&format!("target/tools/cyclonedx/package/res/schema/{name}.SNAPSHOT.schema.json"));
    let resource = |name| (format!("http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json"), schema(name));
    let registry = jsonschema::Registry::new().extend(["spdx", "jsf-0.82"].map(resource)).unwrap().prepare().unwrap();
    let validator = jsonschema::options().with_registry(&registry).build(&schema("bom-1.6")).unwrap();
    let mut materials = materials();
    let faults: Vec<_> =
        validator.iter_errors(&materials).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // The validator does find what is wrong.
    materials["components"][0]["type"] = "crate".into();
    assert!(!validator.is_valid(&materials));
}
