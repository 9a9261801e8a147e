//! Tests `edgetrust federation`: what it makes, read by openssl, and what its changes do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::peers::{edgetrust, shell};
use super::pki::arg;

/// A mesh of sites a, b and c in a folder of its own.
pub struct Made {
    _folder: TempDir,
    pub path: PathBuf,
}

impl Made {
    /// Returns a copy of a mesh that is made once.
    pub fn new() -> Self {
        static FIRST: OnceLock<TempDir> = OnceLock::new();
        let first = FIRST.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let said = federation(
                &["init", &arg(&folder.path().join("mesh")), "--name", "Example Mesh"]
                    .into_iter()
                    .chain(["--site", "a=a.example", "--site", "b=b.example", "--site", "c=c.example"])
                    .chain(["--address", "a=192.0.2.7", "--spiffe", "b"])
                    .collect::<Vec<_>>(),
            );
            assert_eq!(said.status.code(), Some(0), "{said:?}");
            folder
        });
        let folder = tempfile::tempdir().unwrap();
        shell(first.path(), &format!("cp -a mesh {}", arg(folder.path())));
        Self { path: folder.path().join("mesh"), _folder: folder }
    }

    /// Returns a new mesh.
    pub fn init(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh");
        let said = federation(&[&["init", &arg(&path), "--name", "Example Mesh"], options].concat());
        assert_eq!(said.status.code(), Some(0), "{said:?}");
        Self { path, _folder: folder }
    }

    /// Issues a certificate for a name from the CA of a site, with its key, as `NAME.pem` and `NAME.key` in a folder. A
    /// gateway that watches them sees both whole.
    pub fn issue(&self, site: &str, name: &str, folder: &Path) {
        let issue = format!(
            "for password in {mesh}/passwords/site-{site} {mesh}/passwords/site-{site}.*; do
                openssl pkey -in {mesh}/sites/{site}/ca.key -passin file:$password -out ca.key && break
            done
            openssl ecparam -name prime256v1 -genkey -noout -out own.key && chmod 600 own.key
            openssl req -new -key own.key -subj /CN={name} -out own.csr
            echo subjectAltName=DNS:{name} > ext
            openssl x509 -req -in own.csr -CA {mesh}/sites/{site}/ca.pem -CAkey ca.key -CAcreateserial -days 1 \
                -extfile ext -out own.chain
            cat {mesh}/sites/{site}/ca.pem >> own.chain; rm ca.key own.csr ext
            mv own.key {name}.key; mv own.chain {name}.pem",
            mesh = arg(&self.path)
        );
        shell(folder, &issue);
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Runs a subcommand on this mesh.
    pub fn run(&self, command: &str) -> Output {
        let mut words: Vec<&str> = command.split_whitespace().collect();
        let folder = arg(&self.path);
        words.insert(1, &folder);
        federation(&words)
    }

    /// Runs a subcommand that succeeds, and returns what it prints.
    pub fn done(&self, command: &str) -> String {
        let output = self.run(command);
        let [said, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert_eq!(output.status.code(), Some(0), "{command}: {said}{error}");
        said
    }

    /// Runs a subcommand that is refused, and returns its error or what it prints. The folder stays as it was.
    pub fn refused(&self, command: &str, code: i32) -> String {
        let before = self.contents();
        let output = self.run(command);
        let [said, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert_eq!(output.status.code(), Some(code), "{command}: {said}{error}");
        assert_eq!(self.contents(), before, "{command}");
        said + &error
    }

    /// Returns all files with the digests of their contents.
    pub fn contents(&self) -> String {
        let listed = shell(&self.path, "find . -type f -exec sha256sum {} + | sort; find . | sort");
        String::from_utf8(listed.stdout).unwrap()
    }
}

pub fn federation(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgetrust"));
    command.arg("federation").args(words).stdin(Stdio::null()).output().unwrap()
}

/// Returns what openssl says, whether it succeeds or not.
fn openssl(folder: &Path, command: &str) -> String {
    let output = Command::new("sh").args(["-c", &format!("openssl {command} 2>&1")]).current_dir(folder).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn openssl_opens_the_keys() {
    let made = Made::new();
    for (key, password, certificate) in [
        ("root/root.key", "passwords/root", "root/root.pem"),
        ("signer/signer.key", "passwords/signer-1", "signer/signer.pem"),
        ("sites/a/ca.key", "passwords/site-a", "sites/a/ca.pem"),
    ] {
        let form = openssl(&made.path, &format!("asn1parse -in {key}"));
        for part in [":PBES2", ":PBKDF2", ":0927C0", ":hmacWithSHA256", ":aes-256-cbc"] {
            assert!(form.contains(part), "{key}: {form}");
        }
        let public = openssl(&made.path, &format!("pkey -in {key} -passin file:{password} -pubout"));
        assert_eq!(public, openssl(&made.path, &format!("x509 -in {certificate} -noout -pubkey")), "{key}");
        let refused = openssl(&made.path, &format!("pkey -in {key} -passin pass:another -pubout"));
        assert!(!refused.contains("PUBLIC KEY"), "{refused}");
        let mode = shell(&made.path, &format!("stat -c %a {key} {password}")).stdout;
        assert_eq!(mode, b"600\n600\n");
    }
    let passwords: Vec<_> =
        ["root", "signer-1", "site-a", "site-b", "site-c"].map(|name| made.read(&format!("passwords/{name}"))).into();
    assert!(passwords.iter().enumerate().all(|(place, one)| !passwords[..place].contains(one)));
}

/// Issues a leaf by a site's CA and returns what openssl says of the chain.
fn leaf(made: &Made, site: &str, extensions: &str) -> String {
    std::fs::write(made.file("leaf.ext"), extensions).unwrap();
    let commands = format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out leaf.key
         openssl req -new -key leaf.key -subj /CN=gateway -out leaf.csr
         openssl x509 -req -in leaf.csr -CA sites/{site}/ca.pem -CAkey sites/{site}/ca.key -passin file:passwords/site-{site} -CAcreateserial -days 1 -extfile leaf.ext -out leaf.pem"
    );
    shell(&made.path, &commands);
    openssl(&made.path, &format!("verify -CAfile root/root.pem -untrusted sites/{site}/ca.pem leaf.pem"))
}

#[test]
fn a_site_issues_its_own_names_alone() {
    let made = Made::new();
    for name in ["DNS:gateway.a.example", "DNS:a.example", "DNS:x.y.a.example"] {
        let said = leaf(&made, "a", &format!("subjectAltName={name}"));
        assert_eq!(said, "leaf.pem: OK\n", "{name}");
    }
    for (site, name, expected) in [
        ("a", "DNS:gateway.b.example", "permitted subtree violation"),
        ("a", "DNS:gateway.a.example,DNS:xa.example", "permitted subtree violation"),
        ("a", "DNS:gateway.a.example,IP:192.0.2.7", "excluded subtree violation"),
        ("a", "DNS:gateway.a.example,IP:2001:db8::7", "excluded subtree violation"),
        ("a", "DNS:gateway.a.example,URI:spiffe://a.example/x", "permitted subtree violation"),
        ("b", "DNS:gateway.b.example,URI:spiffe://a.example/x", "permitted subtree violation"),
    ] {
        let said = leaf(&made, site, &format!("subjectAltName={name}"));
        assert!(said.contains(expected), "{name}: {said}");
    }
    let said =
        leaf(&made, "b", "subjectAltName=DNS:gateway.b.example,URI:spiffe://b.example/x,URI:spiffe://w.b.example/x");
    assert_eq!(said, "leaf.pem: OK\n");
    // Its CA has no CA below it.
    leaf(&made, "a", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign");
    let commands = "mv leaf.pem sub.pem; mv leaf.key sub.key
        openssl ecparam -name prime256v1 -genkey -noout -out leaf.key
        openssl req -new -key leaf.key -subj /CN=below | openssl x509 -req -CA sub.pem -CAkey sub.key -CAcreateserial -days 1 -out leaf.pem
        cat sub.pem sites/a/ca.pem > between.pem";
    shell(&made.path, commands);
    let said = openssl(&made.path, "verify -CAfile root/root.pem -untrusted between.pem leaf.pem");
    assert!(said.contains("path length constraint exceeded"), "{said}");
}

/// The core refuses what openssl refuses.
#[test]
fn the_core_agrees() {
    let made = Made::new();
    for (name, code) in [
        ("DNS:gateway.a.example", 0),
        ("DNS:gateway.a.example,DNS:gateway.b.example", 1),
        ("DNS:gateway.a.example,IP:192.0.2.7", 1),
        ("DNS:gateway.a.example,URI:spiffe://a.example/x", 1),
    ] {
        leaf(&made, "a", &format!("subjectAltName={name}"));
        let [root, ca, leaf] = ["root/root.pem", "sites/a/ca.pem", "leaf.pem"].map(|name| arg(&made.file(name)));
        for purpose in ["server", "client"] {
            let verify = ["verify", "--ca", &root, "--intermediate", &ca, "--leaf", &leaf, "--purpose", purpose];
            let output = edgetrust(&verify);
            assert_eq!(output.status.code(), Some(code), "{name}: {output:?}");
        }
    }
}

#[test]
fn certificates_are_as_they_should_be() {
    let made = Made::new();
    let shown = |file: &str| openssl(&made.path, &format!("x509 -in {file} -noout -text"));
    let (root, site, signer) = (shown("root/root.pem"), shown("sites/a/ca.pem"), shown("signer/signer.pem"));
    assert!(root.contains("CA:TRUE, pathlen:2") && !root.contains("Name Constraints"), "{root}");
    for part in ["CA:TRUE, pathlen:0", "Name Constraints: critical", "TLS Web Server", "TLS Web Client", "prime256v1"] {
        assert!(site.contains(part), "{part}: {site}");
    }
    assert!(!site.contains("DirName"), "Go refuses such chains: {site}");
    assert!(signer.contains("CA:FALSE") && !signer.contains("TLS Web"), "{signer}");
    for purpose in ["sslserver", "sslclient"] {
        let said = openssl(&made.path, &format!("verify -purpose {purpose} -CAfile root/root.pem signer/signer.pem"));
        assert!(said.contains("unsuitable certificate purpose"), "{said}");
    }
    for (file, years) in [("root/root.pem", 20), ("sites/a/ca.pem", 5)] {
        let day = 86_400;
        let before = openssl(&made.path, &format!("x509 -in {file} -noout -checkend {}", years * 365 * day - day));
        let after = openssl(&made.path, &format!("x509 -in {file} -noout -checkend {}", years * 365 * day + day));
        assert!(before.contains("will not expire") && after.contains("will expire"), "{file}: {before}{after}");
    }
    let folder = made.file("sites/a");
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = ["README.txt", "ca.json", "ca.key", "ca.pem", "compose.yaml", "edgetrust.service", "gateway.json"];
    assert_eq!(names[..7], expected);
    assert_eq!(names[7..], ["mesh.signed.json", "root.pem", "step-ca.service"]);
}

/// The signature is checked by openssl.
#[test]
fn each_change_is_signed_and_names_the_one_before() {
    let made = Made::new();
    let mesh = made.json("mesh.json");
    assert_eq!((&mesh["sequence"], mesh.get("previous")), (&1.into(), None));
    let digest = |text: String| {
        std::fs::write(made.file("text"), text).unwrap();
        let said = openssl(&made.path, "dgst -sha256 -r text");
        format!("sha256:{}", said.split(' ').next().unwrap())
    };
    let before = made.read("mesh.json");
    let said = made.done("deny --key sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae");
    assert!(said.contains("sequence 2, signed by the signer of generation 1"), "{said}");
    let mesh = made.json("mesh.json");
    assert_eq!((&mesh["sequence"], &mesh["previous"]), (&2.into(), &digest(before).into()));
    for site in ["a", "b", "c"] {
        assert_eq!(made.read(&format!("sites/{site}/mesh.signed.json")), made.read("mesh.signed.json"));
    }
    signature_holds(&made);
    made.done("signer");
    signature_holds(&made);
    assert_eq!(made.json("mesh.json"), mesh, "another signer changes nothing else");
    assert!(made.file("retired/signer-before-2/signer.key").exists());
}

fn signature_holds(made: &Made) {
    let signed = made.json("mesh.signed.json");
    let part = |name: &str| signed[name].as_str().unwrap().to_owned();
    let decode = |text: &str| {
        let text = text.replace('-', "+").replace('_', "/");
        std::fs::write(made.file("part"), text.clone() + &"=".repeat((4 - text.len() % 4) % 4)).unwrap();
        shell(&made.path, "openssl base64 -d -A -in part").stdout
    };
    assert_eq!(decode(&part("payload")), made.read("mesh.json").into_bytes());
    let header: Value = serde_json::from_slice(&decode(&part("protected"))).unwrap();
    assert_eq!(header.as_object().unwrap().keys().collect::<Vec<_>>(), ["alg", "typ", "x5c"]);
    assert_eq!(header["alg"], "ES256");
    let signer: String = made.read("signer/signer.pem").lines().filter(|line| !line.contains("CERT")).collect();
    assert_eq!(header["x5c"], serde_json::json!([signer]));
    let signature = decode(&part("signature"));
    assert_eq!(signature.len(), 64);
    let integer = |half: &[u8]| [&[2, 33, 0], half].concat();
    let both = [integer(&signature[..32]), integer(&signature[32..])].concat();
    // openssl takes no leading zeros that are not needed.
    let minimal = both.chunks(35).flat_map(|one| {
        let value: Vec<u8> = one[2..].iter().copied().skip_while(|octet| *octet == 0).collect();
        let sign = if value[0] & 0x80 != 0 { vec![0] } else { vec![] };
        [vec![2, u8::try_from(value.len() + sign.len()).unwrap()], sign, value].concat()
    });
    let minimal: Vec<u8> = minimal.collect();
    std::fs::write(made.file("sig"), [vec![0x30, u8::try_from(minimal.len()).unwrap()], minimal].concat()).unwrap();
    std::fs::write(made.file("input"), format!("{}.{}", part("protected"), part("payload"))).unwrap();
    let verify = "openssl x509 -in signer/signer.pem -noout -pubkey > pub && openssl dgst -sha256 -verify pub -signature sig input";
    assert_eq!(shell(&made.path, verify).stdout, b"Verified OK\n");
    shell(&made.path, "rm part sig input pub");
}
