//! Proves control of names: each challenge has one answer, which is withdrawn when it is dropped.

use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use edgetrust_core::config::ChallengeType;
use edgetrust_core::rotation::FailureKind;
use instant_acme::{ChallengeHandle, ChallengeType as AcmeType, Identifier};
use pki_types::PrivateKeyDer;
use tokio::time::{Instant, sleep};

use super::error::AcmeError;
use super::hook::HookCall;
use super::hook_helper::run_hook;
use super::http01;
use super::key::challenge_certificate;
use super::settings::{Settings, Which};
use crate::acme::Responders;
use crate::store::{ChallengeAnswer, Held};
use crate::tls::{ChallengeCertificate, Credential, LiveCredential};

/// The longest time that a socket may take to close after its listener ends.
const CLOSING: Duration = Duration::from_secs(1);

pub(super) fn acme_type(challenge_type: ChallengeType) -> AcmeType {
    match challenge_type {
        ChallengeType::Http01 => AcmeType::Http01,
        ChallengeType::TlsAlpn01 => AcmeType::TlsAlpn01,
        ChallengeType::Dns01 => AcmeType::Dns01,
    }
}

/// The answer to a challenge; a validation fails once the answer is dropped.
pub(crate) enum Answer {
    Http01 { _answer: http01::Answer },
    TlsAlpn01 { _answer: ChallengeCertificate },
    Dns01 { _answer: DnsRecord },
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 { .. } => "http-01",
            Self::TlsAlpn01 { .. } => "tls-alpn-01",
            Self::Dns01 { .. } => "dns-01",
        })
    }
}

/// A TXT record that a hook creates, and removes.
pub(crate) struct DnsRecord {
    which: Which,
    hook: String,
    name: String,
    value: String,
}

impl Drop for DnsRecord {
    fn drop(&mut self) {
        let (hook, name, value) = (self.hook.clone(), self.name.clone(), self.value.clone());
        let which = self.which.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = run_hook(&hook, HookCall::Cleanup { name: name.clone(), value }).await {
                log!(warn, which, %name, "dns-01: dns_hook failed to remove the record: {error}");
            }
        });
    }
}

/// Answers a challenge, before the CA is told to validate: here, and at every gateway that shares this home.
pub(super) async fn answer(
    settings: &Settings,
    responders: &Responders,
    credential: &LiveCredential,
    held: Option<&dyn Held>,
    challenge: &ChallengeHandle<'_>,
) -> Result<Answer, AcmeError> {
    let key_authorization = challenge.key_authorization();
    let answer = match settings.challenge_type {
        ChallengeType::Http01 => ChallengeAnswer::Http01 {
            token: challenge.token.clone(),
            key_authorization: key_authorization.as_str().to_owned(),
        },
        ChallengeType::TlsAlpn01 => {
            let name = match challenge.identifier().identifier {
                Identifier::Ip(address) => address.to_string(),
                other => other.authorized(false).to_string(),
            };
            let digest = key_authorization.digest();
            let digest = digest.as_ref().try_into();
            let digest = digest.map_err(|_| AcmeError::new("tls-alpn-01", FailureKind::Transient, "no SHA-256"))?;
            ChallengeAnswer::TlsAlpn01 { name, digest }
        }
        ChallengeType::Dns01 => {
            let hook = settings.dns_hook.clone().unwrap_or_default();
            // RFC 8555 section 8.4
            let name = format!("_acme-challenge.{}", challenge.identifier().identifier.authorized(false));
            let record = DnsRecord { which: settings.which(), hook, name, value: key_authorization.dns_value() };
            let call = HookCall::Present { name: record.name.clone(), value: record.value.clone() };
            let made = run_hook(&record.hook, call).await;
            made.map_err(|error| AcmeError::new("dns-01", FailureKind::Transient, error))?;
            return Ok(Answer::Dns01 { _answer: record });
        }
    };
    let given = give(settings, responders, credential, &answer).await?;
    if let Some(held) = held {
        let told = held.announce(answer).await;
        told.map_err(|error| AcmeError::new("the challenge", FailureKind::Transient, error))?;
    }
    Ok(given)
}

/// Gives an answer, whoever has ordered.
pub(crate) async fn give(
    settings: &Settings,
    responders: &Responders,
    credential: &LiveCredential,
    answer: &ChallengeAnswer,
) -> Result<Answer, AcmeError> {
    let failed = |doing, reason: &dyn fmt::Display| AcmeError::new(doing, FailureKind::Transient, reason);
    match answer {
        ChallengeAnswer::Http01 { token, key_authorization } => {
            let (address, shares) = (settings.http_listen, settings.storage.is_some());
            let since = Instant::now();
            loop {
                match responders.answer(address, shares, token, key_authorization) {
                    Ok(answer) => return Ok(Answer::Http01 { _answer: answer }),
                    // The responder of the previous order may be closing.
                    Err(error) if error.kind() == ErrorKind::AddrInUse && since.elapsed() < CLOSING => {
                        sleep(Duration::from_millis(20)).await;
                    }
                    Err(error) => return Err(failed("http-01", &format!("cannot listen on {address}: {error}"))),
                }
            }
        }
        ChallengeAnswer::TlsAlpn01 { name, digest } => {
            let server_name = name.parse().map_or_else(|_| name.clone(), reverse);
            let made = challenge_certificate(name.clone(), digest);
            let (certificate, key) = made.map_err(|error| failed("tls-alpn-01", &error))?;
            let certificate = Credential::for_validation(certificate, PrivateKeyDer::Pkcs8(key));
            let certificate = certificate.map_err(|error| failed("tls-alpn-01", &error))?;
            Ok(Answer::TlsAlpn01 { _answer: credential.answer(&server_name, &certificate) })
        }
    }
}

/// Returns an address in reverse as server name (RFC 8738 section 6, RFC 1034 section 5.2.1, RFC 3596 section 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let labels: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            format!("{labels}ip6.arpa")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_reverse() {
        assert_eq!(reverse("127.0.0.22".parse().unwrap()), "22.0.0.127.in-addr.arpa");
        assert_eq!(
            reverse("2001:db8::567:89ab".parse().unwrap()),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }
}
