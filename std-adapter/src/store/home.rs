//! Defines what the home of a credential does. A folder is one kind of home; the rest of the library knows no other
//! name for it than these.

use std::cmp::Ordering;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use edgetrust_core::rotation::SlotCertificate;
use edgetrust_core::store::Slot;
use pki_types::{CertificateDer, UnixTime};

use super::answer::ChallengeAnswer;
use super::error::StorageError;
use crate::token::KeyUri;

/// The result of an operation on a home, which may wait for a disk or a network. Each is boxed: there are a few a
/// renewal, and none a connection.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// The key and the chain of one slot, with their validity.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The private key, PKCS #8 in DER, or the URI of a key in a token.
    pub key: Vec<u8>,
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The start of the validity (RFC 5280 section 4.1.2.5).
    pub not_before: UnixTime,
    /// The end of the validity (RFC 5280 section 4.1.2.5).
    pub not_after: UnixTime,
}

impl Record {
    /// Returns the URI of the key, if it is in a token.
    pub fn token(&self) -> Option<&str> {
        KeyUri::in_place_of(&self.key)
    }
}

impl fmt::Debug for Record {
    /// Formats the record without its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The records of a home that count.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The newest confirmed record.
    pub active: Option<SlotCertificate>,
    /// A newer record that was never confirmed.
    pub trial: Option<SlotCertificate>,
    /// The read errors.
    pub errors: Vec<String>,
}

/// A small text beside the slots. Each is replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// The ACME account, with its key.
    Account,
    /// The account at the directory that was configured before, with its key.
    PreviousAccount,
    /// The pending order, with the key of its certificate.
    Order,
    /// The generations of the certificates in the slots, where gateways share a credential.
    Shared,
    /// The certificates that were learned from the CA.
    Authorities,
    /// The number that spreads renewals over a fleet.
    Seed,
    /// The number of a renewal that was asked for from outside.
    Request,
    /// The answer to such a request.
    Answer,
}

impl Entry {
    /// Returns the name that messages and homes have for the entry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account.json",
            Self::PreviousAccount => "account.previous.json",
            Self::Order => "order.json",
            Self::Shared => "shared.json",
            Self::Authorities => "cacerts",
            Self::Seed => "seed",
            Self::Request => "renew.request",
            Self::Answer => "renew.answer",
        }
    }
}

/// The PEM copies of the confirmed record, by the names that other programs open them by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFiles {
    /// The chain, leaf first.
    pub cert_file: String,
    /// The key.
    pub key_file: String,
}

/// A kind of home, as whoever does not hold it sees it. It displays as the place that log lines name.
pub trait Storage: fmt::Debug + fmt::Display + Send + Sync {
    /// Takes the home for this process alone, and first makes a missing one. One that cannot be written to is taken all
    /// the same, since its contents can be used.
    fn take(&self) -> Pending<'_, Arc<dyn Held>>;

    /// Returns the records that count, and every read error. A home that is not there has none.
    fn kept(&self) -> Pending<'_, Kept>;

    /// Returns the key and the chain of a slot.
    fn read(&self, slot: Slot) -> Pending<'_, Record>;

    /// Returns an entry, or `None` if there is none.
    fn look(&self, entry: Entry) -> Pending<'_, Option<Vec<u8>>>;

    /// Writes an entry for the process that holds the home.
    fn leave<'a>(&'a self, entry: Entry, octets: &'a [u8]) -> Pending<'a, ()>;
}

/// A home that this process holds alone, until the value is dropped. If a hold can end before, as a lease does, each
/// write after its end fails and changes nothing; so an order fails before the CA hears of it, since its key is written
/// first.
pub trait Held: fmt::Debug + Send + Sync {
    /// Returns the records that count, and every read error.
    fn kept(&self) -> Pending<'_, Kept>;

    /// Returns the key and the chain of a slot.
    fn read(&self, slot: Slot) -> Pending<'_, Record>;

    /// Writes a record into a slot, not yet confirmed, together with the time of now.
    fn stage(&self, slot: Slot, record: Record, now: UnixTime) -> Pending<'_, ()>;

    /// Confirms a slot, so that a start begins with it.
    fn confirm(&self, slot: Slot) -> Pending<'_, ()>;

    /// Empties a slot whose record is not confirmed.
    fn discard(&self, slot: Slot) -> Pending<'_, ()>;

    /// Returns whether the PEM copies are of this slot; a crash may have prevented them.
    fn is_published(&self, slot: Slot) -> Pending<'_, bool>;

    /// Writes the PEM copies of a slot's record, for other programs. Chain and key change together.
    fn publish(&self, slot: Slot, record: Record) -> Pending<'_, ()>;

    /// Returns the names of the PEM copies.
    fn pem_files(&self) -> PemFiles;

    /// Returns an entry, or `None` if there is none.
    fn look(&self, entry: Entry) -> Pending<'_, Option<Vec<u8>>>;

    /// Replaces an entry. After any failure the entry is the old or the new one.
    fn keep<'a>(&'a self, entry: Entry, octets: &'a [u8]) -> Pending<'a, ()>;

    /// Removes an entry, if it exists.
    fn forget(&self, entry: Entry) -> Pending<'_, ()>;

    /// Tests that new records and entries can be written.
    fn try_writing(&self) -> Pending<'_, ()>;

    /// Has every gateway that shares this home give an answer, before the CA is told to validate. A home of one gateway
    /// has nobody to tell.
    fn announce(&self, _answer: ChallengeAnswer) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// The home of one credential: where it is, not what is in it. Making one changes nothing anywhere. Two are equal if
/// they are the same place.
#[derive(Clone)]
pub struct Home {
    place: Arc<str>,
    storage: Arc<dyn Storage>,
}

impl Home {
    /// Returns the home of this storage; `place` is the same for two storages of one place, and for no others.
    pub fn new(place: &str, storage: impl Storage + 'static) -> Self {
        Self { place: place.into(), storage: Arc::new(storage) }
    }
}

impl Deref for Home {
    type Target = dyn Storage;

    fn deref(&self) -> &Self::Target {
        &*self.storage
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.storage.fmt(f)
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Home").field(&self.place).finish()
    }
}

impl PartialEq for Home {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Home {}

impl Hash for Home {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place.hash(state);
    }
}

impl PartialOrd for Home {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Home {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}
