//! Every reason that the log can give for a refusal stands in the table of docs/TLS_SETUP.md, and nothing else does.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use edgetrust_core::identity::Denied;
use edgetrust_core::path::{PathError, PathErrorKind as Kind, Resource, RevocationError};
use edgetrust_core::revocation::{Reason, RevokedCertificate, SerialNumber};
use edgetrust_core::x509::{Certificate, KeyHash, ObjectIdentifier, ParseError, ParseErrorKind};
use pki_types::UnixTime;

use super::door::Turned;
use super::opening::Refused;
use super::proxy_header::HeaderFault;
use crate::tls::{AcceptError, Refusal, UnparsedCertificate, WrongServerName};

fn path_errors() -> Vec<Kind> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let oid = ObjectIdentifier::new(&[0x55, 0x1d, 0x24]);
    vec![
        Kind::TimeUnknown,
        Kind::UnknownIssuer,
        Kind::SelfSigned,
        Kind::AuthorityKeyIdentifier,
        Kind::Loop,
        Kind::UnsupportedSignatureAlgorithm(oid),
        Kind::SignatureAlgorithmParameters(oid),
        Kind::SignatureAlgorithmMismatch(oid),
        Kind::UnsupportedKey(oid),
        Kind::KeySize { bits: 1024 },
        Kind::CompressedPoint,
        Kind::KeyDenied(KeyHash::new([0; 32])),
        Kind::BadSignature,
        Kind::Expired { not_after: now, now },
        Kind::NotYetValid { not_before: now, now },
        Kind::IssuerIsPin,
        Kind::NotACa,
        Kind::LeafIsCa,
        Kind::PathTooLong { allowed: 0 },
        Kind::NoKeyCertSign,
        Kind::KeyCertSignInLeaf,
        Kind::NoDigitalSignature,
        Kind::KeyUsage,
        Kind::WrongPurpose,
        Kind::Version(1),
        Kind::EmptyIssuer,
        Kind::EmptySubject,
        Kind::Nameless,
        Kind::EmptySubjectAltName,
        Kind::NameConstraintsInLeaf,
        Kind::NoKeyIdentifier,
        Kind::SerialNumber,
        Kind::UnknownCriticalExtension(oid),
        Kind::WronglyCritical(oid),
        Kind::NameConstraint,
        Kind::MalformedName,
        Kind::IncomparableName,
        Kind::MalformedNameConstraint,
        Kind::Revocation(RevocationError::Revoked(RevokedCertificate {
            serial: SerialNumber::new(&[5]),
            date: now,
            reason: Reason::KeyCompromise,
        })),
        Kind::Revocation(RevocationError::ListExpired { next_update: now, now }),
        Kind::Revocation(RevocationError::ListNotYetValid { this_update: now, now }),
        Kind::Revocation(RevocationError::OutOfScope),
        Kind::Revocation(RevocationError::NoCrlSign),
        Kind::Revocation(RevocationError::ListSignature),
        Kind::Revocation(RevocationError::NoList),
        Kind::Budget(Resource::Intermediates),
        Kind::Budget(Resource::Work),
    ]
}

const DENIED: [Denied; 11] = [
    Denied::NoName,
    Denied::SeveralCommonNames,
    Denied::NoRuleMatched,
    Denied::CommonNameNotPermitted,
    Denied::NameIsPinned,
    Denied::OtherIssuer { found: None },
    Denied::OtherIssuer { found: Some(KeyHash::new([0; 32])) },
    Denied::WrongServerName,
    Denied::MalformedServerName,
    Denied::WrongPurpose,
    Denied::TooMuchWork,
];

/// Fails to compile where a refusal is new: it belongs into [`reasons`] too.
fn is_known(refused: &Refused) {
    match refused {
        Refused::NoTunnel(_) | Refused::Target(..) | Refused::Deadline | Refused::NoBalancer => {}
        Refused::Balancer(
            HeaderFault::NoHeader
            | HeaderFault::Tls
            | HeaderFault::Version1
            | HeaderFault::Version(_)
            | HeaderFault::Command(_)
            | HeaderFault::Family(_)
            | HeaderFault::Short(_)
            | HeaderFault::Long(_)
            | HeaderFault::Ended,
        ) => {}
        Refused::Limit(Turned::Connections(_) | Turned::Rate(_) | Turned::Crowded(_) | Turned::Waiting(_)) => {}
        Refused::Peer(AcceptError::LeftSilently | AcceptError::Io(_) | AcceptError::Settings(_)) => {}
        Refused::Peer(AcceptError::Refused(refusal, _)) => match refusal {
            Refusal::NoCertificate | Refusal::TooManyCertificates(_) | Refusal::Parse(_) => {}
            Refusal::Path(_) | Refusal::Unparsed(..) | Refusal::ServerName(_) | Refusal::Denied(_) => {}
        },
    }
}

/// One of each, as it is said.
fn reasons() -> Vec<String> {
    let fault = ParseError { kind: ParseErrorKind::Der, offset: 7 };
    let leaf = include_bytes!("../../../firmware-example/src/bin/bench/leaf.der");
    let names = WrongServerName::new("a.example", &Certificate::from_der(leaf).unwrap());
    let missing = PathError { depth: 0, kind: Kind::UnknownIssuer };
    let refusals = [
        Refusal::NoCertificate,
        Refusal::TooManyCertificates(17),
        Refusal::Parse(fault),
        Refusal::Unparsed(missing, UnparsedCertificate { place: 2, shown: 3, fault }),
        Refusal::ServerName(names),
    ];
    let path = path_errors().into_iter().map(|kind| Refusal::Path(PathError { depth: 1, kind }));
    // The names are known wherever the gateway denies for them.
    let denied = DENIED.into_iter().filter(|denied| *denied != Denied::WrongServerName).map(Refusal::Denied);
    let peers = refusals.into_iter().chain(path).chain(denied);
    let target = |error| Refused::Target("127.0.0.1:1".to_owned(), error);
    let others = [
        Refused::NoTunnel(Some("a.example".to_owned())),
        Refused::NoTunnel(None),
        target(io::Error::from_raw_os_error(111)),
        target(io::Error::other("received fatal alert: AccessDenied")),
        Refused::Deadline,
        Refused::NoBalancer,
        Refused::Balancer(HeaderFault::NoHeader),
        Refused::Balancer(HeaderFault::Tls),
        Refused::Balancer(HeaderFault::Version1),
        Refused::Balancer(HeaderFault::Version(1)),
        Refused::Balancer(HeaderFault::Command(2)),
        Refused::Balancer(HeaderFault::Family(0x12)),
        Refused::Balancer(HeaderFault::Short(1)),
        Refused::Balancer(HeaderFault::Long(u16::MAX)),
        Refused::Balancer(HeaderFault::Ended),
        Refused::Limit(Turned::Connections(2)),
        Refused::Limit(Turned::Rate(2)),
        Refused::Limit(Turned::Crowded(2)),
        Refused::Limit(Turned::Waiting(2)),
    ];
    let all = peers.map(|refusal| Refused::Peer(AcceptError::Refused(refusal, None))).chain(others);
    all.inspect(is_known).map(|refused| refused.to_string()).collect()
}

/// The texts of the table's first column.
fn documented() -> Vec<&'static str> {
    let document = include_str!("../../../docs/TLS_SETUP.md");
    let table = document.split("| the log says |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2)).collect()
}

/// Returns whether a reason has all parts of a text of the table, in which `…` stands for what differs.
fn says(reason: &str, text: &str) -> bool {
    let mut rest = Some(reason);
    for part in text.split('…') {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, rest)| rest);
    }
    rest.is_some()
}

#[test]
fn the_table_has_each_reason_and_no_other() {
    let (reasons, documented) = (reasons(), documented());
    for reason in &reasons {
        assert!(documented.iter().any(|text| says(reason, text)), "docs/TLS_SETUP.md says nothing of {reason:?}");
    }
    for text in documented {
        assert!(reasons.iter().any(|reason| says(reason, text)), "docs/TLS_SETUP.md: nothing is said like {text:?}");
    }
}

/// The variants of an enum of core, which others may not match without a wildcard.
fn variants(source: &'static str, name: &str) -> BTreeSet<&'static str> {
    let body = source.split(&format!("pub enum {name} {{\n")).nth(1).and_then(|rest| rest.split("\n}").next());
    let lines = body.expect("the enum").lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    names.filter_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()).next()).collect()
}

#[test]
fn no_reason_of_core_is_left_out() {
    let names = |all: Vec<String>| -> BTreeSet<String> {
        let name = |text: &String| text.split(|c: char| !c.is_ascii_alphanumeric()).next().map(str::to_owned);
        all.iter().filter_map(name).collect()
    };
    let path = names(path_errors().iter().map(|kind| format!("{kind:?}")).collect());
    assert!(path.iter().eq(&variants(include_str!("../../../core/src/path/error.rs"), "PathErrorKind")));
    let of_lists = path_errors().into_iter().filter_map(|kind| match kind {
        Kind::Revocation(error) => Some(format!("{error:?}")),
        _ => None,
    });
    let of_lists = names(of_lists.collect());
    assert!(of_lists.iter().eq(&variants(include_str!("../../../core/src/path/revocation.rs"), "RevocationError")));
    let denied = names(DENIED.iter().map(|denied| format!("{denied:?}")).collect());
    assert!(denied.iter().eq(&variants(include_str!("../../../core/src/identity/error.rs"), "Denied")));
}
