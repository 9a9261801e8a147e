//! Runs the foreign configurations of `docs/MIGRATION.md` beside ours: both let the same client in, and refuse the same
//! others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::addresses::free_address;
use super::migration::document;
use super::peers::{OpensslClient, PATIENCE, Program, http};
use super::pki::{Pki, arg};

/// The text before the two configurations of the document, so that the program runs in the foreground and in the
/// test's folder.
const STUNNEL: &str = "foreground = yes\npid =\nsyslog = no\n";
const NGINX: &str = "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\n";
/// Folders that nginx makes below its prefix in place of the distribution's.
const NGINX_FOLDERS: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/// Returns the folder into which tests/run unpacks the programs, if it has.
fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/foreign")
}

/// Returns an unpacked program, or else the one on the path.
fn program(name: &str) -> PathBuf {
    let places = ["usr/sbin", "usr/bin"].map(|folder| unpacked().join(folder).join(name));
    places.into_iter().find(|place| place.exists()).unwrap_or_else(|| PathBuf::from(name))
}

/// A program of somebody else, stopped when it is dropped. A failed test prints its log.
struct Foreign {
    child: Child,
    log: PathBuf,
}

impl Foreign {
    fn stunnel(pki: &Pki, configuration: &str) -> Self {
        let file = pki.path("stunnel.conf");
        std::fs::write(&file, format!("{STUNNEL}{configuration}")).unwrap();
        Self::start(pki, "stunnel4", &[&arg(&file)])
    }

    fn nginx(pki: &Pki, configuration: &str) -> Self {
        let module =
            [unpacked(), PathBuf::from("/")].map(|root| root.join("usr/lib/nginx/modules/ngx_stream_module.so"));
        let load = module.iter().find(|file| file.exists()).map(|file| format!("load_module {};\n", file.display()));
        let folders = NGINX_FOLDERS.map(|name| format!("  {name}_temp_path {name};\n")).concat();
        let configuration = configuration.replace("http {\n", &format!("http {{\n  access_log off;\n{folders}"));
        let file = pki.path("nginx.conf");
        std::fs::write(&file, format!("{}{NGINX}{configuration}", load.unwrap_or_default())).unwrap();
        let folder = arg(file.parent().unwrap());
        Self::start(pki, "nginx", &["-p", &folder, "-c", "nginx.conf", "-e", "stderr"])
    }

    fn start(pki: &Pki, name: &str, arguments: &[&str]) -> Self {
        let log = pki.path("foreign.log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(program(name));
        let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    /// Waits until it accepts connections.
    fn listens(&mut self, address: SocketAddr) {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
            assert!(Instant::now() < until, "it does not listen at {address}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Returns the blocks of a section in a language.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let document = document();
    let section = document.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    let parts = section.split(&fence).skip(1);
    parts.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// The files of the document, and clients of all kinds.
struct Files {
    pki: Pki,
    strangers: Pki,
}

impl Files {
    fn new() -> Self {
        let files = Self { pki: Pki::new("Root"), strangers: Pki::new("Root") };
        files.pki.issue("a", &["a.example"]);
        for pki in [&files.pki, &files.strangers] {
            for name in ["b.example", "c.example"] {
                pki.issue(name, &[name]);
            }
        }
        files.pki.issue_with("expired", &["b.example"], |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
            params.distinguished_name.push(rcgen::DnType::CommonName, "b.example");
        });
        files
    }

    /// Returns what an HTTPS client with these arguments is answered by the service behind a server.
    fn answer(address: SocketAddr, arguments: &[String]) -> String {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut client = OpensslClient::start(address, &arguments);
        client.say("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        client.rest()
    }

    /// Returns openssl's arguments for a client with a certificate.
    fn certificate(pki: &Pki, name: &str) -> Vec<String> {
        let file = |end: &str| arg(&pki.path(&format!("{name}.{end}")));
        vec!["-cert".to_owned(), file("pem"), "-key".to_owned(), file("key")]
    }

    /// Checks that b.example alone is let in.
    fn let_one_in(&self, what: &str, address: SocketAddr) {
        let certificate = Self::certificate;
        let clients = [
            ("b.example", certificate(&self.pki, "b.example"), true),
            ("another name of the CA", certificate(&self.pki, "c.example"), false),
            ("its name by another CA", certificate(&self.strangers, "b.example"), false),
            ("an expired certificate", certificate(&self.pki, "expired"), false),
            ("no certificate", Vec::new(), false),
        ];
        for (who, arguments, is_let_in) in clients {
            let answer = Self::answer(address, &arguments);
            assert_eq!(answer.ends_with("hello"), is_let_in, "{what}, {who}: {answer:?}");
        }
    }

    /// Returns what comes through a client tunnel to a server that shows a certificate.
    fn through(plaintext: SocketAddr) -> String {
        let mut stream = TcpStream::connect(plaintext).unwrap();
        let mut answer = String::new();
        // A refused connection may be reset.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
        answer
    }
}

/// A server with a certificate of `pki`.
fn server(pki: &Pki, name: &str, listen: &str) -> Program {
    let service = http("hello").to_string();
    let (cert, key) = (arg(&pki.path(&format!("{name}.pem"))), arg(&pki.path(&format!("{name}.key"))));
    let arguments = ["serve", "--listen", listen, "--target", &service, "--cert", &cert, "--key", &key];
    Program::start(&arguments.map(str::to_owned))
}

/// Runs a foreign configuration and ours, and compares them at their server and, if they have one, their client.
///
/// `theirs_alone` names certificates of the CA that the foreign one lets in, and ours does not.
fn compare(files: &Files, start: fn(&Pki, &str) -> Foreign, foreign: &str, ours: &str, theirs_alone: &[&str]) {
    let has_client = foreign.contains("9001");
    let upstream = free_address();
    let service = http("hello").to_string();
    let folder = arg(files.pki.ca().parent().unwrap());
    let put = |text: &str, accept: &str, plaintext: &str| {
        text.replace("/etc/edgetrust", &folder)
            .replace("0.0.0.0:8443", accept)
            .replace("listen 8443", &format!("listen {accept}"))
            .replace("127.0.0.1:9001", plaintext)
            .replace("127.0.0.1:8081", &service)
            .replace(r#""target": "b.example:8443""#, &format!(r#""target": "{upstream}", "server_name": "b.example""#))
            .replace("b.example:8443", &upstream)
    };
    let (accept, plaintext) = (free_address(), free_address());
    let mut theirs = start(&files.pki, &put(foreign, &accept, &plaintext));
    let theirs_at = [&accept, &plaintext].map(|address| address.parse::<SocketAddr>().unwrap());
    theirs.listens(theirs_at[0]);
    let file = files.pki.path("gateway.json");
    std::fs::write(&file, put(ours, "127.0.0.1:0", "127.0.0.1:0")).unwrap();
    let gateway = Program::start_tunnels(&["run".to_owned(), "--config".to_owned(), arg(&file)], 2);
    let name = if ours.contains(r#""feed""#) { "feed" } else { "in" };
    files.let_one_in("theirs", theirs_at[0]);
    files.let_one_in("ours", gateway.tunnel(name));
    for other in theirs_alone {
        for (at, is_let_in) in [(theirs_at[0], true), (gateway.tunnel(name), false)] {
            let answer = Files::answer(at, &Files::certificate(&files.pki, other));
            assert_eq!(answer.ends_with("hello"), is_let_in, "{other} at {at}: {answer:?}");
        }
    }
    if !has_client {
        return;
    }
    theirs.listens(theirs_at[1]);
    for (pki, name, is_believed) in
        [(&files.pki, "b.example", true), (&files.pki, "c.example", false), (&files.strangers, "b.example", false)]
    {
        let _server = server(pki, name, &upstream);
        for (what, at) in [("theirs", theirs_at[1]), ("ours", gateway.tunnel("to-b"))] {
            let answer = Files::through(at);
            assert_eq!(answer.ends_with("hello"), is_believed, "{what}, server {name}: {answer:?}");
        }
    }
}

#[test]
#[ignore = "needs stunnel: tests/run"]
fn stunnels_configuration_and_ours_let_the_same_in() {
    let files = Files::new();
    files.pki.issue_with("no DNS name", &[], |params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "b.example");
    });
    let (foreign, ours) = (blocks("stunnel", "ini"), blocks("stunnel", "json"));
    compare(&files, Foreign::stunnel, &foreign[0], &ours[0], &["no DNS name"]);
}

#[test]
#[ignore = "needs nginx: tests/run"]
fn nginxs_configurations_and_ours_let_the_same_in() {
    let (foreign, ours) = (blocks("nginx", "nginx"), blocks("nginx", "json"));
    assert_eq!(foreign.len(), 2, "the module stream, and HTTP");
    for foreign in foreign {
        compare(&Files::new(), Foreign::nginx, &foreign, &ours[0], &[]);
    }
}
