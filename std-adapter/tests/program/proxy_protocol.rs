//! Tests the client and certificate in the PROXY protocol header (haproxy's `proxy-protocol.txt`, section 2.2).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use rcgen::{DistinguishedName, DnType};

use super::admission::resumed;
use super::peers::{OpensslClient, PATIENCE, Program, edgetrust, shell};
use super::pki::{Pki, arg};
use super::serve::serve_before;

const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CLIENT_CERT: u8 = 0x28;
/// The values of `client` in PP2_TYPE_SSL: TLS without a certificate, a certificate of this connection, and one of an
/// earlier connection of the session.
const PLAIN_TLS: u8 = 1;
const FRESH: u8 = 7;
const RESUMED: u8 = 5;

/// Starts an echo service that reports the PP2_TYPE_SSL of each connection.
fn told() -> (SocketAddr, Receiver<Ssl>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut start = [0; 16];
                stream.read_exact(&mut start).unwrap();
                assert_eq!(start[..12], *b"\r\n\r\n\0\r\nQUIT\n");
                let mut body = vec![0; usize::from(u16::from_be_bytes([start[14], start[15]]))];
                stream.read_exact(&mut body).unwrap();
                sender.send(Ssl::of(&body[12..])).unwrap();
                let mut writer = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut stream, &mut writer);
                let _ = writer.flush();
            });
        }
    });
    (address, receiver)
}

/// The contents of PP2_TYPE_SSL.
#[derive(Debug)]
struct Ssl {
    client: u8,
    verify: u32,
    parts: BTreeMap<u8, Vec<u8>>,
}

impl Ssl {
    fn of(tlvs: &[u8]) -> Self {
        let ssl = &parts(tlvs)[&0x20];
        let verify = u32::from_be_bytes(ssl[1..5].try_into().unwrap());
        Self { client: ssl[0], verify, parts: parts(&ssl[5..]) }
    }

    fn common_name(&self) -> Option<&str> {
        self.parts.get(&SSL_CN).map(|name| std::str::from_utf8(name).unwrap())
    }
}

/// Parses type-length-values; panics at a trailing octet or a repeated type.
fn parts(mut octets: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut all = BTreeMap::new();
    while let [kind, high, low, rest @ ..] = octets {
        let (value, after) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        assert!(all.insert(*kind, value.to_vec()).is_none(), "{kind:#x} twice");
        octets = after;
    }
    assert!(octets.is_empty(), "{octets:?}");
    all
}

fn der(pem: &Path) -> Vec<u8> {
    shell(Path::new("."), &format!("openssl x509 -in {} -outform DER", arg(pem))).stdout
}

/// Starts a server tunnel for clients of this PKI in front of such a service.
fn server(pki: &Pki, more: &[&str]) -> (Program, Receiver<Ssl>) {
    let (target, headers) = told();
    let fixed = ["--proxy-protocol", "--cacert", &arg(&pki.ca())];
    (serve_before(pki, &target.to_string(), &[&fixed[..], more].concat()), headers)
}

/// Returns the PP2_TYPE_SSL that the target receives for a client with this certificate.
fn ask(server: &(Program, Receiver<Ssl>), client: &[&str]) -> Ssl {
    assert_eq!(OpensslClient::start(server.0.address, client).ask("hello").as_deref(), Some("hello"));
    server.1.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn the_certificate_is_told_where_it_is_asked_for_of_resumed_sessions_too() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("location-b", &[]);
    let shown = (arg(&cert), arg(&key));
    let session = arg(&pki.path("session"));
    for (more, certificate) in [(&[][..], None), (&["--proxy-protocol-certificate"], Some(der(&cert)))] {
        let (program, headers) = server(&pki, more);
        for version in ["-tls1_2", "-tls1_3"] {
            for (file, again) in [("-sess_out", false), ("-sess_in", true)] {
                assert_eq!(resumed(&program, version, &[file, &session], (&shown.0, &shown.1)), Some(again));
                let told = headers.recv_timeout(PATIENCE).unwrap();
                assert_eq!((told.client, told.verify), (if again { RESUMED } else { FRESH }, 0), "{told:?}");
                assert_eq!(told.common_name(), Some("location-b"));
                assert_eq!(told.parts.get(&SSL_CLIENT_CERT), certificate.as_ref(), "{version} {file}");
            }
        }
    }
}

#[test]
fn who_shows_no_certificate_has_none_and_a_long_one_is_left_out() {
    let pki = Pki::new("Root");
    let server = server(&pki, &["--proxy-protocol-certificate", "--client-auth", "optional"]);
    let told = ask(&server, &[]);
    assert_eq!((told.client, told.verify), (PLAIN_TLS, 1));
    assert_eq!(told.parts.keys().collect::<Vec<_>>(), [&SSL_VERSION], "{told:?}");
    for (count, is_told) in [(100, true), (800, false)] {
        let names: Vec<_> = (0..count).map(|n| format!("{n:020}.b.example")).collect();
        let (cert, key) = pki.issue("long", &names.iter().map(String::as_str).collect::<Vec<_>>());
        let whole = der(&cert);
        assert_eq!(whole.len() <= 16 * 1024, is_told, "{} octets", whole.len());
        let told = ask(&server, &["-cert", &arg(&cert), "-key", &arg(&key)]);
        assert_eq!((told.client, told.common_name()), (FRESH, Some("long")));
        assert_eq!(told.parts.get(&SSL_CLIENT_CERT), is_told.then_some(&whole));
    }
}

#[test]
fn the_name_is_the_common_name_whatever_rule_lets_the_client_in() {
    let pki = Pki::new("Root");
    let rules = ["--allow-cn", "location-b", "--allow-dns", "b.example"];
    let server = server(&pki, &rules);
    let subject = |kind: DnType, name: &str, file: &str| {
        let (cert, key) = pki.issue_with(file, &["b.example"], |params| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(kind, name);
        });
        [arg(&cert), arg(&key)]
    };
    let (by_cn, by_cn_key) = pki.issue("location-b", &[]);
    for ([cert, key], expected) in [
        ([arg(&by_cn), arg(&by_cn_key)], Some("location-b")),
        (subject(DnType::CommonName, "another", "by-dns"), Some("another")),
        (subject(DnType::OrganizationName, "b", "nameless"), None),
        (subject(DnType::CommonName, "two\nlines", "lines"), None),
        (subject(DnType::CommonName, "c1\u{85}control", "c1"), None),
        (subject(DnType::CommonName, "b\u{fc}cher", "umlaut"), Some("b\u{fc}cher")),
    ] {
        let told = ask(&server, &["-cert", &cert, "-key", &key]);
        assert_eq!((told.client, told.common_name()), (FRESH, expected), "{cert}");
    }
}

#[test]
fn a_certificate_without_a_header_or_without_mutual_tls_is_misuse() {
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", "c", "--key", "k"];
    for (more, reason) in [(&[][..], "--proxy-protocol"), (&["--proxy-protocol"], "needs --cacert or --pin")] {
        let output = edgetrust(&[&fixed[..], &["--proxy-protocol-certificate"], more].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(reason), "{said}");
    }
}
