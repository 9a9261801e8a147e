//! Keeps the first octets that a server sends, which say what it is if it does not speak TLS.

use std::sync::{Arc, Mutex, PoisonError};

/// The number of octets that are kept: a greeting begins with the name of its protocol, and the rest may be secret.
const KEPT: usize = 16;

/// The first octets that a stream has brought.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct First(Arc<Mutex<Vec<u8>>>);

impl First {
    /// Keeps the first of these octets, if there is room.
    pub(in crate::cli) fn take(&self, octets: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(octets.iter().take(room));
    }

    fn octets(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether anything has come.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.octets().is_empty()
    }

    /// Says how a server that does not speak TLS begins; `None` if it begins as TLS does.
    pub(in crate::cli) fn other_protocol(&self) -> Option<String> {
        let octets = self.octets();
        match octets.as_slice() {
            [] => None,
            // RFC 8446 section 5.1: a handshake record or an alert, of version 3.x; section 4: message 1 is ClientHello.
            [22, 3, _, _, _, 1, ..] => Some("it sends back what it is sent".to_owned()),
            [20..=23, 3, ..] => None,
            octets => Some(format!("it begins with \"{}\"", octets.escape_ascii())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_told_from_what_is_not() {
        let begins = |octets: &[u8]| {
            let first = First::default();
            octets.iter().for_each(|octet| first.take(&[*octet]));
            first.other_protocol()
        };
        assert_eq!(begins(b""), None);
        assert_eq!(begins(b"\x16\x03\x03\x00\x7a\x02"), None);
        assert_eq!(begins(b"\x15\x03\x03\x00\x02\x02\x28"), None);
        assert_eq!(begins(b"\x16\x03\x01\x00\xee\x01").as_deref(), Some("it sends back what it is sent"));
        let info = begins(b"INFO {\"server_id\":\"secret\"}\r\n").unwrap();
        assert_eq!(info, r#"it begins with "INFO {\"server_id""#);
        assert_eq!(begins(b"\x1b[2J").as_deref(), Some(r#"it begins with "\x1b[2J""#));
    }
}
