//! Renews a device's certificate, for its own names and a key that it proves to have (RFC 7030 section 4.2.2).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::config::KeyType;
use edgetrust_core::request::CertificationRequest;
use edgetrust_core::x509::{Certificate, GeneralName, SubjectPublicKeyInfo};
use pki_types::{AlgorithmIdentifier, CertificateDer, alg_id};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::denial::Denial;
use super::own_names::{OwnNames, address, text_of};
use crate::acme::DeviceIssuer;
use crate::tls::{ShownRequest, provider};

/// The number of orders at a time, of all devices; further orders wait.
const ORDERS: usize = 4;

/// The time limit from the request to the certificate, waiting included.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// The pending orders; they outlive reloads.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    permits: Arc<Semaphore>,
    /// The names of each device with a pending order.
    under_way: Arc<Mutex<HashSet<Vec<String>>>>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(ORDERS)), under_way: Arc::default() }
    }
}

/// The mark of a device's pending order, until it is dropped.
struct OnlyOne {
    under_way: Arc<Mutex<HashSet<Vec<String>>>>,
    names: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for OnlyOne {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.names);
    }
}

impl Orders {
    fn begin(&self, names: &[String]) -> Result<OnlyOne, Denial> {
        if lock(&self.under_way).insert(names.to_vec()) {
            return Ok(OnlyOne { under_way: self.under_way.clone(), names: names.to_vec() });
        }
        Err(Denial::later("another request of this device is being answered"))
    }
}

/// Returns the certificate and the intermediates above it, without the root.
pub(super) async fn reenroll(
    (issuer, own_names): (&DeviceIssuer, &OwnNames),
    orders: &Orders,
    shown: &CertificateDer<'_>,
    body: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Denial> {
    let der = decode(body)?;
    let request = CertificationRequest::from_der(&der)
        .map_err(|error| Denial::malformed(format!("the body is no certification request: {error}")))?;
    order((issuer, own_names), orders, shown, &request)
        .await
        .map_err(|denial| Denial { requested: Some(Box::new(ShownRequest::new(&request))), ..denial })
}

async fn order(
    (issuer, own_names): (&DeviceIssuer, &OwnNames),
    orders: &Orders,
    shown: &CertificateDer<'_>,
    request: &CertificationRequest<'_>,
) -> Result<Vec<CertificateDer<'static>>, Denial> {
    let current = Certificate::from_der(shown).map_err(Denial::forbidden)?;
    let names = judge(request, &current, issuer.settings().key_type)?;
    not_the_gateways(&names, &current, own_names)?;
    let key = request.subject_public_key_info().der;
    order_for(issuer, orders, names, (request.der(), key), &mut false).await
}

/// Orders a certificate for these names by an approved request with this key. `asked` becomes true once the CA is asked
/// to issue.
pub(super) async fn order_for(
    issuer: &DeviceIssuer,
    orders: &Orders,
    names: Vec<String>,
    (request, key): (&[u8], &[u8]),
    asked: &mut bool,
) -> Result<Vec<CertificateDer<'static>>, Denial> {
    let _one = orders.begin(&names)?;
    let ordered = async {
        let _permit = orders.permits.acquire().await.map_err(Denial::later)?;
        issuer.issue(names, request, key, asked).await.map_err(Denial::from)
    };
    timeout(PATIENCE, ordered)
        .await
        .map_err(|_| Denial::later(format!("no certificate within {} s", PATIENCE.as_secs())))?
}

/// Decodes base64 with or without line breaks (RFC 8951 section 3.1).
pub(super) fn decode(body: &[u8]) -> Result<Vec<u8>, Denial> {
    let text: Vec<u8> = body.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(text).map_err(|error| Denial::malformed(format!("the body is not base64: {error}")))
}

/// Verifies the request and returns the names to order.
fn judge(
    request: &CertificationRequest<'_>,
    current: &Certificate<'_>,
    key_type: KeyType,
) -> Result<Vec<String>, Denial> {
    key_fits(&request.subject_public_key_info(), key_type)?;
    request
        .verify(provider().signature_verification_algorithms.all)
        .map_err(|error| Denial::malformed(format!("the certification request: {error}")))?;
    request.may_replace(current).map_err(|error| Denial::forbidden(format!("the certification request: {error}")))?;
    names(current)
}

pub(super) fn key_fits(key: &SubjectPublicKeyInfo<'_>, key_type: KeyType) -> Result<(), Denial> {
    let (algorithm, name): (AlgorithmIdentifier, _) = match key_type {
        KeyType::P256 => (alg_id::ECDSA_P256, "P-256"),
        KeyType::P384 => (alg_id::ECDSA_P384, "P-384"),
        KeyType::Rsa2048 => (alg_id::RSA_ENCRYPTION, "RSA with 2048 bits or more"),
    };
    // A modulus of 2048 bits is 256 octets, beside which there is the exponent.
    let long_enough = key_type != KeyType::Rsa2048 || key.public_key.len() > 256;
    if key.algorithm == algorithm.as_ref() && long_enough {
        return Ok(());
    }
    Err(Denial::forbidden(format!("the certification request: its key is of another kind, expected {name}")))
}

/// Returns the names for an ACME order, DNS names and IP addresses (RFC 8555 section 7.1.3, RFC 8738 section 3), in
/// lower case and sorted.
fn names(current: &Certificate<'_>) -> Result<Vec<String>, Denial> {
    let mut names = Vec::new();
    for name in current.extensions().subject_alt_name.into_iter().flatten() {
        names.push(match name {
            GeneralName::Dns(name) => name.to_ascii_lowercase(),
            GeneralName::Ip(octets) => address(octets).ok_or_else(|| Denial::forbidden("a malformed IP address"))?,
            _ => {
                return Err(Denial::forbidden(
                    "the device's certificate has a name that is neither a DNS name nor an IP address, for which ACME cannot order",
                ));
            }
        });
    }
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err(Denial::forbidden(
            "the device's certificate has no DNS name and no IP address in its subjectAltName, without which ACME cannot order",
        ));
    }
    Ok(names)
}

/// Refuses the gateway's names: a device with a certificate for one could impersonate the gateway.
fn not_the_gateways(names: &[String], current: &Certificate<'_>, own: &OwnNames) -> Result<(), Denial> {
    let common_name = text_of(&current.subject());
    for name in names.iter().chain(&common_name) {
        if let Some(own) = own.covered_by(name) {
            let name = name.escape_debug();
            return Err(Denial::forbidden(format!(
                "the device's certificate is for {name}, and {own} is the gateway's own name: no device gets a certificate for it"
            )));
        }
    }
    Ok(())
}
