//! Collects cases for the host and the device, and compares the verdicts.

pub mod device;
pub mod hostile;

use std::collections::BTreeMap;

use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_core::path::Limits;
use edgetrust_core::x509::Certificate;
use edgetrust_verdicts::{Case, Keys, MAGIC, MAX_ANCHORS, MAX_SENT, Malformed, Policy, judge};
use pki_types::{CertificateDer, alg_id};

use crate::conformance::limbo;

/// A case with its name.
pub struct Named {
    pub name: String,
    /// The case's record, as it is in the stream.
    pub record: Vec<u8>,
    /// The host's verdict.
    pub verdict: String,
}

/// The cases for a device, and the number of omitted cases by reason.
#[derive(Default)]
pub struct Corpus {
    pub cases: Vec<Named>,
    pub left_out: BTreeMap<&'static str, usize>,
}

/// Two different verdicts on one case.
pub struct Difference {
    pub case: String,
    pub here: String,
    pub there: String,
}

impl Corpus {
    /// Judges a case on the host and adds it, or counts it as omitted if a device has no room for it.
    pub fn take(&mut self, name: String, mut case: Case<'_>) {
        case.number = u32::try_from(self.cases.len()).expect("fewer cases");
        let (mut record, mut verdict) = (Vec::new(), String::new());
        match case.write(&mut record) {
            Ok(()) => {
                judge(&case, ECDSA_P256_SHA256, &mut verdict).expect("a string takes all");
                self.cases.push(Named { name, record, verdict });
            }
            Err(Malformed) => self.leave("longer than a device's buffer"),
        }
    }

    fn leave(&mut self, reason: &'static str) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    /// Adds the cases of x509-limbo.
    ///
    /// # Errors
    /// Fails if the text is not a limbo suite.
    pub fn take_limbo(&mut self, json: &[u8]) -> Result<(), String> {
        for (id, asked) in limbo::questions(json)? {
            match asked.as_ref().ok_or("asks what the core does not answer").and_then(limbo_case) {
                Ok(case) => self.take(id, case),
                Err(reason) => self.leave(reason),
            }
        }
        Ok(())
    }

    /// Keeps only each `nth` case.
    pub fn thin(&mut self, nth: usize) {
        let mut number = 0_u32;
        let mut place = 0;
        self.cases.retain_mut(|case| {
            place += 1;
            let stays = (place - 1) % nth == 0;
            if stays {
                // The number follows the record's length.
                case.record[4..8].copy_from_slice(&number.to_le_bytes());
                number += 1;
            }
            stays
        });
    }

    /// Returns the differences between the device's answer, one line for each case, and the host's verdicts.
    pub fn differences(&self, answer: &str) -> Vec<Difference> {
        let mut lines = answer.lines();
        let mut found = Vec::new();
        for (number, case) in self.cases.iter().enumerate() {
            let here = format!("{number} {}", case.verdict);
            let there = lines.next().unwrap_or("nothing");
            if here != there {
                found.push(Difference { case: case.name.clone(), here, there: there.to_owned() });
            }
        }
        let more = |there: &str| Difference { case: "no case".into(), here: "nothing".into(), there: there.to_owned() };
        found.extend(lines.map(more));
        found
    }

    /// Returns the stream that the device reads.
    pub fn stream(&self) -> Vec<u8> {
        let mut stream = MAGIC.to_vec();
        self.cases.iter().for_each(|case| stream.extend(&case.record));
        stream
    }
}

/// Returns a case of x509-limbo, or the reason for which a device cannot judge it.
fn limbo_case(asked: &limbo::Question) -> Result<Case<'_>, &'static str> {
    if asked.more {
        return Err("asks for names and a key usage beside the path");
    }
    if asked.lists {
        return Err("has revocation lists, which a device does not know");
    }
    let all = asked.anchors.iter().chain(&asked.sent).chain([&asked.leaf]);
    if all.clone().any(|der| !is_p256(der)) {
        return Err("has keys or signatures other than P-256 with SHA-256");
    }
    if asked.anchors.len() > MAX_ANCHORS || asked.sent.len() > MAX_SENT {
        return Err("more certificates than a device has room for");
    }
    let policy = match &asked.name {
        None => Policy::None,
        Some(limbo::Name::Dns(name)) => Policy::Dns(name),
        Some(limbo::Name::Ip(address)) => Policy::Ip(*address),
    };
    Ok(Case {
        number: 0,
        purpose: asked.purpose,
        now: asked.now.as_secs(),
        intermediates: asked.intermediates.unwrap_or(Limits::DEVICE.intermediates),
        policy,
        issuers: Keys::new(),
        denied: Keys::new(),
        anchors: asked.anchors.iter().map(|der| der.as_ref()).collect(),
        sent: asked.sent.iter().map(|der| der.as_ref()).collect(),
        leaf: asked.leaf.as_ref(),
    })
}

/// Returns whether a certificate uses P-256, or does not parse: host and device must both reject a malformed one.
fn is_p256(der: &CertificateDer<'_>) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        certificate.subject_public_key_info().algorithm == alg_id::ECDSA_P256.as_ref()
            && certificate.signature_algorithm() == alg_id::ECDSA_SHA256.as_ref()
    }) || Certificate::from_der(der).is_err()
}
