//! Manages the ACME account (RFC 8555 section 7.3). The key is stored first, so that no account is lost or made twice.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::rotation::FailureKind;
use instant_acme::{Account, ExternalAccountKey, Key, NewAccount};
use pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use super::error::{AcmeError, JsonFault};
use super::http::{Http, LastAnswers};
use super::settings::Settings;
use crate::store::{Entry, Held, Home, StorageError};

const FILE: &str = Entry::Account.name();

/// The stored part of an account.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountFile {
    /// The account's directory.
    pub directory_url: String,
    /// The account's URL; `None` until the CA has answered.
    pub url: Option<String>,
    /// The contact that the CA knows.
    pub email: Option<String>,
    /// The account's key, PKCS #8, base64.
    key: String,
}

impl std::fmt::Debug for AccountFile {
    /// Formats the account without its key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountFile").field("url", &self.url).field("email", &self.email).finish_non_exhaustive()
    }
}

impl AccountFile {
    fn key(&self) -> Result<PrivatePkcs8KeyDer<'static>, AcmeError> {
        let key = BASE64_STANDARD.decode(&self.key);
        // The decoder's error message holds an octet of the key.
        key.map(PrivatePkcs8KeyDer::from).map_err(|_| storage(format!("{FILE}: key: expected base64")))
    }

    async fn write(&self, held: &dyn Held) -> Result<(), AcmeError> {
        let json = serde_json::to_vec_pretty(self).map_err(storage)?;
        held.keep(Entry::Account, &json).await.map_err(storage)
    }
}

fn storage(reason: impl std::fmt::Display) -> AcmeError {
    AcmeError::new("the account's file", FailureKind::Transient, reason)
}

/// Reads the account of a home, for display.
///
/// # Errors
/// Fails if the account cannot be read or is malformed.
pub async fn account_file(home: &Home) -> Result<Option<AccountFile>, StorageError> {
    let json = home.look(Entry::Account).await?;
    // The decoder's error is no source: its text could hold the key.
    let fault = |error| StorageError::Failed(format!("{home}/{FILE}: {}", JsonFault(&error)).into());
    json.map(|json| serde_json::from_slice(&json).map_err(fault)).transpose()
}

/// Reads the account; an account of another directory is set aside.
async fn load(held: &dyn Held, settings: &Settings) -> Result<Option<AccountFile>, AcmeError> {
    let Some(json) = held.look(Entry::Account).await.map_err(storage)? else { return Ok(None) };
    let known: AccountFile =
        serde_json::from_slice(&json).map_err(|error| storage(format!("{FILE}: {}", JsonFault(&error))))?;
    if known.directory_url == settings.directory_url {
        return Ok(Some(known));
    }
    log!(info, settings.which(), was = %known.directory_url, is = %settings.directory_url, "another directory: the account is kept as account.previous.json");
    held.keep(Entry::PreviousAccount, &json).await.map_err(storage)?;
    Ok(None)
}

/// Returns the account, restored or newly created.
pub(super) async fn account(
    settings: &Settings,
    held: &dyn Held,
    http: &Http,
    last: &LastAnswers,
) -> Result<Account, AcmeError> {
    let directory = settings.directory_url.clone();
    let builder = || Account::builder_with_http(Box::new(http.clone()));
    let known = load(held, settings).await?;
    let contact = settings.email.as_ref().map(|email| format!("mailto:{email}"));
    let contacts: Vec<&str> = contact.iter().map(String::as_str).collect();
    if let Some((url, file)) = known.as_ref().and_then(|file| file.url.clone().map(|url| (url, file))) {
        let account = builder().from_parts(url, file.key()?, directory).await;
        let account = account.map_err(|error| AcmeError::of("the directory", &error, last.get()))?;
        if file.email != settings.email {
            let updated = account.update_contacts(&contacts).await;
            updated.map_err(|error| AcmeError::of("the account's contact", &error, last.get()))?;
            AccountFile { email: settings.email.clone(), ..file.clone() }.write(held).await?;
        }
        return Ok(account);
    }
    let (account, made) = match (&settings.eab, known) {
        (Some(eab), _) => {
            // instant-acme binds an external account only to a key that it has generated itself.
            let eab = ExternalAccountKey::new(eab.kid.clone(), &eab.hmac_key);
            let new = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
            let made = builder().create(&new, directory.clone(), Some(&eab)).await;
            let (account, credentials) = made.map_err(|error| AcmeError::of("the account", &error, last.get()))?;
            let key = BASE64_STANDARD.encode(credentials.private_key().secret_pkcs8_der());
            (account, AccountFile { directory_url: directory, url: None, email: settings.email.clone(), key })
        }
        (None, known) => {
            let file = match known {
                Some(file) => file,
                None => {
                    let (_, key) = Key::generate_pkcs8().map_err(|error| AcmeError::of("the account", &error, None))?;
                    let key = BASE64_STANDARD.encode(key.secret_pkcs8_der());
                    let file = AccountFile { directory_url: directory.clone(), url: None, email: None, key };
                    file.write(held).await?;
                    file
                }
            };
            // RFC 8555 section 7.3.1: the CA returns the account of a key that it knows.
            let pkcs8 = file.key()?;
            let key = Key::from_pkcs8_der(pkcs8.clone_key())
                .map_err(|error| AcmeError::of("the account's key", &error, None))?;
            let made = builder().create_from_key((key, PrivateKeyDer::Pkcs8(pkcs8)), directory).await;
            let (account, _) = made.map_err(|error| AcmeError::of("the account", &error, last.get()))?;
            if !contacts.is_empty() {
                let updated = account.update_contacts(&contacts).await;
                updated.map_err(|error| AcmeError::of("the account's contact", &error, last.get()))?;
            }
            (account, AccountFile { email: settings.email.clone(), ..file })
        }
    };
    log!(info, settings.which(), account = account.id(), directory = %settings.directory_url, "ACME account");
    AccountFile { url: Some(account.id().to_owned()), ..made }.write(held).await?;
    Ok(account)
}

/// Forgets the URL of an account that the CA no longer knows; its key creates another.
pub(super) async fn forget(held: &dyn Held, settings: &Settings) -> Result<(), AcmeError> {
    match load(held, settings).await? {
        Some(known) => AccountFile { url: None, ..known }.write(held).await,
        None => Ok(()),
    }
}

/// Replaces the account's key (RFC 8555 section 7.3.5).
///
/// instant-acme generates the key and tells the CA in one step. A crash before the new key is stored leaves the old
/// one, which the CA refuses until `account.json` is removed and another account created.
pub(super) async fn rollover(
    account: &mut Account,
    held: &dyn Held,
    settings: &Settings,
    last: &LastAnswers,
) -> Result<(), AcmeError> {
    let known = load(held, settings).await?.ok_or_else(|| storage("there is none"))?;
    let made = account.update_key().await;
    let credentials = made.map_err(|error| AcmeError::of("the account's new key", &error, last.get()))?;
    let key = BASE64_STANDARD.encode(credentials.private_key().secret_pkcs8_der());
    AccountFile { key, ..known }.write(held).await
}
