//! Names the side of TLS that a tunnel takes.

/// The side of TLS that a tunnel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Neither: plaintext.
    Plain,
    /// The server's.
    Server,
    /// The client's.
    Client,
}

impl Side {
    /// Returns the side's name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}
