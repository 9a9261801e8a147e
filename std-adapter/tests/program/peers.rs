//! The program, an echo target, and openssl as a client; each is stopped by the one who started it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Long enough for a slow machine; nothing waits for it unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `edgetrust`.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    pub address: SocketAddr,
}

impl Program {
    /// Starts it and waits until it listens.
    pub fn start(arguments: &[String]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_edgetrust"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut program = Self { child, lines, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let line = program.wait_for("listening");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        program.address = address.parse().unwrap();
        program
    }

    /// The next log line that contains `text`.
    pub fn wait_for(&self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("no log line with {text:?}: {error}"),
            }
        }
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the program's own end.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end.
pub fn edgetrust(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgetrust")).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// A TCP server that answers each byte with the same, and ends when its client does.
pub fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone()?;
                std::io::copy(&mut &stream, &mut writer)?;
                writer.shutdown(std::net::Shutdown::Write)
            });
        }
    });
    address
}

/// `openssl s_client`, connected for as long as it lives.
pub struct OpensslClient(Child);

impl OpensslClient {
    pub fn start(address: SocketAddr, arguments: &[&str]) -> Self {
        Self(
            Command::new("openssl")
                .args(["s_client", "-quiet", "-connect", &address.to_string()])
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    /// Sends `text` and reads as much back; nothing where the server ended the connection.
    pub fn ask(&mut self, text: &str) -> Option<String> {
        let stdin = self.0.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).ok()?;
        let mut answer = vec![0; text.len()];
        self.0.stdout.as_mut().unwrap().read_exact(&mut answer).ok()?;
        String::from_utf8(answer).ok()
    }
}

impl Drop for OpensslClient {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The serial number of the certificate that a server shows.
pub fn served_certificate(address: SocketAddr, arguments: &[&str]) -> String {
    let shown = Command::new("openssl")
        .args(["s_client", "-showcerts", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout);
    let from = text.find("-----BEGIN CERTIFICATE-----").expect("a certificate");
    let end = text.find("-----END CERTIFICATE-----").expect("its end");
    text[from..end].to_owned()
}
