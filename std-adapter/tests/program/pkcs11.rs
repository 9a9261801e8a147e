//! Tests keys in tokens, with SoftHSM as the token, and with a module that hangs and crashes.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use edgetrust::tls::{ClientSettings, Connector, MinVersion, ServerTrust, TrustStore, server_name};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::peers::{OpensslClient, Program, echo, served_certificate};
use super::pki::{Pki, arg};
use super::softhsm::{PIN, Token, module};

/// A token of SoftHSM, and a CA.
pub struct Tokens {
    pub pki: Pki,
    token: Token,
}

impl Deref for Tokens {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.token
    }
}

impl Tokens {
    pub fn new() -> Self {
        let pki = Pki::new("Root");
        Self { token: Token::new(pki.path("ca.pem").parent().unwrap()), pki }
    }

    /// Puts a key into the token, and issues a certificate for it; returns the certificate's file.
    pub fn issue(&self, object: &str, key: &KeyPair) -> String {
        self.import(&key.serialize_pem(), object);
        let file = self.pki.path(&format!("{object}.pem"));
        fs::write(&file, self.pki.sign(object, &["gateway.example"], key)).unwrap();
        arg(&file)
    }

    /// Starts a server tunnel in front of an echo service.
    pub fn serve(&self, cert: &str, uri: &str, more: &[&str]) -> Program {
        let target = echo().to_string();
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--target", &target, "--cert", cert, "--key", uri];
        let arguments: Vec<String> = fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect();
        let mut program = Program::start_in(&arguments, &self.environment());
        program.wait_for_tunnel();
        program
    }

    /// Runs a command to its end; returns what it said, in which no PIN is.
    pub fn run(&self, arguments: &[&str]) -> (Output, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgetrust"));
        let output = command.args(arguments).envs(self.environment()).env("NO_COLOR", "1").output().unwrap();
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains(PIN) && !said.contains("1111"), "{said}");
        (output, said)
    }

    /// Returns whether a client that verifies the gateway gets its words back.
    pub fn echoes(&self, address: SocketAddr, more: &[&str]) -> bool {
        let ca = arg(&self.pki.ca());
        let verified = ["-verify_return_error", "-CAfile", &ca, "-verify_hostname", "gateway.example"];
        OpensslClient::start(address, &[&verified, more].concat()).ask("hello").as_deref() == Some("hello")
    }

    pub fn connector(&self) -> Arc<Connector> {
        let trust = TrustStore::new(edgetrust::pem::read_certificates(&self.pki.ca()).unwrap()).unwrap();
        let settings = ClientSettings {
            trust: ServerTrust::Verified(trust),
            credential: None,
            min_version: MinVersion::Tls12,
            alpn: Vec::new(),
        };
        Arc::new(Connector::new(settings).unwrap())
    }
}

pub fn p256() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

pub fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

pub async fn exchange(connector: &Connector, address: SocketAddr) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let name = server_name("gateway.example").map_err(std::io::Error::other)?;
    let (mut tls, _) = connector.connect(name, stream).await.map_err(std::io::Error::other)?;
    tls.write_all(b"hello").await?;
    tls.read_exact(&mut [0; 5]).await?;
    tls.shutdown().await
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn keys_of_each_kind_sign_for_servers() {
    let tokens = Tokens::new();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    for (object, key) in [("ec256", p256()), ("ec384", p384), ("rsa", rsa())] {
        let cert = tokens.issue(object, &key);
        let program = tokens.serve(&cert, &tokens.uri(object), &[]);
        for version in ["-tls1_2", "-tls1_3"] {
            assert!(tokens.echoes(program.address, &[version]), "{object} {version}");
        }
        let schemes: &[&str] = match object {
            "ec256" => &["ECDSA+SHA256"],
            "ec384" => &["ECDSA+SHA384"],
            _ => &["RSA-PSS+SHA256", "RSA-PSS+SHA384", "RSA-PSS+SHA512"],
        };
        for scheme in schemes {
            assert!(tokens.echoes(program.address, &["-tls1_3", "-sigalgs", scheme]), "{object} {scheme}");
        }
        if object == "rsa" {
            for scheme in ["RSA+SHA256", "RSA+SHA384", "RSA+SHA512"] {
                assert!(tokens.echoes(program.address, &["-tls1_2", "-sigalgs", scheme]), "{scheme}");
            }
        }
    }
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn keys_sign_for_clients() {
    let tokens = Tokens::new();
    let (uri, cert) = (tokens.uri("client"), tokens.issue("client", &p256()));
    let (own, own_key) = tokens.pki.issue("gateway", &["gateway.example"]);
    let ca = arg(&tokens.pki.ca());
    let server = tokens.serve(&arg(&own), &arg(&own_key), &["--cacert", &ca, "--allow-cn", "client"]);
    let target = server.address.to_string();
    let arguments = ["connect", "--listen", "127.0.0.1:0", "--target", &target, "--server-name", "gateway.example"];
    let arguments = [&arguments[..], &["--cacert", &ca, "--cert", &cert, "--key", &uri]].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let mut client = Program::start_in(&arguments, &tokens.environment());
    client.wait_for_tunnel();
    let mut stream = std::net::TcpStream::connect(client.address).unwrap();
    let mut answer = [0; 5];
    std::io::Write::write_all(&mut stream, b"hello").unwrap();
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn faults_are_told_with_what_was_found() {
    let tokens = Tokens::new();
    let cert = tokens.issue("gateway", &p256());
    tokens.import(&p256().serialize_pem(), "other");
    let write = |name: &str, text: &str| {
        let file = tokens.pki.path(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        arg(&file)
    };
    let (wrong, empty) = (write("wrong", "1111\n"), write("empty", "\n"));
    let good = tokens.uri("gateway");
    let pin = arg(&tokens.pin());
    let text = write("module.so", "no library");
    let libc = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6"];
    let libc = libc.into_iter().find(|file| Path::new(file).exists()).expect("libc");
    let softhsm = module();
    for (uri, expected) in [
        (
            good.replace("token=edge", "token=egde"),
            r#"token "egde", object "gateway": found no such token, but "edge" with serial"#,
        ),
        (
            good.replace("object=gateway", "object=gatevay"),
            r#"object "gatevay": found no such private key in the token, but"#,
        ),
        (good.replace("object=gateway", "object=gatevay"), r#""other" with id 6f74686572"#),
        (
            good.replace("object=gateway", "object=other"),
            r#"object "other": the key does not belong to the first certificate"#,
        ),
        (good.replace(&pin, &wrong), "the token refuses the PIN (PinIncorrect)"),
        (good.replace(&pin, &empty), "found an empty first line, expected a PIN"),
        (good.replace(&pin, "/none/pin"), "pin-source: /none/pin: cannot be read: No such file"),
        (
            good.split("&pin-source").next().unwrap().to_owned(),
            "the token asks for a PIN, expected pin-source in the URI",
        ),
        (good.replace(&softhsm, "/none/module.so"), "module-path: /none/module.so: cannot be loaded"),
        (good.replace(&softhsm, &text), "module.so: cannot be loaded"),
        (good.replace(&softhsm, libc), "found no C_GetFunctionList in it, expected a PKCS #11 module"),
        (good.replace("pin-source=file:", "pin-value="), "pin-value: a PIN has no place in a configuration"),
        (good.replace("object=", "objekt="), "found the attribute \"objekt\", expected token"),
    ] {
        let (output, said) = tokens.run(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--target",
            "127.0.0.1:1",
            "--cert",
            &cert,
            "--key",
            &uri,
        ]);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}\nhas not\n{expected}");
    }
    // A key that is too short for anybody, and one that is there twice.
    tokens.generate("rsa:1024", "short");
    tokens.generate("EC:secp521r1", "curve");
    tokens.generate("EC:prime256v1", "twice");
    tokens.generate("EC:prime256v1", "twice");
    for (object, expected) in [
        ("short", "found RSA with 1024 bits, expected P-256, P-384 or RSA with at least 2048 bits"),
        ("curve", "found a key of the curve 06052b81040023, expected P-256, P-384 or RSA"),
        (
            "twice",
            "found more than one such private key: \"twice\" with id 7477696365, \"twice\" with id 7477696365, expected one",
        ),
    ] {
        let uri = tokens.uri(object);
        let said = tokens
            .run(&["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", &cert, "--key", &uri])
            .1;
        assert!(said.contains(expected), "{said}\nhas not\n{expected}");
    }
}

/// Writes the configuration of a gateway with a tunnel whose key is in a token and one whose key is in a file.
pub fn config(tokens: &Tokens, cert: &str, uri: &str) -> String {
    let (own, own_key) = tokens.pki.issue("gateway", &["gateway.example"]);
    let target = echo().to_string();
    let tls = |cert: &str, key: &str| json!({"cert_file": cert, "key_file": key});
    let config = json!({"gateway": {
        "tunnels": [
            {"name": "token", "mode": "server", "listen": "127.0.0.1:0", "target": target, "tls": tls(cert, uri)},
            {"name": "file", "mode": "server", "listen": "127.0.0.1:0", "target": target,
             "tls": tls(&arg(&own), &arg(&own_key))},
        ],
        "admin": {"listen": "127.0.0.1:0"},
    }});
    let file = tokens.pki.path("gateway.json");
    fs::write(&file, config.to_string()).unwrap();
    arg(&file)
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn check_says_where_the_key_is_and_whose_pin_others_may_read() {
    let tokens = Tokens::new();
    let cert = tokens.issue("inside", &p256());
    let file = config(&tokens, &cert, &tokens.uri("inside"));
    let (output, said) = tokens.run(&["check", "--config", &file]);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(r#"the key matches, the key is in token "edge", object "inside""#), "{said}");
    assert!(!said.contains("lets others use the PIN"), "{said}");
    fs::set_permissions(tokens.pin(), fs::Permissions::from_mode(0o644)).unwrap();
    let said = tokens.run(&["check", "--config", &file]).1;
    assert!(said.contains("pin: mode 644 lets others use the PIN, expected 600"), "{said}");
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn a_token_may_go_and_come_back() {
    let tokens = Tokens::new();
    let cert = tokens.issue("inside", &p256());
    let program = tokens.serve(&cert, &tokens.uri("inside"), &["--watch-interval", "0s"]);
    assert!(tokens.echoes(program.address, &[]));
    let (here, away) = (tokens.pki.path("tokens"), tokens.pki.path("away"));
    fs::rename(&here, &away).unwrap();
    fs::create_dir(&here).unwrap();
    program.wait_until("handshakes fail without the token", |program| !tokens.echoes(program.address, &[]));
    program.wait_for(r#"token "edge", object "inside": found no such token, but none at all"#);
    fs::remove_dir(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    program.wait_until("the token is found again", |program| tokens.echoes(program.address, &[]));
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn a_reload_finds_another_key_by_the_same_uri() {
    let tokens = Tokens::new();
    let cert = tokens.issue("inside", &p256());
    let program = tokens.serve(&cert, &tokens.uri("inside"), &["--watch-interval", "0s"]);
    let before = served_certificate(program.address, &[]);
    for kind in ["privkey", "pubkey"] {
        tokens.tool(&["--delete-object", "--type", kind, "--label", "inside"]);
    }
    let key = p256();
    tokens.import(&key.serialize_pem(), "inside");
    // The certificate of the old key stays in force, and nothing is signed for it by the new one.
    program.signal("HUP");
    program.wait_for(r#"object "inside": the key does not belong to the first certificate"#);
    assert!(!tokens.echoes(program.address, &[]));
    fs::write(&cert, tokens.pki.sign("inside", &["gateway.example"], &key)).unwrap();
    program.signal("HUP");
    program.wait_for("reloaded");
    assert_ne!(served_certificate(program.address, &[]), before);
    assert!(tokens.echoes(program.address, &[]));
}
