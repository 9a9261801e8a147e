//! Makes what rustls presents of a record.

use pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::store::Record;
use crate::tls::{Credential, KeyError};

/// Returns the credential that rustls presents of a record.
///
/// # Errors
/// Fails if the key does not fit the certificate.
pub fn credential(record: &Record) -> Result<Credential, KeyError> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(record.key.clone()));
    Credential::new(record.chain.clone(), key)
}
