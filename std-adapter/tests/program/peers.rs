//! Runs the program, its targets, and openssl as a client; each stops when its handle is dropped.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The time limit of every wait; only a failure takes this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The number of log lines that a failed test prints.
const LAST_LINES: usize = 60;

/// A running `edgetrust`.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    /// The last lines, printed when a test fails.
    log: Arc<Mutex<VecDeque<String>>>,
    /// The address of each tunnel by name.
    tunnels: HashMap<String, String>,
    /// The address of the only tunnel of `serve` and `connect`.
    pub address: SocketAddr,
}

impl Program {
    /// Starts the program and waits until its only tunnel listens.
    pub fn start(arguments: &[String]) -> Self {
        Self::start_tunnels(arguments, 1)
    }

    /// Starts the program and waits until `count` tunnels listen.
    pub fn start_tunnels(arguments: &[String], count: usize) -> Self {
        let mut program = Self::start_quietly(arguments);
        for _ in 0..count {
            program.wait_for_tunnel();
        }
        program
    }

    /// Starts the program without reading its log.
    pub fn start_quietly(arguments: &[String]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// Starts a shell script with arguments, and does not read the log.
    #[allow(dead_code, reason = "shared by two test programs")]
    pub fn start_shell(arguments: &[String]) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c");
        Self::spawn(command, arguments, &[])
    }

    /// Starts the program with more environment variables, and does not read its log.
    pub fn start_in(arguments: &[String], environment: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_edgetrust")), arguments, environment)
    }

    /// Starts a command that ends in the program.
    pub fn spawn(mut command: Command, arguments: &[String], environment: &[(&str, &str)]) -> Self {
        let mut child = command
            .args(arguments)
            .env("NO_COLOR", "1")
            .env("RUST_LOG", "debug,rustls=warn,async_nats=warn")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        let log = Arc::<Mutex<VecDeque<String>>>::default();
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_back(line.clone());
                if kept.len() > LAST_LINES {
                    kept.pop_front();
                }
                // The receiver of lines may be gone.
                let _ = sender.send(line);
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, lines, log, tunnels: HashMap::new(), address: nowhere }
    }

    /// Waits until one more tunnel listens.
    pub fn wait_for_tunnel(&mut self) {
        let line = self.wait_for("listening tunnel=");
        self.listens(&line);
    }

    /// Records a tunnel's address from its log line.
    pub fn listens(&mut self, line: &str) {
        let field = |key: &str| line.split(key).nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        let (name, address) = (field("tunnel="), field("address="));
        self.address = address.parse().unwrap_or(self.address);
        self.tunnels.insert(name, address);
    }

    /// Returns the address of a tunnel.
    pub fn tunnel(&self, name: &str) -> SocketAddr {
        self.tunnels[name].parse().unwrap()
    }

    /// Returns the processor time used so far, to ten milliseconds (proc_pid_stat(5): utime and stime, in clock ticks
    /// of a hundredth of a second).
    #[allow(dead_code, reason = "for the benchmarks")]
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
        Duration::from_millis(10 * fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
    }

    /// Returns the resident memory in octets.
    #[allow(dead_code, reason = "for the benchmarks")]
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    /// Returns the process id.
    #[allow(dead_code, reason = "shared by two test programs")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the number of open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Returns the number of threads.
    #[allow(dead_code, reason = "shared by two test programs")]
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// Returns the next log line that contains `text`.
    pub fn wait_for(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("no log line with {text:?}: {error}"),
            }
        }
    }

    /// Waits for a log line with each of these texts, in any order.
    #[allow(dead_code, reason = "shared by two test programs")]
    pub fn wait_for_all(&self, texts: &[&str]) {
        let mut left = texts.to_vec();
        while !left.is_empty() {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => left.retain(|text| !line.contains(text)),
                Err(error) => panic!("no log line with {left:?}: {error}"),
            }
        }
    }

    /// Returns the log lines that were not waited for yet.
    #[allow(dead_code, reason = "shared by two test programs")]
    pub fn lines_so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Polls until `holds` returns true.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the program ends by itself; returns its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.log.lock().unwrap().iter().for_each(|line| eprintln!("  {line}"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the code blocks of a document that name no language, in order.
pub fn blocks(document: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
    let text = std::fs::read_to_string(&file).unwrap();
    let (mut blocks, mut open) = (Vec::new(), None);
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language.is_empty(), String::new())),
            (Some(_), Some((is_plain, block))) => blocks.extend(is_plain.then_some(block)),
            (None, before) => open = before.map(|(is_plain, block)| (is_plain, block + line + "\n")),
        }
    }
    blocks
}

/// Runs shell commands with `edgetrust` on the path.
pub fn shell(folder: &Path, commands: &str) -> Output {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_edgetrust"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-ec", commands]).current_dir(folder).env("PATH", path).output().unwrap();
    let [said, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{commands}\n{said}{error}");
    output
}

/// Runs the program until it ends.
pub fn edgetrust(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgetrust")).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// Returns the address of a TCP server that echoes, and ends each stream when its client does. There is one for all
/// tests, so that a configuration that is written again has the same target.
pub fn echo() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(own_echo)
}

/// Starts another such server.
pub fn own_echo() -> SocketAddr {
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

/// Starts a TCP server that reports everything its first client sends.
pub fn collect() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        let mut octets = Vec::new();
        let mut stream = listener.accept()?.0;
        stream.read_to_end(&mut octets)?;
        drop(sender.send(octets));
        stream.shutdown(std::net::Shutdown::Write)
    });
    (address, received)
}

/// Starts an HTTP/1.1 server that answers every request with the same text.
pub fn http(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                let length = answer.len();
                write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}")
            });
        }
    });
    address
}

/// A connected `openssl s_client`, stopped when dropped.
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

    /// Returns what comes until the server ends the connection.
    #[allow(dead_code, reason = "shared by two test programs")]
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        // Whatever is no text has been said before the end.
        let _ = self.0.stdout.as_mut().unwrap().read_to_string(&mut rest);
        rest
    }

    /// Sends `text` alone.
    #[allow(dead_code, reason = "shared by two test programs")]
    pub fn say(&mut self, text: &str) {
        let stdin = self.0.stdin.as_mut().unwrap();
        // Whoever is refused does not read it.
        let _ = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
    }

    /// Sends `text` and reads as many octets back; returns `None` if the server has ended the connection.
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

/// Returns the serial number of the certificate that a server shows.
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
