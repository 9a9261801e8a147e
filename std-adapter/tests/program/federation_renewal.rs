//! Tests a new key for the CA of a site in the folder of its mesh: each step, its refusals, its opposite, and what an
//! interruption leaves.

use serde_json::Value;

use super::federation::{Made, federation};
use super::federation_changes::kill_when;
use super::peers::shell;
use super::pki::arg;

/// Returns the hash of the key of a site's CA, after a look whether one of the site's passwords opens it.
pub fn key_in_use(made: &Made, site: &str) -> String {
    let command = format!(
        "for password in passwords/site-{site} passwords/site-{site}.*; do
            openssl pkey -in sites/{site}/ca.key -passin file:$password -pubout -out own.pub 2>&1 && break
        done >&2
        openssl x509 -in sites/{site}/ca.pem -noout -pubkey | cmp - own.pub >&2
        openssl pkey -pubin -in own.pub -outform DER | sha256sum; rm own.pub"
    );
    let said = String::from_utf8(shell(&made.path, &command).stdout).unwrap();
    format!("sha256:{}", said.split(' ').next().unwrap())
}

/// Returns the keys of a site's CAs in the mesh, the one in use first.
pub fn issuers(made: &Made, site: &str) -> Vec<String> {
    let shown: Value = serde_json::from_str(&made.done("show --json")).unwrap();
    let site = shown["sites"].as_array().unwrap().iter().find(|one| one["name"] == site).unwrap().clone();
    site["issuers"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
}

/// Returns whether nothing of a renewal is left but what was put away.
pub fn is_settled(made: &Made) -> bool {
    made.file("changing").read_dir().is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn each_step_is_taken_and_taken_back() {
    let made = Made::new();
    let before = key_in_use(&made, "b");
    let constraints = |file: &str| {
        let command =
            format!("openssl x509 -in {file} -noout -subject -ext nameConstraints,extendedKeyUsage,basicConstraints");
        String::from_utf8(shell(&made.path, &command).stdout).unwrap()
    };
    let first = constraints("sites/b/ca.pem");
    let said = made.done("renew b start");
    assert!(
        said.contains("b: certificates of its next CA are accepted too") && said.contains("sequence 2, signed"),
        "{said}"
    );
    let [present, next] = issuers(&made, "b").try_into().unwrap();
    assert_eq!(present, before);
    assert_eq!(key_in_use(&made, "b"), before, "it is not in use yet");
    // Both count: nothing that held fails.
    assert!(made.done("check").contains("of the wanted links 6 hold, 0 do not"));
    assert!(made.done("renew b start").contains("nothing to change"));
    let said = made.refused("renew b finish --yes", 2);
    assert!(
        said.contains("of the CA of site b not in use yet, expected `edgetrust federation renew")
            && said.contains(" b commit` before"),
        "{said}"
    );
    let said = made.refused("renew b commit", 1);
    assert!(said.contains("against it: gateway.c.example of site c has not acknowledged the mesh"), "{said}");
    assert!(said.contains("refused: this may cut sites off: nothing was changed"), "{said}");
    assert!(said.contains(&format!("would be done: b: its CA uses the key {next}")), "{said}");
    let said = String::from_utf8(made.run("renew b status").stdout).unwrap();
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("next step: `edgetrust federation renew ") && last.contains(" b commit` with --config FILE"),
        "{said}"
    );

    let said = made.done("renew b commit --yes");
    assert!(said.contains("done on your word: gateway.a.example of site a has not acknowledged the mesh"), "{said}");
    assert!(said.contains("bring ca.pem and ca.key of") && said.contains("passwords/site-b."), "{said}");
    assert_eq!(key_in_use(&made, "b"), next);
    assert_eq!(issuers(&made, "b"), [next.clone(), before.clone()]);
    assert_eq!(constraints("sites/b/ca.pem"), first, "the next CA can issue what the one before could");
    shell(&made.path, "openssl verify -CAfile root/root.pem sites/b/ca.pem");
    assert!(made.done("renew b commit").contains("nothing to change"));

    let said = made.done("renew b abort");
    assert!(said.contains("its CA uses the key") && said.contains("bring ca.pem and ca.key"), "{said}");
    assert_eq!((key_in_use(&made, "b"), issuers(&made, "b")), (before.clone(), vec![before.clone(), next.clone()]));
    // The step is taken back, and stays so.
    let said = made.done("renew b abort");
    assert!(said.contains("nothing to change") && said.contains(" b abort --start takes the next key out"), "{said}");
    assert_eq!(issuers(&made, "b"), [before.clone(), next.clone()]);
    let said = String::from_utf8(made.run("renew b status").stdout).unwrap();
    assert!(
        said.contains("is out of use again since 2")
            && said.contains(" b abort --start` to give the change up, possible from 2"),
        "{said}"
    );
    // Certificates of the next key may be in use by now.
    let said = made.refused("renew b abort --start", 1);
    assert!(said.contains("against it: certificates of the CA that goes may be valid until"), "{said}");
    made.done("renew b commit --yes");
    assert_eq!(key_in_use(&made, "b"), next);
    let said = made.refused("renew b abort --start", 2);
    assert!(
        said.contains("found the next key of the CA of site b in use, expected `") && said.contains(" b abort`"),
        "{said}"
    );
    let said = String::from_utf8(made.run("renew b status").stdout).unwrap();
    let last = said.lines().last().unwrap();
    assert!(last.contains(" b finish` with --config FILE") && last.contains(", possible from 2"), "{said}");

    let said = made.refused("renew b finish", 1);
    assert!(said.contains("certificates of the CA that goes may be valid until"), "{said}");
    assert!(
        said.contains("gateway.b.example of site b has not been seen with a certificate of the CA in use"),
        "{said}"
    );
    let said = made.refused("renew b finish --lifetime 0s", 1);
    assert!(!said.contains("may be valid until") && said.contains("has not acknowledged"), "{said}");
    made.done("renew b finish --yes");
    assert_eq!((key_in_use(&made, "b"), issuers(&made, "b")), (next.clone(), vec![next]));
    assert!(is_settled(&made) && made.file("retired").read_dir().unwrap().count() == 1);
    assert!(!made.file("passwords/site-b").exists(), "the password of the key before is put away");
    assert!(made.done("check").contains("of the wanted links 6 hold, 0 do not"));
    for step in ["finish", "abort"] {
        assert!(made.done(&format!("renew b {step}")).contains("nothing to change"), "{step}");
    }
    let said = made.refused("renew b commit", 2);
    assert!(said.contains("found no next key of the CA of site b"), "{said}");
    // And once more, from the second key to a third one.
    made.done("renew b start");
    made.done("renew b commit --yes");
    made.done("renew b finish --yes");
    assert_eq!(issuers(&made, "b"), [key_in_use(&made, "b")]);
    assert!(is_settled(&made));
    made.done("remove b --yes");
    let left = String::from_utf8(shell(&made.path, "ls passwords").stdout).unwrap();
    assert!(!left.lines().any(|name| name.starts_with("site-b")), "{left}");
}

#[test]
fn a_renewal_that_has_not_been_in_use_is_given_up_at_once() {
    let made = Made::new();
    let before = key_in_use(&made, "a");
    made.done("renew a start --json");
    let state: Value = serde_json::from_slice(&made.run("renew a status --json").stdout).unwrap();
    assert_eq!(
        (&state["stage"], &state["in_use"], &state["site"]),
        (&"started".into(), &before.clone().into(), &"a".into())
    );
    assert!(state["next_step"].as_str().unwrap().contains(" a commit`"), "{state}");
    assert_eq!(state["gateways"].as_array().unwrap().len(), 3);
    let said = made.done("renew a abort");
    assert!(said.contains("are not accepted any more"), "{said}");
    assert_eq!((issuers(&made, "a"), key_in_use(&made, "a")), (vec![before.clone()], before));
    assert!(is_settled(&made));
    assert!(made.done("renew a start").contains("sequence 4"));
}

/// Each run of `abort` says that the key from before has to come back to step-ca, and from where.
#[test]
fn an_abort_says_which_key_comes_back() {
    for (keys_are_here, expected) in
        [(true, "bring ca.pem and ca.key of"), (false, "put ca.key and its password from before back")]
    {
        let made = Made::new();
        if !keys_are_here {
            shell(&made.path, "rm sites/b/ca.key passwords/site-b");
        }
        made.done("renew b start");
        made.done("renew b commit --yes");
        if !keys_are_here {
            shell(&made.path, "rm sites/b/ca.key");
        }
        for _ in 0..2 {
            let said = made.done("renew b abort --yes");
            assert!(said.contains(expected) && !said.contains("where its key is"), "{said}");
        }
    }
}

#[test]
fn the_key_of_a_request_stays_at_its_site() {
    let (made, site) = (Made::new(), tempfile::tempdir().unwrap());
    let there = arg(&site.path().join("site"));
    assert_eq!(federation(&["request", &there, "a"]).status.code(), Some(0));
    let request = format!("{there}/sites/a/ca.csr");
    let said = made.refused(&format!("renew b start --request {request}"), 2);
    assert!(said.contains("found a request of CN=Site a CA, expected one of CN=Site b CA"), "{said}");
    made.done(&format!("renew a start --request {request}"));
    made.done(&format!("renew a start --request {request}"));
    let [before, next] = issuers(&made, "a").try_into().unwrap();
    // The keys that are here have been carried to their site and deleted.
    shell(&made.path, "rm sites/a/ca.key passwords/site-a");
    let said = made.done("renew a commit --yes");
    assert!(
        said.contains("bring ca.pem of") && said.contains("where its key is") && !said.contains("ca.key"),
        "{said}"
    );
    let key = format!("openssl pkey -in {there}/sites/a/ca.key -passin file:{there}/passwords/site-a -pubout > key");
    shell(&made.path, &format!("{key}; openssl x509 -in sites/a/ca.pem -noout -pubkey | cmp - key; rm key"));
    assert!(!made.file("sites/a/ca.key").exists());
    let another = arg(&site.path().join("another"));
    assert_eq!(federation(&["request", &another, "a"]).status.code(), Some(0));
    let said = made.refused(&format!("renew a start --request {another}/sites/a/ca.csr"), 2);
    assert!(said.contains(&format!("a renewal to {next} is under way: abort it first")), "{said}");
    made.done("renew a abort");
    assert_eq!(issuers(&made, "a"), [before, next]);
    made.done("renew a commit --yes");
    made.done("renew a finish --yes");
    assert!(is_settled(&made));
}

#[test]
fn without_the_root_or_the_signer_nothing_is_half_done() {
    let made = Made::new();
    shell(&made.path, "mv root/root.key .. && echo 'not the password' > ../wrong");
    let said = made.refused("renew a start", 2);
    assert!(said.contains("root.key: not here, expected the root's key"), "{said}");
    shell(&made.path, "mv ../root.key root");
    let wrong = arg(&made.file("../wrong"));
    for command in
        [format!("renew a start --passphrase-file {wrong}"), format!("renew a start --signer-passphrase-file {wrong}")]
    {
        let said = made.refused(&command, 2);
        assert!(said.contains(".key: this password does not open it"), "{said}");
    }
    let said = made.refused("renew x start", 2);
    assert!(said.contains("SITE: found site \"x\", expected one of a, b, c"), "{said}");
    shell(&made.path, "mv passwords/signer-1 ..");
    let said = made.done("renew a start");
    assert!(said.contains("sequence 2, NOT SIGNED"), "{said}");
    // What is not signed can be in force nowhere.
    let output = made.run("renew a status");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("run edgetrust federation sign-mesh"), "{said}");
    let said = made.refused("renew a commit", 1);
    assert!(said.contains("against it: ") && said.contains("mesh.signed.json: is not mesh.json as it is"), "{said}");
    shell(&made.path, "mv ../signer-1 passwords");
    assert!(made.done("renew a start").contains("sequence 2, signed"));
}

/// A command that is killed anywhere is finished by the same one, or by any other.
#[test]
fn a_killed_step_can_be_taken_again() {
    let made = Made::new();
    let save = arg(&made.path.with_file_name("saved"));
    let steps = [
        ("renew b start", None, &["passwords/.site-b.*.new", ".mesh.json.new", "changing/site-b"][..]),
        (
            "renew b commit --yes",
            Some("renew b start"),
            &[".mesh.json.new", "sites/b/.ca.key.new", "sites/b/.ca.pem.new"],
        ),
        ("renew b abort", Some("renew b commit --yes"), &["sites/b/.ca.key.new", "sites/b/.ca.pem.new"]),
        ("renew b finish --yes", None, &[".mesh.json.new", "retired/ca-site-b-4"]),
    ];
    for (sequence, (command, before, places)) in [2, 3, 4, 4].into_iter().zip(steps) {
        if let Some(before) = before {
            made.done(before);
        }
        shell(&made.path, &format!("rm -rf {save} && cp -a . {save}"));
        for place in places {
            kill_when(&made, command, |made| is_there(made, place));
            made.done("show");
            made.done(command);
            assert_eq!(made.json("mesh.json")["sequence"], sequence, "{command} {place}");
            assert!(made.done("show").contains(", signed, "), "{command} {place}");
            assert_eq!(key_in_use(&made, "b"), issuers(&made, "b")[0], "{command} {place}");
            let left = shell(&made.path, "find . -name '.*.new'").stdout;
            assert_eq!(String::from_utf8(left).unwrap(), "", "{command} {place}");
            assert_eq!(is_settled(&made), command.contains("finish"), "{command} {place}");
            shell(&made.path, &format!("cd .. && rm -rf mesh && cp -a {save} mesh"));
        }
    }
}

/// Returns whether a file of a name with a `*` in it is there.
pub fn is_there(made: &Made, place: &str) -> bool {
    let place = made.file(place);
    let name = place.file_name().unwrap().to_string_lossy().into_owned();
    let (begin, end) = name.split_once('*').unwrap_or((&name, ""));
    place.parent().unwrap().read_dir().is_ok_and(|mut entries| {
        entries.any(|entry| {
            let found = entry.unwrap().file_name().to_string_lossy().into_owned();
            if name.contains('*') { found.starts_with(begin) && found.ends_with(end) } else { found == name }
        })
    })
}

/// As a kill right after the mesh was replaced leaves it: the mesh says what is in use, the files of the site do not yet.
#[test]
fn what_a_kill_leaves_is_finished_by_any_command() {
    let made = Made::new();
    made.done("renew b start");
    shell(&made.path, "cp -a sites/b ../b && cp -a changing ../changing && cp record.json .. 2>/dev/null || true");
    made.done("renew b commit --yes");
    let next = key_in_use(&made, "b");
    let record = made.read("changing/site-b/record.json");
    // Nothing of the site's files; then the key and not yet the certificate.
    for after_the_key in [false, true] {
        shell(
            &made.path,
            "cp sites/b/ca.key ../next.key; rm -rf sites/b changing; cp -a ../b sites/b; cp -a ../changing changing",
        );
        std::fs::write(made.file("changing/site-b/record.json"), &record).unwrap();
        if after_the_key {
            let before = issuers(&made, "b")[1].strip_prefix("sha256:").unwrap()[..16].to_owned();
            shell(
                &made.path,
                &format!("cp sites/b/ca.key changing/site-b/{before}.key; cp ../next.key sites/b/ca.key"),
            );
        }
        made.done("link a b --service feed");
        assert_eq!(key_in_use(&made, "b"), next);
        made.done("renew b abort");
        assert_eq!(issuers(&made, "b")[1], next);
        key_in_use(&made, "b");
        made.done("renew b commit --yes");
        assert_eq!(key_in_use(&made, "b"), next);
    }
}

#[test]
fn a_key_that_the_mesh_denies_is_not_put_in_use() {
    let made = Made::new();
    let first = key_in_use(&made, "b");
    made.done("renew b start");
    let [_, next] = issuers(&made, "b").try_into().unwrap();
    made.done(&format!("deny --key {next} --yes"));
    let said = made.refused("renew b commit --yes", 2);
    assert!(said.contains(&format!("the mesh denies the next key of the CA of site b, {next}: `")), "{said}");
    assert!(said.contains(" b abort`, and start again"), "{said}");
    made.done(&format!("allow --key {next}"));
    made.done("renew b commit --yes");
    made.done(&format!("deny --key {next} --yes"));
    let said = made.refused("renew b finish --yes --lifetime 0s", 2);
    assert!(
        said.contains(&format!("the mesh denies the key of the CA of site b that would be in use, {next}")),
        "{said}"
    );
    for command in ["show", "check"] {
        let said = String::from_utf8(made.run(command).stdout).unwrap();
        let expected = format!("warning: the mesh denies the key in use of the CA of site b, {next}");
        assert!(said.contains(&expected), "{command}: {said}");
    }
    made.done(&format!("allow --key {next}"));
    made.done(&format!("deny --key {first} --yes"));
    let said = made.refused("renew b abort --yes", 2);
    assert!(
        said.contains(&format!("the mesh denies the key of the CA of site b that would be in use, {first}")),
        "{said}"
    );
}

/// The folder of a site may be carried away, and not copied.
#[test]
fn no_key_is_lost_where_the_folder_of_its_site_is_elsewhere() {
    let made = Made::new();
    made.done("renew b start");
    shell(&made.path, "mv sites/b ../b");
    made.done("renew b commit --yes");
    made.done("renew b finish --yes --lifetime 0s");
    let open = "for key in retired/ca-site-b-*/*.key; do for password in passwords/*site-b*; do
        openssl pkey -in $key -passin file:$password -noout && echo opens; done; done; true";
    let said = String::from_utf8(shell(&made.path, open).stdout).unwrap();
    assert!(said.contains("opens"), "{said}");
}
