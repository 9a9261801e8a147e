//! The `edgetrust` program.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::process::Process;
use super::repository;

/// Where the program is: `EDGETRUST_BIN`, or built here, once.
///
/// # Errors
/// Where it cannot be built.
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
    // The last artifact with a program is the one that was asked for.
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
    /// Runs with this configuration, in a folder that its relative names are looked for in. Changed files are seen within a moment.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(folder: &Path, config: &serde_json::Value) -> io::Result<Self> {
        std::fs::write(folder.join("gateway.json"), config.to_string())?;
        let mut command = Command::new(program()?);
        command.args(["run", "--config", "gateway.json", "--watch-interval", "50ms"]).current_dir(folder);
        command.env("NO_COLOR", "1").env("RUST_LOG", "debug,rustls=warn");
        Ok(Self { process: Process::start(command)?, folder: folder.to_owned() })
    }

    /// Where a tunnel listens.
    ///
    /// # Errors
    /// Where it does not, in a long while.
    pub fn address(&self, tunnel: &str) -> io::Result<SocketAddr> {
        self.address_in(&format!("listening tunnel={tunnel} "))
    }

    /// Where devices renew.
    ///
    /// # Errors
    /// Where it does not listen, in a long while.
    pub fn est(&self) -> io::Result<SocketAddr> {
        self.address_in("est: listening ")
    }

    /// Where its pages are.
    ///
    /// # Errors
    /// Where it does not listen, in a long while.
    pub fn pages(&self) -> io::Result<SocketAddr> {
        self.address_in("pages address=")
    }

    fn address_in(&self, line: &str) -> io::Result<SocketAddr> {
        let line = self.process.wait_for(0, line)?;
        let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.and_then(|address| address.parse().ok());
        address.ok_or_else(|| io::Error::other(format!("no address in {line:?}")))
    }

    /// Replaces files of its folder, each as a whole, and waits until they are in use.
    ///
    /// # Errors
    /// Where they cannot be written, or are not taken up.
    pub fn replace(&self, files: &[(&str, &str)]) -> io::Result<()> {
        let from = self.process.log().len();
        for (name, text) in files {
            let new = self.folder.join(format!("{name}.new"));
            std::fs::write(&new, text)?;
            std::fs::rename(&new, self.folder.join(name))?;
        }
        self.process.wait_for(from, "reloaded").map(drop)
    }

    /// All that it logged.
    pub fn log(&self) -> String {
        self.process.said()
    }

    /// Waits until it logs a line with this text, from line `from` on.
    ///
    /// # Errors
    /// Where it does not, in a long while.
    pub fn wait_for(&self, from: usize, text: &str) -> io::Result<String> {
        self.process.wait_for(from, text)
    }
}
