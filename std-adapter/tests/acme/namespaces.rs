//! Machines of a test: network namespaces, each with its own addresses, its own `/etc/hosts` and its own `/var/lib`.
//! Nothing of them is seen outside, and they end with the processes that hold them.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::peers::PATIENCE;

/// A switch to which machines are connected.
pub struct Network {
    hub: Machine,
}

/// A machine: a process that holds its namespaces.
pub struct Machine {
    holder: Child,
    pub address: String,
}

/// Waits until a condition holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Machine {
    /// Makes namespaces of network and mounts. The file of hosts may change afterwards.
    fn new(address: &str, hosts: Option<&Path>) -> Self {
        let mut script = "mount --make-rprivate / && mount -t tmpfs none /var/lib && ip link set lo up".to_owned();
        if let Some(hosts) = hosts {
            // Writing to a String cannot fail.
            let _ = write!(script, " && mount --bind {} /etc/hosts", hosts.display());
        }
        // The line says that all is mounted.
        script.push_str(" && echo ready && exec sleep infinity");
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "namespaces cannot be had: tests/run leaves this test out then");
        Self { holder, address: address.to_owned() }
    }

    /// Returns a command that runs on this machine, in a folder.
    pub fn command(&self, folder: &Path, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-n", "-m", "-t", &self.holder.id().to_string(), "--", "sh", "-c", "cd \"$0\" && exec \"$@\""]);
        command.arg(folder).arg(program);
        command
    }

    /// Runs a shell command on this machine, and returns what it prints.
    pub fn shell(&self, script: &str) -> String {
        let output = self.command(Path::new("/"), "sh").args(["-ec", script]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Network {
    pub fn new() -> Self {
        let hub = Machine::new("", None);
        hub.shell("ip link add hub type bridge && ip link set hub up");
        Self { hub }
    }

    /// Takes the plug of a machine out, or puts it in again: `down`, `up`.
    pub fn plug(&self, machine: &Machine, state: &str) {
        let number = machine.address.rsplit('.').next().unwrap();
        assert_eq!(self.hub.shell(&format!("ip link set port{number} {state}")), "");
    }

    /// Connects a new machine at the address with this number.
    pub fn machine(&self, number: usize, hosts: &Path) -> Machine {
        let machine = Machine::new(&format!("10.99.0.{number}"), Some(hosts));
        let (holder, address) = (machine.holder.id(), &machine.address);
        let connected = self.hub.shell(&format!(
            "ip link add port{number} type veth peer name eth0 netns {holder}
            ip link set port{number} master hub up"
        ));
        let up = machine.shell(&format!("ip addr add {address}/24 dev eth0 && ip link set eth0 up"));
        assert_eq!((connected.as_str(), up.as_str()), ("", ""));
        machine
    }
}

/// A program on a machine, with its log; stopped when dropped.
pub struct Running {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// The number of lines that were waited for.
    seen: AtomicUsize,
}

impl Running {
    /// Starts a program whose log is what it writes to standard error.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::start_piped(command)
    }

    /// Starts a program whose input and output are the caller's choice.
    pub fn start_piped(mut command: Command) -> Self {
        let mut child = command.env("NO_COLOR", "1").stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::<Mutex<Vec<String>>>::default();
        let kept = log.clone();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line))
        });
        Self { child, log, seen: AtomicUsize::new(0) }
    }

    /// Waits for a line of the log, after the one that was waited for last.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_all(&[text])
    }

    /// Waits for a line of the log with all these texts, after the one that was waited for last.
    pub fn wait_for_all(&self, texts: &[&str]) -> String {
        let from = self.seen.load(Ordering::Relaxed);
        let until = Instant::now() + PATIENCE;
        loop {
            let log = self.log.lock().unwrap();
            if let Some((number, line)) =
                log.iter().enumerate().skip(from).find(|(_, line)| texts.iter().all(|text| line.contains(text)))
            {
                self.seen.store(number + 1, Ordering::Relaxed);
                return line.clone();
            }
            let last = log[from..].join("\n");
            drop(log);
            assert!(Instant::now() < until, "no log line with {texts:?}\n{last}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the lines of the log, since the start, that have a text.
    pub fn lines(&self, text: &str) -> Vec<String> {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Returns the number of lines of the log, since the start, that have a text.
    pub fn count(&self, text: &str) -> usize {
        self.lines(text).len()
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Ends the program, and waits for its end.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A TCP connection that a shell on a machine has made, as a pair of pipes.
pub struct Pipe {
    child: Child,
    lines: Receiver<String>,
}

impl Pipe {
    pub fn open(machine: &Machine, port: u16) -> Self {
        // Nobody but the one who reads the connection holds the pipe that its end is seen by.
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} 4<&0; cat <&4 >&3 & exec cat <&3 4<&-");
        let mut command = machine.command(Path::new("/"), "bash");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|octets| octets > 0) {
                // The receiver may be gone.
                let _ = sender.send(std::mem::take(&mut line));
            }
        });
        Self { child, lines }
    }

    pub fn send(&mut self, text: &str) {
        assert!(self.try_send(text), "the connection is over");
    }

    /// Sends something; returns false if the connection is over.
    pub fn try_send(&mut self, text: &str) -> bool {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).is_ok()
    }

    /// Waits for the next line; returns nothing if the connection is over.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => panic!("a connection says nothing, and goes on"),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
