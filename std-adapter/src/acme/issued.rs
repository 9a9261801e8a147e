//! Makes what rustls presents of a record.

use std::error::Error;

use pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::store::Record;
use crate::tls::Credential;
use crate::token::TokenKey;

/// Returns the credential that rustls presents of a record.
///
/// # Errors
/// Fails if the key does not fit the certificate, or the token does not have it.
pub fn credential(record: &Record) -> Result<Credential, Box<dyn Error + Send + Sync>> {
    if let Some(uri) = record.token() {
        return Ok(Credential::in_token(record.chain.clone(), TokenKey::find(uri)?)?);
    }
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(record.key.clone()));
    Ok(Credential::new(record.chain.clone(), key)?)
}
