//! Tests the ends of streams: nothing that was sent is lost, and a cut stream never looks complete.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use edgetrust::tls::{
    Acceptor, ClientAuth, ClientSettings, ClientStream, Connector, Credential, MinVersion, ServerSettings, ServerTrust,
    TrustStore, server_name,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::peers::{PATIENCE, Program, echo};
use super::pki::{Pki, arg};
use super::serve::serve_before;
use super::tunnel_pair::{NAMED, connect};

/// More octets than one read returns, and fewer than the send queue holds.
const SENT: usize = 1 << 20;

fn octets() -> Vec<u8> {
    (0..SENT / 4).flat_map(|number| u32::try_from(number).unwrap().to_be_bytes()).collect()
}

fn trust(pki: &Pki) -> std::sync::Arc<TrustStore> {
    TrustStore::new(edgetrust::pem::read_certificates(&pki.ca()).unwrap()).unwrap()
}

/// Connects to a server tunnel that requests no certificate.
async fn client(pki: &Pki, address: SocketAddr) -> ClientStream<tokio::net::TcpStream> {
    let connector = Connector::new(ClientSettings {
        trust: ServerTrust::Verified(trust(pki)),
        credential: None,
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    });
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    connector.unwrap().connect(server_name("gateway.example").unwrap(), stream).await.unwrap().0
}

/// Returns a TCP listener whose connections nobody reads, with a receive queue of at most this many octets.
fn unread(queue: Option<usize>) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    if let Some(octets) = queue {
        socket.set_recv_buffer_size(octets).unwrap();
    }
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(16).unwrap();
    socket.into()
}

/// Reads slowly, in small pieces; returns the octets, and the error that took the place of an orderly end.
fn read_slowly(mut stream: impl Read) -> (Vec<u8>, Option<ErrorKind>) {
    let (mut read, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return (read, None),
            Ok(count) => read.extend_from_slice(&piece[..count]),
            Err(error) => return (read, Some(error.kind())),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sent_before_it_was_cut_arrives_and_then_a_reset() {
    let pki = Pki::new("Root");
    for queue in [None, Some(4096)] {
        let target = unread(queue);
        let program = serve_before(&pki, &target.local_addr().unwrap().to_string(), &[]);
        let mut tls = client(&pki, program.address).await;
        tls.write_all(&octets()).await.unwrap();
        // TCP ends without close_notify (RFC 8446 section 6.1).
        tls.get_mut().0.shutdown().await.unwrap();
        tokio::task::spawn_blocking(move || {
            let line = program.wait_for("closed: client: peer closed connection without sending TLS close_notify");
            assert!(!line.contains("http"), "{line}");
            let (read, end) = read_slowly(target.accept().unwrap().0);
            assert!(read == octets(), "{} octets of {SENT}, queue {queue:?}", read.len());
            assert_eq!(end, Some(ErrorKind::ConnectionReset));
        })
        .await
        .unwrap();
    }
}

#[test]
fn a_killed_openssl_client_is_a_reset_to_the_target() {
    let pki = Pki::new("Root");
    for version in ["-tls1_2", "-tls1_3"] {
        let target = unread(None);
        let program = serve_before(&pki, &target.local_addr().unwrap().to_string(), &[]);
        let mut child = std::process::Command::new("openssl")
            .args(["s_client", "-quiet", version, "-connect", &program.address.to_string()])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all(b"the last words").unwrap();
        let mut stream = target.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut read = [0; 14];
        stream.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"the last words");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(stream.read(&mut read).unwrap_err().kind(), ErrorKind::ConnectionReset, "{version}");
    }
}

#[test]
fn what_a_plaintext_client_sent_before_its_reset_arrives_and_then_no_end_of_tls() {
    let pki = Pki::new("Root");
    let target = unread(None);
    let server = serve_before(&pki, &target.local_addr().unwrap().to_string(), &["--cacert", &arg(&pki.ca())]);
    let near = connect(&pki, server.address, &NAMED);
    let mut stream = TcpStream::connect(near.address).unwrap();
    stream.write_all(&octets()).unwrap();
    server.wait_until("nothing is queued", |_| queued(&stream) == 0);
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    near.wait_for("closed: client: Connection reset by peer");
    let (read, end) = read_slowly(target.accept().unwrap().0);
    assert!(read == octets(), "{} octets of {SENT}", read.len());
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
}

/// Returns the octets that the socket's other end has not acknowledged, from the kernel's table of connections. A
/// connection is identified by both ports, since another one may share the local port.
fn queued(stream: &TcpStream) -> usize {
    let ports = [stream.local_addr(), stream.peer_addr()].map(|address| format!(":{:04X}", address.unwrap().port()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut own = fields.filter(|fields| fields[1].ends_with(&ports[0]) && fields[2].ends_with(&ports[1]));
    usize::from_str_radix(own.next().unwrap()[4].split(':').next().unwrap(), 16).unwrap()
}

/// Starts a TLS server that sends octets and then closes TCP without close_notify.
async fn cut_server(pki: &Pki) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let (cert, key) = pki.issue("cut", &["gateway.example"]);
    let acceptor = Acceptor::new(ServerSettings {
        credential: Credential::load(&cert, &key).unwrap(),
        client_auth: ClientAuth::Off,
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    });
    let (acceptor, listener) = (acceptor.unwrap(), tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut tls, _) = acceptor.accept(stream).await.unwrap();
            // It answers a request.
            tls.read_u8().await.unwrap();
            tls.write_all(&octets()).await.unwrap();
            tls.flush().await.unwrap();
            tls.get_mut().0.shutdown().await.unwrap();
            // Until the other end is gone.
            let _ = tls.get_mut().0.read_u8().await;
        }
    });
    (address, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_arrives_and_is_no_whole_one() {
    let pki = Pki::new("Root");
    let (server, _task) = cut_server(&pki).await;
    tokio::task::spawn_blocking(move || {
        let program = connect(&pki, server, &NAMED);
        let mut stream = TcpStream::connect(program.address).unwrap();
        stream.write_all(b"?").unwrap();
        program.wait_for("closed: target: peer closed connection without sending TLS close_notify");
        let (read, end) = read_slowly(stream);
        assert!(read == octets(), "{} octets of {SENT}", read.len());
        assert_eq!(end, Some(ErrorKind::ConnectionReset));

        // A Unix socket has no reset of its own; unread data from the other end causes one.
        let path = pki.path("near.sock");
        let program = connect(&pki, server, &[&NAMED[..], &["--listen", &format!("unix:{}", arg(&path))]].concat());
        let (read, _) = read_slowly(asked(&path));
        assert!(read == octets(), "{} octets of {SENT}", read.len());
        program.wait_for("closed: target: peer closed connection without sending TLS close_notify");
    })
    .await
    .unwrap();
}

fn asked(path: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"?").unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_target_of_a_client_that_was_cut_can_write_nothing_more() {
    let pki = Pki::new("Root");
    let path = pki.path("target.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let program = serve_before(&pki, &format!("unix:{}", arg(&path)), &[]);
    let mut tls = client(&pki, program.address).await;
    tls.write_all(b"half of a").await.unwrap();
    tls.get_mut().0.shutdown().await.unwrap();
    tokio::task::spawn_blocking(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut read = Vec::new();
        stream.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"half of a");
        // After an orderly end of the client, the target could still answer.
        let written = (0..).map(|_| stream.write_all(b"answer")).find_map(Result::err).unwrap();
        assert_eq!(written.kind(), ErrorKind::BrokenPipe);
        drop(program);
    })
    .await
    .unwrap();
}

const EARLY: &[u8] = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n";

/// Starts a service that reads a little of each upload, responds, and closes with the rest unread.
fn early() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut some = [0; 1000];
            let _ = stream.read_exact(&mut some);
            let _ = stream.write_all(EARLY);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_reaches_a_client_that_still_uploads() {
    let pki = Pki::new("Root");
    let program = serve_before(&pki, &early().to_string(), &[]);
    for _ in 0..5 {
        let tls = client(&pki, program.address).await;
        let (mut reader, mut writer) = tokio::io::split(tls);
        // The whole upload is sent before the answer is read.
        let block = vec![7; 8 << 20];
        let _ = writer.write_all(&block).await;
        let mut answer = vec![0; EARLY.len()];
        tokio::time::timeout(PATIENCE, reader.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, EARLY);
    }
}

#[test]
fn an_early_answer_reaches_a_plaintext_client_through_a_pair_of_tunnels() {
    let pki = Pki::new("Root");
    let server = serve_before(&pki, &early().to_string(), &["--cacert", &arg(&pki.ca())]);
    let near = connect(&pki, server.address, &NAMED);
    for _ in 0..5 {
        let mut stream = TcpStream::connect(near.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(&vec![7; 8 << 20]);
        let mut answer = vec![0; EARLY.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, EARLY);
    }
}

/// It loses all that it sends after the cut. A lingering close as that of nginx would let it send for 30 seconds.
#[test]
fn a_client_that_sends_without_a_pause_hears_soon_of_a_cut() {
    let pki = Pki::new("Root");
    let server = serve_before(&pki, &echo().to_string(), &["--cacert", &arg(&pki.ca())]);
    let near = connect(&pki, server.address, &NAMED);
    let mut stream = TcpStream::connect(near.address).unwrap();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    drop(server);
    let since = Instant::now();
    while stream.write_all(b"x").is_ok() {
        assert!(since.elapsed() < Duration::from_secs(15), "it sends into nowhere");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_does_not_end_as_a_whole_one() {
    let pki = Pki::new("Root");
    let target = unread(None);
    let program = serve_before(&pki, &target.local_addr().unwrap().to_string(), &["--idle-timeout", "300ms"]);
    let mut tls = client(&pki, program.address).await;
    let mut stream = target.accept().unwrap().0;
    stream.write_all(b"half of an").unwrap();
    let mut answer = Vec::new();
    let end = tokio::time::timeout(PATIENCE, tls.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"half of an");
    assert!(end.is_err(), "an end of TLS in the middle of an answer");
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    program.wait_for("closed: idle for too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_drain_cuts_is_a_reset_on_both_sides() {
    let pki = Pki::new("Root");
    let target = unread(None);
    let program = serve_before(&pki, &target.local_addr().unwrap().to_string(), &["--drain-timeout", "100ms"]);
    let mut tls = client(&pki, program.address).await;
    let mut stream = target.accept().unwrap().0;
    program.signal("TERM");
    assert!(tokio::time::timeout(PATIENCE, tls.read_u8()).await.unwrap().is_err());
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reader_that_is_slow_is_not_idle() {
    let pki = Pki::new("Root");
    let target = unread(None);
    let server = serve_before(
        &pki,
        &target.local_addr().unwrap().to_string(),
        &["--cacert", &arg(&pki.ca()), "--idle-timeout", "2s"],
    );
    let near = connect(&pki, server.address, &[&NAMED[..], &["--idle-timeout", "2s"]].concat());
    let reader = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    reader.set_recv_buffer_size(32 * 1024).unwrap();
    reader.connect(&near.address.into()).unwrap();
    let mut reader: TcpStream = reader.into();
    let mut sender = target.accept().unwrap().0;
    std::thread::spawn(move || {
        sender.write_all(&octets()).unwrap();
        // It sends nothing more and does not close.
        let _ = sender.read(&mut [0; 1]);
    });
    let (mut read, mut piece) = (Vec::new(), [0; 16 * 1024]);
    // 160 kB/s
    while read.len() < SENT {
        let count = reader.read(&mut piece).unwrap();
        assert!(count > 0, "an end after {} octets", read.len());
        read.extend_from_slice(&piece[..count]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(read == octets());
    near.wait_for("closed: ");
}

#[test]
fn a_reader_that_takes_nothing_is_given_up_after_the_user_timeout() {
    let pki = Pki::new("Root");
    let target = unread(None);
    let server = serve_before(&pki, &target.local_addr().unwrap().to_string(), &["--user-timeout", "1s"]);
    let near = connect_to(&pki, &server, &["--user-timeout", "0s"]);
    let mut stream = TcpStream::connect(near.address).unwrap();
    std::thread::spawn(move || {
        let block = vec![7; 1 << 20];
        while stream.write_all(&block).is_ok() {}
    });
    server.wait_for("closed: target: Connection timed out");
}

fn connect_to(pki: &Pki, server: &Program, more: &[&str]) -> Program {
    connect(pki, server.address, &[&NAMED[..], more].concat())
}

#[test]
fn half_of_a_connection_ends_after_a_while() {
    let pki = Pki::new("Root");
    let target = unread(None);
    let server = serve_before(&pki, &target.local_addr().unwrap().to_string(), &["--half-close-timeout", "300ms"]);
    let near = connect_to(&pki, &server, &[]);
    let mut stream = TcpStream::connect(near.address).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut far = target.accept().unwrap().0;
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"hello");
    server.wait_for("closed: one side had ended, and the other carried nothing for too long");
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn both_sides_are_asked_whether_they_are_there() {
    let pki = Pki::new("Root");
    let target = unread(None);
    let server = serve_before(&pki, &target.local_addr().unwrap().to_string(), &["--cacert", &arg(&pki.ca())]);
    let near = connect_to(&pki, &server, &[]);
    // The gateways' accepted connections and those to their targets; timer 2 is keepalive (proc_net_tcp.rst).
    let sides = [
        (1, near.address.port()),
        (1, server.address.port()),
        (2, server.address.port()),
        (2, target.local_addr().unwrap().port()),
    ];
    let asked = |(field, port): (usize, u16)| {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[field].ends_with(&format!(":{port:04X}")) && fields[3] == "01" && fields[5].starts_with("02:")
        })
    };
    let mut stream = TcpStream::connect(near.address).unwrap();
    stream.write_all(b"x").unwrap();
    let mut far = target.accept().unwrap().0;
    far.read_exact(&mut [0; 1]).unwrap();
    // The kernel shows one timer of a connection; retransmission takes precedence over keepalive.
    near.wait_until("no keepalive", |_| sides.into_iter().all(asked));
}

#[test]
fn the_file_that_another_process_made_stays() {
    let pki = Pki::new("Root");
    let server = serve_before(&pki, "127.0.0.1:1", &["--cacert", &arg(&pki.ca())]);
    let path = pki.path("near.sock");
    let listen = format!("unix:{}", arg(&path));
    let start = || connect_to(&pki, &server, &["--listen", &listen]);
    let old = start();
    std::fs::remove_file(&path).unwrap();
    let new = start();
    old.signal("TERM");
    assert_eq!(old.wait(), Some(0));
    UnixStream::connect(&path).unwrap();
    new.signal("TERM");
    assert_eq!(new.wait(), Some(0));
    assert!(!path.exists(), "the socket's file is left");
}

#[test]
fn a_live_unix_socket_with_a_full_queue_is_an_error() {
    let pki = Pki::new("Root");
    let path = pki.path("near.sock");
    let socket = || socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let name = socket2::SockAddr::unix(&path).unwrap();
    let listener = socket();
    listener.bind(&name).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        match client.connect(&name) {
            Ok(()) => waiting.push(client),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let arguments = ["connect", "--target", "127.0.0.1:1", "--listen", &format!("unix:{}", arg(&path)), "--cacert"];
    let output = super::peers::edgetrust(&[&arguments[..], &[&arg(&pki.ca()), "--server-name", "b.example"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("its queue is full"), "{said}");
    assert!(path.exists());
}

#[test]
fn a_systemd_that_reads_nothing_holds_nothing_up() {
    let pki = Pki::new("Root");
    let socket = pki.path("notify.sock");
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    let other = std::os::unix::net::UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"X=1", &socket).is_ok() {}
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", &arg(&cert), "--key", &arg(&key)];
    let program = Program::start_in(&arguments.map(str::to_owned), &[("NOTIFY_SOCKET", &arg(&socket))]);
    program.wait_for("systemd does not read notifications");
    program.signal("HUP");
    program.wait_for("reloaded");
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    drop(systemd);
}
