//! Answers renewing devices as a gateway may, right and wrong: a device trusts only what it can verify
//! (RFC 7030 section 4.2.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgetrust_core::request::{CertificationRequest, write_certs_only};
use edgetrust_core::x509::GeneralName;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SignatureAlgorithm,
};
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use crate::pki::{Pki, Wish, p256};

/// The fault of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Est {
    /// The answer has no fault.
    Honest,
    /// No fault; the issuer's certificate comes first.
    IssuerFirst,
    /// No fault; the location's CA is the issuer, and cacerts has that CA's certificate.
    BelowIntermediate,
    /// No fault, as gateways before this version answer: the issuer comes with the certificate, and the connection
    /// ends after cacerts.
    ChainInAnswer,
    /// No fault; cacerts exceeds a device's memory, and the issuer comes with the certificate.
    ManyAuthorities,
    /// The location's CA is the issuer, and its certificate is sent nowhere.
    IssuerWithheld,
    /// The certificate is for another name.
    OtherName,
    /// The certificate has an additional name.
    OneMoreName,
    /// The certificate is for another key.
    OtherKey,
    /// The issuer is unknown.
    Stranger,
    /// The signature is not the issuer's.
    BadSignature,
    /// The certificate is for servers only.
    ServersOnly,
    /// The certificate expired an hour ago.
    Expired,
    /// The bag contains no certificate.
    EmptyBag,
    /// The bag contains more certificates than fit into memory.
    FullBag,
    /// The answer is DER but no bag.
    NoBag,
    /// The bag is truncated.
    HalfABag,
    /// The answer is not base64.
    NoBase64,
    /// The body is empty.
    Nothing,
    /// The status is 403.
    Forbidden,
    /// The status is 429, for 30 s (RFC 6585 section 4).
    TooManyRequests,
    /// The status is 429, until a date in 20 s (RFC 9110 section 5.6.7).
    TooManyRequestsUntil,
    /// The status is 202, for 30 s: a person has to agree (RFC 7030 section 4.2.3).
    Accepted,
}

/// A public key whose private key another party holds.
struct PublicKey(Vec<u8>);

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Est {
    /// Returns the whole answer to a request.
    ///
    /// # Errors
    /// Returns the request's fault if it is malformed.
    pub fn answer(self, pki: &Pki, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        if path.ends_with("/cacerts") {
            return self.cacerts(pki);
        }
        let later = "Retry-After: 30\r\n";
        let body = match self {
            Self::Forbidden => return Ok(whole("403 Forbidden", "", "not you")),
            Self::TooManyRequests => return Ok(whole("429 Too Many Requests", later, "")),
            Self::TooManyRequestsUntil => {
                let until = date(OffsetDateTime::now_utc() + Duration::seconds(20));
                return Ok(whole("429 Too Many Requests", &format!("Retry-After: {until}\r\n"), ""));
            }
            Self::Accepted => return Ok(whole("202 Accepted", later, "")),
            Self::Nothing => String::new(),
            Self::NoBase64 => "no base64".to_owned(),
            Self::NoBag => STANDARD.encode([0x30, 0x03, 0x02, 0x01, 0x00]),
            Self::HalfABag => {
                let bag = bag(&self.certificates(pki, body)?)?;
                STANDARD.encode(&bag[..bag.len() / 2])
            }
            _ => STANDARD.encode(bag(&self.certificates(pki, body)?)?),
        };
        Ok(whole("200 OK", "Content-Type: application/pkcs7-mime; smime-type=certs-only\r\n", &body))
    }

    /// Answers cacerts (RFC 7030 section 4.1.3).
    fn cacerts(self, pki: &Pki) -> Result<Vec<u8>, String> {
        let root = pki.root.der.clone();
        let (certificates, more) = match self {
            Self::ChainInAnswer => (vec![root], "Connection: close\r\n"),
            Self::IssuerWithheld => (vec![root], ""),
            Self::ManyAuthorities => (vec![root; 16], ""),
            _ => (vec![root, pki.intermediate.der.clone()], ""),
        };
        let fields = format!("Content-Type: application/pkcs7-mime\r\n{more}");
        Ok(whole("200 OK", &fields, &STANDARD.encode(bag(&certificates)?)))
    }

    fn certificates(self, pki: &Pki, body: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let request = STANDARD.decode(body).map_err(|error| format!("the request: {error}"))?;
        let request = CertificationRequest::from_der(&request).map_err(|error| format!("the request: {error}"))?;
        let names = request.extensions().subject_alt_name.into_iter().flatten();
        let name = names.filter_map(|name| match name {
            GeneralName::Dns(name) => Some(name.to_owned()),
            _ => None,
        });
        let name = name.last().ok_or("the request: no DNS name")?;
        let key = PublicKey(request.subject_public_key_info().public_key.to_vec());

        let wish = Wish::client(&name);
        let wish = match self {
            Self::OtherName => Wish { names: vec!["another.mesh.test".to_owned()], ..wish },
            Self::OneMoreName => Wish { names: vec![name, "another.mesh.test".to_owned()], ..wish },
            Self::ServersOnly => Wish { purposes: vec![ExtendedKeyUsagePurpose::ServerAuth], ..wish },
            Self::Expired => wish.valid(-7200, -3600),
            _ => wish,
        };
        let authority = match self {
            Self::Stranger => &pki.stranger,
            Self::BelowIntermediate | Self::ChainInAnswer | Self::ManyAuthorities | Self::IssuerWithheld => {
                &pki.intermediate
            }
            _ => &pki.root,
        };
        let mut leaf = match self {
            Self::OtherKey => authority.sign(&wish.params(), &p256()),
            _ => authority.sign(&wish.params(), &key),
        };
        if let (Self::BadSignature, Some(last)) = (self, leaf.last_mut()) {
            *last ^= 1;
        }
        Ok(match self {
            Self::EmptyBag => vec![],
            Self::FullBag => [vec![leaf], vec![small(pki); 5]].concat(),
            Self::ChainInAnswer | Self::ManyAuthorities => vec![leaf, pki.intermediate.der.clone()],
            Self::IssuerFirst => vec![pki.intermediate.der.clone(), leaf],
            _ => vec![leaf],
        })
    }
}

/// Returns a time as an IMF-fixdate (RFC 9110 section 5.6.7).
fn date(time: OffsetDateTime) -> String {
    let (weekday, month) = (time.weekday().to_string(), time.month().to_string());
    let (day, year, hour, minute, second) = (time.day(), time.year(), time.hour(), time.minute(), time.second());
    let (weekday, month) = (&weekday[..3], &month[..3]);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Returns a certificate of few octets.
fn small(pki: &Pki) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    pki.root.sign(&params, &p256())
}

fn bag(certificates: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let slices: Vec<_> = certificates.iter().map(Vec::as_slice).collect();
    let mut out = vec![0; 64 + slices.iter().map(|der| der.len()).sum::<usize>()];
    write_certs_only(&slices, &mut out).map(<[u8]>::to_vec).map_err(|error| error.to_string())
}

fn whole(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
