//! Tests a new root with clients of others, which hold the root before or the next one alone: OpenSSL, Go and
//! rustls-webpki.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use pki_types::pem::PemObject as _;
use pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::client::WebPkiServerVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::control::Sites;
use super::peers::shell;
use super::pki::arg;

/// A client that holds one root: it shakes hands with the first argument, as `gateway.c.example`.
const GO: &str = r#"package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

func main() {
	pem, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		panic("no root")
	}
	own, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
	if err != nil {
		panic(err)
	}
	config := &tls.Config{RootCAs: roots, ServerName: "gateway.c.example", Certificates: []tls.Certificate{own}}
	connection, err := tls.Dial("tcp", os.Args[1], config)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	connection.Close()
}
"#;

/// The clients, with the certificate that all show.
struct Clients<'s> {
    sites: &'s Sites,
    folder: PathBuf,
    go: Option<PathBuf>,
}

impl Clients<'_> {
    fn own(&self, end: &str) -> PathBuf {
        self.sites.folder_of("b").join(format!("gateway.b.example.{end}"))
    }

    /// Shakes hands with each client that holds this root, and returns the results by the clients' names.
    fn shake(&self, root: &Path) -> Vec<(&'static str, bool)> {
        let mut all = vec![("OpenSSL", self.openssl(root)), ("rustls-webpki", self.webpki(root))];
        all.extend(self.go.as_ref().map(|go| ("Go", self.go(go, root))));
        all
    }

    fn openssl(&self, root: &Path) -> bool {
        let address = self.sites.address("c").to_string();
        let mut client = Command::new("openssl");
        client.args([
            "s_client",
            "-connect",
            &address,
            "-verify_return_error",
            "-verify_hostname",
            "gateway.c.example",
        ]);
        client.args(["-CAfile", &arg(root), "-cert", &arg(&self.own("pem")), "-cert_chain", &arg(&self.own("pem"))]);
        client.args(["-key", &arg(&self.own("key"))]).stdin(Stdio::null());
        let output = client.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        said.contains("Verify return code: 0 (ok)")
    }

    fn go(&self, program: &Path, root: &Path) -> bool {
        let mut client = Command::new(program);
        client.arg(self.sites.address("c").to_string()).arg(root).arg(self.own("pem")).arg(self.own("key"));
        client.output().unwrap().status.success()
    }

    fn webpki(&self, root: &Path) -> bool {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let chain = CertificateDer::pem_file_iter(self.own("pem")).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(self.own("key")).unwrap();
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_webpki_verifier(verifier).with_client_auth_cert(chain, key).unwrap();
        let name = ServerName::try_from("gateway.c.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(self.sites.address("c")).unwrap();
        while client.is_handshaking() {
            if client.complete_io(&mut stream).is_err() {
                return false;
            }
        }
        true
    }

    /// Returns whether a server of others that holds this root takes the gateway's certificate for that of a client.
    fn is_taken_as_client(&self, root: &Path) -> bool {
        let chain = arg(&self.sites.folder_of("c").join("gateway.c.example.pem"));
        let verify = format!("openssl verify -purpose sslclient -CAfile {} -untrusted {chain} {chain}", arg(root));
        let output = Command::new("sh").args(["-c", &verify]).current_dir(&self.folder).output().unwrap();
        output.status.success()
    }
}

/// Builds the client in Go; none where there is no Go.
fn go(folder: &Path) -> Option<PathBuf> {
    if Command::new("go").arg("version").output().is_err() {
        println!("skipped: the client in Go, which is not here");
        return None;
    }
    std::fs::write(folder.join("client.go"), GO).unwrap();
    shell(folder, "CGO_ENABLED=0 GOFLAGS= GO111MODULE=off go build -o client client.go");
    Some(folder.join("client"))
}

#[test]
fn clients_that_hold_one_root_alone_are_served_at_every_stage() {
    let (sites, folder) = (Sites::new(), tempfile::tempdir().unwrap());
    let made = &sites.made;
    let clients = Clients { sites: &sites, folder: folder.path().to_owned(), go: go(folder.path()) };
    let [first, next] = ["first.pem", "next.pem"].map(|name| folder.path().join(name));
    std::fs::copy(made.file("root/root.pem"), &first).unwrap();
    let c = sites.run("c", None);
    c.wait_for("listening tunnel=feed-in");
    let expect = |stage: &str, root: &Path, served: bool| {
        for (client, result) in clients.shake(root) {
            assert_eq!(result, served, "{stage}: {client} with {}", root.display());
        }
        assert_eq!(clients.is_taken_as_client(root), served, "{stage}: {}", root.display());
    };
    expect("before", &first, true);

    made.done("rollover start");
    sites.deliver("c");
    c.wait_for("reloaded");
    let name = "openssl crl2pkcs7 -nocrl -certfile sites/c/root.pem | openssl pkcs7 -print_certs";
    let all = String::from_utf8(shell(&made.path, name).stdout).unwrap();
    let second = all.split_inclusive("-----END CERTIFICATE-----\n").nth(1).unwrap();
    std::fs::write(&next, second).unwrap();
    expect("started", &first, true);
    // Nothing is promised to the next root alone before it certifies anything.
    expect("started", &next, false);

    made.done("rollover commit --yes");
    sites.deliver("c");
    c.wait_for("reloaded");
    expect("committed, and not yet renewed", &first, true);
    for site in ["b", "c"] {
        made.issue(site, &format!("gateway.{site}.example"), &sites.folder_of(site));
    }
    c.wait_for("reloaded");
    expect("committed", &first, true);
    expect("committed", &next, true);

    made.done("rollover finish --yes");
    sites.deliver("c");
    c.wait_for("another mesh is in force: sequence 4");
    c.wait_for("reloaded");
    expect("finished", &first, true);
    expect("finished", &next, true);

    // A new key for the CA of a site changes nothing for them.
    for step in ["start", "commit --yes"] {
        made.done(&format!("renew c {step}"));
        sites.deliver("c");
        c.wait_for("reloaded");
        expect(step, &first, true);
        expect(step, &next, true);
    }
    made.issue("c", "gateway.c.example", &sites.folder_of("c"));
    c.wait_for("reloaded");
    made.done("renew c finish --yes");
    sites.deliver("c");
    c.wait_for("another mesh is in force: sequence 7");
    expect("a new key", &first, true);
    expect("a new key", &next, true);
}
