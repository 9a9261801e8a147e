//! Tests who tries to continue sessions of others, or without an end: by a client of rustls that knows the messages.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edgetrust::tls::{ClientSettings, ClientStream, Credential, MinVersion, ServerTrust, TlsClient, TrustStore};
use hmac::{Hmac, Mac};
use pki_types::CertificateDer;
use pki_types::pem::PemObject;
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::continuation::{SiteCa, run};
use super::control::Sites;
use super::peers::{PATIENCE, Program};

/// A gateway that is none: it connects to c with the files of another site.
struct Client<'a> {
    runtime: &'a Runtime,
    sites: &'a Sites,
    folder: &'a Path,
    name: &'a str,
}

type Stream = ClientStream<TcpStream>;

impl Client<'_> {
    fn connect(&self, alpn: &[&str], min_version: MinVersion) -> Stream {
        let file = |end: &str| self.folder.join(format!("{}.{end}", self.name));
        let root = CertificateDer::from_pem_file(self.sites.made.file("root/root.pem")).unwrap();
        let settings = ClientSettings {
            trust: ServerTrust::Verified(TrustStore::new(vec![root]).unwrap()),
            credential: Some(Credential::load(&file("pem"), &file("key")).unwrap()),
            min_version,
            alpn: alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
        };
        let client = TlsClient::new(settings).unwrap();
        self.runtime.block_on(async {
            let stream = TcpStream::connect(self.sites.address("c")).await.unwrap();
            let name = edgetrust::tls::server_name("gateway.c.example").unwrap();
            client.connect(name, stream).await.unwrap().0
        })
    }

    /// Opens a session of the feed.
    fn session(&self) -> Stream {
        let mut stream = self.connect(&[], MinVersion::Tls13);
        assert!(self.passes(&mut stream));
        stream
    }

    fn control(&self) -> Stream {
        self.connect(&["edgetrust/1"], MinVersion::Tls13)
    }

    /// Returns whether a message comes back.
    fn passes(&self, stream: &mut Stream) -> bool {
        self.runtime.block_on(async {
            let mut answer = [0; 4];
            stream.write_all(b"ping").await.is_ok()
                && stream.read_exact(&mut answer).await.is_ok_and(|_| &answer == b"ping")
        })
    }

    /// Asks to continue sessions; returns the code, and the body.
    fn ask(&self, control: &mut Stream, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!("POST /continue HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        self.runtime.block_on(async {
            // Whoever is refused early does not read all.
            let _ = control.write_all(&[head.as_bytes(), body].concat()).await;
            let (mut answer, mut octet) = (Vec::new(), [0]);
            while !answer.ends_with(b"\r\n\r\n") {
                if control.read_exact(&mut octet).await.is_err() {
                    return (0, answer);
                }
                answer.push(octet[0]);
            }
            let text = String::from_utf8(answer).unwrap().to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            control.read_exact(&mut body).await.unwrap();
            (text[9..12].parse().unwrap(), body)
        })
    }
}

fn export(stream: &Stream, label: &str) -> [u8; 32] {
    let label = format!("EXPERIMENTAL edgetrust {label}");
    stream.get_ref().1.export_keying_material([0; 32], label.as_bytes(), None).unwrap()
}

fn proof(of: &[u8; 32], end: &[u8], control: &Stream) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(of).unwrap();
    mac.update(end);
    mac.update(&export(control, "control binding"));
    mac.finalize().into_bytes().into()
}

/// Returns the request to continue a session of one's own.
fn request(session: &Stream, control: &Stream) -> Vec<u8> {
    let proof = proof(&export(session, "session proof"), b"dialer", control);
    [export(session, "session id"), proof].concat()
}

const REFUSED: [u8; 40] = [0; 40];

struct Scene {
    sites: Sites,
    c: Program,
    runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let sites = Sites::new();
        SiteCa::of(&sites, "c").renew(&sites, "c", Duration::from_secs(3600));
        let (c, _) = run(&sites, "c", None, &json!({}));
        Self { sites, c, runtime: Runtime::new().unwrap() }
    }

    fn client<'a>(&'a self, folder: &'a Path, name: &'a str) -> Client<'a> {
        Client { runtime: &self.runtime, sites: &self.sites, folder, name }
    }
}

#[test]
fn a_proof_is_good_for_its_session_and_its_connection_alone() {
    let scene = Scene::new();
    let b = scene.sites.folder_of("b");
    let client = scene.client(&b, "gateway.b.example");
    let (session, other, mut control) = (client.session(), client.session(), client.control());
    let good = request(&session, &control);
    let (code, answer) = client.ask(&mut control, &good);
    assert_eq!((code, answer.len()), (200, 40));
    let listener = proof(&export(&session, "session proof"), b"listener", &control);
    assert_eq!(answer[..32], listener, "the listener proves that the session is its own");
    let until = u64::from_be_bytes(answer[32..].try_into().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(until > now && until < now + 2 * 86_400, "{until}");
    // Each of these has one part of another.
    let mut elsewhere = client.control();
    let proof_of_other = proof(&export(&other, "session proof"), b"dialer", &elsewhere);
    let as_listener = proof(&export(&session, "session proof"), b"listener", &elsewhere);
    let id = export(&session, "session id");
    for (what, forged) in [
        ("a proof of another connection", good.clone()),
        ("another session's exporter", [id, proof_of_other].concat()),
        ("the proof of the other end", [id, as_listener].concat()),
        ("an unknown session", [[7; 32], proof_of_other].concat()),
        ("the listener's own proof", [id, listener].concat()),
        ("no proof", [id, [0; 32]].concat()),
    ] {
        assert_eq!(client.ask(&mut elsewhere, &forged), (200, REFUSED.to_vec()), "{what}");
    }
    // In one request the good ones go on.
    let third = client.session();
    let both = [vec![7; 64], request(&third, &elsewhere), request(&other, &elsewhere)].concat();
    let (code, answer) = client.ask(&mut elsewhere, &both);
    assert_eq!((code, &answer[..40]), (200, &REFUSED[..]));
    assert!(answer[40..].chunks(40).all(|record| record != REFUSED), "both sessions are its own");
    // What is no list of sessions.
    for (octets, expected) in [(0, 400), (63, 400), (65, 400), (16_385, 413)] {
        let mut control = client.control();
        assert_eq!(client.ask(&mut control, &vec![7; octets]).0, expected, "{octets}");
    }
    let (mut session, mut other) = (session, other);
    assert!(client.passes(&mut session) && client.passes(&mut other));
    // A session ends, and is unknown at once.
    let gone = request(&other, &elsewhere);
    drop(other);
    scene.c.wait_for("closed: ");
    assert_eq!(client.ask(&mut elsewhere, &gone), (200, REFUSED.to_vec()));
}

#[test]
fn stolen_secrets_of_a_session_are_good_for_no_other_gateway() {
    let scene = Scene::new();
    let [a, b] = ["a", "b"].map(|site| scene.sites.folder_of(site));
    let client = scene.client(&b, "gateway.b.example");
    let mut session = client.session();
    // Another site's gateway may ask, and its certificate is none for this tunnel.
    let thief = scene.client(&a, "gateway.a.example");
    let mut control = thief.control();
    let forged = request(&session, &control);
    assert_eq!(thief.ask(&mut control, &forged), (200, REFUSED.to_vec()));
    scene.c.wait_for("control: a session is not continued here: the peer is not let in: ");
    // A device of the site itself may not even ask.
    scene.sites.made.issue("b", "device.b.example", &b);
    let device = scene.client(&b, "device.b.example");
    let mut control = device.control();
    let forged = request(&session, &control);
    assert_eq!(device.ask(&mut control, &forged).0, 0);
    scene.c.wait_for("control: refused: no gateway of a site of the mesh: ");
    // The owner goes on.
    assert!(client.passes(&mut session));
    let mut control = client.control();
    let good = request(&session, &control);
    // Not at once: a session is judged twice a second at most, whoever asks.
    let until = std::time::Instant::now() + PATIENCE;
    while client.ask(&mut control, &good) == (200, REFUSED.to_vec()) {
        assert!(std::time::Instant::now() < until, "the owner is refused");
    }
}

/// A site that the mesh does not have yet may offer a mesh, and nothing else.
#[test]
fn strangers_continue_nothing() {
    let scene = Scene::new();
    scene.sites.made.done("add --site d=d.example --address d=127.0.0.4 --link d:c:feed");
    let folder = tempfile::tempdir().unwrap();
    scene.sites.made.issue("d", "gateway.d.example", folder.path());
    let stranger = scene.client(folder.path(), "gateway.d.example");
    let mut control = stranger.control();
    assert_eq!(stranger.ask(&mut control, &[7; 64]).0, 403);
}

#[test]
fn what_is_below_tls_13_is_not_continued() {
    let scene = Scene::new();
    let b = scene.sites.folder_of("b");
    let client = scene.client(&b, "gateway.b.example");
    // The same exporters are there in TLS 1.2, and may be those of two connections.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let root = CertificateDer::from_pem_file(scene.sites.made.file("root/root.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    let file = |end: &str| b.join(format!("gateway.b.example.{end}"));
    let chain: Vec<_> = CertificateDer::pem_file_iter(file("pem")).unwrap().map(Result::unwrap).collect();
    let key = pki_types::PrivateKeyDer::from_pem_file(file("key")).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let mut session = scene.runtime.block_on(async {
        let stream = TcpStream::connect(scene.sites.address("c")).await.unwrap();
        let name = edgetrust::tls::server_name("gateway.c.example").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    });
    scene.runtime.block_on(async {
        session.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        session.read_exact(&mut answer).await.unwrap();
    });
    let exported = |label: &str| {
        let label = format!("EXPERIMENTAL edgetrust {label}");
        session.get_ref().1.export_keying_material([0; 32], label.as_bytes(), None).unwrap()
    };
    let mut control = client.control();
    let proof = proof(&exported("session proof"), b"dialer", &control);
    let forged = [exported("session id"), proof].concat();
    assert_eq!(client.ask(&mut control, &forged), (200, REFUSED.to_vec()));
}

/// Requests without an end keep their pace, and the gateway answers others meanwhile.
#[test]
fn a_flood_of_requests_keeps_its_pace() {
    let scene = Scene::new();
    let b = scene.sites.folder_of("b");
    let client = scene.client(&b, "gateway.b.example");
    let (mut session, mut control) = (client.session(), client.control());
    let flood = vec![7; 256 * 64];
    let (since, used) = (std::time::Instant::now(), scene.c.processor_time());
    for _ in 0..100 {
        assert_eq!(client.ask(&mut control, &flood), (200, vec![0; 256 * 40]));
    }
    assert!(since.elapsed() >= Duration::from_secs(2), "100 requests take 20 ms each at least");
    eprintln!(
        "{:?} of the processor for 25,600 unknown sessions in {:?}",
        scene.c.processor_time() - used,
        since.elapsed()
    );
    assert!(client.passes(&mut session));
}
