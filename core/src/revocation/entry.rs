//! The entries of a revocation list (RFC 5280 sections 5.1.2.6 and 5.3).

use core::fmt;

use pki_types::UnixTime;

use super::error::{RevocationListError, RevocationListErrorKind as Kind};
use crate::x509::reader::{DerReader, is_minimal_integer, tag};
use crate::x509::time::time;
use crate::x509::{ObjectIdentifier, Serial};

/// A certificate that is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// The serial number of the certificate.
    pub serial: SerialNumber,
    /// The date of the revocation. A date to come does not make the certificate good.
    pub date: UnixTime,
    /// The reason; [`Reason::Unspecified`] where there is none.
    pub reason: Reason,
}

impl RevokedCertificate {
    /// Returns an entry of which nothing but the serial number is known.
    pub(super) fn unread(serial: &[u8]) -> Self {
        let date = UnixTime::since_unix_epoch(core::time::Duration::ZERO);
        Self { serial: SerialNumber::new(serial), date, reason: Reason::Unspecified }
    }
}

/// The reason of a revocation (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// unspecified (0), or no reason.
    Unspecified,
    /// keyCompromise (1).
    KeyCompromise,
    /// cACompromise (2).
    CaCompromise,
    /// affiliationChanged (3).
    AffiliationChanged,
    /// superseded (4).
    Superseded,
    /// cessationOfOperation (5).
    CessationOfOperation,
    /// certificateHold (6), which is refused as the others are.
    CertificateHold,
    /// privilegeWithdrawn (9).
    PrivilegeWithdrawn,
    /// aACompromise (10).
    AaCompromise,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        })
    }
}

/// The most octets of a serial number that a path accepts (RFC 5280 section 4.1.2.2).
const MAX_SERIAL: usize = 20;

/// The serial number of a certificate, for errors, which outlive the certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SerialNumber {
    octets: [u8; MAX_SERIAL],
    length: u8,
}

impl SerialNumber {
    /// Takes the contents octets of a serial number, of which those after the twentieth are left out.
    pub fn new(contents: &[u8]) -> Self {
        let mut octets = [0; MAX_SERIAL];
        for (to, from) in octets.iter_mut().zip(contents) {
            *to = *from;
        }
        Self { octets, length: u8::try_from(contents.len().min(MAX_SERIAL)).unwrap_or(0) }
    }

    /// Returns the contents octets.
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or(&self.octets)
    }
}

/// Shows it like [`Serial`].
impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Serial(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// id-ce-cRLReasons
const REASON: [u8; 3] = [0x55, 0x1d, 21];
/// id-ce-certificateIssuer
const CERTIFICATE_ISSUER: [u8; 3] = [0x55, 0x1d, 29];

/// Returns the serial number of an entry that was read before, and moves past it.
pub(super) fn serial_again<'a>(entries: &mut DerReader<'a>) -> Option<&'a [u8]> {
    Some(entries.enter_again(tag::SEQUENCE)?.again()?.value)
}

/// Reads one entry. `version` is that of the list: 1 has no extensions.
pub(super) fn read<'a>(
    entries: &mut DerReader<'a>,
    version: u8,
) -> Result<(&'a [u8], RevokedCertificate), RevocationListError> {
    let mut fields = entries.enter(tag::SEQUENCE)?;
    let at = fields.error();
    let serial = fields.require(tag::INTEGER)?.value;
    // RFC 5280 section 5.1.2.6: as in certificates, whose zero, negative and long numbers are no path's
    if !is_minimal_integer(serial) {
        return Err(at(Kind::SerialNumber));
    }
    let date = time(&mut fields)?;
    let mut reason = Reason::Unspecified;
    if !fields.is_empty() {
        if version == 1 {
            return Err(fields.error()(Kind::Version));
        }
        reason = extensions(&mut fields)?;
    }
    fields.end()?;
    Ok((serial, RevokedCertificate { serial: SerialNumber::new(serial), date, reason }))
}

/// Reads the extensions of an entry, and returns the reason.
fn extensions(fields: &mut DerReader<'_>) -> Result<Reason, RevocationListError> {
    let mut list = fields.enter(tag::SEQUENCE)?;
    let mut reason = None;
    while !list.is_empty() {
        let mut one = list.enter(tag::SEQUENCE)?;
        let at = one.error();
        let oid = one.oid()?;
        let critical = one.true_or_absent()?;
        let value = one.require(tag::OCTET_STRING)?;
        one.end()?;
        if oid == REASON {
            let read = read_reason(&mut one.inside(&value)?)?;
            if reason.replace(read).is_some() {
                return Err(at(Kind::Reason));
            }
        } else if oid == CERTIFICATE_ISSUER {
            // RFC 5280 section 5.3.3: the entry is of another CA, which only an indirect CRL has
            return Err(at(Kind::Indirect));
        } else if critical {
            return Err(at(Kind::UnknownCriticalEntryExtension(ObjectIdentifier::new(oid))));
        }
    }
    Ok(reason.unwrap_or(Reason::Unspecified))
}

fn read_reason(reader: &mut DerReader<'_>) -> Result<Reason, RevocationListError> {
    let at = reader.error();
    let value = reader.require(tag::ENUMERATED).map_err(|_| at(Kind::Reason))?.value;
    reader.end()?;
    Ok(match value {
        [0] => Reason::Unspecified,
        [1] => Reason::KeyCompromise,
        [2] => Reason::CaCompromise,
        [3] => Reason::AffiliationChanged,
        [4] => Reason::Superseded,
        [5] => Reason::CessationOfOperation,
        [6] => Reason::CertificateHold,
        [8] => return Err(at(Kind::RemoveFromCrl)),
        [9] => Reason::PrivilegeWithdrawn,
        [10] => Reason::AaCompromise,
        _ => return Err(at(Kind::Reason)),
    })
}

impl DerReader<'_> {
    /// Returns what makes an error at the current position.
    pub(super) fn error(&self) -> impl Fn(Kind) -> RevocationListError + use<> {
        RevocationListError::at(self.position())
    }
}
