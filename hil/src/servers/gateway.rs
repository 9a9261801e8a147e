//! Runs the `edgetrust` program.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::process::Process;
use super::repository;

/// Returns the path of the program: `EDGETRUST_BIN`, or the program built here, once.
///
/// # Errors
/// Fails if the program cannot be built.
pub fn program() -> io::Result<PathBuf> {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    if let Some(given) = std::env::var_os("EDGETRUST_BIN") {
        return Ok(given.into());
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(built) = &*built {
        return Ok(built.clone());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--locked", "--quiet", "-p", "edgetrust", "--bin", "edgetrust"])
        .args(["--message-format", "json"])
        .current_dir(repository())
        .output()?;
    let failed = || io::Error::other(format!("edgetrust: {}", String::from_utf8_lossy(&output.stderr)));
    if !output.status.success() {
        return Err(failed());
    }
    // The last artifact with an executable is the requested one.
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let path = messages.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?))).next_back();
    *built = Some(path.ok_or_else(failed)?);
    built.clone().ok_or_else(failed)
}

/// A running gateway.
pub struct Gateway {
    process: Process,
    folder: PathBuf,
}

impl Gateway {
    /// Starts a gateway with this configuration, in the folder that its relative names refer to. Changed files take
    /// effect within a moment.
    ///
    /// # Errors
    /// Fails if the gateway cannot be started.
    pub fn start(folder: &Path, config: &serde_json::Value) -> io::Result<Self> {
        std::fs::write(folder.join("gateway.json"), config.to_string())?;
        let mut command = Command::new(program()?);
        command.args(["run", "--config", "gateway.json", "--watch-interval", "50ms"]).current_dir(folder);
        command.env("NO_COLOR", "1").env("RUST_LOG", "debug,rustls=warn");
        Ok(Self { process: Process::start(command)?, folder: folder.to_owned() })
    }

    /// Returns the address on which a tunnel listens.
    ///
    /// # Errors
    /// Fails if the tunnel does not listen within [`PATIENCE`](super::PATIENCE).
    pub fn address(&self, tunnel: &str) -> io::Result<SocketAddr> {
        self.address_in(&format!("listening tunnel={tunnel} "))
    }

    /// Returns the address at which devices renew.
    ///
    /// # Errors
    /// Fails if the gateway does not listen within [`PATIENCE`](super::PATIENCE).
    pub fn est(&self) -> io::Result<SocketAddr> {
        self.address_in("est: listening ")
    }

    /// Returns the address at which devices get their first certificate.
    ///
    /// # Errors
    /// Fails if the gateway does not listen within [`PATIENCE`](super::PATIENCE).
    pub fn first_enrollment(&self) -> io::Result<SocketAddr> {
        self.address_in("est: listening for first enrollments ")
    }

    /// Makes a voucher as an operator does; returns the line.
    ///
    /// # Errors
    /// Fails if the command does.
    pub fn invite(&self, device: &str) -> io::Result<String> {
        let mut command = Command::new(program()?);
        command.args(["devices", "invite", device, "--config", "gateway.json"]).current_dir(&self.folder);
        let output = command.output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Returns the address of the gateway's pages.
    ///
    /// # Errors
    /// Fails if the gateway does not listen within [`PATIENCE`](super::PATIENCE).
    pub fn pages(&self) -> io::Result<SocketAddr> {
        self.address_in("pages address=")
    }

    fn address_in(&self, line: &str) -> io::Result<SocketAddr> {
        let line = self.process.wait_for(0, line)?;
        let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.and_then(|address| address.parse().ok());
        address.ok_or_else(|| io::Error::other(format!("no address in {line:?}")))
    }

    /// Replaces files of the gateway's folder, each as a whole, and waits until they are in use.
    ///
    /// # Errors
    /// Fails if the files cannot be written or do not take effect.
    pub fn replace(&self, files: &[(&str, &str)]) -> io::Result<()> {
        let from = self.process.log().len();
        for (name, text) in files {
            let new = self.folder.join(format!("{name}.new"));
            std::fs::write(&new, text)?;
            std::fs::rename(&new, self.folder.join(name))?;
        }
        self.process.wait_for(from, "reloaded").map(drop)
    }

    /// Returns all that the gateway logged.
    pub fn log(&self) -> String {
        self.process.said()
    }

    /// Waits for a logged line with this text, from line `from` on.
    ///
    /// # Errors
    /// Fails if no such line comes within [`PATIENCE`](super::PATIENCE).
    pub fn wait_for(&self, from: usize, text: &str) -> io::Result<String> {
        self.process.wait_for(from, text)
    }
}
