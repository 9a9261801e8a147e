//! The document that several gateways share: in the clear who orders and which certificate counts, sealed the rest.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::mesh::Digest;
use pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::lease::Header;
use super::sealing::{OpenError, Sealed, SealingKeys};
use crate::store::{ChallengeAnswer, Entry, Record};

/// The version of the shape.
const FORMAT: u32 = 1;

/// The size limit of a document, in octets: a chain has 16 KiB at most, an account, an order and their keys less.
pub(crate) const MAX_DOCUMENT: usize = 256 * 1024;

/// A document as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    header: Header,
    sealed: Sealed,
}

/// A document that was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) header: Header,
    pub(crate) contents: Contents,
    /// The name of the key that sealed it; `None` for one that was never stored.
    pub(crate) sealed_by: Option<String>,
}

/// The contents that are sealed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The certificate of the header's generation, with its key.
    pub(crate) record: Option<Record>,
    /// The account and the order under way, with their keys.
    pub(crate) entries: BTreeMap<Entry, Vec<u8>>,
    /// The answers to challenges, which every gateway gives.
    pub(crate) answers: Vec<ChallengeAnswer>,
    /// The reason of the last failure.
    pub(crate) failure: Option<String>,
}

impl fmt::Debug for Contents {
    /// Formats the contents without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").field("record", &self.record).field("failure", &self.failure).finish_non_exhaustive()
    }
}

/// The contents as they are sealed. Octets are base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    record: Option<RecordText>,
    entries: BTreeMap<String, String>,
    answers: Vec<ChallengeAnswer>,
    failure: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordText {
    key: String,
    chain: Vec<String>,
    not_before: u64,
    not_after: u64,
}

/// The reason that a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DocumentError {
    /// It is too long, or no document.
    Malformed(&'static str),
    /// Its format is of another version of this program.
    Format(u32),
    /// It is not opened.
    Sealed(OpenError),
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(found) => write!(f, "found {found}, expected a shared credential"),
            Self::Format(found) => {
                write!(f, "found format {found}, expected {FORMAT}: another version of this program wrote it")
            }
            Self::Sealed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DocumentError {}

/// The entries that gateways share. Each has the others for itself.
pub(crate) const SHARED: [Entry; 3] = [Entry::Account, Entry::PreviousAccount, Entry::Order];

/// Returns what is authenticated beside the sealed contents: the place and the header, so that nobody moves contents to
/// another credential or another generation.
fn beside(place: &str, header: &Header) -> Result<Vec<u8>, DocumentError> {
    serde_json::to_vec(&("edgetrust shared credential", FORMAT, place, header))
        .map_err(|_| DocumentError::Malformed("a header without a text"))
}

/// Returns the name of a certificate in headers: the SHA-256 of the leaf, hexadecimal.
pub(crate) fn name_of(record: &Record) -> Option<String> {
    let leaf = record.chain.first()?;
    Some(Digest::of(leaf).octets().iter().map(|octet| format!("{octet:02x}")).collect())
}

impl Document {
    /// Parses and opens a document of this place.
    pub(crate) fn open(text: &[u8], place: &str, keys: &SealingKeys) -> Result<Self, DocumentError> {
        if text.len() > MAX_DOCUMENT {
            return Err(DocumentError::Malformed("more octets than a shared credential has"));
        }
        // The parser's error message may hold a part of the text.
        let stored: Stored = serde_json::from_slice(text).map_err(|_| DocumentError::Malformed("another text"))?;
        if stored.format != FORMAT {
            return Err(DocumentError::Format(stored.format));
        }
        let opened = keys.open(&stored.sealed, &beside(place, &stored.header)?).map_err(DocumentError::Sealed)?;
        let text: Text = serde_json::from_slice(&opened).map_err(|_| DocumentError::Malformed("other contents"))?;
        let contents = text.contents().ok_or(DocumentError::Malformed("other contents"))?;
        if contents.record.as_ref().and_then(name_of) != stored.header.certificate {
            return Err(DocumentError::Malformed("another certificate than its header names"));
        }
        Ok(Self { header: stored.header, contents, sealed_by: Some(stored.sealed.key) })
    }

    /// Seals a document for this place.
    pub(crate) fn seal(&self, place: &str, keys: &SealingKeys) -> Result<Vec<u8>, DocumentError> {
        let text = zeroize::Zeroizing::new(
            serde_json::to_vec(&Text::of(&self.contents)).map_err(|_| DocumentError::Malformed("no text"))?,
        );
        let sealed = keys.seal(&text, &beside(place, &self.header)?);
        let sealed = sealed.ok_or(DocumentError::Malformed("no key to seal with"))?;
        let stored = Stored { format: FORMAT, header: self.header.clone(), sealed };
        let stored = serde_json::to_vec(&stored).map_err(|_| DocumentError::Malformed("no text"))?;
        if stored.len() > MAX_DOCUMENT {
            return Err(DocumentError::Malformed("more octets than a shared credential may have"));
        }
        Ok(stored)
    }
}

impl Text {
    fn of(contents: &Contents) -> Self {
        let encode = |octets: &[u8]| BASE64_STANDARD.encode(octets);
        Self {
            record: contents.record.as_ref().map(|record| RecordText {
                key: encode(&record.key),
                chain: record.chain.iter().map(|der| encode(der)).collect(),
                not_before: record.not_before.as_secs(),
                not_after: record.not_after.as_secs(),
            }),
            entries: contents.entries.iter().map(|(entry, text)| (entry.name().to_owned(), encode(text))).collect(),
            answers: contents.answers.clone(),
            failure: contents.failure.clone(),
        }
    }

    fn contents(self) -> Option<Contents> {
        let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let record = match self.record {
            None => None,
            Some(record) => Some(Record {
                key: decode(&record.key)?,
                chain: record.chain.iter().map(|der| decode(der).map(CertificateDer::from)).collect::<Option<_>>()?,
                not_before: at(record.not_before),
                not_after: at(record.not_after),
            }),
        };
        let mut entries = BTreeMap::new();
        for (name, text) in &self.entries {
            let entry = SHARED.into_iter().find(|entry| entry.name() == name)?;
            entries.insert(entry, decode(text)?);
        }
        Some(Contents { record, entries, answers: self.answers, failure: self.failure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(octet: u8) -> SealingKeys {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, BASE64_STANDARD.encode([octet; 32])).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        SealingKeys::read([file.as_path()].into_iter()).unwrap()
    }

    fn document(generation: u64) -> Document {
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let chain = vec![CertificateDer::from(vec![0x30, 1, u8::try_from(generation).unwrap()])];
        let record = Record { key: b"a private key".to_vec(), chain, not_before: at(1), not_after: at(2) };
        let certificate = name_of(&record);
        Document {
            header: Header { token: 7, holder: Some("a".to_owned()), failures: 0, generation, certificate },
            contents: Contents {
                record: Some(record),
                entries: [(Entry::Order, b"an order".to_vec())].into(),
                answers: vec![ChallengeAnswer::Http01 { token: "t".to_owned(), key_authorization: "t.k".to_owned() }],
                failure: Some("why".to_owned()),
            },
            sealed_by: None,
        }
    }

    #[test]
    fn what_is_stored_is_read_back_and_shows_no_key() {
        let keys = keys(1);
        let stored = document(5).seal("b/a.example", &keys).unwrap();
        let text = String::from_utf8(stored.clone()).unwrap();
        for secret in ["private", "order", &BASE64_STANDARD.encode("a private key"), "t.k"] {
            assert!(!text.contains(secret), "{text}");
        }
        let opened = Document::open(&stored, "b/a.example", &keys).unwrap();
        assert_eq!(opened.contents, document(5).contents);
        assert_eq!((opened.header, opened.sealed_by.as_deref()), (document(5).header, keys.current()));
        assert!(!format!("{:?}", opened.contents).contains("private"));
    }

    #[test]
    fn nobody_moves_or_changes_a_document() {
        let keys = keys(1);
        let (old, new) = (document(5).seal("b/a", &keys).unwrap(), document(6).seal("b/a", &keys).unwrap());
        let changed = DocumentError::Sealed(OpenError::Changed);
        assert_eq!(Document::open(&old, "b/other", &keys), Err(changed.clone()));
        // The contents of one generation below the header of another, and a header that names another holder.
        let [mut one, other]: [serde_json::Value; 2] = [&old, &new].map(|text| serde_json::from_slice(text).unwrap());
        one["sealed"] = other["sealed"].clone();
        assert_eq!(Document::open(one.to_string().as_bytes(), "b/a", &keys), Err(changed.clone()));
        let mut one: serde_json::Value = serde_json::from_slice(&old).unwrap();
        one["header"]["holder"] = "z".into();
        assert_eq!(Document::open(one.to_string().as_bytes(), "b/a", &keys), Err(changed));
        let foreign = Document::open(&old, "b/a", &self::keys(2)).unwrap_err();
        assert!(matches!(foreign, DocumentError::Sealed(OpenError::UnknownKey(..))), "{foreign}");
        let mut one: serde_json::Value = serde_json::from_slice(&old).unwrap();
        one["format"] = 2.into();
        assert_eq!(Document::open(one.to_string().as_bytes(), "b/a", &keys), Err(DocumentError::Format(2)));
        for text in ["", "{}", "[1]"] {
            assert!(
                matches!(Document::open(text.as_bytes(), "b/a", &keys), Err(DocumentError::Malformed(_))),
                "{text}"
            );
        }
        let long = vec![b' '; MAX_DOCUMENT + 1];
        assert!(matches!(Document::open(&long, "b/a", &keys), Err(DocumentError::Malformed(_))));
    }
}
