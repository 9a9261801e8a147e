//! Describes the certificate that a refused peer showed, and the certificate request of a refused device.

use std::fmt::{self, Write};

#[cfg(feature = "cli")]
use edgetrust_core::request::CertificationRequest;
use edgetrust_core::x509::{Certificate, GeneralName, GeneralNames, Serial};
use pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// The maximum number of characters kept of a field, and of names kept: there may be thousands of any length.
const MAX_CHARACTERS: usize = 160;
const MAX_NAMES: usize = 4;

/// The certificate that a refused peer showed as its own. Its contents are unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownCertificate {
    /// A certificate that parses. Each text is cut to a limited length, and has no control characters.
    Read {
        /// The subject.
        subject: String,
        /// The first names of the subjectAltName.
        names: String,
        /// The issuer.
        issuer: String,
        /// The serial number, in hexadecimal.
        serial: String,
        /// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal.
        spki_sha256: String,
    },
    /// A certificate that does not parse.
    Unread {
        /// SHA-256 of the octets that were shown, in hexadecimal.
        certificate_sha256: String,
    },
}

impl ShownCertificate {
    /// Reads the certificate that was shown.
    pub fn new(der: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = Certificate::from_der(der) else {
            return Self::Unread { certificate_sha256: hex(&Sha256::digest(der)) };
        };
        Self::Read {
            subject: cut(certificate.subject()),
            names: first_names(certificate.extensions().subject_alt_name),
            issuer: cut(certificate.issuer()),
            serial: cut(Serial(certificate.serial())),
            spki_sha256: hex(&Sha256::digest(certificate.subject_public_key_info().der)),
        }
    }

    /// Returns the fields by name, as in the log and on the pages.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fields = match self {
            Self::Read { subject, names, issuer, serial, spki_sha256 } => vec![
                ("subject", subject),
                ("names", names),
                ("issuer", issuer),
                ("serial", serial),
                ("spki_sha256", spki_sha256),
            ],
            Self::Unread { certificate_sha256 } => vec![("certificate_sha256", certificate_sha256)],
        };
        fields.into_iter().map(|(name, text)| (name, text.as_str()))
    }

    /// Returns the field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, _)| *field == name).map(|(_, text)| text)
    }
}

/// The contents of a device's certification request, cut and escaped like those of a shown certificate.
#[cfg(feature = "cli")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownRequest {
    /// The requested subject.
    pub subject: String,
    /// The first names of the requested subjectAltName.
    pub names: String,
}

#[cfg(feature = "cli")]
impl ShownRequest {
    /// Reads a certification request.
    pub fn new(request: &CertificationRequest<'_>) -> Self {
        Self { subject: cut(request.subject()), names: first_names(request.extensions().subject_alt_name) }
    }
}

fn first_names(all: Option<GeneralNames<'_>>) -> String {
    let mut names = Cut::default();
    let mut all = all.into_iter().flatten();
    for (place, name) in all.by_ref().take(MAX_NAMES).enumerate() {
        let comma = if place == 0 { "" } else { "," };
        // An error means that the text is full.
        let _ = names.write_str(comma).and_then(|()| write_name(&mut names, &name));
    }
    if all.next().is_some() {
        // Likewise.
        let _ = names.write_str(",…");
    }
    names.text
}

fn write_name(f: &mut Cut, name: &GeneralName<'_>) -> fmt::Result {
    match name {
        GeneralName::Dns(text) => write!(f, "DNS={}", text.escape_debug()),
        GeneralName::Uri(text) => write!(f, "URI={}", text.escape_debug()),
        GeneralName::Rfc822(text) => write!(f, "email={}", text.escape_debug()),
        GeneralName::Directory(name) => write!(f, "directory={name}"),
        GeneralName::Ip(octets) => match (<[u8; 4]>::try_from(*octets), <[u8; 16]>::try_from(*octets)) {
            (Ok(v4), _) => write!(f, "IP={}", std::net::Ipv4Addr::from(v4)),
            (_, Ok(v6)) => write!(f, "IP={}", std::net::Ipv6Addr::from(v6)),
            _ => f.write_str("IP"),
        },
        _ => f.write_str("other"),
    }
}

/// Collects up to `MAX_CHARACTERS`, then fails, so that text beyond the limit is not formatted either.
#[derive(Default)]
struct Cut {
    text: String,
    taken: usize,
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.taken > MAX_CHARACTERS {
                return Err(fmt::Error);
            }
            self.taken = self.taken.saturating_add(1);
            self.text.push(if self.taken > MAX_CHARACTERS { '…' } else { c });
        }
        Ok(())
    }
}

/// Formats a name, cut to `MAX_CHARACTERS`.
pub(crate) fn cut(name: impl fmt::Display) -> String {
    let mut cut = Cut::default();
    // An error means that the text is full.
    let _ = write!(cut, "{name}");
    cut.text
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
