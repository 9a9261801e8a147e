//! Runs firmware on a board by the program `probe-rs`, which flashes it and reads its log.
//!
//! No test runs this module: there is no board where the tests run.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::decode;
use crate::log::Log;

/// A board and the firmware to run on it.
#[derive(Clone, Debug)]
pub struct Board {
    /// The firmware's ELF file.
    pub firmware: PathBuf,
    /// The chip, as `probe-rs chip list` names it.
    pub chip: String,
    /// The probe, as `probe-rs list` names it, if there are several.
    pub probe: Option<String>,
}

impl Board {
    /// Returns the command line.
    pub fn command(&self) -> Command {
        let mut command = Command::new("probe-rs");
        command.args(["run", "--chip", &self.chip]);
        if let Some(probe) = &self.probe {
            command.args(["--probe", probe]);
        }
        command.args(["--log-format", "{L} {s}"]).arg(&self.firmware);
        command
    }

    /// Flashes and starts the firmware.
    ///
    /// # Errors
    /// Fails if `probe-rs` cannot be started.
    pub fn start(&self, log: &Arc<Log>) -> io::Result<Attached> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| io::Error::new(error.kind(), format!("probe-rs: {error}")))?;
        log.set_ended(false);
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let mut attached = Attached { child, readers: Vec::new() };
        if let Some(output) = output {
            attached.readers.push(decode::in_thread("board", log, move |log| {
                decode::text(output, log);
                log.set_ended(true);
            })?);
        }
        if let Some(errors) = errors {
            attached.readers.push(decode::in_thread("probe", log, move |log| decode::text(errors, log))?);
        }
        Ok(attached)
    }
}

/// A running board and the threads that read its output; both are stopped when this is dropped.
pub struct Attached {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Both fail only if the program has ended and was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            // A reader that panicked has said so on standard error.
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_chip_probe_and_file() {
        let board = Board { firmware: "fw.elf".into(), chip: "nRF52840_xxAA".into(), probe: Some("1366:1015".into()) };
        let shown: Vec<_> = board.command().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(
            shown,
            ["run", "--chip", "nRF52840_xxAA", "--probe", "1366:1015", "--log-format", "{L} {s}", "fw.elf"]
        );
    }
}
