//! Tests the control channel's client with servers that have a gateway's key and do not behave as one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use pki_types::pem::PemObject;
use pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::control::{SOME_KEY, Sites};
use super::peers::{PATIENCE, Program};

/// The error by which a server ends a connection.
pub type End = std::io::Result<()>;

/// A connection of a client, after the handshake.
pub type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A request that came.
pub struct Asked {
    method: String,
    at: Instant,
}

/// Answers at the address of site c, with the key of its gateway, each request by `answer`. Returns the requests.
pub fn serve(sites: &Sites, answer: impl Fn(&mut Stream, &str) -> End + Send + Sync + 'static) -> Receiver<Asked> {
    let folder = sites.folder_of("c");
    let file = |name: &str| folder.join(format!("gateway.c.example.{name}"));
    let chain = CertificateDer::pem_file_iter(file("pem")).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"edgetrust/1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind(sites.address("c")).unwrap();
    let (sender, asked) = channel();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (config, sender, answer) = (config.clone(), sender.clone(), answer.clone());
            std::thread::spawn(move || -> End {
                let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
                let mut stream = StreamOwned::new(connection, stream);
                loop {
                    let method = request(&mut stream)?;
                    // The test may have ended.
                    let _ = sender.send(Asked { method: method.clone(), at: Instant::now() });
                    answer(&mut stream, &method)?;
                }
            });
        }
    });
    asked
}

/// Reads a request, and returns its method.
fn request(stream: &mut Stream) -> std::io::Result<String> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        let line = line.to_ascii_lowercase();
        length = line.strip_prefix("content-length: ").map_or(length, |it| it.trim().parse().unwrap());
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    Ok(first.split(' ').next().unwrap_or_default().to_owned())
}

pub fn say(stream: &mut Stream, code: u16, body: &str) -> End {
    let length = match code {
        204 | 304 => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    stream.write_all(format!("HTTP/1.1 {code} X\r\n{length}\r\n{body}").as_bytes())?;
    stream.flush()
}

/// Waits for a warning, and for as many times more that it is not one.
fn warned_once(gateway: &Program, text: &str, again: u32) -> String {
    let line = gateway.wait_for(text);
    assert!(line.contains(" WARN control: "), "{line}");
    assert!(line.contains(" tunnel=feed-to-c address=127.0.0.3:"), "{line}");
    for _ in 0..again {
        let line = gateway.wait_for(text);
        assert!(line.contains("DEBUG control: "), "{line}");
    }
    line
}

/// Checks the distances of the first requests, in seconds, and returns their methods.
fn distances(asked: &Receiver<Asked>, least: &[u64]) -> Vec<String> {
    let mut last = asked.recv_timeout(PATIENCE).unwrap();
    let mut methods = vec![last.method];
    for (number, least) in least.iter().enumerate() {
        let next = asked.recv_timeout(PATIENCE).unwrap();
        let distance = next.at.duration_since(last.at);
        // A request may be seen late, so that the next one seems near. Half the distance still tells a wait from none.
        assert!(distance > Duration::from_millis(least * 500), "{number}: {distance:?}");
        last.at = next.at;
        methods.push(next.method);
    }
    methods
}

#[test]
fn who_has_nothing_new_at_once_is_asked_seldom() {
    let sites = Sites::new();
    let asked = serve(&sites, |stream, _| say(stream, 304, ""));
    let b = sites.run("b", Some("c"));
    warned_once(&b, "it answers 304 Not Modified at once, where it should wait for another mesh", 2);
    distances(&asked, &[1, 2, 4]);
}

#[test]
fn a_mesh_is_not_brought_again_and_again() {
    for code in [403, 200] {
        let sites = Sites::new();
        let old = sites.made.read("mesh.signed.json");
        sites.made.done(&format!("deny --key {SOME_KEY}"));
        sites.deliver("b");
        let asked = serve(&sites, move |stream, method| match method {
            "PUT" => say(stream, 204, ""),
            _ => say(stream, code, &old),
        });
        let b = sites.run("b", Some("c"));
        let vain = "the mesh was brought in vain: it answers 204 No Content, and then ";
        // Its reload may be slow.
        let line = b.wait_for(vain);
        assert!(line.contains("DEBUG control: ") && line.contains(&format!("and then {code} ")), "{line}");
        warned_once(&b, vain, 1);
        let methods = distances(&asked, &[1, 1, 1, 1, 1, 2, 1, 1]);
        assert_eq!(methods, ["GET", "PUT", "GET"].repeat(3), "{code}");
    }
}

#[test]
fn who_is_busy_for_long_is_warned_of() {
    let sites = Sites::new();
    let asked = serve(&sites, |stream, method| say(stream, if method == "PUT" { 429 } else { 403 }, ""));
    let b = sites.run("b", Some("c"));
    let busy = "it is busy (429 Too Many Requests): the mesh could not be brought";
    for _ in 0..2 {
        let line = b.wait_for(busy);
        assert!(line.contains("DEBUG control: "), "{line}");
    }
    warned_once(&b, busy, 0);
    assert_eq!(distances(&asked, &[1, 1, 1, 2, 1]), ["GET", "PUT"].repeat(3));
}

#[test]
fn failures_after_the_handshake_are_warned_of_once() {
    for (code, text) in [(500, "it answers 500 Internal Server Error"), (422, "it answers 422 Unprocessable Entity")] {
        let sites = Sites::new();
        let asked = serve(&sites, move |stream, _| say(stream, code, ""));
        let b = sites.run("b", Some("c"));
        warned_once(&b, text, 2);
        distances(&asked, &[1, 2, 4]);
    }
    let sites = Sites::new();
    let asked = serve(&sites, |stream, _| {
        stream.write_all(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")?;
        stream.flush()
    });
    let b = sites.run("b", Some("c"));
    warned_once(&b, "it answers 101 Switching Protocols", 1);
    distances(&asked, &[1, 2]);
    let sites = Sites::new();
    let asked = serve(&sites, |_, _| Err(std::io::ErrorKind::BrokenPipe.into()));
    let b = sites.run("b", Some("c"));
    warned_once(&b, "the connection has ended: ", 2);
    distances(&asked, &[1, 2, 4]);
}

#[test]
fn interim_answers_without_end_end_the_connection() {
    let sites = Sites::new();
    let asked = serve(&sites, |stream, _| {
        let many = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
        loop {
            stream.write_all(many.as_bytes())?;
        }
    });
    let b = sites.run("b", Some("c"));
    warned_once(&b, "octets for one answer", 1);
    distances(&asked, &[1, 2]);
}

#[test]
fn a_mesh_in_tiny_chunks_is_bounded() {
    let sites = Sites::new();
    let asked = serve(&sites, |stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            stream.write_all(&b"1\r\nz\r\n".repeat(5_000))?;
        }
    });
    let b = sites.run("b", Some("c"));
    warned_once(&b, "octets for one answer", 1);
    distances(&asked, &[1, 2]);
}

#[test]
fn reasons_of_a_server_are_short() {
    let sites = Sites::new();
    let _asked = serve(&sites, |stream, method| match method {
        "PUT" => say(stream, 422, &"\u{1}\n".repeat(500_000)),
        _ => say(stream, 403, ""),
    });
    let b = sites.run("b", Some("c"));
    let line = warned_once(&b, "it refuses the mesh in force here: \\u{1}\\n", 0);
    assert!(line.contains("… tunnel=") && line.chars().count() < 400, "{line}");
}
