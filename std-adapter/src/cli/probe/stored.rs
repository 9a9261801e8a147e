//! Finds the certificate that an `acme` section keeps, as a gateway would show it, and orders none.

use std::error::Error;
use std::path::Path;

use edgetrust_core::config::{Acme, Files};
use edgetrust_core::path::Purpose;
use edgetrust_core::time::Utc;

use super::report::Level;
use crate::acme::{Purposes, Settings, credential};
use crate::clock;
use crate::gateway::{CredentialProvider, Watched};
use crate::pem::CaFiles;
use crate::store::Home;
use crate::tls::{Credential, LiveCredential};

/// The provider of stored certificates: it reads, and takes no home.
#[derive(Debug)]
pub(in crate::cli) struct Stored<'a> {
    runtime: &'a tokio::runtime::Runtime,
    /// Findings about the stored certificates.
    pub(super) said: Vec<(Level, String)>,
}

impl<'a> Stored<'a> {
    pub(in crate::cli) fn new(runtime: &'a tokio::runtime::Runtime) -> Self {
        Self { runtime, said: Vec::new() }
    }

    /// Returns the certificate in use of a home.
    fn kept(&mut self, home: &Home) -> Result<Option<Credential>, Box<dyn Error + Send + Sync>> {
        let kept = self.runtime.block_on(home.kept())?;
        self.said.extend(kept.errors.into_iter().map(|error| (Level::Error, error)));
        let Some(active) = kept.active else { return Ok(None) };
        let record = self.runtime.block_on(home.read(active.slot))?;
        credential(&record).map(Some)
    }
}

impl CredentialProvider for Stored<'_> {
    /// Returns what is kept if it is valid, else the fallback if that is valid, else what is kept, as a start does.
    fn acme(
        &mut self,
        acme: &Acme<'_>,
        fallback: Option<&Files<'_>>,
        purpose: Purpose,
        _: &mut Watched,
    ) -> Result<Credential, Box<dyn Error + Send + Sync>> {
        let purposes = Purposes { server: purpose == Purpose::ServerAuth, client: purpose == Purpose::ClientAuth };
        // Its roots do not matter: nothing is ordered.
        let settings = Settings::read(acme, purposes, Vec::new(), &CaFiles::default(), |_| {})?;
        let home = &settings.home;
        let kept = self.kept(home).unwrap_or_else(|error| {
            self.said.push((Level::Error, error.to_string()));
            None
        });
        let end = |credential: &Credential| credential.validity().map(|(_, end)| end);
        let holds = |credential: &Credential| end(credential).is_some_and(|end| clock::now() <= end);
        if let Some(kept) = kept.as_ref().filter(|kept| holds(kept)) {
            self.said.push((Level::Ok, format!("kept in {home}, from {}", settings.directory_url)));
            return Ok(kept.clone());
        }
        self.said.push(match kept.as_ref().and_then(end) {
            None => (Level::Warning, format!("{home}: none yet: `edgetrust run` obtains one")),
            Some(end) => (Level::Warning, format!("{home}: expired at {}: `edgetrust run` renews it", Utc(end))),
        });
        if let Some(Files { cert_file, key_file }) = fallback {
            let fallback = Credential::load(Path::new(cert_file), Path::new(key_file))?;
            if holds(&fallback) {
                self.said.push((Level::Ok, format!("the fallback: {cert_file}")));
                return Ok(fallback);
            }
            self.said.push((Level::Warning, format!("the fallback has expired: {cert_file}")));
        }
        Ok(kept.unwrap_or_else(|| LiveCredential::new().credential()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Record;
    use edgetrust_core::config::{Config, CredentialSource};
    use edgetrust_core::store::Slot;
    use pki_types::UnixTime;
    use rcgen::{CertificateParams, KeyPair};
    use std::time::Duration;

    fn record(year: i32) -> Record {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["b.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let chain = vec![params.self_signed(&key).unwrap().der().clone()];
        // Slots hold what a certificate says of itself; here only its end is looked at, in the certificate.
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        Record { key: key.serialize_der(), chain, not_before: at(0), not_after: at(1) }
    }

    #[test]
    fn a_certificate_that_a_running_gateway_keeps_is_found_and_an_expired_one_is_named() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme").display().to_string();
        let mut text = format!(
            r#"{{"security": {{"tls": {{"client": {{"mode": "acme", "mtls": {{"enabled": true}}, "acme": {{
                "enabled": true, "directory_url": "https://ca.example/acme", "domains": ["b.example"],
                "http_listen": "127.0.0.1:0", "storage_path": "{path}"}}}}}}}}}}"#
        )
        .into_bytes();
        let config = Config::parse(&mut text).unwrap();
        let Some(CredentialSource::Acme(acme)) = &config.client.credential else { panic!("no acme section") };
        let ask = || {
            let mut stored = Stored::new(&runtime);
            let found = stored.acme(acme, None, Purpose::ClientAuth, &mut Watched::default()).unwrap();
            (found.chain(), stored.said)
        };
        let (chain, said) = ask();
        assert!(chain.is_empty() && said[0].0 == Level::Warning && said[0].1.contains("none yet"), "{said:?}");
        assert!(!folder.path().join("acme").exists());

        let held = runtime.block_on(Home::folder(&path).take()).unwrap();
        for (slot, year, level, what) in
            [(Slot::A, 4096, Level::Ok, "kept in "), (Slot::B, 2021, Level::Warning, "expired at 2021-01-01")]
        {
            let record = record(year);
            runtime.block_on(held.stage(slot, record.clone(), clock::now())).unwrap();
            runtime.block_on(held.confirm(slot)).unwrap();
            let (chain, said) = ask();
            assert_eq!(chain, record.chain);
            assert!(said.len() == 1 && said[0].0 == level && said[0].1.contains(what), "{said:?}");
        }
    }
}
