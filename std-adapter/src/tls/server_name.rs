//! Parses server names, and describes a server's certificate that is not for the requested one.

use std::fmt;
use std::net::IpAddr;

use edgetrust_core::x509::{Certificate, GeneralName};
use pki_types::ServerName;

/// The maximum number of names listed, and of characters of each: a certificate may have thousands of any length.
const MAX_NAMES: usize = 8;
const MAX_CHARACTERS: usize = 64;

/// Parses a server name: a DNS name or an IP address.
///
/// # Errors
/// Returns what was found and what was expected.
pub fn server_name(text: &str) -> Result<ServerName<'static>, ServerNameError> {
    ServerName::try_from(text.to_owned()).map_err(|_| ServerNameError { found: text.to_owned() })
}

/// The error of a text that is not a server name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNameError {
    found: String,
}

impl fmt::Display for ServerNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server name: found {:?}, expected a DNS name or an IP address", self.found)
    }
}

impl std::error::Error for ServerNameError {}

/// The requested server name, and the names that the certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongServerName {
    asked: String,
    found: String,
}

impl WrongServerName {
    /// Describes a server's certificate that is not for the requested name.
    pub(crate) fn new(asked: &str, leaf: &Certificate<'_>) -> Self {
        let names: Vec<String> =
            leaf.extensions().subject_alt_name.into_iter().flatten().filter_map(shown_name).collect();
        let mut found = names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
        if names.is_empty() {
            found.push_str("no DNS name and no address in its subjectAltName");
        }
        if let Some(more @ 1..) = names.len().checked_sub(MAX_NAMES) {
            found.push_str(&format!(" and {more} more"));
        }
        Self { asked: cut(asked), found }
    }
}

impl fmt::Display for WrongServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, found } = self;
        write!(
            f,
            "its certificate is not for the server name that was asked for: found {found}, expected {asked} (RFC 9525 section 6)"
        )
    }
}

/// Returns the text of a name by which a server can be requested; `None` for other kinds of name.
fn shown_name(name: GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::Dns(name) => Some(cut(name)),
        GeneralName::Ip(octets) => {
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Escapes control characters, and cuts the name to `MAX_CHARACTERS`.
fn cut(name: &str) -> String {
    let mut shown: String = name.chars().take(MAX_CHARACTERS).collect::<String>().escape_debug().to_string();
    if name.chars().nth(MAX_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}
