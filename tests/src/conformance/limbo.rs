//! Runs x509-limbo: each case is one chain and one question.

use std::net::IpAddr;
use std::time::Duration;

use edgetrust_core::identity::ServerName;
use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, RequiredLists, Revocation, Trust};
use edgetrust_core::revocation::RevocationList;
use edgetrust_core::x509::{Certificate, GeneralName, KeyUsage};
use pki_types::pem::PemObject;
use pki_types::{CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm, UnixTime};
use serde::Deserialize;

use super::{Outcome, Verdict};

/// The features that the design omits; a case that needs one is skipped.
const SKIPPED_FEATURES: [(&str, &str); 5] = [
    ("pedantic-public-suffix-wildcard", "the public suffix list is for public CAs"),
    ("pedantic-webpki-subscriber-key", "which keys a leaf may have is the CA/Browser Forum's rule for public CAs"),
    ("pedantic-rfc5280", "the suite itself calls the rule ambiguous; key identifiers are hints here, not demands"),
    ("pedantic-webpki-eku", "what the CA/Browser Forum demands of public CAs' key purposes beyond RFC 5280"),
    ("rfc5280-incompatible-with-webpki", "the case contradicts another one, which is run"),
];

#[derive(Deserialize)]
struct Suite {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum ValidationKind {
    Client,
    Server,
}

#[derive(Deserialize)]
struct PeerName {
    kind: String,
    value: String,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    #[serde(default)]
    features: Vec<String>,
    validation_kind: ValidationKind,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<jiff::Timestamp>,
    #[serde(default)]
    signature_algorithms: Vec<String>,
    #[serde(default)]
    key_usage: Vec<String>,
    #[serde(default)]
    extended_key_usage: Vec<String>,
    expected_result: Verdict,
    expected_peer_name: Option<PeerName>,
    #[serde(default)]
    expected_peer_names: Vec<PeerName>,
    max_chain_depth: Option<u8>,
    #[serde(default)]
    crls: Vec<String>,
}

/// The question of a case, in terms of the core.
pub struct Question {
    pub purpose: Purpose,
    pub now: UnixTime,
    /// The leaf in DER.
    pub leaf: CertificateDer<'static>,
    /// The trust anchors in DER.
    pub anchors: Vec<CertificateDer<'static>>,
    /// The other certificates that the peer sends, in DER.
    pub sent: Vec<CertificateDer<'static>>,
    /// The maximum number of intermediates on a path, if the case limits it.
    pub intermediates: Option<u8>,
    /// The server's name, if the case asks for one.
    pub name: Option<Name>,
    /// True if the case asks for names and a key usage beside the path.
    pub more: bool,
    /// True if the case has revocation lists.
    pub lists: bool,
}

/// The name of a server.
pub enum Name {
    Dns(String),
    Ip(IpAddr),
}

/// Runs every case of a suite.
///
/// # Errors
/// Fails if the text is not a limbo suite.
pub fn run(
    json: &[u8],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    limits: Limits,
) -> Result<Vec<Outcome>, String> {
    Ok(suite(json)?
        .into_iter()
        .map(|case| {
            let (got, reason) = match question(&case).and_then(|asked| verdict(&case, &asked, algorithms, limits)) {
                Ok(()) => (Verdict::Success, String::new()),
                Err(Refusal::Failure(reason)) => (Verdict::Failure, reason),
                Err(Refusal::Skipped(reason)) => (Verdict::Skipped, reason),
            };
            Outcome { id: case.id, expected: case.expected_result, got, reason }
        })
        .collect())
}

/// Returns the ids and questions of a suite's cases; the question is `None` if the core cannot be asked or the case is
/// not about certificates.
///
/// # Errors
/// Fails if the text is not a limbo suite.
pub fn questions(json: &[u8]) -> Result<Vec<(String, Option<Question>)>, String> {
    Ok(suite(json)?
        .into_iter()
        .map(|case| {
            let asked = question(&case).ok();
            (case.id, asked)
        })
        .collect())
}

fn suite(json: &[u8]) -> Result<Vec<Case>, String> {
    let suite: Suite = serde_json::from_slice(json).map_err(|error| format!("not an x509-limbo suite: {error}"))?;
    Ok(suite.testcases)
}

enum Refusal {
    Failure(String),
    Skipped(String),
}

fn skip<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Skipped(reason.into()))
}

fn fail(what: &str) -> impl Fn(&dyn std::fmt::Display) -> Refusal {
    let what = what.to_owned();
    move |reason| Refusal::Failure(format!("{what}: {reason}"))
}

fn question(case: &Case) -> Result<Question, Refusal> {
    for (feature, reason) in SKIPPED_FEATURES {
        if case.features.iter().any(|wanted| wanted == feature) {
            return skip(reason);
        }
    }
    if !case.signature_algorithms.is_empty() {
        return skip("a list of signature algorithms is not expressed here");
    }
    if case.key_usage.iter().any(|usage| usage != "digitalSignature") {
        return skip("no key usage but digitalSignature can be asked for");
    }
    let purpose = match (&case.validation_kind, case.extended_key_usage.as_slice()) {
        (ValidationKind::Server, []) => Purpose::ServerAuth,
        (ValidationKind::Client, []) => Purpose::ClientAuth,
        (_, [usage]) if usage == "serverAuth" => Purpose::ServerAuth,
        (_, [usage]) if usage == "clientAuth" => Purpose::ClientAuth,
        _ => return skip("no purpose but serverAuth or clientAuth can be asked for"),
    };
    let now = case.validation_time.unwrap_or_else(jiff::Timestamp::now).as_second();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap_or(0)));

    let leaf = der(&case.peer_certificate)?;
    let anchors = case.trusted_certs.iter().map(|pem| der(pem)).collect::<Result<Vec<_>, _>>()?;
    let sent = case.untrusted_intermediates.iter().map(|pem| der(pem)).collect::<Result<Vec<_>, _>>()?;
    let name = match &case.expected_peer_name {
        None => None,
        Some(name) => Some(match name.kind.as_str() {
            "DNS" => Name::Dns(name.value.clone()),
            "IP" => match name.value.parse() {
                Ok(address) => Name::Ip(address),
                Err(error) => return skip(format!("not an address: {}: {error}", name.value)),
            },
            kind => return skip(format!("a server name of kind {kind}")),
        }),
    };
    let more = !case.key_usage.is_empty() || !case.expected_peer_names.is_empty();
    let lists = !case.crls.is_empty();
    Ok(Question { purpose, now, leaf, anchors, sent, intermediates: case.max_chain_depth, name, more, lists })
}

fn verdict(
    case: &Case,
    asked: &Question,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    mut limits: Limits,
) -> Result<(), Refusal> {
    let leaf = Certificate::from_der(&asked.leaf).map_err(|error| fail("leaf does not parse")(&error))?;
    // A malformed certificate cannot be part of a path; a case that needs it fails for want of an issuer.
    let anchors = asked.anchors.iter().filter_map(|der| Certificate::from_der(der).ok()).map(Anchor::ca);
    let anchors: Vec<_> = anchors.collect();
    let sent: Vec<_> = asked.sent.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();

    if let Some(depth) = asked.intermediates {
        limits.intermediates = depth;
    }
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let ders = case.crls.iter().map(|pem| CertificateRevocationListDer::from_pem_slice(pem.as_bytes()));
    let ders = ders.collect::<Result<Vec<_>, _>>().map_err(|error| fail("PEM")(&error))?;
    // A list that is not processed is none, as is a malformed one: a case with lists is one where they are needed.
    let lists: Vec<_> = ders.iter().filter_map(|der| RevocationList::from_der(der).ok()).collect();
    let required = if ders.is_empty() { RequiredLists::None } else { RequiredLists::Chain };
    let revocation = Revocation { lists: &lists, required, now: asked.now };
    let path = trust
        .verify_unrevoked(&leaf, &sent, asked.purpose, asked.now, &revocation, &mut Budget::new(limits))
        .map_err(|error| fail("path")(&error))?;
    if case.key_usage.iter().any(|usage| usage == "digitalSignature")
        && leaf.extensions().key_usage.is_some_and(|usage| !usage.contains(KeyUsage::DIGITAL_SIGNATURE))
    {
        return Err(fail("key usage")(&"digitalSignature is not in the leaf's key usage"));
    }
    for name in &case.expected_peer_names {
        let found = leaf.extensions().subject_alt_name.into_iter().flatten().any(|found| match found {
            GeneralName::Rfc822(found) => name.kind == "RFC822" && found == name.value,
            GeneralName::Dns(found) => name.kind == "DNS" && found == name.value,
            _ => false,
        });
        if !found {
            return Err(fail("peer name")(&name.value));
        }
    }
    let server_name = match &asked.name {
        None => return Ok(()),
        Some(Name::Dns(name)) => ServerName::Dns(name),
        Some(Name::Ip(address)) => ServerName::Ip(*address),
    };
    server_name.authorize(path).map_err(|denied| fail("name")(&denied))?;
    Ok(())
}

fn der(pem: &str) -> Result<CertificateDer<'static>, Refusal> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| fail("PEM")(&error))
}
