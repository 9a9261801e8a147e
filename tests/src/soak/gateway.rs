//! A gateway as a process: started, killed, looked at.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The name by which this program is the gateway's.
pub const PROGRAM: &str = "edgetrust";

/// Returns a command of the program `edgetrust`, which this executable is by that name: so what is tried is what was built
/// with it.
pub fn program() -> Command {
    let own = std::env::current_exe().expect("an executable");
    let mut command = Command::new(own);
    command.arg0(PROGRAM).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A gateway that runs, or is dead for now.
pub struct Gateway {
    folder: PathBuf,
    admin: SocketAddr,
    child: Option<Child>,
    /// The most memory in KiB, and the most descriptors, that were seen.
    pub most: [u64; 2],
    pub starts: u32,
}

impl Gateway {
    pub fn new(folder: &Path, admin: SocketAddr) -> Self {
        Self { folder: folder.to_owned(), admin, child: None, most: [0; 2], starts: 0 }
    }

    /// Starts it, with the log after that of before.
    pub fn start(&mut self) -> Result<(), String> {
        let file = self.folder.join("log");
        let failed = |error: std::io::Error| format!("{}: {error}", file.display());
        let log = File::options().create(true).append(true).open(&file).map_err(failed)?;
        let mut command = program();
        command.args(["run", "--config", "gateway.json", "--watch-interval", "100ms"]).current_dir(&self.folder);
        command.stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().map_err(failed)?);
        self.starts += 1;
        Ok(())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself, which `look` says.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Notes memory in KiB and descriptors; none while it is dead.
    ///
    /// # Errors
    /// Fails if it has ended by itself.
    pub fn look(&mut self) -> Result<Option<[u64; 2]>, String> {
        let Some(child) = &mut self.child else { return Ok(None) };
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("{}: the gateway has ended: {status}", self.folder.display()));
        }
        let process = format!("/proc/{}", child.id());
        let status = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let memory =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        let descriptors = fs::read_dir(format!("{process}/fd")).map(Iterator::count).unwrap_or_default() as u64;
        let Some(memory) = memory else { return Ok(None) };
        self.most = [self.most[0].max(memory), self.most[1].max(descriptors)];
        Ok(Some([memory, descriptors]))
    }

    /// Returns the status page, or none if it does not answer.
    pub fn status(&self) -> Option<Value> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(5)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}
