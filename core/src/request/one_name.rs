//! Writes subject and alternative names of a request for one DNS name, and compares a request with them: a device
//! without a certificate has a name from elsewhere.

use super::replace::same_alternative_names;
use super::{CertificationRequest, RequestError};
use crate::x509::reader::{DerReader, tag};
use crate::x509::{GeneralNames, Name};

/// The longest DNS name that a subject takes too (ub-common-name, RFC 5280 appendix A.1), in octets.
pub const MAX_COMMON_NAME: usize = 64;

/// id-at-commonName (RFC 5280 appendix A.1), a whole OBJECT IDENTIFIER.
const COMMON_NAME: [u8; 5] = [tag::OBJECT_IDENTIFIER, 3, 0x55, 0x04, 3];
/// dNSName (RFC 5280 section 4.2.1.6)
const DNS_NAME: u8 = 0x82;
/// UTF8String (X.690 section 8.21)
const UTF8_STRING: u8 = 0x0c;

/// The octets around a name in a subject, and in alternative names. Each length takes one octet (X.690 section
/// 8.1.3.4), since a name has at most [`MAX_COMMON_NAME`].
const IN_SUBJECT: usize = 13;
const IN_NAMES: usize = 4;

/// The subject and the alternative names of a request for one DNS name, both in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneName {
    subject: heapless::Vec<u8, { MAX_COMMON_NAME + IN_SUBJECT }>,
    names: heapless::Vec<u8, { MAX_COMMON_NAME + IN_NAMES }>,
}

impl OneName {
    /// Writes a name, which the caller has found to be a DNS name; `None` if it is empty, longer than
    /// [`MAX_COMMON_NAME`], or not ASCII.
    pub fn new(name: &str) -> Option<Self> {
        if name.is_empty() || name.len() > MAX_COMMON_NAME || !name.is_ascii() {
            return None;
        }
        let length = u8::try_from(name.len()).ok()?;
        let [to_string, to_attribute, to_set] = [0, 7, 9].map(|more: u8| length.saturating_add(more));
        let (mut subject, mut names) = (heapless::Vec::new(), heapless::Vec::new());
        let sequence = tag::SEQUENCE;
        let head = [sequence, to_set.saturating_add(2), tag::SET, to_set, sequence, to_attribute];
        for part in [&head[..], &COMMON_NAME, &[UTF8_STRING, to_string], name.as_bytes()] {
            subject.extend_from_slice(part).ok()?;
        }
        for part in [&[sequence, length.saturating_add(2), DNS_NAME, length][..], name.as_bytes()] {
            names.extend_from_slice(part).ok()?;
        }
        Some(Self { subject, names })
    }

    /// Returns the subject: a Name with this common name alone.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Returns the alternative names: GeneralNames with this dNSName alone.
    pub fn subject_alt_name(&self) -> &[u8] {
        &self.names
    }

    /// Returns the alternative names, parsed.
    ///
    /// # Errors
    /// Returns none for a name that [`OneName::new`] has taken.
    pub fn alternative_names(&self) -> Result<GeneralNames<'_>, RequestError> {
        Ok(GeneralNames::read(&mut DerReader::new(&self.names))?)
    }
}

impl CertificationRequest<'_> {
    /// Checks that the request is for this name and nothing else, as a leaf's: the only alternative name is its
    /// dNSName, the subject is empty or has it as its common name alone, and extensions are those of a leaf with
    /// purposes of TLS. The requester shows elsewhere that it may have the name.
    ///
    /// # Errors
    /// The first difference. Errors that speak of a certificate mean the one that this name would have.
    pub fn is_for(&self, name: &OneName) -> Result<(), RequestError> {
        self.is_of_a_leaf(None)?;
        let subject = self.subject();
        if !subject.is_empty() && !subject.matches(&Name::from_der(&name.subject)?) {
            return Err(RequestError::Subject);
        }
        same_alternative_names(self.extensions().subject_alt_name, Some(name.alternative_names()?))
    }
}
