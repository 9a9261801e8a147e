//! Obtains a certificate through the gateway: EST simple re-enrollment for a new key (RFC 7030 section 4.2.2) over
//! mutual TLS, or simple enrollment for the first one (section 4.2.1) by a voucher. The answer contains the certificate alone, so the intermediates are requested first (section 4.1). They
//! are not trusted: they complete the path.

use core::ops::Range;

use base64ct::{Base64, Encoding};
use edgetrust_core::crypto::P256Key;
use edgetrust_core::embedded_tls::{ConnectionError, RecordFault};
use edgetrust_core::path::{Budget, Limits, PathError, PathErrorKind, Purpose};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::request::{NewRequest, OneName, RequestError, certs_only, same_alternative_names};
use edgetrust_core::rotation::{Failure, FailureKind};
use edgetrust_core::store::certificates;
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::{Certificate, GeneralNames, ParseError};
use edgetrust_firmware::random::KeyErasingRng;
use embassy_time::{Duration, with_timeout};
use rand_core::RngCore;

use crate::dial::{Link, SILENCE, trust};
use crate::http::{HttpError, Request, ask};
use crate::issued::{Issued, MAX_CHAIN};
use crate::settings::{MAX_VOUCHER, Settings, Voucher};

const AGAIN: &str = "/.well-known/est/simplereenroll";
const FIRST: &str = "/.well-known/est/simpleenroll";
const CACERTS: &str = "/.well-known/est/cacerts";
/// The time limit for the answer: the gateway orders from a CA meanwhile.
const PATIENCE: Duration = Duration::from_secs(150);
/// The maximum number of certificates in an answer.
const MAX_CERTIFICATES: usize = 4;
const MAX_REQUEST: usize = 768;
/// The size of a voucher in base64.
const MAX_BASIC: usize = (MAX_VOUCHER / 3 + 1) * 4;

/// The reason for which there is no new certificate.
#[derive(Clone, Copy, defmt::Format)]
pub enum EnrollError {
    /// No key could be generated, or kept before its use.
    Key,
    /// The current certificate is malformed.
    Current(ParseError),
    /// The request could not be written.
    Request(RequestError),
    /// The connection failed, or the answer is no HTTP.
    Http(HttpError),
    /// The answer did not come in time.
    Silent,
    /// The gateway refuses; with the status.
    Refused(u16),
    /// The gateway cannot answer now (RFC 7030 section 4.2.3); with the status and the seconds to wait.
    Unavailable(u16, Option<u32>),
    /// The answer is no bag of certificates, or one without a certificate for the new key.
    Answer,
    /// The new certificate has no path to the device's CAs, or is not for a client.
    Path(PathError),
    /// The new certificate has other names than the one before, or than the voucher.
    Names(RequestError),
}

impl EnrollError {
    /// Returns whether another attempt is worthwhile, and when.
    pub fn failure(&self) -> Failure {
        let (kind, retry_after_s) = match self {
            // The CA may just have got a new issuer: the intermediates are requested again.
            Self::Path(PathError { kind: PathErrorKind::UnknownIssuer, .. }) => (FailureKind::Transient, None),
            Self::Refused(_) | Self::Path(_) | Self::Names(_) | Self::Request(_) => (FailureKind::Refused, None),
            Self::Unavailable(_, retry_after_s) => (FailureKind::Transient, *retry_after_s),
            _ => (FailureKind::Transient, None),
        };
        Failure { kind, retry_after_s }
    }
}

/// The parameters of an enrollment.
pub struct Enrollment<'a> {
    pub settings: &'a Settings,
    pub host: &'a str,
    pub by: By<'a>,
    pub now: TrustedTime,
}

/// The authentication of a device that enrolls.
pub enum By<'a> {
    /// The current certificate in DER, which was shown in the handshake.
    Certificate(&'a [u8]),
    /// The voucher, and the key that it is claimed with.
    Voucher(Voucher, P256Key),
}

/// The size in octets of the intermediates at the end of the answer buffer; `None` before they were requested.
pub type Issuers = Option<usize>;

/// Requests the intermediates, generates a key where none is given, requests a certificate, and verifies it. The chain is
/// in `buffer`. Returns `None` if the gateway closes the connection after the first answer, as gateways before this version do: the
/// rest needs another connection.
pub async fn enroll<'b>(
    link: &mut Link<'_>,
    enrollment: Enrollment<'_>,
    issuers: &mut Issuers,
    rng: &mut KeyErasingRng,
    buffer: &'b mut [u8],
) -> Result<Option<Issued<'b>>, EnrollError> {
    let Enrollment { settings, host, by, now } = enrollment;
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
    let (current, one_name, mut basic) = (current(&by)?, one_name(&by)?, [0; MAX_BASIC]);
    let (key, path, authorization) = match &by {
        By::Certificate(_) => (new_key(rng).ok_or(EnrollError::Key)?, AGAIN, ""),
        By::Voucher(voucher, key) => {
            let line = Base64::encode(voucher.line.as_bytes(), &mut basic);
            (key.clone(), FIRST, line.map_err(|_| EnrollError::Key)?)
        }
    };
    let public_key = key.public_key();
    let (request, names) = match (&current, &one_name) {
        (Some(current), _) => (NewRequest::like(current, &public_key), current.extensions().subject_alt_name),
        (None, Some(name)) => {
            let (subject, names) = (name.subject(), Some(name.subject_alt_name()));
            let names_read = name.alternative_names().map_err(EnrollError::Request)?;
            (NewRequest { subject, subject_alt_name: names, public_key: &public_key }, Some(names_read))
        }
        (None, None) => return Err(EnrollError::Key),
    };
    let mut der = [0; MAX_REQUEST];
    let der = request.write(&mut der, |info| key.sign(info)).map_err(EnrollError::Request)?;
    let mut body = [0; MAX_REQUEST * 4 / 3 + 4];
    let body = Base64::encode(der, &mut body).map_err(|_| EnrollError::Key)?;
    let request = Request { host, path, authorization, post: Some(("application/pkcs10", body.as_bytes())) };
    let answer = with_timeout(PATIENCE, ask(link, request, buffer)).await;
    let answer = answer.map_err(|_| EnrollError::Silent)?.map_err(EnrollError::Http)?;
    match answer.head.status {
        200 => {}
        // Request Timeout and Too Many Requests are transient (RFC 9110 section 15.5.9, RFC 6585 section 4).
        status @ 400..=499 if status != 408 && status != 429 => return Err(EnrollError::Refused(status)),
        status => {
            let wait = answer.head.retry_after.and_then(|wait| wait.seconds(now));
            return Err(EnrollError::Unavailable(status, wait));
        }
    }
    let bag = decode(answer.body).ok_or(EnrollError::Answer)?;
    let Judged { not_before, not_after, chain, leaf } = judge(settings, names, &public_key, (bag, kept), now)?;
    // The bag's certificates are contiguous in any order: the leaf is moved to the front.
    bag.get_mut(chain.start..leaf.end).ok_or(EnrollError::Answer)?.rotate_right(leaf.len());
    let chain = bag.get(chain).ok_or(EnrollError::Answer)?;
    Ok(Some(Issued { key: key.to_pkcs8(), chain, not_before, not_after }))
}

fn current<'a>(by: &By<'a>) -> Result<Option<Certificate<'a>>, EnrollError> {
    match by {
        By::Certificate(der) => Certificate::from_der(der).map(Some).map_err(EnrollError::Current),
        By::Voucher(..) => Ok(None),
    }
}

fn one_name(by: &By<'_>) -> Result<Option<OneName>, EnrollError> {
    match by {
        By::Certificate(_) => Ok(None),
        By::Voucher(voucher, _) => OneName::new(voucher.name).map(Some).ok_or(EnrollError::Key),
    }
}

/// Generates a key.
pub fn new_key(rng: &mut KeyErasingRng) -> Option<P256Key> {
    let mut octets = [0; 32];
    rng.fill_bytes(&mut octets);
    P256Key::from_random(&octets)
}

/// Requests the CAs of the location; returns the size in octets of the intermediates that are kept, and whether the
/// connection ends with the answer. A gateway without a usable answer may send the intermediates with the certificate,
/// as gateways before this version do.
async fn learn(
    link: &mut Link<'_>,
    settings: &Settings,
    host: &str,
    buffer: &mut [u8],
) -> Result<(usize, bool), EnrollError> {
    let request = Request { host, path: CACERTS, authorization: "", post: None };
    let answer = with_timeout(SILENCE, ask(link, request, buffer)).await;
    let head = match answer.map_err(|_| EnrollError::Silent)? {
        Ok(answer) => answer.head,
        // The answer does not fit into memory, or its end is unknown.
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

/// Moves the intermediates of a bag to the end of the buffer; returns their size in octets.
fn keep(settings: &Settings, buffer: &mut [u8], body: Range<usize>) -> Option<usize> {
    let from = body.start;
    let length = decode(buffer.get_mut(body)?)?.len();
    let bag = buffer.get(from..from + length)?;
    let mut places = heapless::Vec::<Range<usize>, MAX_CERTIFICATES>::new();
    for der in certs_only(bag).ok()? {
        let anchor = settings.anchors.iter().any(|anchor| anchor.certificate().der() == der);
        if !anchor && Certificate::from_der(der).is_ok_and(|certificate| !certificate.is_self_issued()) {
            let start = from + place_in(bag, der)?.start;
            // A chain that a device can verify has no more certificates.
            let _ = places.push(start..start + der.len());
        }
    }
    let (whole, mut start) = (buffer.len(), buffer.len());
    // From the last to the first: each moves up, over octets that were moved already.
    for place in places.iter().rev() {
        // Half of the buffer is for the answer with the certificate.
        let Some(to) = start.checked_sub(place.len()).filter(|to| *to >= whole / 2) else { break };
        buffer.copy_within(place.clone(), to);
        start = to;
    }
    Some(whole - start)
}

/// Returns the range of a certificate within its bag.
fn place_in(bag: &[u8], der: &[u8]) -> Option<Range<usize>> {
    let start = (der.as_ptr() as usize).checked_sub(bag.as_ptr() as usize)?;
    Some(start..start + der.len())
}

/// Decodes base64 in place; line breaks are skipped (RFC 8951 section 3.1).
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

/// A verified answer.
struct Judged {
    not_before: UnixTime,
    not_after: UnixTime,
    /// The range of the certificates in the bag.
    chain: Range<usize>,
    /// The range of the leaf in the bag.
    leaf: Range<usize>,
}

/// Verifies an answer.
fn judge(
    settings: &Settings,
    names: Option<GeneralNames<'_>>,
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
    for certificate in certificates(kept).filter_map(|der| Certificate::from_der(der).ok()) {
        // If the bag contains them too, there may be no room, and none is needed.
        let _ = others.push(certificate);
    }
    let (leaf, place) = leaf.ok_or(EnrollError::Answer)?;
    let chain = chain.filter(|chain| chain.len() <= MAX_CHAIN).ok_or(EnrollError::Answer)?;
    let validity = leaf.validity();
    // The CA's clock may be ahead of the device's: peers go by the CA's clock, so such a certificate is verified at
    // the start of its validity.
    let at = match now {
        TrustedTime::Known(now) => now.max(validity.not_before),
        TrustedTime::AtLeast(_) | TrustedTime::Unknown => validity.not_before,
    };
    let mut budget = Budget::new(Limits::DEVICE);
    trust(settings).verify(&leaf, &others, Purpose::ClientAuth, at, &mut budget).map_err(EnrollError::Path)?;
    // The gateway's rule for requests also holds for answers (RFC 7030 section 4.2.2). The CA may choose the subject.
    same_alternative_names(leaf.extensions().subject_alt_name, names).map_err(EnrollError::Names)?;
    Ok(Judged { not_before: validity.not_before, not_after: validity.not_after, chain, leaf: place })
}
