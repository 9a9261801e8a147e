//! Confines this process to what its configuration needs: files and TCP ports (Landlock), system calls (seccomp),
//! capabilities, memory. All of it is for good, and holds for every thread that starts later.

mod allowed;
mod landlock;
mod memory;
mod needs;
mod privileges;
mod system_calls;

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::{info, warn};

pub(crate) use allowed::NotAllowed;
use allowed::{Allowed, Folder};
pub(crate) use needs::Needs;

/// The sandbox of this process, which has one at most.
static IN_FORCE: OnceLock<Sandbox> = OnceLock::new();

/// The layers of a sandbox. A list is `None` where nothing is confined.
#[derive(Debug)]
pub(crate) struct Layers {
    /// The ABI of Landlock, or the reason that files and ports are not confined.
    pub(crate) landlock: String,
    /// The folders below which files are read.
    pub(crate) read: Option<Vec<String>>,
    /// The folders below which files or sockets are made.
    pub(crate) written: Option<Vec<String>>,
    /// The ports to listen on.
    pub(crate) listen: Option<Vec<u16>>,
    /// The ports to connect to.
    pub(crate) connect: Option<Vec<u16>>,
    /// True if other processes can be signalled.
    pub(crate) signals: bool,
    /// The number of refused system calls, or the reason that none is.
    pub(crate) system_calls: String,
    /// The capabilities that are left.
    pub(crate) capabilities: String,
    /// The number of hooks that run outside.
    pub(crate) hooks: usize,
}

/// Joins a list for the log.
fn joined<T: fmt::Display>(list: Option<Vec<T>>) -> String {
    match list {
        None => "any".to_owned(),
        Some(list) if list.is_empty() => "none".to_owned(),
        Some(list) => list.iter().map(T::to_string).collect::<Vec<_>>().join(" "),
    }
}

/// The confinement of this process.
#[derive(Debug)]
pub(crate) struct Sandbox {
    allowed: Allowed,
    /// The ABI of Landlock, or the reason that files and ports are not confined.
    landlock: Result<u8, String>,
    /// The number of system calls that are refused, or the reason that none is.
    system_calls: Result<usize, String>,
    /// The capabilities that are left.
    capabilities: String,
}

/// The reason that a process cannot be confined, though the kernel could.
#[derive(Debug)]
pub(crate) enum SandboxError {
    /// Threads run that this program has started, which Landlock would leave free.
    Threads(usize),
    /// The kernel refuses a part.
    Refused(&'static str, String),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(count) => write!(f, "sandbox: found {count} threads, expected those of the start"),
            Self::Refused(part, reason) => {
                write!(f, "sandbox: {part}: {reason} (--no-sandbox starts without)")
            }
        }
    }
}

impl std::error::Error for SandboxError {}

/// The first ABI of Landlock that confines TCP ports.
const WITH_PORTS: u8 = 4;

/// The first ABI of Landlock that confines signals and abstract Unix sockets.
const WITH_SCOPES: u8 = 6;

/// The number of threads at the start of the program: an emulator has some of its own.
static THREADS: AtomicUsize = AtomicUsize::new(1);

/// Counts the threads of this process. Where there is no /proc nothing can be counted.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Notes the threads that this process has before its first own.
pub(crate) fn note_threads() {
    THREADS.store(threads(), Ordering::Relaxed);
}

/// Confines this process, which has started no thread, to these needs.
///
/// # Errors
/// Fails if the kernel refuses a part that it has. A part that it does not have is left out, and said in the log.
pub(crate) fn enter(needs: Needs) -> Result<(), SandboxError> {
    let threads = threads();
    if threads > THREADS.load(Ordering::Relaxed) {
        return Err(SandboxError::Threads(threads));
    }
    // A process has one sandbox at most: it had no other, and one thread, a moment ago.
    let _ = IN_FORCE.set(confine(needs)?);
    Ok(())
}

/// Confines this thread and those that it starts.
fn confine(needs: Needs) -> Result<Sandbox, SandboxError> {
    let refused = |part| move |error: io::Error| SandboxError::Refused(part, error.to_string());
    memory::keep_from_others().map_err(refused("memory"))?;
    let allowed = Allowed::by(needs);
    let capabilities = privileges::drop_but(allowed.listens_low()).map_err(refused("capabilities"))?;
    let landlock = landlock::restrict(&allowed).map_err(|error| SandboxError::Refused("Landlock", error))?;
    // Last, since the other parts need system calls.
    let system_calls = system_calls::filter().map_err(|error| SandboxError::Refused("seccomp", error))?;
    Ok(Sandbox { allowed, landlock, system_calls, capabilities })
}

/// Returns the sandbox of this process, if it has one.
pub(crate) fn in_force() -> Option<&'static Sandbox> {
    IN_FORCE.get()
}

/// Checks that a configuration needs nothing that this process gave up at its start.
///
/// # Errors
/// Returns the path, the port or the hook that the sandbox does not allow.
pub(crate) fn allows(needs: &Needs) -> Result<(), NotAllowed> {
    match in_force() {
        Some(sandbox) => sandbox.allowed.allows(needs, sandbox.confines_files(), sandbox.confines_ports()),
        None => Ok(()),
    }
}

impl Sandbox {
    fn abi(&self) -> u8 {
        *self.landlock.as_ref().unwrap_or(&0)
    }

    fn confines_files(&self) -> bool {
        self.abi() > 0
    }

    fn confines_ports(&self) -> bool {
        self.abi() >= WITH_PORTS
    }

    /// Returns the layers, in force or not.
    pub(crate) fn layers(&self) -> Layers {
        let files = |written: bool| {
            let folders = self.allowed.folders().iter().filter(|folder| folder.is_written() == written);
            self.confines_files().then(|| folders.map(|folder| folder.path().display().to_string()).collect())
        };
        let ports = |ports: Option<Vec<u16>>| ports.filter(|_| self.confines_ports());
        Layers {
            landlock: self.landlock.as_ref().map_or_else(Clone::clone, |abi| format!("ABI {abi}")),
            read: files(false),
            written: files(true),
            listen: ports(self.allowed.listen()),
            connect: ports(self.allowed.connect()),
            signals: self.abi() < WITH_SCOPES,
            system_calls: self.system_calls.as_ref().map_or_else(Clone::clone, |count| format!("{count} refused")),
            capabilities: self.capabilities.clone(),
            hooks: self.allowed.hooks().len(),
        }
    }

    /// Logs what is in force, and what this kernel cannot do.
    pub(crate) fn tell(&self) {
        let Layers { landlock, read, written, listen, connect, signals, system_calls, capabilities, hooks } =
            self.layers();
        info!(
            landlock,
            read = joined(read),
            write = joined(written),
            listen = joined(listen),
            connect = joined(connect),
            signals = if signals { "any" } else { "none" },
            system_calls,
            capabilities,
            hooks,
            "the sandbox is in force"
        );
        for reason in [self.landlock.as_ref().err(), self.system_calls.as_ref().err()].into_iter().flatten() {
            warn!("the sandbox is incomplete: {reason}");
        }
        for what in self.allowed.within_reach() {
            warn!("the sandbox lets {what} be replaced: found it below a folder that is written");
        }
        if self.confines_files() && self.allowed.folders().iter().any(Folder::is_everything) {
            warn!(
                "the sandbox lets all files be read: a file of the configuration is in /, expected a folder of its own"
            );
        }
    }
}

#[cfg(test)]
mod tests;
