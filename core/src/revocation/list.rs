//! Parses revocation lists (RFC 5280 section 5.1), and finds entries in them.

use pki_types::{SignatureVerificationAlgorithm, UnixTime};
use sha2::{Digest, Sha256};

use super::entry::{self, RevokedCertificate};
use super::error::{RevocationListError, RevocationListErrorKind as Kind};
use super::scope::{Covered, Scope};
use crate::x509::reader::{DerReader, Tlv, is_minimal_integer, tag};
use crate::x509::time::time;
use crate::x509::{
    AuthorityKeyIdentifier, Certificate, Exhausted, KeyHash, MAX_EXTENSIONS, Name, ObjectIdentifier, ParseErrorKind,
    Work, algorithm, authority_key_identifier,
};

/// A complete revocation list of one CA: every field is a slice of the DER that was parsed.
///
/// A list counts for certificates only as far as its signature is that of the key that signed them.
#[derive(Clone, Copy, Debug)]
pub struct RevocationList<'a> {
    der: &'a [u8],
    tbs: &'a [u8],
    issuer: Name<'a>,
    this_update: UnixTime,
    next_update: UnixTime,
    /// The octets up to the end of the entries, and where they begin.
    entries: &'a [u8],
    first: usize,
    count: u32,
    version: u8,
    authority_key_identifier: Option<AuthorityKeyIdentifier<'a>>,
    number: Option<&'a [u8]>,
    scope: Scope<'a>,
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
    /// The offsets of all entries in the order of their serial numbers, or none.
    index: &'a [u32],
    /// The key whose signature was verified beforehand.
    signer: Option<KeyHash>,
}

/// The proof that the key of a CA has signed a list. Only [`RevocationList::verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerProof {
    signer: KeyHash,
    list: [u8; 32],
}

/// id-ce: 2.5.29
macro_rules! id_ce {
    ($arc:literal) => {
        [0x55, 0x1d, $arc]
    };
}

/// The extensions of a list.
#[derive(Default)]
struct Extensions<'a> {
    authority_key_identifier: Option<AuthorityKeyIdentifier<'a>>,
    number: Option<&'a [u8]>,
    scope: Scope<'a>,
}

impl<'a> RevocationList<'a> {
    /// Parses one list with all its entries; nothing may follow it. The time that this takes grows with the list.
    ///
    /// # Errors
    /// A field that is malformed or of a list that is not processed, with its byte offset.
    pub fn from_der(der: &'a [u8]) -> Result<Self, RevocationListError> {
        let mut input = DerReader::new(der);
        if u32::try_from(der.len()).is_err() {
            return Err(input.error()(Kind::Size));
        }
        let mut list = input.enter(tag::SEQUENCE)?;
        input.end()?;
        let tbs = list.require(tag::SEQUENCE)?;
        let mut fields = list.inside(&tbs)?;
        let at_algorithm = list.error();
        let signature_algorithm = algorithm(&mut list)?;
        let signature = list.bits()?;
        list.end()?;

        let at_version = fields.error();
        // RFC 5280 section 5.1.2.1: version 1 is the default, which is left out
        let version = match fields.optional(tag::INTEGER)? {
            None => 1,
            Some(Tlv { value: [1], .. }) => 2,
            Some(_) => return Err(at_version(Kind::Version)),
        };
        // RFC 5280 section 5.1.1.2
        if algorithm(&mut fields)? != signature_algorithm {
            return Err(at_algorithm(Kind::Parse(ParseErrorKind::AlgorithmMismatch)));
        }
        let at_issuer = fields.error();
        let issuer = Name::read(&mut fields)?;
        if issuer.is_empty() {
            return Err(at_issuer(Kind::EmptyIssuer));
        }
        let this_update = time(&mut fields)?;
        let at_next = fields.error();
        // RFC 5280 section 5.1.2.5: the syntax lets it be left out, the profile does not
        let next_update = match fields.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => time(&mut fields)?,
            _ => return Err(at_next(Kind::NoNextUpdate)),
        };
        if next_update < this_update {
            return Err(at_next(Kind::UpdatesReversed));
        }
        let (mut entries, mut first, mut count): (&[u8], _, u32) = (&[], 0, 0);
        if let Some(sequence) = fields.optional(tag::SEQUENCE)? {
            let mut reader = fields.inside(&sequence)?;
            (entries, first) = (reader.input(), reader.position());
            while !reader.is_empty() {
                entry::read(&mut reader, version)?;
                count = count.saturating_add(1);
            }
        }
        let extensions = match fields.optional(tag::context_constructed(0))? {
            Some(_) if version == 1 => return Err(at_version(Kind::Version)),
            Some(explicit) => Extensions::read(&mut fields.inside(&explicit)?)?,
            None => Extensions::default(),
        };
        fields.end()?;
        let Extensions { authority_key_identifier, number, scope } = extensions;
        Ok(Self {
            der,
            tbs: tbs.whole,
            issuer,
            this_update,
            next_update,
            entries,
            first,
            count,
            version,
            authority_key_identifier,
            number,
            scope,
            signature_algorithm,
            signature,
            index: &[],
            signer: None,
        })
    }

    /// Returns the DER that the list was parsed from.
    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Returns the octets that the signature covers.
    pub(crate) fn tbs(&self) -> &'a [u8] {
        self.tbs
    }

    pub(crate) fn signature_algorithm(&self) -> &'a [u8] {
        self.signature_algorithm
    }

    pub(crate) fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// Returns the name of the CA that issued the list (RFC 5280 section 5.1.2.3).
    pub fn issuer(&self) -> Name<'a> {
        self.issuer
    }

    /// Returns the time at which the list was made (RFC 5280 section 5.1.2.4).
    pub fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// Returns the last second at which the list tells what is revoked (RFC 5280 section 5.1.2.5).
    pub fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// Returns the contents octets of the CRL number (RFC 5280 section 5.2.3).
    pub fn number(&self) -> Option<&'a [u8]> {
        self.number
    }

    /// Returns the number of entries.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the key that is known to have signed the list, by [`RevocationList::with_signer`].
    pub fn signer(&self) -> Option<KeyHash> {
        self.signer
    }

    /// Returns whether the list names the key of a CA of its issuer's name, where both have a key identifier
    /// (RFC 5280 section 5.2.1). The signature is not looked at.
    pub(crate) fn names_key_of(&self, ca: &Certificate<'_>, work: &mut Work) -> Result<bool, Exhausted> {
        let named = self.authority_key_identifier.and_then(|identifier| identifier.key_identifier);
        let (Some(named), Some(found)) = (named, ca.extensions().subject_key_identifier) else { return Ok(true) };
        work.spend_identity(found.len())?;
        Ok(named == found)
    }

    /// Returns whether the list names this configured CA as its issuer.
    pub fn is_named_after(&self, ca: &Certificate<'_>) -> bool {
        let mut work = Work::UNLIMITED;
        self.issuer.matches(&ca.subject()) && self.names_key_of(ca, &mut work).unwrap_or(false)
    }

    /// Verifies the signature with the key of a configured CA, so that no verdict has to. Returns `None` if it is not
    /// of that key and of one of these algorithms.
    pub fn verify(
        &self,
        ca: &Certificate<'_>,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Option<SignerProof> {
        let key = ca.subject_public_key_info();
        let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
            algorithm.signature_alg_id().as_ref() == self.signature_algorithm
                && algorithm.public_key_alg_id().as_ref() == key.algorithm
        };
        let is_signed = algorithms
            .iter()
            .filter(fits)
            .any(|algorithm| algorithm.verify_signature(key.public_key, self.tbs, self.signature).is_ok());
        is_signed.then(|| SignerProof { signer: KeyHash::of(&key), list: self.digest() })
    }

    /// Returns the list with the key that has signed it; `None` if the proof is of another list.
    pub fn with_signer(self, proof: &SignerProof) -> Option<Self> {
        (proof.list == self.digest()).then_some(Self { signer: Some(proof.signer), ..self })
    }

    /// Returns a digest that tells lists apart: of the signature, which covers the list.
    fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.signature).into()
    }

    /// Returns whether the list is of one distribution point (RFC 5280 section 5.2.5).
    pub(crate) fn has_distribution_point(&self) -> bool {
        self.scope.is_named()
    }

    pub(crate) fn is_about(&self, certificate: &Certificate<'_>, work: &mut Work) -> Result<Covered, Exhausted> {
        self.scope.has(certificate, work)
    }

    /// Writes an index, of as many places as there are entries: their offsets by serial number. Returns whether
    /// `memory` has that length.
    pub fn write_index(&self, memory: &mut [u32]) -> bool {
        if u32::try_from(memory.len()) != Ok(self.count) {
            return false;
        }
        let mut entries = self.entries();
        for place in memory.iter_mut() {
            // from_der refuses longer lists
            *place = u32::try_from(entries.position()).unwrap_or(u32::MAX);
            entries.again();
        }
        memory.sort_unstable_by_key(|offset| (self.serial_at(*offset), *offset));
        true
    }

    /// Returns the list with an index that [`RevocationList::write_index`] wrote for it; `None` for any other.
    pub fn with_index(self, index: &'a [u32]) -> Option<Self> {
        let is_sorted = index.is_sorted_by(|one, other| {
            let (serial, next) = (self.serial_at(*one), self.serial_at(*other));
            serial.is_some() && (serial, one) < (next, other)
        });
        let fits = u32::try_from(index.len()) == Ok(self.count) && is_sorted;
        fits.then_some(Self { index, ..self })
    }

    fn entries(&self) -> DerReader<'a> {
        DerReader::at(self.entries, self.first)
    }

    fn serial_at(&self, offset: u32) -> Option<&'a [u8]> {
        entry::serial_again(&mut DerReader::at(self.entries, usize::try_from(offset).ok()?))
    }

    /// Returns the entry of a certificate, given the contents octets of its serial number: in an index, or one entry
    /// after the other.
    ///
    /// # Errors
    /// Fails if the work is exhausted.
    pub fn find(&self, serial: &[u8], work: &mut Work) -> Result<Option<RevokedCertificate>, Exhausted> {
        if !self.index.is_empty() {
            return self.find_in_index(serial, work);
        }
        let mut entries = self.entries();
        loop {
            let mut entry = entries.clone();
            work.spend(ENTRY)?;
            match entry::serial_again(&mut entries) {
                None => return Ok(None),
                Some(found) if found == serial => return Ok(Some(self.read(&mut entry, serial))),
                Some(_) => {}
            }
        }
    }

    fn find_in_index(&self, serial: &[u8], work: &mut Work) -> Result<Option<RevokedCertificate>, Exhausted> {
        let steps = usize::BITS.saturating_sub(self.index.len().leading_zeros());
        work.spend(ENTRY.saturating_mul(usize::try_from(steps).unwrap_or(usize::MAX)).saturating_add(ENTRY))?;
        let place = self.index.partition_point(|offset| self.serial_at(*offset) < Some(serial));
        let Some(offset) = self.index.get(place).filter(|offset| self.serial_at(**offset) == Some(serial)) else {
            return Ok(None);
        };
        let mut entry = DerReader::at(self.entries, usize::try_from(*offset).unwrap_or(usize::MAX));
        Ok(Some(self.read(&mut entry, serial)))
    }

    /// Reads an entry that was read before, of this serial number.
    fn read(&self, entry: &mut DerReader<'a>, serial: &[u8]) -> RevokedCertificate {
        let read = entry::read(entry, self.version);
        debug_assert!(read.is_ok(), "the entry was read before");
        read.map_or_else(|_| RevokedCertificate::unread(serial), |(_, entry)| entry)
    }
}

/// The work of looking at an entry.
const ENTRY: usize = 8;

impl<'a> Extensions<'a> {
    /// Reads the SEQUENCE inside the `[0]` of a TBSCertList, to its end.
    fn read(explicit: &mut DerReader<'a>) -> Result<Self, RevocationListError> {
        let mut list = explicit.enter(tag::SEQUENCE)?;
        explicit.end()?;
        let mut extensions = Self::default();
        let mut seen: heapless::Vec<&'a [u8], MAX_EXTENSIONS> = heapless::Vec::new();
        while !list.is_empty() {
            let mut one = list.enter(tag::SEQUENCE)?;
            let at = one.error();
            let oid = one.oid()?;
            // RFC 5280 section 4.2, which section 5.2 follows
            if seen.contains(&oid) {
                return Err(at(Kind::Parse(ParseErrorKind::DuplicateExtension)));
            }
            seen.push(oid).map_err(|_| at(Kind::Parse(ParseErrorKind::TooManyExtensions)))?;
            let critical = one.true_or_absent()?;
            let value = one.require(tag::OCTET_STRING)?;
            one.end()?;
            extensions.take(oid, critical, &one, &value)?;
        }
        Ok(extensions)
    }

    fn take(
        &mut self,
        oid: &'a [u8],
        critical: bool,
        parent: &DerReader<'a>,
        value: &Tlv<'a>,
    ) -> Result<(), RevocationListError> {
        let mut reader = parent.inside(value)?;
        let at = reader.error();
        match oid {
            // RFC 5280 section 5.2.3: a whole number of at most 20 octets
            id_ce!(20) => {
                let number = reader.require(tag::INTEGER)?.value;
                let is_positive = number.first().is_some_and(|octet| octet & 0x80 == 0);
                if !is_minimal_integer(number) || !is_positive || number.len() > 20 {
                    return Err(at(Kind::Number));
                }
                self.number = Some(number);
            }
            id_ce!(27) => return Err(at(Kind::Delta)),
            // RFC 5280 section 5.2.5: always critical, and processed even where it is not marked so
            id_ce!(28) => {
                self.scope = Scope::read(&mut reader)?;
                return Ok(reader.end()?);
            }
            id_ce!(35) => self.authority_key_identifier = Some(authority_key_identifier(&mut reader)?),
            _ if critical => return Err(at(Kind::UnknownCriticalExtension(ObjectIdentifier::new(oid)))),
            _ => return Ok(()),
        }
        reader.end()?;
        // RFC 5280 sections 5.2.1 and 5.2.3
        if critical { Err(at(Kind::WronglyCritical(ObjectIdentifier::new(oid)))) } else { Ok(()) }
    }
}
