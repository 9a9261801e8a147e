//! Tests a new root in the folder of its mesh: each step, its refusals, its opposite, what an interruption leaves, and
//! gateways that were off all the time.

use serde_json::{Value, json};

use super::addresses::free_address;
use super::control::Sites;
use super::federation::{Made, federation};
use super::federation_changes::kill_when;
use super::federation_renewal::{is_settled, is_there, key_in_use};
use super::peers::{OpensslClient, echo, edgetrust, shell};
use super::pki::arg;

/// Returns whose certificates the roots of the mesh are, and by whom, in order.
fn roots(made: &Made) -> Vec<String> {
    let shown: Value = serde_json::from_str(&made.done("show --json")).unwrap();
    let name = |value: &Value| value.as_str().map(|name| name.rsplit('=').next().unwrap().to_owned());
    let shown = shown["roots"].as_array().unwrap().iter().map(|root| match name(&root["issuer"]) {
        Some(issuer) => format!("{} by {issuer}", name(&root["subject"]).unwrap()),
        None => name(&root["subject"]).unwrap(),
    });
    shown.map(|name| name.replace("Example Mesh ", "")).collect()
}

/// Returns the common names of the certificates in a file.
fn names(made: &Made, file: &str) -> Vec<String> {
    let command = format!(
        "openssl crl2pkcs7 -nocrl -certfile {file} | openssl pkcs7 -print_certs -noout | sed -n 's/^subject=.*CN *= *//p'"
    );
    String::from_utf8(shell(&made.path, &command).stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Returns whether a site's `ca.pem` leads to a root that lies in a file.
fn leads(made: &Made, root: &str) -> bool {
    let verify = format!(
        "openssl verify -CAfile {root} -untrusted sites/b/ca.pem sites/b/ca.pem >/dev/null 2>&1 && echo yes || echo no"
    );
    shell(&made.path, &verify).stdout == b"yes\n"
}

fn root_opens(made: &Made, password: &str) {
    let command = format!(
        "openssl pkey -in root/root.key -passin file:{password} -pubout -out own.pub && openssl x509 -in root/root.pem -noout -pubkey | cmp - own.pub; rm own.pub"
    );
    shell(&made.path, &command);
}

#[test]
fn each_step_is_taken_and_taken_back() {
    let made = Made::new();
    shell(&made.path, "cp root/root.pem ../first.pem");
    let site = key_in_use(&made, "b");
    let said = made.done("rollover start");
    assert!(
        said.contains("certificates under the next root are accepted too") && said.contains("sequence 2, signed"),
        "{said}"
    );
    assert_eq!(
        roots(&made),
        ["Root", "Root 2", "Root 2 by Example Mesh Root"].map(|name| name.replace("Example Mesh ", ""))
    );
    assert_eq!(names(&made, "sites/b/root.pem"), ["Example Mesh Root", "Example Mesh Root 2", "Example Mesh Root 2"]);
    assert_eq!(names(&made, "sites/b/ca.pem"), ["Site b CA"]);
    shell(&made.path, "openssl x509 -in sites/b/root.pem -out ../same.pem && cmp ../same.pem ../first.pem");
    root_opens(&made, "passwords/root");
    assert!(made.done("rollover start").contains("nothing to change"));
    let said = made.refused("rollover finish --yes", 2);
    assert!(
        said.contains("of the root not in use yet, expected `edgetrust federation rollover ")
            && said.contains(" commit` before"),
        "{said}"
    );
    let said = made.refused("rollover commit", 1);
    assert!(said.contains("against it: gateway.a.example of site a has not acknowledged the mesh"), "{said}");

    let said = made.done("rollover commit --yes");
    assert!(said.contains("sequence 3, signed by the signer of generation 2"), "{said}");
    assert_eq!(roots(&made), ["Root 2", "Root 2 by Root", "Root"]);
    assert_eq!(names(&made, "sites/b/ca.pem"), ["Site b CA", "Example Mesh Root 2"]);
    assert_eq!(key_in_use(&made, "b"), site, "the CA of a site keeps its key");
    let next = String::from_utf8(shell(&made.path, "ls passwords/root.*").stdout).unwrap();
    root_opens(&made, next.trim());
    assert!(leads(&made, "../first.pem") && leads(&made, "root/root.pem"));
    assert!(made.done("check").contains("of the wanted links 6 hold, 0 do not"));
    assert!(made.done("rollover commit").contains("nothing to change"));

    // Back and forth again, with a site that comes in between.
    let said = made.done("rollover abort");
    assert!(said.contains("sequence 4, signed by the signer of generation 3"), "{said}");
    assert_eq!(roots(&made), ["Root", "Root 2", "Root 2 by Root"]);
    root_opens(&made, "passwords/root");
    made.done("add --site d=d.example --link d:b:feed");
    assert!(made.done("rollover abort").contains("nothing to change"));
    let said = made.refused("rollover abort --start", 1);
    assert!(said.contains("against it: certificates of the CA that goes may be valid until"), "{said}");
    made.done("rollover commit --yes");
    assert_eq!(names(&made, "sites/d/ca.pem"), ["Site d CA", "Example Mesh Root 2"]);

    let said = made.refused("rollover finish", 1);
    for against in
        ["has not acknowledged the mesh", "has not been seen with a certificate of the CA in use", "may be valid until"]
    {
        assert!(said.contains(against), "{against}: {said}");
    }
    made.done("rollover finish --yes");
    // The certificate by the root before stays, for whoever has that one alone.
    assert_eq!(roots(&made), ["Root 2", "Root 2 by Root"]);
    assert!(leads(&made, "../first.pem") && leads(&made, "root/root.pem") && is_settled(&made));
    assert_eq!(names(&made, "sites/b/root.pem"), ["Example Mesh Root 2", "Example Mesh Root 2"]);
    assert!(leads(&made, "sites/b/root.pem"));
    root_opens(&made, next.trim());
    assert!(!made.file("passwords/root").exists() && made.done("check").contains("hold, 0 do not"));
    for step in ["finish", "abort"] {
        assert!(made.done(&format!("rollover {step}")).contains("nothing to change"), "{step}");
    }
    assert!(made.refused("rollover commit", 2).contains("found no next key of the root, expected one"));
    // And once more, to a third one.
    made.done("rollover start");
    assert_eq!(roots(&made), ["Root 2", "Root 2 by Root", "Root 3", "Root 3 by Root 2"]);
    made.done("rollover commit --yes");
    made.done("rollover finish --yes");
    assert_eq!(roots(&made), ["Root 3", "Root 3 by Root 2"]);
    made.done("rollover start");
    made.done("rollover abort");
    assert!(is_settled(&made) && roots(&made) == ["Root 3", "Root 3 by Root 2"]);
}

#[test]
fn keys_of_roots_that_are_elsewhere_are_asked_for_where_they_are_needed() {
    let made = Made::new();
    shell(&made.path, "mv root/root.key .. && echo 'a password of my own' > ../next");
    assert!(made.refused("rollover start", 2).contains("root.key: not here, expected the root's key"));
    shell(&made.path, "cp ../root.key root/root.key");
    let next = arg(&made.file("../next"));
    made.done(&format!("rollover start --next-passphrase-file {next}"));
    assert!(made.done("show").contains(".key: a root's key is here: keep it offline"));
    // Both are in a safe, and one of them comes back.
    shell(&made.path, "rm root/root.key; mv changing/root/*.key ..; mv passwords/root ../password");
    let said = made.refused("rollover commit --yes", 2);
    assert!(said.contains("changing/root/") && said.contains(".key: not here, expected the key of the root"), "{said}");
    shell(&made.path, "find .. -maxdepth 1 -name '????????????????.key' -exec cp {} changing/root \\;");
    let said = made.refused("rollover commit --yes", 2);
    assert!(said.contains("found no password, expected --passphrase-file"), "{said}");
    let said = made.refused(&format!("rollover commit --yes --passphrase-file {}", arg(&made.file("../password"))), 2);
    assert!(said.contains("this password does not open it"), "{said}");
    // The key of the root before under the name of the next one's.
    shell(
        &made.path,
        "cp changing/root/*.key ../next.key; for file in changing/root/*.key; do cp ../root.key $file; done",
    );
    let said = made.refused(&format!("rollover commit --yes --passphrase-file {}", arg(&made.file("../password"))), 2);
    assert!(said.contains("found another key than that of its certificate"), "{said}");
    shell(&made.path, "for file in changing/root/*.key; do cp ../next.key $file; done");
    made.done(&format!("rollover commit --yes --passphrase-file {next}"));
    root_opens(&made, "../next");
    assert!(made.refused("rollover abort", 2).contains(".key: not here, expected the key of the root"));
    made.done("rollover finish --yes");
    assert!(made.refused("add --site d=d.example", 2).contains("found no password"));
    made.done(&format!("add --site d=d.example --passphrase-file {next}"));
}

#[test]
fn what_cannot_be_certified_again_is_refused() {
    let made = Made::new();
    made.done("rollover start");
    let mut mesh = made.json("mesh.json");
    mesh["sites"][0]["issuers"][0] = key_in_use(&made, "a").into();
    std::fs::write(made.file("mesh.json"), mesh.to_string()).unwrap();
    made.done("sign-mesh");
    let said = made.refused("rollover commit --yes", 2);
    assert!(said.contains("found the hash alone of the CA of site a, expected its certificate in issuers"), "{said}");
    let said = made.refused("renew a start", 2);
    assert!(said.contains("found the hash alone of the CA of site a"), "{said}");
}

/// A site whose key never left it gets the certificate by the next root as it got the first one.
#[test]
fn a_site_with_its_own_key_installs_the_next_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| arg(&folder.path().join(name));
    let run = |words: &[&str]| {
        let output = federation(words);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), said)
    };
    let done = |words: &[&str]| assert_eq!(run(words).0, Some(0), "{:?}", run(words));
    done(&["init", &path("m"), "--name", "Example", "--root-only"]);
    done(&["request", &path("s"), "a"]);
    done(&["sign", &path("m"), &path("s/sites/a/ca.csr"), "--site", "a=a.example"]);
    done(&["install", &path("s"), &path("m/sites/a/ca.pem")]);
    std::fs::write(folder.path().join("s/sites/a/gateway.json"), "{}").unwrap();
    done(&["rollover", &path("m"), "start"]);
    done(&["rollover", &path("m"), "commit", "--yes"]);
    done(&["install", &path("s"), &path("m/sites/a/ca.pem")]);
    shell(folder.path(), "cmp s/sites/a/ca.pem m/sites/a/ca.pem && cmp s/sites/a/root.pem m/sites/a/root.pem");
    shell(folder.path(), "test $(cat s/sites/a/gateway.json) = '{}'");
    // Whoever carries the folder brings another mesh, with a root of its own.
    done(&["init", &path("x"), "--name", "Example", "--root-only"]);
    done(&["sign", &path("x"), &path("s/sites/a/ca.csr"), "--site", "a=a.example"]);
    let (code, said) = run(&["install", &path("s"), &path("x/sites/a/ca.pem")]);
    assert!(code == Some(2) && said.contains("expected no other certificate there, or one of a mesh that"), "{said}");
}

#[test]
fn a_killed_step_can_be_taken_again() {
    let made = Made::new();
    let save = arg(&made.path.with_file_name("saved"));
    let steps = [
        ("rollover start", None, &["changing/.root.new", ".mesh.json.new"][..]),
        (
            "rollover commit --yes",
            Some("rollover start"),
            &["retired", ".record.json.new", ".mesh.json.new", "root/.root.key.new", "sites/b/.ca.pem.new"],
        ),
        ("rollover finish --yes", Some("rollover commit --yes"), &[".mesh.json.new", "sites/c/.root.pem.new"]),
    ];
    for (sequence, (command, before, places)) in [2, 3, 4].into_iter().zip(steps) {
        if let Some(before) = before {
            made.done(before);
        }
        shell(&made.path, &format!("rm -rf {save} && cp -a . {save}"));
        for place in places {
            kill_when(&made, command, |made| is_there(made, place));
            made.done("show");
            made.done(command);
            assert_eq!(made.json("mesh.json")["sequence"], sequence, "{command} {place}");
            let shown = made.done("show");
            assert!(shown.contains(", signed, "), "{command} {place}: {shown}");
            let left = shell(&made.path, "find . -name '.*.new'").stdout;
            assert_eq!(String::from_utf8(left).unwrap(), "", "{command} {place}");
            let password = if command.contains("start") { "passwords/root" } else { "passwords/root.*" };
            root_opens(&made, &format!("$(ls {password})"));
            assert!(leads(&made, "root/root.pem"), "{command} {place}");
            shell(&made.path, &format!("cd .. && rm -rf mesh && cp -a {save} mesh"));
        }
    }
}

/// A gateway that was off from before the first step until after the last one, and one that never had a mesh.
#[test]
fn who_was_off_all_the_time_comes_back_by_itself() {
    let sites = Sites::new();
    sites.run("c", None).wait_for("another mesh is in force: sequence 1");
    for step in ["start", "commit --yes", "finish --yes"] {
        sites.made.done(&format!("rollover {step}"));
    }
    sites.deliver("c");
    let c = sites.run("c", None);
    c.wait_for("another mesh is in force: sequence 4 by a signer of generation 2");
    drop(c);
    // By the first root alone, which its bundle has; and as the gateway of a new site, by all that its folder has.
    for bundle in [None, Some("sites/c/root.pem")] {
        std::fs::remove_dir_all(sites.folder_of("c").join("kept")).unwrap();
        if let Some(bundle) = bundle {
            std::fs::copy(sites.made.file(bundle), sites.folder_of("c").join("root.pem")).unwrap();
        }
        sites.run("c", None).wait_for("another mesh is in force: sequence 4 by a signer of generation 2");
    }
}

/// A file of CAs that is the bundle of the mesh stands for the roots of the mesh in force, and stays as it is.
#[test]
fn files_of_cas_that_are_the_bundle_follow_the_mesh() {
    let sites = Sites::new();
    let address = free_address();
    let open = json!({"name": "open", "mode": "server", "listen": address, "target": echo().to_string(),
        "tls": {"mtls": {"enabled": true, "client_ca_files": ["root.pem"], "allowed_client_dns": ["gateway.b.example"]}}});
    let feed = json!({"name": "feed-in", "mode": "server", "service": "feed",
        "listen": sites.address("c").to_string(), "target": echo().to_string()});
    let c = sites.run_with("c", None, &json!({}), &json!({"tunnels": [feed, open]}), &[]);
    c.wait_for("listening tunnel=open");
    let folder = sites.folder_of("b");
    let before = std::fs::read(sites.folder_of("c").join("root.pem")).unwrap();
    let is_let_in = || {
        // The certificate and its CA alone: nothing leads from them to the root before.
        shell(&folder, "awk '/BEGIN/ {n++} n < 3' gateway.b.example.pem > short.pem");
        let [cert, key] = ["short.pem", "gateway.b.example.key"].map(|name| arg(&folder.join(name)));
        let mut client =
            OpensslClient::start(address.parse().unwrap(), &["-cert", &cert, "-cert_chain", &cert, "-key", &key]);
        client.ask("hello").is_some()
    };
    assert!(is_let_in());
    for (sequence, step) in [(2, "start"), (3, "commit --yes"), (4, "finish --yes")] {
        sites.made.done(&format!("rollover {step}"));
        sites.deliver("c");
        c.wait_for(&format!("another mesh is in force: sequence {sequence} "));
        c.wait_for("reloaded");
        assert!(is_let_in(), "{step}");
        if sequence == 3 {
            sites.made.issue("b", "gateway.b.example", &folder);
            assert!(is_let_in());
        }
    }
    assert_eq!(std::fs::read(sites.folder_of("c").join("root.pem")).unwrap(), before);
    // `check` sees what the gateway does.
    let config = arg(&sites.folder_of("c").join("gateway.json"));
    let said = String::from_utf8(edgetrust(&["check", "--config", &config]).stdout).unwrap();
    assert!(said.contains("sequence 4 by a signer of generation 2") && !said.contains("ERROR"), "{said}");
}
