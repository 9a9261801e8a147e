//! Reports for `edgetrust check` on an `acme` section and, with `--online`, on its directory.

use std::net::TcpListener;
use std::path::Path;

use edgetrust_core::config::{Acme, ChallengeType, Est};
use edgetrust_core::path::Purpose;
use edgetrust_core::rotation::Policy;
use edgetrust_core::time::Utc;
use edgetrust_core::x509::Certificate;

use super::Failure;
use super::check_files::Files;
use super::check_names::unresolved;
use super::findings::{Findings, Level};
use crate::acme::{Directory, Purposes, Settings, account_file, probe, verify};
use crate::clock;
use crate::est::{VoucherFile, VoucherState};
use crate::pem;
use crate::replica::settings::permissions;
use crate::token::{self, TokenKey};

/// The clock difference in seconds above which valid certificates fail.
const CLOCK_TOLERANCE_S: u64 = 30;

pub(super) fn check(acme: &Acme<'_>, purpose: Purpose, files: &Files, findings: &mut Findings) {
    let purposes = Purposes { server: purpose == Purpose::ServerAuth, client: purpose == Purpose::ClientAuth };
    let settings = match Settings::read(acme, purposes, Vec::new(), &files.ca_files, |_| {}) {
        Ok(settings) => settings,
        Err(error) => return findings.once(Level::Error, error.to_string()),
    };
    findings
        .once(Level::Ok, format!("certificate for {} from {}", settings.domains.join(", "), settings.directory_url));
    acme.storage.iter().flat_map(permissions).for_each(|warning| findings.once(Level::Warning, warning));
    if let Some(uri) = &settings.key {
        match TokenKey::find(uri) {
            Ok(key) => findings.once(Level::Ok, format!("each certificate is for the key in {key}")),
            Err(error) => findings.once(Level::Error, format!("acme.key: {error}")),
        }
        token::key_permissions(uri).into_iter().for_each(|warning| findings.once(Level::Warning, warning));
    }
    kept(&settings, findings);
    reachable(&settings, files.online, findings);
}

/// Reports the devices that this location admits, and the account that orders the certificates, which are not kept
/// here.
pub(super) fn devices(est: &Est<'_>, files: &Files, findings: &mut Findings) {
    let cas = est.clients.ca_files.iter().flat_map(|file| files.ca_files.read(Path::new(file)));
    let pins = est.clients.pinned_certificates.iter().flat_map(|file| pem::read_certificates(Path::new(file)));
    let (cas, pins): (Vec<_>, Vec<_>) = (cas.flatten().collect(), pins.flatten().collect());
    for certificate in cas.iter().filter(|der| !pins.contains(der)) {
        let Ok(certificate) = Certificate::from_der(certificate) else { continue };
        let constraints = certificate.extensions().basic_constraints;
        if constraints.is_some_and(|constraints| constraints.ca && constraints.path_len != Some(0)) {
            let subject = certificate.subject();
            findings.add(
                Level::Warning,
                format!(
                    "devices of every CA below {subject} are admitted: client_ca_files is to name the location's CA"
                ),
            );
        }
    }
    if est.chain_in_answer {
        let what = "chain_in_answer: answers hold intermediates beside the certificate, which clients of RFC 7030 refuse; the next version does not know it";
        findings.add(Level::Warning, what);
    }
    let purposes = Purposes { client: true, server: false };
    let settings = match Settings::read(&est.acme, purposes, Vec::new(), &files.ca_files, |_| {}) {
        Ok(settings) => settings,
        Err(error) => return findings.once(Level::Error, error.to_string()),
    };
    findings.once(Level::Ok, format!("certificates for devices from {}", settings.directory_url));
    if let Err(error) = wait_for(account_file(&settings.home)) {
        findings.once(Level::Error, error.to_string());
    }
    if let Some(listen) = est.first_enrollment {
        match VoucherFile::new(Path::new(est.acme.storage_path)).read() {
            Ok(vouchers) => {
                let now = clock::now();
                let open = vouchers.all().iter().filter(|one| one.state(now) == VoucherState::Open).count();
                findings.once(Level::Ok, format!("first certificates at {listen}, by vouchers: {open} open"));
            }
            Err(error) => findings.once(Level::Error, format!("first certificates: {error}")),
        }
    }
    reachable(&settings, files.online, findings);
}

fn reachable(settings: &Settings, online: bool, findings: &mut Findings) {
    if settings.challenge_type == ChallengeType::Http01 {
        match TcpListener::bind(settings.http_listen) {
            Ok(_) => findings.once(Level::Ok, format!("http-01 can be answered at {}", settings.http_listen)),
            Err(error) => findings
                .once(Level::Warning, format!("http-01: {} cannot be listened on now: {error}", settings.http_listen)),
        }
    }
    if online {
        ask(settings, findings);
    }
}

/// Runs an operation that waits for the disk or the network.
fn wait_for<T, E: Into<Failure>>(operation: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(operation).map_err(Into::into)
}

fn kept(settings: &Settings, findings: &mut Findings) {
    let home = &settings.home;
    let kept = match wait_for(home.kept()) {
        Ok(kept) => kept,
        Err(error) => return findings.once(Level::Error, error.to_string()),
    };
    for error in kept.errors {
        findings.once(Level::Error, error);
    }
    match kept.active {
        None => findings.once(Level::Warning, format!("{home}: no certificate yet: `run` obtains it")),
        Some(active) if clock::now() > active.not_after => {
            let end = Utc(active.not_after);
            findings.once(Level::Warning, format!("{home}: expired at {end}: `run` renews it"));
        }
        Some(active) => {
            let policy = Policy { renew_before_s: settings.renew_before_s, ..Policy::default() };
            let hours = policy.lead_s(&active) / 3600;
            findings
                .once(Level::Ok, format!("{home}: valid until {}, renewed {hours} h before", Utc(active.not_after)));
            let read = wait_for(home.read(active.slot));
            // Roots, names or purposes may have changed since the issuance: then a start attempts a renewal at once.
            if let Err(error) = read.and_then(|record| Ok(verify(settings, &record.chain, clock::now())?)) {
                findings.once(
                    Level::Warning,
                    format!("{home}: the certificate that is kept: {error}: `run` renews it, and shows it until then"),
                );
            }
        }
    }
    if let Err(error) = wait_for(account_file(home)) {
        findings.once(Level::Error, error.to_string());
    }
}

/// Looks up the CA's host name, and the names that the CA will look up.
fn resolve(settings: &Settings, findings: &mut Findings) -> bool {
    let host = settings.directory_url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    // A proxy looks up the name itself.
    let host = settings.via.as_ref().map_or(host, |via| via.host().0);
    let unknown = unresolved(host.trim_matches(['[', ']']));
    let found = unknown.is_none();
    if let Some(why) = unknown {
        findings.once(Level::Error, why);
    }
    if settings.challenge_type != ChallengeType::Dns01 {
        for why in settings.domains.iter().filter_map(|domain| unresolved(domain)) {
            findings.once(Level::Warning, format!("{why}; the CA must find it"));
        }
    }
    found
}

fn ask(settings: &Settings, findings: &mut Findings) {
    if !resolve(settings, findings) {
        return;
    }
    let directory = match wait_for(probe(settings)) {
        Ok(directory) => directory,
        Err(error) => return findings.once(Level::Error, error.to_string()),
    };
    findings.once(Level::Ok, "the directory answers, and its certificate leads to the configured roots");
    let Directory { clock_offset_s, renewal_info, external_account_required, profiles } = directory;
    match clock_offset_s {
        Some(offset) if offset.unsigned_abs() > CLOCK_TOLERANCE_S => {
            let how = if offset > 0 { "behind" } else { "ahead of" };
            findings.once(Level::Error, format!("this clock is {} s {how} the CA's", offset.unsigned_abs()));
        }
        Some(_) => findings.once(Level::Ok, "its clock agrees with this one"),
        None => findings.once(Level::Warning, "it does not say what time it is"),
    }
    if renewal_info {
        findings.once(Level::Ok, "it suggests renewals (RFC 9773)");
    }
    if external_account_required && settings.eab.is_none() {
        findings.once(Level::Error, "it wants an external account: found no eab");
    }
    if let Some(profile) = settings.profile.as_ref().filter(|profile| !profiles.contains(profile)) {
        let known = if profiles.is_empty() { "none".to_owned() } else { profiles.join(", ") };
        findings.once(Level::Warning, format!("it does not announce the profile {profile}; it announces {known}"));
    }
}
