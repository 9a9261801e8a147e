//! A new key and a certificate for it, through the gateway: EST simple re-enrollment (RFC 7030 section 4.2.2) over mutual TLS.

use base64ct::{Base64, Encoding};
use edgetrust_core::crypto::P256Key;
use edgetrust_core::path::{Budget, Limits, PathError, Purpose};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::request::{NewRequest, RequestError, certs_only, same_alternative_names};
use edgetrust_core::rotation::{Failure, FailureKind};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::{Certificate, ParseError};
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
    /// The gateway cannot now; the status.
    Unavailable(u16),
    /// The answer is no bag of certificates, or one without a certificate for the new key.
    Answer,
    /// The new certificate leads to no CA of ours, or is not for a client.
    Path(PathError),
    /// The new certificate has other names than the one before.
    Names(RequestError),
}

impl EnrollError {
    /// The gateway has taken our certificate: it said something.
    pub fn was_answered(&self) -> bool {
        !matches!(self, Self::Http(_) | Self::Silent)
    }

    /// When it is worth another attempt.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::Refused(_) | Self::Path(_) | Self::Names(_) | Self::Request(_) => FailureKind::Refused,
            _ => FailureKind::Transient,
        };
        Failure { kind, retry_after_s: None }
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

/// Makes a key, asks for a certificate, verifies it. The chain lies in `chain`.
pub async fn enroll<'b>(
    link: &mut Link<'_>,
    enrollment: Enrollment<'_>,
    rng: &mut ChaCha20Rng,
    buffer: &mut [u8],
    chain: &'b mut [u8; MAX_CHAIN],
) -> Result<Issued<'b>, EnrollError> {
    let Enrollment { settings, host, current, now } = enrollment;
    let current = Certificate::from_der(current).map_err(EnrollError::Current)?;
    let mut octets = [0; 32];
    rng.fill_bytes(&mut octets);
    let key = P256Key::from_random(&octets).ok_or(EnrollError::Key)?;
    let public_key = key.public_key();
    let request = NewRequest::like(&current, &public_key);
    let mut der = [0; MAX_REQUEST];
    let der = request.write(&mut der, |info| key.sign(info)).map_err(EnrollError::Request)?;
    let mut body = [0; MAX_REQUEST * 4 / 3 + 4];
    let body = Base64::encode(der, &mut body).map_err(|_| EnrollError::Key)?;
    let message = Post { host, path: PATH, content_type: "application/pkcs10", body: body.as_bytes() };
    let answer = with_timeout(PATIENCE, post(link, message, buffer)).await;
    let answer = answer.map_err(|_| EnrollError::Silent)?.map_err(EnrollError::Http)?;
    match answer.status {
        200 => {}
        status @ 400..=499 => return Err(EnrollError::Refused(status)),
        status => return Err(EnrollError::Unavailable(status)),
    }
    let der = decode(answer.body).ok_or(EnrollError::Answer)?;
    let (not_before, not_after, length) = judge(settings, &current, &public_key, der, now, chain)?;
    let chain = chain.get(..length).ok_or(EnrollError::Answer)?;
    Ok(Issued { key: key.to_pkcs8(), chain, not_before, not_after })
}

/// Base64 in place; line breaks are passed over (RFC 8951 section 3.1).
fn decode(body: &mut [u8]) -> Option<&[u8]> {
    let mut length = 0;
    for index in 0..body.len() {
        let octet = body.get(index).copied()?;
        if !octet.is_ascii_whitespace() {
            *body.get_mut(length)? = octet;
            length += 1;
        }
    }
    Base64::decode_in_place(body.get_mut(..length)?).ok()
}

/// Verifies what came, and puts it into `chain`, leaf first: its validity, and its length.
fn judge(
    settings: &Settings,
    current: &Certificate<'_>,
    public_key: &[u8],
    der: &[u8],
    now: TrustedTime,
    chain: &mut [u8; MAX_CHAIN],
) -> Result<(UnixTime, UnixTime, usize), EnrollError> {
    let mut leaf = None;
    let mut others = heapless::Vec::<Certificate<'_>, MAX_CERTIFICATES>::new();
    for der in certs_only(der).map_err(|_| EnrollError::Answer)? {
        let certificate = Certificate::from_der(der).map_err(|_| EnrollError::Answer)?;
        if certificate.subject_public_key_info().public_key == public_key {
            leaf = Some(certificate);
        } else {
            others.push(certificate).map_err(|_| EnrollError::Answer)?;
        }
    }
    let leaf = leaf.ok_or(EnrollError::Answer)?;
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
    let mut length = 0;
    for der in core::iter::once(&leaf).chain(&others).map(Certificate::der) {
        let place = chain.get_mut(length..length + der.len()).ok_or(EnrollError::Answer)?;
        place.copy_from_slice(der);
        length += der.len();
    }
    Ok((validity.not_before, validity.not_after, length))
}
