//! Other programs: started with the certificates of a test, fed, listened to, and stopped.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use edgetrust_tls::{CipherSuite, Error};

use super::drive::{Failure, Setup, Stream, accept, connect};
use super::pki::{Ca, Identity, Pki, pem};

/// The time after which nobody waits any longer.
const PATIENCE: Duration = Duration::from_secs(40);

/// The label of the exporter in these tests.
pub const LABEL: &str = "EXPORTER-edgetrust-test";

/// The names of the suites in openssl and in Go.
pub fn name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::Aes128Gcm => "TLS_AES_128_GCM_SHA256",
        CipherSuite::ChaCha20Poly1305 => "TLS_CHACHA20_POLY1305_SHA256",
    }
}

/// Returns lines of text, longer than several records. No letter is in it: some are commands of programs.
pub fn text() -> String {
    (0..1200).map(|number| format!("{number:06} ........................ {:06}\n", number * 7)).collect()
}

/// Returns octets as hexadecimal digits, as programs print them.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// The certificates and keys of a test as files.
pub struct Files {
    pub folder: tempfile::TempDir,
}

impl Files {
    pub fn new(pki: &Pki) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.put("root.pem", &pem("CERTIFICATE", &pki.root.der));
        files.put("other.pem", &pem("CERTIFICATE", &Ca::new("Another root", None).der));
        files.identity("gateway", &pki.gateway);
        files.identity("sensor", &pki.sensor);
        files
    }

    /// Writes the leaf, its intermediates, all of them together, and the key.
    fn identity(&self, name: &str, identity: &Identity) {
        let chain: Vec<String> = identity.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        self.put(&format!("{name}.leaf.pem"), &chain[0]);
        self.put(&format!("{name}.rest.pem"), &chain[1..].concat());
        self.put(&format!("{name}.pem"), &chain.concat());
        self.put(&format!("{name}.key"), &pem("PRIVATE KEY", identity.key.serialized_der()));
    }

    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What a program has written to both outputs, and how many of them are open.
struct Written {
    output: Vec<u8>,
    errors: Vec<u8>,
    open: u8,
}

impl Written {
    /// Returns the one and then the other: what comes at the same time does not mix.
    fn shown(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.output), String::from_utf8_lossy(&self.errors))
    }
}

/// A program that runs. It is killed when the test is done with it.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    written: Arc<(Mutex<Written>, Condvar)>,
    shown: String,
}

impl Program {
    /// Starts a program.
    pub fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{shown} does not start: {error}"));
        let written =
            Arc::new((Mutex::new(Written { output: Vec::new(), errors: Vec::new(), open: 2 }), Condvar::new()));
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        collect(output, Arc::clone(&written), |written| &mut written.output);
        collect(errors, Arc::clone(&written), |written| &mut written.errors);
        Self { stdin: child.stdin.take(), child, written, shown }
    }

    /// Returns what the program has written so far, to both outputs.
    pub fn output(&self) -> String {
        self.written.0.lock().unwrap().shown()
    }

    /// Returns the end of it.
    fn tail(&self) -> String {
        tail(&self.output())
    }

    /// Waits until the program has written a text, and returns all that it has written.
    pub fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let written = self.written.0.lock().unwrap();
            let output = written.shown();
            if output.contains(text) {
                return output;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if written.open == 0 || left.is_zero() {
                drop(written);
                panic!("{}: expected {:?}, found:\n{}", self.shown, &text[..text.len().min(200)], tail(&output));
            }
            // Whatever woke it, the loop looks again.
            let _ = self.written.1.wait_timeout(written, left).unwrap();
        }
    }

    /// Feeds a command, and waits until the program has answered it once more.
    pub fn command(&mut self, command: &str, answer: &str) {
        let before = self.output().matches(answer).count();
        self.feed(command);
        let deadline = Instant::now() + PATIENCE;
        while self.output().matches(answer).count() == before {
            assert!(Instant::now() < deadline, "{}: no {answer:?} to {command:?}:\n{}", self.shown, self.tail());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Writes to the standard input, from another thread: the program may wait for us before it reads.
    pub fn feed(&mut self, text: &str) {
        let mut stdin = self.stdin.take().expect("an input that is open");
        let octets = text.as_bytes().to_vec();
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::spawn(move || {
            // A program that has ended reads nothing, which its test sees.
            let _ = stdin.write_all(&octets).and_then(|()| stdin.flush());
            // A test that has ended wants no input back.
            let _ = sender.send(stdin);
        });
        self.stdin = receiver.recv_timeout(PATIENCE).ok();
    }

    /// Closes the standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end of the program, and returns all that it has written.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{} does not end:\n{}", self.shown, self.tail());
            thread::sleep(Duration::from_millis(5));
        };
        let mut written = self.written.0.lock().unwrap();
        while written.open > 0 && Instant::now() < deadline {
            written = self.written.1.wait_timeout(written, Duration::from_millis(100)).unwrap().0;
        }
        (status, written.shown())
    }

    /// Waits until the program listens, and returns its port.
    pub fn port(&mut self) -> u16 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(port) = listening(self.child.id()) {
                return port;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{} does not listen ({ended:?}):\n{}",
                self.shown,
                self.tail()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Connects to the program.
    pub fn connect(&mut self) -> TcpStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The port of the other family may be there first.
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())) {
                Ok(socket) => return bounded(socket),
                Err(error) => assert!(Instant::now() < deadline, "{}: {error}", self.shown),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Returns the end of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("......")).collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Collects an output.
fn collect(
    mut from: impl Read + Send + 'static,
    written: Arc<(Mutex<Written>, Condvar)>,
    place: fn(&mut Written) -> &mut Vec<u8>,
) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let count = from.read(&mut buffer).unwrap_or_default();
            let mut written_now = written.0.lock().unwrap();
            place(&mut written_now).extend(&buffer[..count]);
            written_now.open -= u8::from(count == 0);
            written.1.notify_all();
            if count == 0 {
                return;
            }
        }
    });
}

/// Returns a TCP port that a process listens on: one of its sockets is in the kernel's list of those that do.
fn listening(process: u32) -> Option<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .ok()?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    ["tcp", "tcp6"].iter().find_map(|list| {
        let list = fs::read_to_string(format!("/proc/{process}/net/{list}")).ok()?;
        list.lines().skip(1).find_map(|line| {
            const LISTENS: &str = "0A";
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = fields.get(1)?.rsplit(':').next()?;
            let is_own = *fields.get(3)? == LISTENS && sockets.iter().any(|one| Some(&one.as_str()) == fields.get(9));
            u16::from_str_radix(port, 16).ok().filter(|_| is_own)
        })
    })
}

/// Returns a port that is free now, for a program that takes none by itself.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn bounded(socket: TcpStream) -> TcpStream {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub fn dial(port: u16) -> TcpStream {
    bounded(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
}

/// A listener for a program.
pub struct Listener(TcpListener);

impl Listener {
    pub fn new() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Waits for a connection.
    pub fn accept_any(&self) -> TcpStream {
        bounded(self.0.accept().unwrap().0)
    }

    /// Waits for the connection of a program.
    pub fn accept(&self, program: &Program) -> TcpStream {
        self.0.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.accept() {
                Ok((socket, _)) => {
                    socket.set_nonblocking(false).unwrap();
                    return bounded(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < deadline, "{} does not connect:\n{}", program.shown, program.tail());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes a handshake as a server with a program.
    pub fn serve(&self, setup: &mut Setup, program: &Program) -> Stream<TcpStream> {
        match accept(self.accept(program), setup) {
            Ok(stream) => stream,
            Err(failure) => panic!("{failure:?}: {}:\n{}", program.shown, program.tail()),
        }
    }

    /// Returns the error of a handshake that fails.
    pub fn refuse(&self, setup: &mut Setup, program: &Program) -> Error {
        let socket = self.accept(program);
        let failure = accept(&socket, setup).err().unwrap_or_else(|| panic!("{}: not refused", program.shown));
        linger(&socket);
        failure.tls()
    }
}

/// Makes a handshake as a client with a program.
pub fn call(setup: &mut Setup, program: &mut Program) -> Stream<TcpStream> {
    match connect(program.connect(), setup) {
        Ok(stream) => stream,
        Err(failure) => panic!("{failure:?}: {}:\n{}", program.shown, program.tail()),
    }
}

/// Returns the error of a client whose server refuses it, which it may hear after its own Finished.
pub fn call_in_vain(setup: &mut Setup, program: &mut Program) -> Error {
    let socket = program.connect();
    let failure: Failure = match connect(&socket, setup) {
        Ok(mut stream) => stream.receive().expect_err("a refusal"),
        Err(failure) => failure,
    };
    linger(&socket);
    failure.tls()
}

/// Reads what a peer still sends: closing before it has come takes the alert away from the peer.
pub fn linger(mut socket: &TcpStream) {
    // The peer may have gone, and however it ends, it ends.
    let _ = socket.shutdown(Shutdown::Write).and_then(|()| io::copy(&mut socket, &mut io::sink()));
}

/// Sends text both ways with a program that shows what comes, and sends what it is fed.
pub fn talk(stream: &mut Stream<TcpStream>, program: &mut Program) {
    let text = text();
    stream.send(text.as_bytes()).unwrap();
    program.wait_for(&text);
    program.feed(&text);
    assert_eq!(String::from_utf8(stream.receive_all(text.len()).unwrap()).unwrap(), text);
}

/// Returns the first of these programs that is there.
pub fn find(places: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.iter().find_map(|place| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(place))
            .chain([Path::new(place).to_owned()])
            .find(|candidate| candidate.is_absolute() && candidate.is_file())
    })
}

/// Returns a program that a test needs.
pub fn needed(places: &[&str]) -> PathBuf {
    find(places).unwrap_or_else(|| panic!("this test needs one of {places:?}: tests/run installs it"))
}
