//! From the core's configuration to an EST server: reads the files that it names.

use std::net::SocketAddr;
use std::path::Path;

use edgetrust_core::config::{self, Gateway};
use pki_types::CertificateDer;

use super::own_names::OwnNames;
use crate::acme::{Purposes, Settings};
use crate::gateway::{CredentialProvider, Limits, TunnelLimits, Watched, certificates, server_settings};
use crate::tls::ServerSettings;

/// What an EST server is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it shows, and whom it lets in.
    pub tls: ServerSettings,
    /// The CAs of this location: those that devices are known by, and those that the configuration says their certificates lead to.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Certificates of devices that are pinned: no CAs of this location, whatever they say of themselves.
    pub pinned: Vec<CertificateDer<'static>>,
    /// Intermediates that the configuration names.
    pub known: Vec<CertificateDer<'static>>,
    /// The gateway's names, of which no device gets one.
    pub own_names: OwnNames,
    /// Answers hold the intermediates beside the certificate, for devices that take them from there.
    pub chain_in_answer: bool,
    /// Where certificates are ordered; its names do not count.
    pub acme: Settings,
    /// What it may cost, with the gateway.
    pub limits: Limits,
    /// What it may cost by itself.
    pub own_limits: TunnelLimits,
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
        // Of all the system's CAs, those that issue here are told to devices once they are known.
        let issuers = if est.acme.issuer_bundle.or(est.acme.ca_bundle).is_some() { &acme.anchors[..] } else { &[] };
        for anchor in issuers {
            if !anchors.contains(anchor) {
                anchors.push(anchor.clone());
            }
        }
        Ok(Self {
            listen: est.listen,
            tls,
            anchors,
            pinned: certificates(&est.clients.pinned_certificates, watched)?,
            known,
            own_names: OwnNames::read(gateway, est, watched)?,
            chain_in_answer: est.chain_in_answer,
            acme,
            limits: gateway.limits.into(),
            own_limits: TunnelLimits::new(est.limits, gateway.limits),
        })
    }

    /// The folder that the account is kept in.
    pub fn storage_path(&self) -> &Path {
        &self.acme.storage_path
    }
}
