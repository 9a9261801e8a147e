//! Revocation lists of a configuration, parsed and indexed once for all its trust stores.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use edgetrust_core::path::{RequiredLists, Revocation};
use edgetrust_core::revocation::{RevocationList, RevocationListError, SignerProof};
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateRevocationListDer, SignatureVerificationAlgorithm, UnixTime};
use self_cell::self_cell;

/// A list in DER, and its index.
type Indexed = (CertificateRevocationListDer<'static>, Box<[u32]>);
type Lists<'a> = Vec<RevocationList<'a>>;

self_cell!(
    struct Parsed {
        owner: Vec<Indexed>,
        #[covariant]
        dependent: Lists,
    }
);

/// The lists that the stores of a configuration share.
struct Shared {
    parsed: Parsed,
    /// The proof that a key has signed a list, if it has, by the list's place: the signature over a large list takes milliseconds.
    proofs: Mutex<HashMap<(usize, KeyHash), Option<SignerProof>>>,
}

/// The revocation lists that peers are checked by. Cheap to clone.
#[derive(Clone, Default)]
pub struct RevocationLists {
    shared: Option<Arc<Shared>>,
    required: RequiredLists,
}

impl RevocationLists {
    /// Parses lists, and indexes their entries, so that a verdict finds one of many without a search.
    ///
    /// # Errors
    /// Fails if a list does not parse, or is of a kind that is not processed.
    pub fn new(
        ders: Vec<CertificateRevocationListDer<'static>>,
        required: RequiredLists,
    ) -> Result<Self, RevocationListError> {
        if ders.is_empty() {
            return Ok(Self { shared: None, required });
        }
        let index = |der: CertificateRevocationListDer<'static>| {
            let list = RevocationList::from_der(&der)?;
            let mut index = vec![0; usize::try_from(list.count()).unwrap_or(0)].into_boxed_slice();
            let is_written = list.write_index(&mut index);
            debug_assert!(is_written, "there is a place for each entry");
            Ok((der, index))
        };
        let owner = ders.into_iter().map(index).collect::<Result<Vec<_>, RevocationListError>>()?;
        let parsed = Parsed::try_new(owner, |owner| -> Result<Lists<'_>, RevocationListError> {
            owner
                .iter()
                .map(|(der, index)| {
                    let list = RevocationList::from_der(der)?;
                    Ok(list.with_index(index).unwrap_or(list))
                })
                .collect()
        })?;
        Ok(Self { shared: Some(Arc::new(Shared { parsed, proofs: Mutex::default() })), required })
    }

    /// Returns the lists.
    pub fn lists(&self) -> &[RevocationList<'_>] {
        self.shared.as_ref().map_or(&[], |shared| shared.parsed.borrow_dependent())
    }

    /// Returns of each list whether a CA of a store has signed it, of those stores that there are so far.
    #[cfg(feature = "cli")]
    pub(crate) fn are_signed(&self) -> Vec<bool> {
        let Some(shared) = &self.shared else { return Vec::new() };
        // As below.
        let proofs = shared.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_signed = |place| proofs.iter().any(|((of, _), proof)| *of == place && proof.is_some());
        (0..self.lists().len()).map(is_signed).collect()
    }

    /// Returns the proof that one of these CAs has signed a list, given the list's place. It is made once.
    fn proof(
        &self,
        place: usize,
        list: &RevocationList<'_>,
        cas: &[&Certificate<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Option<SignerProof> {
        // A panic elsewhere leaves no partial entry.
        let mut proofs = self.shared.as_ref()?.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        cas.iter().filter(|ca| list.is_named_after(ca)).find_map(|ca| {
            let key = (place, KeyHash::of(&ca.subject_public_key_info()));
            *proofs.entry(key).or_insert_with(|| list.verify(ca, algorithms))
        })
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lists, required: {:?}", self.lists().len(), self.required)
    }
}

self_cell!(
    struct Signed {
        owner: RevocationLists,
        #[covariant]
        dependent: Lists,
    }
);

/// Revocation lists of one trust store, each with the key that has signed it where that is a CA of the store.
pub(super) struct SignedLists(Signed);

impl SignedLists {
    pub(super) fn new(
        lists: RevocationLists,
        cas: &[&Certificate<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Self {
        Self(Signed::new(lists, |lists| {
            let all = lists.lists().iter().enumerate();
            all.map(|(place, list)| {
                let proof = lists.proof(place, list, cas, algorithms);
                proof.and_then(|proof| list.with_signer(&proof)).unwrap_or(*list)
            })
            .collect()
        }))
    }

    /// Returns what a path is checked by, at a time; `None` if nothing is checked.
    pub(super) fn at(&self, now: UnixTime) -> Option<Revocation<'_>> {
        let (lists, required) = (self.0.borrow_dependent(), self.0.borrow_owner().required);
        let is_checked = !lists.is_empty() || required != RequiredLists::None;
        is_checked.then_some(Revocation { lists, required, now })
    }

    /// Returns the lists and what is required, for another store.
    #[cfg(feature = "cli")]
    pub(super) fn unsigned(&self) -> RevocationLists {
        self.0.borrow_owner().clone()
    }
}
