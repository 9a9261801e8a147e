//! The name that a refused server's certificate has.

use core::fmt;

use crate::x509::{Certificate, GeneralName};

/// The maximum number of octets that are kept of a name.
const KEPT: usize = 30;

/// The first dNSName of a server's certificate, for the log: its first 30 octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FoundName {
    octets: [u8; KEPT],
    length: u8,
    /// True if the name is longer.
    cut: bool,
}

impl FoundName {
    pub(super) fn of(leaf: &Certificate<'_>) -> Self {
        let names = leaf.extensions().subject_alt_name.into_iter().flatten();
        let mut names = names.filter_map(|name| if let GeneralName::Dns(name) = name { Some(name) } else { None });
        let name = names.next().unwrap_or_default().as_bytes();
        let mut found = Self { octets: [0; KEPT], length: 0, cut: name.len() > KEPT };
        for (place, octet) in found.octets.iter_mut().zip(name) {
            *place = *octet;
            found.length = found.length.saturating_add(1);
        }
        found
    }

    /// Returns the name, or what is kept of it; an empty one if the certificate has no dNSName.
    pub fn as_str(&self) -> &str {
        // A dNSName is an IA5String, so any part of it is UTF-8.
        self.octets.get(..self.length.into()).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for FoundName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.as_str(), if self.cut { "…" } else { "" })
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for FoundName {
    fn format(&self, f: defmt::Formatter<'_>) {
        if self.cut {
            defmt::write!(f, "{=str}...", self.as_str());
        } else {
            defmt::write!(f, "{=str}", self.as_str());
        }
    }
}
