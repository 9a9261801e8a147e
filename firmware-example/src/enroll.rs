//! A new key and a certificate for it, through the gateway: EST simple re-enrollment (RFC 7030 section 4.2.2) over mutual TLS.

use core::ops::Range;

use base64ct::{Base64, Encoding};
use edgetrust_core::crypto::P256Key;
use edgetrust_core::path::{Budget, Limits, PathError, Purpose};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::request::{NewRequest, RequestError, certs_only, same_alternative_names};
use edgetrust_core::rotation::{Failure, FailureKind};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::{Certificate, ParseError};
use edgetrust_firmware::crypto;
use embassy_time::{Duration, with_timeout};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use crate::dial::{Link, trust};
use crate::http::{HttpError, Post, post};
use crate::renewal::{Issued, MAX_CHAIN};
use crate::settings::Settings;

const PATH: &str = "/.well-known/est/simplereenroll";
/// The gateway orders from a CA meanwhile.
const PATIENCE: Duration = Duration::from_secs(150);
/// Certificates of an answer.
const MAX_CERTIFICATES: usize = 4;
const MAX_REQUEST: usize = 768;

/// Why there is no new certificate.
#[derive(Clone, Copy, defmt::Format)]
pub enum EnrollError {
    /// No key could be made.
    Key,
    /// What is shown is no certificate.
    Current(ParseError),
    /// The request could not be written.
    Request(RequestError),
    /// The connection, or no HTTP.
    Http(HttpError),
    /// No answer in time.
    Silent,
    /// The gateway will not; the status.
    Refused(u16),
    /// The gateway cannot now (RFC 7030 section 4.2.3); the status, and how long it is to be left alone.
    Unavailable(u16, Option<u32>),
    /// The answer is no bag of certificates, or one without a certificate for the new key.
    Answer,
    /// The new certificate leads to no CA of ours, or is not for a client.
    Path(PathError),
    /// The new certificate has other names than the one before.
    Names(RequestError),
}

impl EnrollError {
    /// When it is worth another attempt.
    pub fn failure(&self) -> Failure {
        let (kind, retry_after_s) = match self {
            Self::Refused(_) | Self::Path(_) | Self::Names(_) | Self::Request(_) => (FailureKind::Refused, None),
            Self::Unavailable(_, retry_after_s) => (FailureKind::Transient, *retry_after_s),
            _ => (FailureKind::Transient, None),
        };
        Failure { kind, retry_after_s }
    }
}

/// What a new certificate is asked for with.
pub struct Enrollment<'a> {
    pub settings: &'a Settings,
    pub host: &'a str,
    /// The certificate that is shown, DER.
    pub current: &'a [u8],
    pub now: TrustedTime,
}

/// Makes a key, asks for a certificate, verifies it. The chain lies in `buffer`.
pub async fn enroll<'b>(
    link: &mut Link<'_>,
    enrollment: Enrollment<'_>,
    rng: &mut ChaCha20Rng,
    buffer: &'b mut [u8],
) -> Result<Issued<'b>, EnrollError> {
    let Enrollment { settings, host, current, now } = enrollment;
    let current = Certificate::from_der(current).map_err(EnrollError::Current)?;
    let mut octets = [0; 32];
    rng.fill_bytes(&mut octets);
    let key = P256Key::from_random(&octets).ok_or(EnrollError::Key)?;
    let public_key = key.public_key();
    let request = NewRequest::like(&current, &public_key);
    let mut der = [0; MAX_REQUEST];
    let der = request.write(&mut der, |info| crypto::sign(&key, info)).map_err(EnrollError::Request)?;
    let mut body = [0; MAX_REQUEST * 4 / 3 + 4];
    let body = Base64::encode(der, &mut body).map_err(|_| EnrollError::Key)?;
    let message = Post { host, path: PATH, content_type: "application/pkcs10", body: body.as_bytes() };
    let answer = with_timeout(PATIENCE, post(link, message, buffer)).await;
    let answer = answer.map_err(|_| EnrollError::Silent)?.map_err(EnrollError::Http)?;
    match answer.head.status {
        200 => {}
        // Request Timeout and Too Many Requests pass (RFC 9110 section 15.5.9, RFC 6585 section 4).
        status @ 400..=499 if status != 408 && status != 429 => return Err(EnrollError::Refused(status)),
        status => return Err(EnrollError::Unavailable(status, answer.head.retry_after_s)),
    }
    let bag = decode(answer.body).ok_or(EnrollError::Answer)?;
    let Judged { not_before, not_after, chain, leaf } = judge(settings, &current, &public_key, bag, now)?;
    // The bag has them one after the other in any order: the leaf comes to the front.
    bag.get_mut(chain.start..leaf.end).ok_or(EnrollError::Answer)?.rotate_right(leaf.len());
    let chain = bag.get(chain).ok_or(EnrollError::Answer)?;
    Ok(Issued { key: key.to_pkcs8(), chain, not_before, not_after })
}

/// Base64 in place; line breaks are passed over (RFC 8951 section 3.1).
fn decode(body: &mut [u8]) -> Option<&mut [u8]> {
    let mut length = 0;
    for index in 0..body.len() {
        let octet = body.get(index).copied()?;
        if !octet.is_ascii_whitespace() {
            *body.get_mut(length)? = octet;
            length += 1;
        }
    }
    let length = Base64::decode_in_place(body.get_mut(..length)?).ok()?.len();
    body.get_mut(..length)
}

/// What came, verified.
struct Judged {
    not_before: UnixTime,
    not_after: UnixTime,
    /// Where the certificates lie in the bag.
    chain: Range<usize>,
    /// Where the leaf does.
    leaf: Range<usize>,
}

/// Verifies what came.
fn judge(
    settings: &Settings,
    current: &Certificate<'_>,
    public_key: &[u8],
    bag: &[u8],
    now: TrustedTime,
) -> Result<Judged, EnrollError> {
    let mut leaf = None;
    let mut others = heapless::Vec::<Certificate<'_>, MAX_CERTIFICATES>::new();
    let mut chain = None::<Range<usize>>;
    for der in certs_only(bag).map_err(|_| EnrollError::Answer)? {
        let certificate = Certificate::from_der(der).map_err(|_| EnrollError::Answer)?;
        // They are parts of the bag.
        let start = (der.as_ptr() as usize).checked_sub(bag.as_ptr() as usize).ok_or(EnrollError::Answer)?;
        let place = start..start + der.len();
        chain = Some(chain.map_or(place.start, |chain| chain.start)..place.end);
        if certificate.subject_public_key_info().public_key == public_key {
            leaf = Some((certificate, place));
        } else {
            others.push(certificate).map_err(|_| EnrollError::Answer)?;
        }
    }
    let (leaf, place) = leaf.ok_or(EnrollError::Answer)?;
    let chain = chain.filter(|chain| chain.len() <= MAX_CHAIN).ok_or(EnrollError::Answer)?;
    let validity = leaf.validity();
    // The CA's clock may be ahead of ours: peers go by it, so it is judged at its first moment then.
    let at = match now {
        TrustedTime::Known(now) => now.max(validity.not_before),
        TrustedTime::AtLeast(_) | TrustedTime::Unknown => validity.not_before,
    };
    let mut budget = Budget::new(Limits::DEVICE);
    trust(settings).verify(&leaf, &others, Purpose::ClientAuth, at, &mut budget).map_err(EnrollError::Path)?;
    // The gateway's rule for requests holds for what comes back (RFC 7030 section 4.2.2). The CA may word the subject in its own way.
    let (new, before) = (leaf.extensions().subject_alt_name, current.extensions().subject_alt_name);
    same_alternative_names(new, before).map_err(EnrollError::Names)?;
    Ok(Judged { not_before: validity.not_before, not_after: validity.not_after, chain, leaf: place })
}
