//! Takes the listening sockets that a service manager passes to this process (`sd_listen_fds(3)`). What else it was started
//! with is for no program that it starts.
//!
//! The sockets belong to the process and not to a configuration: a reload may leave an address and come back to it.

#![allow(unsafe_code, reason = "descriptors that are passed by number are owned, or named, in no safe way")]

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use socket2::{Domain, SockRef, Type};

static PASSED: OnceLock<Passed> = OnceLock::new();

/// The listening sockets that were passed, which stay open until the process ends.
#[derive(Debug, Default)]
pub(crate) struct Passed(Vec<PassedSocket>);

/// One of them, by the name that its unit gives it (`FileDescriptorName=`).
#[derive(Debug)]
struct PassedSocket {
    name: String,
    descriptor: RawFd,
    listener: Listener,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

impl fmt::Display for PassedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (descriptor {}, ", self.name, self.descriptor)?;
        match &self.listener {
            Listener::Tcp(_, address) => write!(f, "{address})"),
            Listener::Unix(_, path) => write!(f, "unix:{})", path.display()),
        }
    }
}

/// An address that a configuration listens on, with its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) place: String,
    pub(crate) at: At,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.place)?;
        match &self.at {
            At::Tcp(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
                f.write_str(&addresses.join(" or "))
            }
            At::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Takes the sockets from the environment of this process. It has to be called before anything else opens a file, and before
/// there are threads.
///
/// # Errors
/// Fails if what was passed is no listening stream socket, or if hooks could inherit descriptors.
pub(crate) fn take() -> Result<(), String> {
    close_on_exec().map_err(|error| format!("{OPEN}: {error}, expected this process's descriptors"))?;
    let refused = |error: &dyn fmt::Display| format!("LISTEN_FDS: {error}");
    // Those of another process, such as one that has started this one, are none of ours, and neither are their names.
    if sd_notify::listen_fds().map_err(|error| refused(&error))?.len() == 0 {
        return Ok(());
    }
    let passed = sd_notify::listen_fds_with_names().map_err(|error| refused(&error))?;
    let sockets = passed.map(|(descriptor, name)| {
        // SAFETY: `listen_fds` has found the descriptor open. It was passed to this process for this purpose, nothing else
        // here knows of it, and it is taken once: a second call finds `PASSED` set.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        PassedSocket::new(owned, name).map_err(|error| refused(&error))
    });
    let sockets = sockets.collect::<Result<_, _>>()?;
    PASSED.set(Passed(sockets)).map_err(|_| refused(&"taken twice"))
}

/// The folder of this process's open descriptors.
const OPEN: &str = "/proc/self/fd";

/// Keeps each descriptor that is open, but for standard input, output and error, from the programs that this one starts:
/// whoever has started it may have left some open.
fn close_on_exec() -> io::Result<()> {
    let [first, last, how]: [libc::c_long; 3] = [3, -1, libc::CLOSE_RANGE_CLOEXEC.cast_signed().into()];
    // SAFETY: the call marks descriptors. It closes none, and touches no memory.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, how) } {
        0 => Ok(()),
        // Linux has it since 5.11.
        _ => close_each_on_exec(),
    }
}

fn close_each_on_exec() -> io::Result<()> {
    for entry in std::fs::read_dir(OPEN)? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        if number > 2 {
            // SAFETY: it was open in this loop, and no other thread closes it. It is used on this line and the next.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            fcntl_setfd(descriptor, fcntl_getfd(descriptor)? | FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}

/// Returns the sockets that were passed to this process.
pub(crate) fn passed() -> &'static Passed {
    PASSED.get_or_init(Passed::default)
}

impl PassedSocket {
    fn new(owned: OwnedFd, name: String) -> Result<Self, String> {
        let descriptor = owned.as_raw_fd();
        let said = |found: &dyn fmt::Display| {
            format!("found {found} as {name:?} (descriptor {descriptor}), expected a listening stream socket")
        };
        let socket = SockRef::from(&owned);
        let kind = socket.r#type().map_err(|error| said(&error))?;
        if kind != Type::STREAM || !socket.is_listener().map_err(|error| said(&error))? {
            return Err(said(&"a socket that does not listen for streams"));
        }
        socket.set_nonblocking(true).map_err(|error| said(&error))?;
        let domain = socket.domain().map_err(|error| said(&error))?;
        let address = socket.local_addr().map_err(|error| said(&error))?;
        let listener = if domain == Domain::UNIX {
            let path = address.as_pathname().ok_or_else(|| said(&"a Unix socket without a path"))?.to_owned();
            Listener::Unix(UnixListener::from(owned), path)
        } else {
            let address = address.as_socket().ok_or_else(|| said(&"a socket of neither IP nor Unix"))?;
            Listener::Tcp(TcpListener::from(owned), address)
        };
        Ok(Self { name, descriptor, listener })
    }

    fn is_for(&self, wanted: &At) -> bool {
        match (&self.listener, wanted) {
            (Listener::Tcp(_, here), At::Tcp(addresses)) => addresses.contains(here),
            (Listener::Unix(_, here), At::Unix(path)) => here == path,
            _ => false,
        }
    }
}

impl Passed {
    /// Returns the socket that was passed for an address, to be listened on here; none if there is none.
    pub(crate) fn tcp(&self, address: SocketAddr) -> io::Result<Option<tokio::net::TcpListener>> {
        let listener = self.0.iter().find_map(|passed| match &passed.listener {
            Listener::Tcp(listener, here) if *here == address => Some(listener),
            _ => None,
        });
        listener.map(|listener| tokio::net::TcpListener::from_std(listener.try_clone()?)).transpose()
    }

    /// Returns the socket that was passed for a path; none if there is none.
    pub(crate) fn unix(&self, path: &Path) -> io::Result<Option<tokio::net::UnixListener>> {
        let listener = self.0.iter().find_map(|passed| match &passed.listener {
            Listener::Unix(listener, here) if here == path => Some(listener),
            _ => None,
        });
        listener.map(|listener| tokio::net::UnixListener::from_std(listener.try_clone()?)).transpose()
    }

    /// Returns whether a socket was passed for an address.
    pub(crate) fn has(&self, address: SocketAddr) -> bool {
        self.0.iter().any(|passed| matches!(passed.listener, Listener::Tcp(_, here) if here == address))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the sockets that nothing of a configuration is for: their clients would wait for ever.
    pub(crate) fn unserved(&self, wanted: &[Wanted]) -> Vec<String> {
        let unserved = self.0.iter().filter(|passed| !wanted.iter().any(|wanted| passed.is_for(&wanted.at)));
        unserved.map(PassedSocket::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_mark_descriptors_marks_those_that_are_open() {
        for (way, mark) in [("close_range", close_on_exec as fn() -> io::Result<()>), (OPEN, close_each_on_exec)] {
            let left = std::fs::File::open("/dev/null").unwrap();
            fcntl_setfd(&left, FdFlags::empty()).unwrap();
            // Another test may close one meanwhile, which is no fault of this one's.
            while let Err(error) = mark() {
                assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{way}: {error}");
            }
            assert_eq!(fcntl_getfd(&left).unwrap(), FdFlags::CLOEXEC, "{way}");
        }
    }
}
