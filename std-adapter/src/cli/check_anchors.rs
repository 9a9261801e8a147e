//! Reports for `edgetrust check` on the certificates that peers are verified by: CAs, pins, intermediates.

use std::path::Path;

use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust};
use edgetrust_core::time::Utc;
use edgetrust_core::x509::Certificate;
use pki_types::{CertificateDer, UnixTime};

use super::findings::{Findings, Level};
use super::key;
use crate::pem;
use crate::tls::{Anchors, Authority, AuthorityRole, provider};

/// The list of the configuration that names a file.
#[derive(Clone, Copy)]
pub(super) enum List<'l> {
    /// `known_intermediates`.
    Known,
    /// CAs, and certificates that are pins by their own extensions, with the explicit pins; for peers of a purpose.
    Cas(&'l [CertificateDer<'static>], Purpose),
    /// `pinned_certificates`, for peers of a purpose.
    Pins(Purpose),
}

impl List<'_> {
    fn authority(self, certificate: &Certificate<'_>) -> Authority {
        match self {
            List::Known => Authority::new(AuthorityRole::KnownIntermediate, certificate),
            List::Cas(pinned, _) if !is_among(pinned, certificate) => Authority::stated(certificate),
            List::Cas(..) | List::Pins(_) => Authority::new(AuthorityRole::Pin, certificate),
        }
    }

    fn name(self) -> &'static str {
        match self {
            List::Known => "intermediates",
            List::Cas(..) => "CAs",
            List::Pins(_) => "pins",
        }
    }
}

fn is_among(ders: &[CertificateDer<'_>], certificate: &Certificate<'_>) -> bool {
    ders.iter().any(|der| der.as_ref() == certificate.der())
}

/// Reads a file of certificates that peers are verified by; reports each one's role and end, or why it is useless.
pub(super) fn bundle(
    file: &str,
    list: List<'_>,
    now: UnixTime,
    findings: &mut Findings,
) -> Vec<CertificateDer<'static>> {
    let certificates = match pem::read_certificates(Path::new(file)) {
        Ok(certificates) => certificates,
        Err(error) => {
            findings.once(Level::Error, error.to_string());
            return Vec::new();
        }
    };
    let mut usable = 0_usize;
    for certificate in certificates.iter().flat_map(|der| Certificate::from_der(der)) {
        usable = usable.saturating_add(usize::from(one(file, &certificate, list, now, findings)));
    }
    let level = if usable == 0 { Level::Error } else { Level::Ok };
    findings.once(level, format!("{file}: {usable} usable {} of {}", list.name(), certificates.len()));
    certificates
}

/// Reports on one certificate; returns whether it can admit any peer.
fn one(file: &str, certificate: &Certificate<'_>, list: List<'_>, now: UnixTime, findings: &mut Findings) -> bool {
    let authority = list.authority(certificate);
    findings.know(file, &authority, now);
    let subject = &authority.subject;
    let what = match authority.role {
        AuthorityRole::Ca => "a CA, which can issue",
        AuthorityRole::Pin => "a pin, which vouches for itself alone",
        AuthorityRole::KnownIntermediate | AuthorityRole::PeerIntermediate | AuthorityRole::Intermediate => {
            "an intermediate"
        }
    };
    let useless = useless(certificate, &authority, now).map(|why| format!("it {why}"));
    if let Some(why) = useless.or_else(|| no_peer(certificate, &authority, list, now)) {
        findings.once(Level::Warning, format!("{file}: {subject} is {what}, and can let nobody in: {why}"));
        return false;
    }
    end(file, &authority, what, now, findings);
    let is_stated = matches!(list, List::Cas(pinned, _) if !is_among(pinned, certificate));
    if is_stated && authority.role == AuthorityRole::Pin && looks_like_a_root(certificate) {
        findings.once(
            Level::Warning,
            format!(
                "{file}: if {subject} is to issue, sign it anew with keyCertSign, by the same key: printf '%s\\n' \
                 basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign subjectKeyIdentifier=hash > ca.ext; \
                 openssl x509 -in {file} -signkey ROOT.key -days 3650 -clrext -extfile ca.ext -out NEW.pem"
            ),
        );
    }
    true
}

/// Reports the end of a certificate, with a warning if the end is near.
pub(super) fn end(file: &str, authority: &Authority, what: &str, now: UnixTime, findings: &mut Findings) {
    let days = authority.not_after.as_secs().saturating_sub(now.as_secs()) / 86_400;
    let until = Utc(authority.not_after);
    let (level, near) = if authority.ends_soon(now) { (Level::Warning, ": replace it") } else { (Level::Ok, "") };
    findings.once(level, format!("{file}: {} is {what}, until {until}, {days} days{near}", authority.subject));
}

/// Returns why a certificate can admit no peer.
fn useless(certificate: &Certificate<'_>, authority: &Authority, now: UnixTime) -> Option<String> {
    let extensions = certificate.extensions();
    let is_ca = extensions.basic_constraints.is_some_and(|constraints| constraints.ca);
    if now > authority.not_after {
        return Some(format!("expired at {}", Utc(authority.not_after)));
    }
    if now < authority.not_before {
        return Some(format!("is not valid before {}", Utc(authority.not_before)));
    }
    if certificate.version() != 3 {
        return Some(format!("is of version {}, expected 3", certificate.version()));
    }
    if extensions.unknown_critical.is_some() {
        return Some("has a critical extension that is not processed".to_owned());
    }
    if extensions.wrongly_critical.is_some() {
        return Some("has an extension that must not be critical".to_owned());
    }
    if authority.role == AuthorityRole::KnownIntermediate && !is_ca {
        return Some("is no CA".to_owned());
    }
    key::unusable(&certificate.subject_public_key_info()).map(|why| format!("cannot be used: {why}"))
}

/// Returns why a pin cannot be a peer's own certificate for this purpose.
fn no_peer(certificate: &Certificate<'_>, authority: &Authority, list: List<'_>, now: UnixTime) -> Option<String> {
    let (List::Cas(_, purpose) | List::Pins(purpose)) = list else { return None };
    if authority.role != AuthorityRole::Pin {
        return None;
    }
    let anchors = [Anchor::pin(*certificate)];
    let algorithms = provider().signature_verification_algorithms.all;
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let verdict = trust.verify(certificate, &[], purpose, now, &mut Budget::new(Limits::SERVER));
    verdict.err().map(|error| error.kind.to_string())
}

/// Returns whether a certificate is a self-signed CA without a name that a peer could be identified by.
fn looks_like_a_root(certificate: &Certificate<'_>) -> bool {
    let extensions = certificate.extensions();
    extensions.basic_constraints.is_some_and(|constraints| constraints.ca)
        && extensions.subject_alt_name.is_none()
        && certificate.is_self_issued()
}

/// Splits certificates into pins and CAs.
pub(super) fn roles<'c>(anchors: &'c Anchors) -> (Vec<Certificate<'c>>, Vec<Certificate<'c>>) {
    let all = anchors.pinned.iter().chain(&anchors.stated).flat_map(|der| Certificate::from_der(der));
    let list = List::Cas(&anchors.pinned, Purpose::ClientAuth);
    all.partition(|certificate| list.authority(certificate).role == AuthorityRole::Pin)
}
