//! Runs a program that its starter stops.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::log::{Log, Waited};

/// The interval between two checks of conditions that raise no event.
const GLANCE: Duration = Duration::from_millis(10);

/// A running program and the log of its standard error.
pub struct Process {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the program, and discards its standard output.
    ///
    /// # Errors
    /// Fails if the program cannot be started; `Unsupported` if it is not installed.
    pub fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::spawn(command)
    }

    /// Starts the program with pipes at its standard input and output.
    pub(super) fn piped(mut command: Command) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self::spawn(command)?;
        let pipes = process.child.stdin.take().zip(process.child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::other("pipes were asked for"))?;
        Ok((process, input, output))
    }

    fn spawn(mut command: Command) -> io::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| match error.kind() {
            // A scenario that needs a missing program is skipped.
            io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::Unsupported, format!("{name} is not here")),
            other => io::Error::new(other, format!("{name}: {error}")),
        })?;
        let (log, errors) = (Arc::new(Log::new()), child.stderr.take());
        let theirs = Arc::clone(&log);
        let reader = std::thread::Builder::new().name(name).spawn(move || {
            let lines = errors.map(|errors| BufReader::new(errors).lines().map_while(Result::ok));
            for line in lines.into_iter().flatten() {
                theirs.push(None, None, line, None);
            }
            theirs.set_ended(true);
        })?;
        Ok(Self { child, log, reader: Some(reader) })
    }

    /// Returns the log of standard error.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Returns the log as text.
    pub fn said(&self) -> String {
        self.log.lines(0).iter().map(|line| line.text.clone() + "\n").collect()
    }

    /// Returns the first line with this text, from line `from` on.
    ///
    /// # Errors
    /// Fails if the program ends or the time is up before the line comes; the error contains the log.
    pub fn wait_for(&self, from: usize, text: &str) -> io::Result<String> {
        match self.log.wait(from, Instant::now() + PATIENCE, |line| line.text.contains(text)) {
            Waited::Found(number) => Ok(self.log.lines(number).swap_remove(0).text),
            waited => Err(io::Error::other(format!("no line with {text:?}: {waited:?}:\n{}", self.said()))),
        }
    }

    /// Waits until the program accepts connections at this address.
    ///
    /// # Errors
    /// Fails if the program ends or the time is up first.
    pub fn wait_at(&mut self, address: SocketAddr) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                return Err(io::Error::other(format!("no answer at {address}, {ended:?}:\n{}", self.said())));
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Returns whether the program has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the program now.
    pub fn kill(&mut self) {
        // Both fail only if the program has ended and was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has said so on standard error.
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Copies octets as they come until the end; an error counts as the end.
pub(super) fn carry(mut from: impl Read, mut to: impl io::Write) {
    let mut octets = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut octets) {
        if to.write_all(&octets[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
