//! Tests folders of meshes after failures, backups and edits by hand.

use serde_json::json;

use super::federation::{Made, federation};
use super::peers::shell;
use super::pki::arg;

#[test]
fn a_refused_command_leaves_alone_what_was_edited_by_hand() {
    let made = Made::new();
    let mut mesh = made.json("mesh.json");
    mesh["sites"].as_array_mut().unwrap().remove(0);
    mesh["links"] = json!([]);
    std::fs::write(made.file("mesh.json"), mesh.to_string()).unwrap();
    let root = arg(&made.file("root/root.pem"));
    made.refused(&format!("deny --certificate {root}"), 1);
    assert!(made.file("sites/a/ca.key").exists());
}

#[test]
fn a_change_that_cannot_be_made_leaves_the_files_of_sites() {
    let made = Made::new();
    let before = made.read("sites/a/gateway.json");
    std::fs::create_dir(made.file(".mesh.json.new")).unwrap();
    let failed = made.run("unlink a b --service feed --yes");
    assert_eq!(failed.status.code(), Some(2), "{failed:?}");
    assert_eq!(made.read("sites/a/gateway.json"), before);
    std::fs::remove_dir(made.file(".mesh.json.new")).unwrap();
    // Another change: nobody has touched the file in between.
    let said = made.done("unlink a c --service feed --yes");
    assert!(!said.contains("changed by hand"), "{said}");
    let after = made.read("sites/a/gateway.json");
    assert!(after.contains("feed-to-b") && !after.contains("feed-to-c"), "{after}");
    let left = shell(&made.path, "find . -name '.*json.*' -o -name '.README*'");
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "");
}

#[test]
fn a_kill_right_after_the_change_is_finished_by_any_command() {
    let made = Made::new();
    // As it is when the mesh is written and the files of sites are not.
    shell(&made.path, "cp sites/a/gateway.json old.json");
    made.done("unlink a b --service feed --yes");
    shell(&made.path, "mv old.json sites/a/gateway.json");
    let said = made.done("unlink a c --service feed --yes");
    assert!(!said.contains("changed by hand"), "{said}");
    let after = made.read("sites/a/gateway.json");
    assert!(!after.contains("feed-to-b") && !after.contains("feed-to-c"), "{after}");
}

#[test]
fn names_of_what_is_put_away_do_not_collide() {
    let made = Made::new();
    let backup = made.read("mesh.json");
    shell(&made.path, "cp -r sites/c ../c && cp passwords/site-c ../site-c");
    made.done("remove c --yes");
    // Everything from a backup, and the same once more.
    std::fs::write(made.file("mesh.json"), backup).unwrap();
    std::fs::remove_file(made.file("mesh.signed.json")).unwrap();
    shell(&made.path, "cp -r ../c sites/c && cp ../site-c passwords/site-c");
    made.done("remove c --yes");
    assert!(made.file("removed/c-2").exists() && made.file("removed/c-2-2").exists());
    assert!(made.file("passwords/removed-c-2-2").exists());
    made.done(&format!("deny --key sha256:{}", "0".repeat(64)));
}

#[test]
fn the_signer_of_another_mesh_signs_nothing_here() {
    let (made, other) = (Made::new(), tempfile::tempdir().unwrap());
    let there = arg(&other.path().join("mesh"));
    let said = federation(&["init", &there, "--name", "Other", "--site", "x=x.example"]);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let to = arg(&made.path);
    shell(other.path(), &format!("cp mesh/signer/* {to}/signer && cp mesh/passwords/signer-1 {to}/passwords"));
    let error = made.refused(&format!("deny --key sha256:{}", "0".repeat(64)), 2);
    assert!(
        error.contains("no gateway would take the mesh with this signature: the signer's certificate: "),
        "{error}"
    );
}

#[test]
fn a_key_whose_denial_has_ended_is_denied_without_an_end() {
    let made = Made::new();
    let key = format!("sha256:{}", "0".repeat(64));
    made.done(&format!("deny --key {key} --reason lost --until 2126-01-01"));
    let text = made.read("mesh.json").replace("2126-01-01", "2026-01-01");
    std::fs::write(made.file("mesh.json"), text).unwrap();
    made.done(&format!("deny --key {key} --yes"));
    assert_eq!(made.json("mesh.json")["denied_keys"], json!([{"key": key, "reason": "lost"}]));
}

#[test]
fn a_denied_signer_is_followed_by_another() {
    let made = Made::new();
    let said = made.done(&format!("deny --certificate {} --yes", arg(&made.file("signer/signer.pem"))));
    assert!(said.contains("sequence 2, NOT SIGNED"), "{said}");
    assert!(made.done("show").contains("NOT SIGNED"));
    let error = made.refused("sign-mesh", 2);
    assert!(error.contains("edgetrust federation signer makes another signer"), "{error}");
    let said = made.done("signer");
    assert!(said.contains("signed by a signer of generation 2"), "{said}");
    assert!(made.done("unlink a b --service feed --yes").contains("signed by the signer of generation 2"));
}

/// A stolen key is denied whatever lies in the folder.
#[test]
fn a_signer_that_cannot_be_read_stops_no_denial() {
    let made = Made::new();
    std::fs::write(made.file("signer/signer.pem"), "half of a").unwrap();
    let key = format!("sha256:{}", "0".repeat(64));
    let said = made.done(&format!("deny --key {key}"));
    assert!(said.contains("sequence 2, NOT SIGNED: ") && said.contains("signer.pem: "), "{said}");
    assert!(said.contains("edgetrust federation signer makes another signer"), "{said}");
    assert_eq!(made.json("mesh.json")["denied_keys"][0]["key"], key);
    assert!(made.done("signer").contains("signed by a signer of generation 2"));
    assert!(made.done("show").contains(", signed, "));
}

#[test]
fn a_site_that_is_there_is_compared_with_all_that_is_said_of_it() {
    let made = Made::new();
    made.done("add --site d=d.example --spiffe d");
    assert!(made.done("add --site d=d.example --spiffe d").contains("nothing to change"));
    assert!(made.done("add --site d=d.example --link d:a:feed").contains("d: reaches a for feed"));
    let said = made.refused("add --site a=a.example --spiffe a", 2);
    assert!(said.contains("--spiffe: found it for a, which is there with a CA that issues no URIs"), "{said}");
}

#[test]
fn more_sites_than_a_gateway_has_tunnels_for_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = arg(&folder.path().join("mesh"));
    let sites: Vec<String> = (0..33).map(|number| format!("s{number}=s{number}.example")).collect();
    let sites = sites.iter().flat_map(|site| ["--site", site]);
    let output = federation(&["init", &mesh, "--name", "Large"].into_iter().chain(sites).collect::<Vec<_>>());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("found 33 tunnels, expected at most 32: link fewer sites, with --link"), "{error}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
