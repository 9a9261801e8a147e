//! Tests pinned self-signed certificates made by openssl: each vouches for itself and for nobody else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use super::peers::{OpensslClient, Program, echo, edgetrust, shell};
use super::pki::{Pki, arg, self_signed};
use super::serve::{let_in, serve};

/// Issues a leaf that is signed by the key of `NAME.pem`.
pub fn issued_by(folder: &Path, name: &str, cn: &str, file: &str) -> (PathBuf, PathBuf) {
    shell(
        folder,
        &format!(
            "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={cn} -keyout {file}.key -out {file}.csr\n\
             printf 'subjectAltName=DNS:{cn}\\n' > {file}.ext\n\
             openssl x509 -req -in {file}.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -days 2 -extfile {file}.ext -out {file}.pem"
        ),
    );
    (folder.join(format!("{file}.pem")), folder.join(format!("{file}.key")))
}

pub fn admits(program: &Program, pki: &Pki, (cert, key): &(PathBuf, PathBuf)) -> bool {
    let_in(program, pki, Some((&arg(cert), &arg(key))))
}

#[test]
fn a_pinned_client_cannot_issue_a_name_of_another() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let (a, b) = (self_signed(folder.path(), "location-a"), self_signed(folder.path(), "location-b"));
    let rogue = issued_by(folder.path(), "location-a", "location-b", "rogue");
    let pins = ["--cacert", &arg(&a.0), "--cacert", &arg(&b.0)];
    for rules in [&["--allow-cn", "location-a", "--allow-cn", "location-b"][..], &["--allow-dns", "location-b"], &[]] {
        let program = serve(&pki, &[&pins[..], rules].concat());
        assert!(admits(&program, &pki, &b), "{rules:?}");
        assert!(!admits(&program, &pki, &rogue), "{rules:?}");
        program.wait_for("a configured certificate that vouches for itself alone");
    }
}

#[test]
fn a_pin_that_comes_along_as_an_issuer_is_still_a_pin() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let (a, b) = (self_signed(folder.path(), "location-a"), self_signed(folder.path(), "location-b"));
    let (cert, key) = issued_by(folder.path(), "location-a", "location-b", "rogue");
    let program = serve(&pki, &["--cacert", &arg(&a.0), "--cacert", &arg(&b.0), "--known-intermediate", &arg(&a.0)]);
    let [cert, key, above] = [&cert, &key, &a.0].map(|file| arg(file));
    let arguments = ["-cert", &cert, "-key", &key, "-cert_chain", &above];
    assert_eq!(OpensslClient::start(program.address, &arguments).ask("hello"), None);
    program.wait_for("a configured certificate that vouches for itself alone");
}

/// Returns whether a client tunnel with these CAs gets an answer from the server.
fn answers(server: SocketAddr, server_name: &str, cas: &[&Path]) -> bool {
    let target = server.to_string();
    let fixed = ["connect", "--listen", "127.0.0.1:0", "--target", &target, "--server-name", server_name];
    let mut arguments: Vec<String> = fixed.iter().map(|text| (*text).to_owned()).collect();
    arguments.push("--no-system-roots".to_owned());
    cas.iter().for_each(|ca| arguments.extend(["--cacert".to_owned(), arg(ca)]));
    let client = Program::start(&arguments);
    let mut stream = TcpStream::connect(client.address).unwrap();
    let mut octets = [0; 5];
    stream.write_all(b"hello").is_ok() && stream.read_exact(&mut octets).is_ok() && &octets == b"hello"
}

/// Starts a server tunnel that shows this certificate.
fn shows((cert, key): &(PathBuf, PathBuf)) -> Program {
    let target = echo().to_string();
    let (cert, key) = (arg(cert), arg(key));
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--target", &target, "--cert", &cert, "--key", &key];
    Program::start(&arguments.map(str::to_owned))
}

#[test]
fn a_pinned_server_cannot_issue_for_the_name_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (self_signed(folder.path(), "a.example"), self_signed(folder.path(), "b.example"));
    let rogue = issued_by(folder.path(), "a.example", "b.example", "rogue");
    let pins = [a.0.as_path(), b.0.as_path()];
    assert!(answers(shows(&a).address, "a.example", &pins));
    assert!(answers(shows(&b).address, "b.example", &pins));
    assert!(!answers(shows(&rogue).address, "b.example", &pins));
}

/// The command of CONFIGURATION.md that signs a root anew, with other file names.
const SIGN_ANEW: &str = "printf '%s\\n' basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign subjectKeyIdentifier=hash > ca.ext\n\
                         openssl x509 -in root.pem -signkey root.key -days 3650 -clrext -extfile ca.ext -out signed.pem";

#[test]
fn a_root_without_key_usage_issues_once_it_is_signed_anew() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let (root, _) = self_signed(folder.path(), "root");
    let leaf = issued_by(folder.path(), "root", "location-b", "leaf");
    let program = serve(&pki, &["--cacert", &arg(&root), "--allow-cn", "location-b"]);
    assert!(!admits(&program, &pki, &leaf));
    program.wait_for("it is pinned, or lacks cA or keyCertSign");
    shell(folder.path(), SIGN_ANEW);
    let program = serve(&pki, &["--cacert", &arg(&folder.path().join("signed.pem")), "--allow-cn", "location-b"]);
    assert!(admits(&program, &pki, &leaf), "the same key, so the same leafs");
}

#[test]
fn what_may_issue_is_no_peer_itself() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let (_, key) = self_signed(folder.path(), "root");
    shell(folder.path(), SIGN_ANEW);
    let root = (folder.path().join("signed.pem"), key);
    let program = serve(&pki, &["--cacert", &arg(&root.0)]);
    assert!(!admits(&program, &pki, &root));
    program.wait_for("a CA certificate as a peer's own");
}

#[test]
fn a_name_that_a_pin_bears_belongs_to_that_pin() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let pin = self_signed(folder.path(), "location-b");
    let (issued, free) = (pki.issue("location-b", &["location-b"]), pki.issue("location-c", &[]));
    for rule in ["--allow-cn", "--allow-dns"] {
        let cas = ["--cacert", &arg(&pki.ca()), "--cacert", &arg(&pin.0), "--allow-cn", "location-c"];
        let program = serve(&pki, &[&cas[..], &[rule, "location-b"]].concat());
        assert!(admits(&program, &pki, &pin), "{rule}");
        assert!(admits(&program, &pki, &free), "{rule}");
        assert!(!admits(&program, &pki, &issued), "{rule}");
        program.wait_for("a pinned certificate bears that name");
    }
}

#[test]
fn while_a_peer_changes_its_certificate_both_are_pinned() {
    let (pki, old, new) = (Pki::new("Root"), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pins = [&old, &new].map(|folder| self_signed(folder.path(), "location-b"));
    let cas = ["--cacert", &arg(&pins[0].0), "--cacert", &arg(&pins[1].0), "--allow-cn", "location-b"];
    let program = serve(&pki, &cas);
    assert!(pins.iter().all(|pin| admits(&program, &pki, pin)));
}

#[test]
fn verify_judges_as_a_gateway_does() {
    let folder = tempfile::tempdir().unwrap();
    let (pin, _) = self_signed(folder.path(), "location-a");
    let (rogue, _) = issued_by(folder.path(), "location-a", "location-b", "rogue");
    let verdict = |leaf: &Path| edgetrust(&["verify", "--ca", &arg(&pin), "--leaf", &arg(leaf), "--purpose", "client"]);
    assert_eq!(verdict(&pin).status.code(), Some(0));
    assert_eq!(verdict(&rogue).status.code(), Some(1));
}
