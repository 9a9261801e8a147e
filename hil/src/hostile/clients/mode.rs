//! One mode of a hostile client.

use std::io;
use std::net::SocketAddr;

use super::super::client::Outcome;
use super::session::{Over, Session};
use crate::pki::Credential;

/// One behaviour of a client.
#[derive(Debug)]
pub struct ClientMode {
    /// The mode's name.
    pub name: &'static str,
    /// The client's behaviour.
    pub does: &'static str,
    /// True if the client keeps to the protocol: a server serves it.
    pub is_lawful: bool,
    run: fn(&mut Session<'_>) -> Result<(), Over>,
}

impl ClientMode {
    /// Connects, does what the mode says, sends `request` if the mode comes so far, and sends nothing more. Returns the
    /// server's reaction.
    ///
    /// # Errors
    /// Returns the connection's error, and fails if the server does not speak TLS 1.3 with this cipher suite.
    pub fn ask(&self, server: SocketAddr, credential: &Credential, another: &Credential) -> io::Result<Outcome> {
        let mut session = Session::connect(server, credential, another)?;
        match (self.run)(&mut session).and_then(|()| session.listen()) {
            Ok(outcome) | Err(Over::Outcome(outcome)) => Ok(outcome),
            Err(Over::Io(error)) => Err(error),
        }
    }
}

type Run = fn(&mut Session<'_>) -> Result<(), Over>;

pub(super) const fn lawful(name: &'static str, does: &'static str, run: Run) -> ClientMode {
    ClientMode { name, does, is_lawful: true, run }
}

pub(super) const fn hostile(name: &'static str, does: &'static str, run: Run) -> ClientMode {
    ClientMode { name, does, is_lawful: false, run }
}

/// Returns the contents of a record that is to be encrypted: a content and its type.
pub(super) fn inner(content_type: u8, content: &[u8]) -> Vec<u8> {
    [content, &[content_type]].concat()
}
