//! Reports for `edgetrust check` on the files that a configuration names.

use std::path::Path;
use std::time::Duration;

use edgetrust_core::config;
use edgetrust_core::identity::ServerName;
use edgetrust_core::path::{Anchor, Budget, DeniedKey, Limits, PathError, PathErrorKind, Purpose, Trust};
use edgetrust_core::time::Utc;
use edgetrust_core::x509::Certificate;
use pki_types::{CertificateDer, UnixTime};

use super::check_anchors::{List, bundle, end};
use super::findings::{Findings, Level};
use crate::gateway::SiteMesh;
use crate::pem::CaFiles;
use crate::tls::{Anchors, Authority, Credential, provider, system_roots};
use crate::{clock, pem, token};

/// The remaining time below which a certificate's end is warned of, unless the whole life is short.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// The certificates that have been read, and the time of the check.
pub(super) struct Files {
    now: UnixTime,
    /// ACME directories are queried too.
    pub(super) online: bool,
    known_intermediates: Vec<CertificateDer<'static>>,
    pub(super) denied_keys: Vec<DeniedKey>,
    anchors: Anchors,
    system: Option<usize>,
    /// The reader of files of CAs.
    pub(super) ca_files: CaFiles,
}

impl Files {
    pub(super) fn new(
        known_intermediates: &[&str],
        denied_keys: &[config::DeniedKey<'_>],
        online: bool,
        findings: &mut Findings,
    ) -> Self {
        let now = clock::now();
        let denied_keys = denied_keys.iter().map(DeniedKey::from).collect();
        let (anchors, ca_files) = (Anchors::default(), CaFiles::default());
        let mut files =
            Self { now, online, known_intermediates: Vec::new(), denied_keys, anchors, system: None, ca_files };
        for file in known_intermediates {
            let read = bundle(file, List::Known, now, findings);
            files.known_intermediates.extend(read);
        }
        files
    }

    /// Returns the time of the check.
    pub(super) fn now(&self) -> UnixTime {
        self.now
    }

    /// Returns the certificates that may sign revocation lists.
    pub(super) fn authorities(&self) -> impl Iterator<Item = Certificate<'_>> {
        let all = self.anchors.stated.iter().chain(&self.anchors.pinned).chain(&self.known_intermediates);
        all.flat_map(|der| Certificate::from_der(der))
    }

    /// Adds what a mesh says of CAs and denied keys.
    pub(super) fn take_mesh(&mut self, mesh: &SiteMesh<'_>) {
        self.denied_keys.extend(mesh.denied_keys());
        self.known_intermediates.extend(mesh.known_intermediates());
        self.anchors.stated.extend_from_slice(mesh.roots());
    }

    /// Adds CAs and pins; faults of their files are reported where the files are used.
    pub(super) fn learn(&mut self, cas: &[&str], pins: &[&str]) {
        let cas = cas.iter().flat_map(|file| self.ca_files.read(Path::new(file)).unwrap_or_default());
        let pins = pins.iter().flat_map(|file| pem::read_certificates(Path::new(file)).unwrap_or_default());
        let (cas, pins): (Vec<_>, Vec<_>) = (cas.collect(), pins.collect());
        for (read, known) in [(cas, &mut self.anchors.stated), (pins, &mut self.anchors.pinned)] {
            for der in read {
                if !known.contains(&der) {
                    known.push(der);
                }
            }
        }
    }

    /// Returns the CAs and pins that peers of this purpose are verified by.
    pub(super) fn anchors(&self, cas: &[&str], pins: &[&str], purpose: Purpose, findings: &mut Findings) -> Anchors {
        let mut read = |files: &[&str], list: List<'_>| {
            let mut read = |file: &&str| match self.ca_files.in_place_of(Path::new(file)) {
                // What the mesh says of its roots is said where the mesh is.
                Some(roots) if matches!(list, List::Cas(..)) => roots.to_vec(),
                _ => bundle(file, list, self.now, findings),
            };
            files.iter().flat_map(&mut read).collect::<Vec<_>>()
        };
        let pinned = read(pins, List::Pins(purpose));
        let stated = read(cas, List::Cas(&pinned, purpose));
        Anchors { pinned, stated, ..Anchors::default() }
    }

    /// Returns the number of the system's usable CAs.
    pub(super) fn system_roots(&mut self) -> usize {
        if let Some(count) = self.system {
            return count;
        }
        let found = system_roots().usable;
        let count = found.len();
        self.system = Some(count);
        self.anchors.system = found;
        count
    }

    fn dates(&self, certificate: &Certificate<'_>) -> Result<(), String> {
        let validity = certificate.validity();
        if self.now > validity.not_after {
            return Err(format!("expired at {}, and it is {}", Utc(validity.not_after), Utc(self.now)));
        }
        if self.now < validity.not_before {
            return Err(format!("is not valid before {}, and it is {}", Utc(validity.not_before), Utc(self.now)));
        }
        Ok(())
    }

    /// Checks a credential presented to peers: the key fits and is private, the chain verifies, the names are covered.
    /// `ended` is the level of a certificate that is not valid now.
    pub(super) fn credential(
        &self,
        files: &config::Files<'_>,
        ended: Level,
        purpose: Purpose,
        names: &[&str],
        findings: &mut Findings,
    ) {
        let file = files.cert_file;
        if let Some(warning) = token::key_permissions(files.key_file) {
            findings.once(Level::Warning, warning);
        }
        let credential = match Credential::load(Path::new(file), Path::new(files.key_file)) {
            Ok(credential) => credential,
            Err(error) => return findings.once(Level::Error, error.to_string()),
        };
        // The certificates have been read, so they parse.
        let ders = credential.chain();
        let chain: Vec<_> = ders.iter().flat_map(|der| Certificate::from_der(der)).collect();
        let Some((leaf, sent)) = chain.split_first() else { return };
        let place = credential.token().map(|key| format!(", the key is in {key}")).unwrap_or_default();
        findings.once(Level::Ok, format!("{file}: {}, the key matches{place}", leaf.subject()));
        self.expiry(file, leaf, ended, findings);
        for authority in Authority::of_chain(&ders) {
            findings.know(file, &authority, self.now);
            end(file, &authority, "an intermediate that is shown", self.now, findings);
        }
        self.path(file, leaf, sent, purpose, names, findings);
    }

    fn expiry(&self, file: &str, leaf: &Certificate<'_>, ended: Level, findings: &mut Findings) {
        let validity = leaf.validity();
        let left = validity.not_after.as_secs().saturating_sub(self.now.as_secs());
        let life = validity.not_after.as_secs().saturating_sub(validity.not_before.as_secs());
        let level = if left < SOON.as_secs().min(life / 3) { Level::Warning } else { Level::Ok };
        if let Err(why) = self.dates(leaf) {
            return findings.once(ended, format!("{file}: {why}"));
        }
        let (days, hours) = (left / 86_400, left / 3_600 % 24);
        findings.once(level, format!("{file}: valid until {}, {days} days {hours} hours", Utc(validity.not_after)));
    }

    fn path(
        &self,
        file: &str,
        leaf: &Certificate<'_>,
        sent: &[Certificate<'_>],
        purpose: Purpose,
        names: &[&str],
        findings: &mut Findings,
    ) {
        let Anchors { pinned, stated, system } = &self.anchors;
        // A certificate that one part pins may be another part's CA.
        let pinned = pinned.iter().filter(|der| !stated.contains(der) || der.as_ref() == leaf.der());
        let pinned = pinned.flat_map(|der| Certificate::from_der(der)).map(Anchor::pin);
        let stated = stated.iter().flat_map(|der| Certificate::from_der(der)).map(Anchor::new);
        let system = system.iter().flat_map(|der| Certificate::from_der(der)).map(Anchor::ca);
        let anchors: Vec<_> = pinned.chain(stated).chain(system).collect();
        let known: Vec<_> = self.known_intermediates.iter().flat_map(|der| Certificate::from_der(der)).collect();
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms.all;
        let trust =
            Trust { anchors: &anchors, known_intermediates: &known, denied_keys: &self.denied_keys, algorithms };
        match trust.verify(leaf, sent, purpose, self.now, &mut Budget::new(Limits::SERVER)) {
            Ok(_) => findings.once(Level::Ok, format!("{file}: its chain leads to a configured CA")),
            Err(error) if error.kind.is_unknown_issuer() => findings
                .once(Level::Warning, format!("{file}: its chain leads to no CA of this file or system: {error}")),
            Err(PathError { depth: 0, kind: PathErrorKind::LeafIsCa }) => findings
                .once(Level::Warning, format!("{file}: a CA certificate of its own: only peers that pin it accept it")),
            // `expiry` has reported this, with the date.
            Err(_) if self.dates(leaf).is_err() => {}
            Err(error) => return findings.once(Level::Error, format!("{file}: peers will refuse it: {error}")),
        }
        for name in names {
            // Only the name is checked here: the leaf is its own pin, so that other faults do not count.
            let own = [Anchor::pin(*leaf)];
            let pinned = Trust { anchors: &own, known_intermediates: &[], denied_keys: &[], algorithms };
            let at = leaf.validity().not_before;
            let Ok(path) = pinned.verify(leaf, &[], purpose, at, &mut Budget::new(Limits::SERVER)) else { continue };
            match ServerName::Dns(name).authorize(path) {
                Ok(_) => findings.once(Level::Ok, format!("{file}: is for {name}")),
                Err(_) => findings.once(Level::Error, format!("{file}: is not for {name}, which sni lists")),
            }
        }
    }
}
