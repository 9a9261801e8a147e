//! A new key and a certificate for it, through the gateway: EST simple re-enrollment (RFC 7030 section 4.2.2) over mutual TLS. The answer
//! holds the certificate alone, so what lies between it and our CAs is asked for first (section 4.1). It is not trusted: it completes the path.

use core::ops::Range;

use base64ct::{Base64, Encoding};
use edgetrust_core::crypto::P256Key;
use edgetrust_core::embedded_tls::{ConnectionError, RecordFault};
use edgetrust_core::path::{Budget, Limits, PathError, PathErrorKind, Purpose};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::request::{NewRequest, RequestError, certs_only, same_alternative_names};
use edgetrust_core::rotation::{Failure, FailureKind};
use edgetrust_core::store::certificates;
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::{Certificate, ParseError};
use edgetrust_firmware::crypto;
use embassy_time::{Duration, with_timeout};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use crate::dial::{Link, SILENCE, trust};
use crate::http::{HttpError, Request, ask};
use crate::renewal::{Issued, MAX_CHAIN};
use crate::settings::Settings;

const PATH: &str = "/.well-known/est/simplereenroll";
const CACERTS: &str = "/.well-known/est/cacerts";
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
            // A CA may have got a new issuer in this very moment: it is asked for again.
            Self::Path(PathError { kind: PathErrorKind::UnknownIssuer, .. }) => (FailureKind::Transient, None),
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

/// Octets of intermediates at the end of the buffer for answers; none before the gateway was asked for them.
pub type Issuers = Option<usize>;

/// Asks for the intermediates, makes a key, asks for a certificate, verifies it. The chain lies in `buffer`. None where the gateway closes the
/// connection after the first answer, as those before this version do: the rest is for another connection.
pub async fn enroll<'b>(
    link: &mut Link<'_>,
    enrollment: Enrollment<'_>,
    issuers: &mut Issuers,
    rng: &mut ChaCha20Rng,
    buffer: &'b mut [u8],
) -> Result<Option<Issued<'b>>, EnrollError> {
    let Enrollment { settings, host, current, now } = enrollment;
    let kept = match issuers.take() {
        Some(kept) => kept,
        None => {
            let (kept, closes) = learn(link, settings, host, buffer).await?;
            if closes {
                *issuers = Some(kept);
                return Ok(None);
            }
            kept
        }
    };
    let room = buffer.len().saturating_sub(kept);
    let (buffer, kept) = buffer.split_at_mut_checked(room).ok_or(EnrollError::Answer)?;
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
    let request = Request { host, path: PATH, post: Some(("application/pkcs10", body.as_bytes())) };
    let answer = with_timeout(PATIENCE, ask(link, request, buffer)).await;
    let answer = answer.map_err(|_| EnrollError::Silent)?.map_err(EnrollError::Http)?;
    match answer.head.status {
        200 => {}
        // Request Timeout and Too Many Requests pass (RFC 9110 section 15.5.9, RFC 6585 section 4).
        status @ 400..=499 if status != 408 && status != 429 => return Err(EnrollError::Refused(status)),
        status => return Err(EnrollError::Unavailable(status, answer.head.retry_after_s)),
    }
    let bag = decode(answer.body).ok_or(EnrollError::Answer)?;
    let Judged { not_before, not_after, chain, leaf } = judge(settings, &current, &public_key, (bag, kept), now)?;
    // The bag has them one after the other in any order: the leaf comes to the front.
    bag.get_mut(chain.start..leaf.end).ok_or(EnrollError::Answer)?.rotate_right(leaf.len());
    let chain = bag.get(chain).ok_or(EnrollError::Answer)?;
    Ok(Some(Issued { key: key.to_pkcs8(), chain, not_before, not_after }))
}

/// Asks for the CAs of the location; octets of what is kept of them, and whether the connection ends with the answer. A gateway that says nothing of
/// use may send the intermediates with the certificate, as those before this version do.
async fn learn(
    link: &mut Link<'_>,
    settings: &Settings,
    host: &str,
    buffer: &mut [u8],
) -> Result<(usize, bool), EnrollError> {
    let request = Request { host, path: CACERTS, post: None };
    let answer = with_timeout(SILENCE, ask(link, request, buffer)).await;
    let head = match answer.map_err(|_| EnrollError::Silent)? {
        Ok(answer) => answer.head,
        // There is no memory for it, and where it ends is not known.
        Err(
            HttpError::TooLong
            | HttpError::Malformed
            | HttpError::Connection(ConnectionError::Record(RecordFault::Overflow { .. })),
        ) => return Ok((0, true)),
        Err(error) => return Err(EnrollError::Http(error)),
    };
    let kept = if head.status == 200 { keep(settings, buffer, head.body()) } else { None };
    Ok((kept.unwrap_or(0), head.closes))
}

/// Moves the intermediates of a bag to the end of the buffer; their octets.
fn keep(settings: &Settings, buffer: &mut [u8], body: Range<usize>) -> Option<usize> {
    let from = body.start;
    let length = decode(buffer.get_mut(body)?)?.len();
    let bag = buffer.get(from..from + length)?;
    let mut places = heapless::Vec::<Range<usize>, MAX_CERTIFICATES>::new();
    for der in certs_only(bag).ok()? {
        let anchor = settings.anchors.iter().any(|anchor| anchor.certificate().der() == der);
        if !anchor && Certificate::from_der(der).is_ok_and(|certificate| !certificate.is_self_issued()) {
            let start = from + place_in(bag, der)?.start;
            // More are none of a chain that a device can verify.
            let _ = places.push(start..start + der.len());
        }
    }
    let (whole, mut start) = (buffer.len(), buffer.len());
    // From the last to the first: each goes up, over what has gone already.
    for place in places.iter().rev() {
        // Half of the buffer is for the answer with the certificate.
        let Some(to) = start.checked_sub(place.len()).filter(|to| *to >= whole / 2) else { break };
        buffer.copy_within(place.clone(), to);
        start = to;
    }
    Some(whole - start)
}

/// Where a certificate lies in the bag that it is a part of.
fn place_in(bag: &[u8], der: &[u8]) -> Option<Range<usize>> {
    let start = (der.as_ptr() as usize).checked_sub(bag.as_ptr() as usize)?;
    Some(start..start + der.len())
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
    (bag, kept): (&[u8], &[u8]),
    now: TrustedTime,
) -> Result<Judged, EnrollError> {
    let mut leaf = None;
    let mut others = heapless::Vec::<Certificate<'_>, MAX_CERTIFICATES>::new();
    let mut chain = None::<Range<usize>>;
    for der in certs_only(bag).map_err(|_| EnrollError::Answer)? {
        let certificate = Certificate::from_der(der).map_err(|_| EnrollError::Answer)?;
        let place = place_in(bag, der).ok_or(EnrollError::Answer)?;
        chain = Some(chain.map_or(place.start, |chain| chain.start)..place.end);
        if certificate.subject_public_key_info().public_key == public_key {
            leaf = Some((certificate, place));
        } else {
            others.push(certificate).map_err(|_| EnrollError::Answer)?;
        }
    }
    // Where the bag has them too there may be no room, and no need.
    for certificate in certificates(kept).filter_map(|der| Certificate::from_der(der).ok()) {
        let _ = others.push(certificate);
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
