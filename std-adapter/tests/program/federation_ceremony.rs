//! Tests a mesh whose keys never travel: the root apart, and each site with a folder of its own.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::federation::{Made, federation};
use super::peers::shell;
use super::pki::arg;

/// A machine with the root, and one for a site.
struct Machines {
    folder: TempDir,
}

impl Machines {
    fn new() -> Self {
        let machines = Self { folder: tempfile::tempdir().unwrap() };
        machines.done("init root --name Example --root-only");
        machines
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn done(&self, command: &str) -> String {
        let output = shell(self.folder.path(), &format!("edgetrust federation {command}"));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the error of a command whose file names are whole.
    fn refused(&self, words: &[&str]) -> String {
        let output = federation(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn keys_stay_where_they_were_made() {
    let machines = Machines::new();
    let said = machines.done("request site a");
    assert!(said.contains("site/sites/a/ca.csr: the request for the site's CA, with key sha256:"), "{said}");
    let said = machines.done("sign root site/sites/a/ca.csr --site a=a.example");
    assert!(said.contains("a: is a new site, for a.example") && said.contains("sequence 2, signed"), "{said}");
    assert!(!machines.path("root/sites/a/ca.key").exists() && !machines.path("root/passwords/site-a").exists());
    // Once more, after an interruption.
    let said = machines.done("sign root site/sites/a/ca.csr --site a=a.example");
    assert_eq!(said, "nothing to change\n");
    shell(machines.folder.path(), "cp -r root/sites/a back");
    // Whoever carries the folder does not choose what runs at the site.
    let unit = read(&machines.path("back/edgetrust.service"));
    std::fs::write(machines.path("back/edgetrust.service"), "[Service]\nExecStart=/bin/evil\n").unwrap();
    let said = machines.done("install site back/ca.pem");
    assert_eq!(read(&machines.path("site/sites/a/edgetrust.service")), unit);
    let root = shell(
        machines.folder.path(),
        "openssl x509 -in root/root/root.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum",
    );
    let root = String::from_utf8(root.stdout).unwrap();
    assert!(said.contains(&format!("sha256:{}", root.split(' ').next().unwrap())), "{said}");
    machines.done("install site back/ca.pem");
    let same = "openssl pkey -in site/sites/a/ca.key -passin file:site/passwords/site-a -pubout > one
        openssl x509 -in site/sites/a/ca.pem -noout -pubkey | cmp - one
        openssl verify -CAfile root/root/root.pem site/sites/a/ca.pem";
    shell(machines.folder.path(), same);
    for name in
        ["ca.json", "gateway.json", "mesh.signed.json", "root.pem", "step-ca.service", "compose.yaml", "README.txt"]
    {
        assert_eq!(read(&machines.path("site/sites/a").join(name)), read(&machines.path("back").join(name)), "{name}");
    }
}

#[test]
fn the_password_of_a_key_that_is_elsewhere_stays() {
    let machines = Machines::new();
    machines.done("request site a");
    let password = read(&machines.path("site/passwords/site-a"));
    std::fs::rename(machines.path("site/sites/a"), machines.path("elsewhere")).unwrap();
    let error = machines.refused(&["request", &arg(&machines.path("site")), "a"]);
    assert!(error.contains("passwords/site-a: exists already"), "{error}");
    assert_eq!(read(&machines.path("site/passwords/site-a")), password);
    // What an interruption leaves has no key that counts.
    std::fs::rename(machines.path("elsewhere"), machines.path("site/sites/.a.new")).unwrap();
    machines.done("request site a");
    assert_ne!(read(&machines.path("site/passwords/site-a")), password);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let machines = Machines::new();
    for site in ["a", "b"] {
        machines.done(&format!("request {site} {site}"));
    }
    let (root, a) = (arg(&machines.path("root")), arg(&machines.path("a/sites/a/ca.csr")));
    let made = Made::new();
    let error = machines.refused(&["request", &arg(&made.path), "d"]);
    assert!(error.contains("mesh.json: is the folder of a mesh, expected a folder of the site's own"), "{error}");
    let error = machines.refused(&["request", &arg(&machines.path("a")), "a"]);
    assert!(error.contains("sites/a: exists already"), "{error}");
    let error = machines.refused(&["request", &arg(&machines.path("a")), "../x"]);
    assert!(error.contains("SITE: found \"../x\""), "{error}");
    let error = machines.refused(&["sign", &root, &a, "--site", "b=b.example"]);
    assert!(error.contains("ca.csr: found a request of CN=Site a CA, expected one of CN=Site b CA"), "{error}");
    let file = arg(&made.file("root/root.pem"));
    let error = machines.refused(&["sign", &root, &file, "--site", "a=a.example"]);
    assert!(error.contains("found CERTIFICATE, expected PEM with BEGIN CERTIFICATE REQUEST"), "{error}");
    machines.done("sign root a/sites/a/ca.csr --site a=a.example");
    machines.done("sign root b/sites/b/ca.csr --site b=b.example");
    // Another key for a site that is there, and a request that somebody has changed.
    machines.done("request other a");
    let other = machines.path("other/sites/a/ca.csr");
    let error = machines.refused(&["sign", &root, &arg(&other), "--site", "a=a.example"]);
    assert!(error.contains("--site: found a twice"), "{error}");
    let broken = "openssl req -in other/sites/a/ca.csr -outform DER -out der
        size=$(stat -c %s der); printf '\\000' | dd of=der bs=1 seek=$((size - 1)) conv=notrunc status=none
        openssl req -inform DER -in der -out broken";
    shell(machines.folder.path(), broken);
    let error = machines.refused(&["sign", &root, &arg(&machines.path("broken")), "--site", "c=c.example"]);
    assert!(error.contains("broken: ") && error.contains("signature"), "{error}");
    // Certificates at the wrong site, by another root, and over another one.
    let (site, back) = (arg(&machines.path("a")), arg(&machines.path("root/sites/b/ca.pem")));
    let error = machines.refused(&["install", &site, &back]);
    assert!(error.contains("sites/b/ca.csr: cannot be read"), "{error}");
    std::fs::copy(made.file("root/root.pem"), machines.path("root/sites/a/root.pem")).unwrap();
    let error = machines.refused(&["install", &site, &arg(&machines.path("root/sites/a/ca.pem"))]);
    assert!(
        error.contains("found a certificate by O=Example,CN=Example Root, expected one by the root.pem"),
        "{error}"
    );
    std::fs::copy(machines.path("root/root/root.pem"), machines.path("root/sites/a/root.pem")).unwrap();
    std::fs::write(machines.path("root/sites/a/mesh.signed.json"), made.read("mesh.signed.json")).unwrap();
    let error = machines.refused(&["install", &site, &arg(&machines.path("root/sites/a/ca.pem"))]);
    assert!(error.contains("mesh.signed.json: the signer's certificate: "), "{error}");
    std::fs::copy(machines.path("root/mesh.signed.json"), machines.path("root/sites/a/mesh.signed.json")).unwrap();
    std::fs::write(machines.path("a/sites/a/ca.pem"), read(&made.file("sites/a/ca.pem"))).unwrap();
    let error = machines.refused(&["install", &site, &arg(&machines.path("root/sites/a/ca.pem"))]);
    assert!(error.contains("sites/a/ca.pem: exists already, expected no other certificate there"), "{error}");
}

#[test]
fn a_root_alone_takes_no_sites() {
    let folder = tempfile::tempdir().unwrap();
    let mesh = arg(&folder.path().join("mesh"));
    for more in [["--site", "a=a.example"], ["--link", "a:b:feed"], ["--spiffe", "a"]] {
        let output = federation(&[&["init", &mesh, "--name", "Example", "--root-only"][..], &more].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
