//! From the core's configuration to an EST server: reads the files that it names.

use std::net::SocketAddr;
use std::path::Path;

use edgetrust_core::config::{self, Gateway};
use pki_types::CertificateDer;

use crate::acme::{Purposes, Settings};
use crate::gateway::{CredentialProvider, Limits, Watched, certificates, server_settings};
use crate::tls::ServerSettings;

/// What an EST server is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it shows, and whom it lets in.
    pub tls: ServerSettings,
    /// The CAs of this location: those that devices are known by, and those that their certificates will lead to.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Where certificates are ordered; its names do not count.
    pub acme: Settings,
    /// What it may cost.
    pub limits: Limits,
}

impl Plan {
    /// Reads every file that `gateway.est` names, each noted in `watched` first; none where there is no such section.
    ///
    /// # Errors
    /// Which file is not as it should be.
    pub fn new(
        gateway: &Gateway<'_>,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Option<Self>, String> {
        let Some(est) = &gateway.est else { return Ok(None) };
        Self::read(gateway, est, watched, provider).map(Some).map_err(|error| format!("gateway.est: {error}"))
    }

    fn read(
        gateway: &Gateway<'_>,
        est: &config::Est<'_>,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Self, String> {
        let known = certificates(&gateway.known_intermediates, watched)?;
        let tls = config::Server::MutualTls(est.tls.clone(), est.clients.clone());
        let mut tls = server_settings(&tls, &known, watched, provider)?.ok_or("expected TLS")?;
        tls.alpn = vec![b"http/1.1".to_vec()];
        let acme = Settings::read(&est.acme, Purposes { client: true, server: false }, |file| watched.note(file))?;
        let mut anchors = certificates(&est.clients.ca_files, watched)?;
        for anchor in &acme.anchors {
            if !anchors.contains(anchor) {
                anchors.push(anchor.clone());
            }
        }
        Ok(Self { listen: est.listen, tls, anchors, acme, limits: gateway.limits.into() })
    }

    /// The folder that the account is kept in.
    pub fn storage_path(&self) -> &Path {
        &self.acme.storage_path
    }
}
