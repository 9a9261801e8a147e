//! TLS 1.3 clients with exactly one fault each, for servers that require a client certificate.
//!
//! TLS_AES_128_GCM_SHA256 and secp256r1 only. The clients verify no server.

mod hello;
mod session;
mod table;

use std::io;
use std::net::SocketAddr;

use super::client::Outcome;
use crate::pki::Credential;
use session::{Over, Session};
pub use table::CLIENTS;

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
