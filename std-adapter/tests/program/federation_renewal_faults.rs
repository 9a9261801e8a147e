//! Tests changes of keys whose files are lost, garbled or others: each is named, and there is a way out.

use serde_json::{Value, json};

use super::federation::Made;
use super::federation_renewal::{is_settled, issuers, key_in_use};
use super::peers::shell;
use super::pki::arg;

#[test]
fn records_and_meshes_that_others_have_changed_are_named() {
    let made = Made::new();
    made.done("renew a start");
    let record = made.json("changing/site-a/record.json");
    for (text, expected) in [
        ("{".to_owned(), "changing/site-a/record.json: EOF"),
        (json!({"next": record["next"], "more": 1}).to_string(), "record.json: unknown field `more`"),
        (json!({"next": format!("sha256:{}", "0".repeat(64))}).to_string(), "record.json: next: found sha256:000"),
        (json!({"next": "x"}).to_string(), "record.json: next: found \"x\", expected sha256:"),
    ] {
        std::fs::write(made.file("changing/site-a/record.json"), text).unwrap();
        for step in ["start", "commit --yes", "finish --yes"] {
            let said = made.refused(&format!("renew a {step}"), 2);
            assert!(said.contains(expected) && said.contains(" a abort --yes` takes the second one out"), "{said}");
        }
        let said = String::from_utf8(made.run("renew a status").stdout).unwrap();
        assert!(said.contains(expected) && said.contains("next step: `edgetrust federation renew "), "{said}");
    }
    std::fs::write(made.file("changing/site-a/record.json"), record.to_string()).unwrap();
    made.done("renew a commit --yes");
    // Since when is not known any more.
    std::fs::write(made.file("changing/site-a/record.json"), record.to_string()).unwrap();
    let said = made.refused("renew a finish --lifetime 0s", 1);
    assert!(said.contains("it is not known since when the CA that goes is out of use"), "{said}");
    // The longest lifetime is the site's own.
    made.done("renew a abort");
    made.done("renew a commit --yes");
    let config = made.read("sites/a/ca.json");
    for (lifetime, expected) in
        [("\"8784h\"", "may be valid until 2"), ("\"soon\"", "sites/a/ca.json: maxTLSCertDuration: found \"soon\"")]
    {
        std::fs::write(made.file("sites/a/ca.json"), config.replace("\"24h\"", lifetime)).unwrap();
        let output = made.run("renew a finish");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains(expected), "{lifetime}: {said}");
    }
    // A CA that somebody put there by hand is left alone.
    std::fs::write(made.file("sites/a/ca.json"), config).unwrap();
    made.done("renew a finish --yes");
    shell(&made.path, "cp sites/b/ca.pem sites/a/ca.pem");
    made.done("unlink a b --service feed --yes");
    assert_eq!(made.read("sites/a/ca.pem"), made.read("sites/b/ca.pem"));
}

/// Returns the file of the next key of a site's CA.
fn next_key(made: &Made, site: &str) -> String {
    let next = issuers(made, site)[1].strip_prefix("sha256:").unwrap()[..16].to_owned();
    format!("changing/site-{site}/{next}.key")
}

#[test]
fn a_key_that_cannot_be_used_is_not_put_in_use() {
    let made = Made::new();
    made.done("renew b start");
    let (key, next) = (next_key(&made, "b"), issuers(&made, "b")[1].clone());
    let password = "passwords/site-b.*";
    let refused = |expected: &[&str]| {
        let said = made.refused("renew b commit --yes", 2);
        assert!(expected.iter().all(|expected| said.contains(expected)), "{expected:?}: {said}");
    };
    shell(&made.path, &format!("mv {key} ../next.key"));
    refused(&[
        &format!("{key}: not here, expected the next key of the CA of site b: bring it back, or `"),
        " b abort`",
    ]);
    // The key in use under the name of the next one: its password is another, and with its own it is another key.
    shell(&made.path, &format!("cp sites/b/ca.key {key}"));
    refused(&[&format!("{key}: this password does not open it")]);
    let said =
        made.refused(&format!("renew b commit --yes --passphrase-file {}", arg(&made.file("passwords/site-b"))), 2);
    let expected = format!("{key}: found the key {}, expected {next}", issuers(&made, "b")[0]);
    assert!(said.contains(&expected), "{expected}: {said}");
    std::fs::write(made.file(&key), "half of a key").unwrap();
    refused(&[&format!("{key}: "), "expected PEM with BEGIN ENCRYPTED PRIVATE KEY"]);
    shell(&made.path, &format!("cp ../next.key {key} && mv {password} ../next"));
    refused(&[&format!("{key}: found no password, expected --passphrase-file, "), "passwords/site-b."]);
    std::fs::write(made.file("../wrong"), "not the password").unwrap();
    let said = made.refused(&format!("renew b commit --yes --passphrase-file {}", arg(&made.file("../wrong"))), 2);
    assert!(said.contains("this password does not open it"), "{said}");
    made.done(&format!("renew b commit --yes --passphrase-file {}", arg(&made.file("../next"))));
    // It is the next key's, wherever it is kept.
    shell(&made.path, "openssl pkey -in sites/b/ca.key -passin file:../next -noout");
}

/// Without its record a change is given up: the CA in use stays, and the other one goes, on somebody's word.
#[test]
fn a_change_without_a_record_is_given_up() {
    for (begin, lose) in [
        (&["start"][..], "rm changing/site-b/record.json"),
        (&["start"], "rm -r changing"),
        (&["start", "commit --yes"], "echo '{' > changing/site-b/record.json"),
        (&["start", "commit --yes", "abort"], "echo '{' > changing/site-b/record.json"),
    ] {
        let made = Made::new();
        begin.iter().for_each(|step| drop(made.done(&format!("renew b {step}"))));
        let present = key_in_use(&made, "b");
        shell(&made.path, lose);
        for command in ["show", "check"] {
            let said = made.done(command);
            assert!(said.contains("no record says whether it comes or goes"), "{lose}: {said}");
            assert!(said.contains(" b abort --yes`, which takes "), "{lose}: {said}");
        }
        let said = made.refused("renew b abort", 1);
        assert!(said.contains("against it: it is not known since when"), "{lose}: {said}");
        made.done("renew b abort --yes");
        assert_eq!((issuers(&made, "b"), key_in_use(&made, "b")), (vec![present.clone()], present), "{lose}");
        assert!(lose == "rm -r changing" || is_settled(&made), "{lose}");
        assert!(made.done("renew b abort --yes").contains("nothing to change"));
        assert!(made.done("check").contains("of the wanted links 6 hold, 0 do not"));
        // And from the beginning.
        for step in ["start", "commit --yes", "finish --yes"] {
            made.done(&format!("renew b {step}"));
        }
        assert_eq!(issuers(&made, "b"), [key_in_use(&made, "b")], "{lose}");
    }
}

#[test]
fn a_rollover_without_a_record_is_given_up() {
    for (begin, names) in [(&["start"][..], 1), (&["start", "commit --yes"], 2)] {
        let made = Made::new();
        begin.iter().for_each(|step| drop(made.done(&format!("rollover {step}"))));
        shell(&made.path, "rm changing/root/record.json");
        let said = made.refused("rollover commit --yes", 2);
        assert!(said.contains("record.json: not there, expected the record of the change"), "{said}");
        made.done("rollover abort --yes");
        assert!(is_settled(&made));
        assert_eq!(made.json("mesh.json")["roots"].as_array().unwrap().len(), names);
        shell(&made.path, "openssl verify -CAfile root/root.pem sites/b/ca.pem");
        let said = made.done("check");
        assert!(said.contains("hold, 0 do not") && made.done("show").contains(", signed, "), "{said}");
        made.done("rollover start");
    }
}

#[test]
fn a_change_that_is_under_way_is_shown_with_its_next_step() {
    let made = Made::new();
    let of_check = |made: &Made| -> Value { serde_json::from_str(&made.done("check --json")).unwrap() };
    assert_eq!(of_check(&made)["changes"], json!([]));
    for (step, role, next) in [("start", "next", " b commit`"), ("commit --yes", "before", " b finish`")] {
        made.done(&format!("renew b {step}"));
        let shown: Value = serde_json::from_str(&made.done("show --json")).unwrap();
        let issuers = &shown["sites"][1]["issuers"];
        assert_eq!((&issuers[0]["role"], &issuers[1]["role"]), (&"in use".into(), &role.into()));
        assert_eq!(shown["sites"][0]["issuers"][0].get("role"), None);
        let change = of_check(&made)["changes"].clone();
        assert_eq!(change, shown["changes"]);
        assert!(change[0]["site"] == "b" && change[0]["next_step"].as_str().unwrap().contains(next), "{change}");
        let said = made.done("show");
        assert!(said.contains("    CA in use: O=") && said.contains(&format!("    CA {role}: O=")), "{said}");
        for said in [said, made.done("check")] {
            assert!(said.contains("under way: the CA of site b: uses the key ") && said.contains(next), "{said}");
        }
    }
    made.done("rollover start");
    let said = made.done("show");
    assert!(said.contains("root in use: O=") && said.contains("root next: O="), "{said}");
    assert!(said.contains("under way: the root: uses the key "), "{said}");
}

#[test]
fn private_keys_that_nobody_uses_are_named_until_they_are_gone() {
    let made = Made::new();
    made.done("renew b start");
    let coming = "a private key of a CA is here, until `finish`: it belongs to its site";
    for command in ["show", "check"] {
        let said = made.done(command);
        assert!(said.contains("warning: ") && said.contains(coming), "{said}");
    }
    made.done("renew b commit --yes");
    let gone = "the private key of a CA that is gone is here: carry it away or destroy it, and its password";
    let said = made.done("renew b finish --yes");
    assert!(said.contains("retired/ca-site-b-4/") && said.contains(gone) && !said.contains(coming), "{said}");
    assert!(made.done("check").contains(gone));
    shell(&made.path, "rm -r retired");
    assert!(!made.done("check").contains(gone) && !made.done("show").contains(coming));
}
