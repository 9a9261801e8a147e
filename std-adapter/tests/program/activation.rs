//! Tests listening sockets that systemd passes. The test plays systemd.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};

use super::pages::get;
use super::peers::{PATIENCE, Program, echo};
use super::pki::{Pki, arg};

/// Listening sockets with their names.
#[derive(Default)]
pub struct Sockets(Vec<(String, OwnedFd)>);

impl Sockets {
    /// Listens on a free port of loopback.
    pub fn tcp(&mut self, name: &str) -> SocketAddr {
        self.listener(name, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn listener(&mut self, name: &str, listener: TcpListener) -> SocketAddr {
        let address = listener.local_addr().unwrap();
        self.0.push((name.to_owned(), listener.into()));
        address
    }

    fn unix(&mut self, name: &str, path: &Path) {
        self.0.push((name.to_owned(), UnixListener::bind(path).unwrap().into()));
    }

    /// Returns a command that runs a shell script, which finds the sockets from descriptor 3 on. `exec "$0" "$@"` in it
    /// replaces the shell by the program: the number of the process, which `LISTEN_PID` tells, stays.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        command.env("LISTEN_FDS", self.0.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        let mapping = |(index, (_, socket)): (usize, &(String, OwnedFd))| FdMapping {
            parent_fd: socket.try_clone().unwrap(),
            child_fd: 3 + i32::try_from(index).unwrap(),
        };
        command.fd_mappings(self.0.iter().enumerate().map(mapping).collect()).unwrap();
        command.args(["-ec", &format!("export LISTEN_PID=$$; {script}"), env!("CARGO_BIN_EXE_edgetrust")]);
        command
    }

    fn run(&self, file: &Path) -> Program {
        Program::spawn(self.shell("exec \"$0\" \"$@\""), &["run", "--config", &arg(file)].map(str::to_owned), &[])
    }
}

fn write(pki: &Pki, config: &Value) -> PathBuf {
    let file = pki.path("gateway.json");
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

fn plain(name: &str, listen: &str) -> Value {
    json!({"name": name, "mode": "server", "listen": listen, "target": echo().to_string()})
}

/// Connects and hears its own word.
fn attempt(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)
}

/// Connects over and over from several threads while `meanwhile` runs, and returns how many attempts there were. Each
/// must succeed.
fn under_load(address: SocketAddr, meanwhile: impl FnOnce(&AtomicUsize)) -> usize {
    let (over, done, failed) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match attempt(address) {
                        Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.lock().unwrap().push(error.to_string()),
                    }
                }
            });
        }
        // The threads end although `meanwhile` panics.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&done)));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    assert_eq!(failed.into_inner().unwrap(), Vec::<String>::new());
    done.into_inner()
}

/// Waits until so many more attempts have succeeded.
fn wait_for_more(done: &AtomicUsize, more: usize) {
    let (from, until) = (done.load(Ordering::Relaxed), Instant::now() + PATIENCE);
    while done.load(Ordering::Relaxed) < from + more {
        assert!(Instant::now() < until, "connections wait in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_restart_refuses_no_connection() {
    let pki = Pki::new("Root");
    let mut sockets = Sockets::default();
    let address = sockets.tcp("edgetrust");
    let file = write(&pki, &json!({"gateway": {"tunnels": [plain("in", &address.to_string())]}}));
    let mut program = sockets.run(&file);
    let attempts = under_load(address, |done| {
        for _ in 0..3 {
            wait_for_more(done, 20);
            program.signal("TERM");
            assert_eq!(std::mem::replace(&mut program, sockets.run(&file)).wait(), Some(0));
        }
        wait_for_more(done, 20);
        // Nobody is there for a while.
        program.signal("TERM");
        program.wait_for("drained");
        std::thread::sleep(Duration::from_millis(50));
        program = sockets.run(&file);
        wait_for_more(done, 20);
    });
    assert!(attempts >= 100, "{attempts}");
}

#[test]
fn another_process_takes_over_while_the_sessions_of_the_first_go_on() {
    let pki = Pki::new("Root");
    let mut sockets = Sockets::default();
    let address = sockets.tcp("edgetrust");
    let file = write(&pki, &json!({"gateway": {"tunnels": [plain("in", &address.to_string())]}}));
    let mut old = sockets.run(&file);
    old.wait_for_tunnel();
    let mut session = TcpStream::connect(address).unwrap();
    let mut echoed = |word: &[u8; 5]| {
        session.write_all(word).unwrap();
        let mut answer = [0; 5];
        session.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, word);
    };
    echoed(b"first");
    let mut new = None;
    under_load(address, |done| {
        let mut program = sockets.run(&file);
        program.wait_for_tunnel();
        new = Some(program);
        old.signal("TERM");
        old.wait_for("draining");
        wait_for_more(done, 50);
    });
    echoed(b"later");
    drop(session);
    old.wait_for("drained");
    assert_eq!(old.wait(), Some(0));
    attempt(address).unwrap();
}

#[test]
fn sockets_are_for_tunnels_pages_est_and_http_01() {
    let (root, mut sockets) = (Pki::new("Root"), Sockets::default());
    let ca = root.intermediate("CA");
    ca.issue_chain("gateway", &["gateway.a.example"]);
    let path = ca.path("in.sock");
    sockets.unix("unix", &path);
    let [tcp, pages, est, http01] = ["tcp", "pages", "est", "http-01"].map(|name| sockets.tcp(name));
    let config = json!({
        "security": {"tls": {
            "server": {
                "enabled": true, "cert_file": ca.path("gateway.pem"), "key_file": ca.path("gateway.key"),
                "mtls": {"enabled": true, "client_ca_files": [ca.ca()]},
            },
            "client": {
                "ca_files": [ca.ca()],
                "mtls": {"enabled": true, "cert_file": ca.path("gateway.pem"), "key_file": ca.path("gateway.key")},
            },
        }},
        "gateway": {
            "admin": {"listen": pages},
            "tunnels": [
                {"name": "unix", "mode": "client", "listen": format!("unix:{}", path.display()), "target": tcp,
                 "server_name": "gateway.a.example"},
                {"name": "tcp", "mode": "server", "listen": tcp, "target": echo()},
            ],
            "est": {"listen": est, "acme": {
                "directory_url": "https://127.0.0.1:1/directory", "ca_bundle": root.ca(),
                "http_listen": http01, "storage_path": root.path("acme-devices"),
            }},
        },
    });
    let file = write(&ca, &config);
    let program = sockets.run(&file);
    let line = program.wait_for("est: listening");
    assert!(line.contains(&est.to_string()), "{line}");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    program.wait_for("open tunnel=tcp");
    assert_eq!(get(&pages.to_string(), "/readyz", &[]).0, "200");
    // A process that listens only while a validation is expected would leave it to wait.
    let (code, text) = get(&http01.to_string(), "/.well-known/acme-challenge/token", &[]);
    assert_eq!((code.as_str(), text.as_str()), ("404", "no validation is expected here\n"));
    TcpStream::connect(tcp).unwrap();
    program.wait_for("left without a word");
    drop(stream);
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    assert!(path.exists(), "the file of a socket that was passed is whose who passed it");
}

#[test]
fn a_socket_that_nothing_is_configured_for_ends_the_start() {
    let (pki, mut sockets) = (Pki::new("Root"), Sockets::default());
    let address = sockets.tcp("right");
    let config = json!({"gateway": {"tunnels": [plain("in", &address.to_string())]}});
    let file = write(&pki, &config);
    let other = sockets.tcp("wrong");
    let mut command = sockets.shell("exec \"$0\" \"$@\"");
    let output = command.args(["run", "--config", &arg(&file)]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let expected = format!(
        "LISTEN_FDS: found the socket \"wrong\" (descriptor 4, {other}), expected sockets of the configuration alone: \
         gateway.tunnels: in: listen {address}"
    );
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn sockets_of_a_reload() {
    let (pki, mut sockets) = (Pki::new("Root"), Sockets::default());
    let (one, two) = (sockets.tcp("edgetrust").to_string(), sockets.tcp("edgetrust").to_string());
    let both = json!({"gateway": {"tunnels": [plain("one", &one), plain("two", &two)]}});
    let file = write(&pki, &both);
    let program = sockets.run(&file);
    attempt(two.parse().unwrap()).unwrap();
    write(&pki, &json!({"gateway": {"tunnels": [plain("one", &one)]}}));
    program.signal("HUP");
    let line = program.wait_for("clients of a passed socket wait in vain");
    assert!(line.contains(&two), "{line}");
    program.wait_for("reloaded");
    attempt(one.parse().unwrap()).unwrap();
    // The socket is still there.
    write(&pki, &both);
    program.signal("HUP");
    program.wait_for("reloaded");
    attempt(two.parse().unwrap()).unwrap();
}

#[test]
fn what_was_promised_and_not_passed_ends_the_start() {
    let (pki, sockets) = (Pki::new("Root"), Sockets::default());
    let file = write(&pki, &json!({"gateway": {"tunnels": [plain("in", "127.0.0.1:0")]}}));
    for (script, reason) in [
        ("export LISTEN_FDS=1; exec \"$0\" \"$@\"", "LISTEN_FDS: "),
        ("export LISTEN_FDS=1; exec 3</dev/null; exec \"$0\" \"$@\"", "expected a listening stream socket"),
    ] {
        let output = sockets.shell(script).args(["run", "--config", &arg(&file)]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(reason), "{said}");
    }
}
