//! Runs firmware in QEMU, on boards whose main memory is a file and plays the flash.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::decode::{self, Decoder};
use crate::log::Log;
use crate::wire::{QEMU_ARGUMENTS, Wire};

/// A board that QEMU emulates.
#[derive(Debug, PartialEq, Eq)]
pub struct Board {
    /// The name, as QEMU and `firmware-example/boards` have it.
    pub name: &'static str,
    /// QEMU's options beside the name.
    options: &'static [&'static str],
    /// The size of the main memory, and so of the flash file, in octets. What is not written takes no room on the disk.
    pub memory: u64,
}

/// The boards; the first is the default.
pub static BOARDS: [Board; 2] = [
    Board { name: "mps2-an386", options: &["-cpu", "cortex-m4"], memory: 16 << 20 },
    // Its processor is part of the machine. QEMU refuses any other size of its memory.
    Board { name: "mps3-an524", options: &[], memory: 2 << 30 },
];

/// Returns the board of this name.
#[must_use]
pub fn board(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.name == name)
}

/// The network of a machine.
#[derive(Clone, Copy)]
pub enum Network<'a> {
    /// None: no cable.
    None,
    /// A network of ours.
    Wire(&'a Wire),
    /// QEMU's own, in which this machine's loopback is 10.0.2.2.
    Host,
}

/// The interval between two checks whether QEMU has ended.
const GLANCE: Duration = Duration::from_millis(5);

/// The machine to run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The board.
    pub board: &'static Board,
    /// The firmware's ELF file.
    pub firmware: PathBuf,
    /// The flash file; created if missing, and made as large as the board's memory.
    pub flash: PathBuf,
    /// The firmware's arguments.
    pub arguments: Vec<String>,
    /// True if one instruction takes one nanosecond of the guest's time: counts repeat, and are not those of any real
    /// part.
    pub by_instructions: bool,
}

impl Machine {
    fn command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = Vec::new();
        let flash = comma(&self.flash.to_string_lossy());
        line.push("-object".into());
        line.push(format!("memory-backend-file,id=flash,size={},mem-path={flash},share=on", self.board.memory).into());
        line.extend(["-machine".into(), format!("{},memory-backend=flash", self.board.name).into()]);
        line.extend(self.board.options.iter().map(Into::into));
        line.extend(["-display", "none", "-serial", "none", "-monitor", "none"].map(Into::into));
        let mut semihosting = String::from("enable=on,target=native,arg=fw");
        for argument in &self.arguments {
            semihosting.push_str(",arg=");
            semihosting.push_str(&comma(argument));
        }
        line.extend(["-semihosting-config".into(), semihosting.into()]);
        if self.by_instructions {
            line.extend(["-icount", "shift=0"].map(Into::into));
        }
        line.extend(["-kernel".into(), self.firmware.clone().into()]);
        line
    }

    /// Starts the machine.
    ///
    /// # Errors
    /// Fails if QEMU cannot be started or the files cannot be read.
    pub fn start(&self, network: Network, log: &Arc<Log>) -> io::Result<Qemu> {
        let decoder = Decoder::of(&self.firmware)?;
        let flash = File::options().read(true).write(true).create(true).truncate(false).open(&self.flash)?;
        if flash.metadata()?.len() != self.board.memory {
            flash.set_len(self.board.memory)?;
        }
        let mut command = Command::new("qemu-system-arm");
        command.args(self.command_line()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match network {
            Network::Wire(wire) => command.args(QEMU_ARGUMENTS).stdin(Stdio::from(wire.plug()?)),
            Network::Host => command.args(["-nic", "user"]).stdin(Stdio::null()),
            Network::None => command.args(["-nic", "none"]).stdin(Stdio::null()),
        };
        let mut child =
            command.spawn().map_err(|error| io::Error::new(error.kind(), format!("qemu-system-arm: {error}")))?;
        log.set_ended(false);
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let mut qemu = Qemu { child, readers: Vec::new(), log: Arc::clone(log), ended: None };
        if let Some(output) = output {
            qemu.readers.push(decode::in_thread("guest", log, move |log| {
                decoder.read(output, log);
                log.set_ended(true);
            })?);
        }
        if let Some(errors) = errors {
            qemu.readers.push(decode::in_thread("qemu", log, move |log| decode::text(errors, log))?);
        }
        Ok(qemu)
    }
}

/// Escapes commas for QEMU's options.
fn comma(text: &str) -> String {
    text.replace(',', ",,")
}

/// A running machine; ended when dropped.
pub struct Qemu {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    log: Arc<Log>,
    ended: Option<ExitStatus>,
}

impl Qemu {
    /// Returns the exit status, if the machine has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits for the guest to end by itself.
    pub fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        while self.status().is_none() && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
        let status = self.status();
        if status.is_some() {
            self.drain();
        }
        status
    }

    /// Waits until all of the machine's output is in the log.
    fn drain(&mut self) {
        for reader in self.readers.drain(..) {
            // A reader that panicked has said so on standard error.
            let _ = reader.join();
        }
    }

    /// Cuts the machine's power.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.status().is_none() {
            // It fails only if the machine has just ended by itself.
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
        self.drain();
        self.log.set_ended(true);
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boards_are_those_of_the_firmware() {
        let firmware = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../firmware-example");
        let table = std::fs::read_to_string(firmware.join("boards")).unwrap();
        let rows = table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace());
        // `template` is for nobody to run.
        let names: Vec<_> = rows.filter_map(|mut row| row.next()).filter(|name| *name != "template").collect();
        assert_eq!(names, BOARDS.iter().map(|board| board.name).collect::<Vec<_>>());
        for name in names {
            assert_eq!(board(name).map(|board| board.name), Some(name));
            let folder = firmware.join("src/board").join(name.replace('-', "_"));
            assert!(folder.join("memory.x").exists(), "{}", folder.display());
        }
        assert_eq!(board("template"), None);
    }
}
