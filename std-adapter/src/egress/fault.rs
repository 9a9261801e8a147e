//! The reasons that a proxy does not lead to a destination.

use std::fmt;
use std::io;

use super::credentials::CredentialsFault;

/// A fault of a proxy, or of its answer. It holds nothing that is secret.
#[derive(Debug)]
pub enum ProxyFault {
    /// The connection to the proxy failed.
    Io(io::Error),
    /// The proxy ended the connection before its answer was whole.
    Ended,
    /// The answer is longer than this many octets.
    Long(usize),
    /// The answer begins with something else than the protocol has.
    Strange(String),
    /// The proxy refuses, in its own words.
    Refused(String),
    /// The proxy wants a user and a password that are configured nowhere, or refuses those that are.
    Unauthorized(String),
    /// Octets followed the answer, and nothing was asked of the destination yet.
    Early,
    /// The name is longer than the protocol takes.
    LongName(usize),
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Ended => f.write_str("it ended the connection before its answer was whole"),
            Self::Long(limit) => write!(f, "its answer has more than {limit} octets"),
            Self::Strange(found) => f.write_str(found),
            Self::Refused(answer) => write!(f, "it answered {answer}"),
            Self::Unauthorized(answer) => {
                write!(f, "it answered {answer}, expected a user and a password that it knows (proxy_credentials_file)")
            }
            Self::Early => f.write_str("found octets after its answer, expected none before the handshake"),
            Self::LongName(length) => write!(f, "the target's name has {length} octets, expected 255 at most"),
        }
    }
}

impl From<io::Error> for ProxyFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

impl ProxyFault {
    /// Returns the kind of error that callers tell apart.
    pub(super) fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::Ended => io::ErrorKind::UnexpectedEof,
            Self::Refused(_) => io::ErrorKind::ConnectionRefused,
            Self::Unauthorized(_) => io::ErrorKind::PermissionDenied,
            Self::Long(_) | Self::Strange(_) | Self::Early | Self::LongName(_) => io::ErrorKind::InvalidData,
        }
    }
}

/// The reason that a proxy cannot be used.
#[derive(Debug)]
pub enum EgressError {
    /// The file, by this name, holds no user and password.
    File(String, CredentialsFault),
    /// The variable of the environment names no proxy.
    Environment(&'static str, &'static str),
}

impl fmt::Display for EgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, fault) => write!(f, "proxy_credentials_file: {file}: {fault}"),
            Self::Environment(variable, fault) => {
                write!(f, "proxy \"environment\": {variable}: {fault}, expected http://HOST:PORT or socks5://HOST:PORT")
            }
        }
    }
}

impl std::error::Error for EgressError {}
