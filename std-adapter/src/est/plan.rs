//! Turns the core's configuration into the plan of an EST server, and reads the files that the configuration names.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use edgetrust_core::config::{Est, Gateway};
use pki_types::CertificateDer;

use super::first_names::FirstNames;
use super::own_names::OwnNames;
use super::voucher_file::VoucherFile;
use crate::acme::{Purposes, Settings, SettingsError};
use crate::gateway::{
    self, CredentialProvider, Limits, SharedTrust, TunnelLimits, Watched, certificates, client_auth, tls_settings,
};
use crate::store::Home;
use crate::tls::ServerSettings;

/// The plan of an EST server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The server's credential, and the devices that are admitted.
    pub tls: ServerSettings,
    /// The CAs of this location: those that verify devices, and those that devices' certificates lead to by
    /// configuration.
    pub anchors: Vec<CertificateDer<'static>>,
    /// The pinned certificates of devices, which are not CAs of this location even if they claim to be.
    pub pinned: Vec<CertificateDer<'static>>,
    /// The intermediates that the configuration names.
    pub known: Vec<CertificateDer<'static>>,
    /// The gateway's names, of which no device gets one.
    pub own_names: OwnNames,
    /// Answers hold the intermediates beside the certificate, for devices that take them from there.
    pub chain_in_answer: bool,
    /// The settings for ordering certificates; their names do not count.
    pub acme: Settings,
    /// The limits shared with the gateway.
    pub limits: Limits,
    /// The limits of the EST server alone.
    pub own_limits: TunnelLimits,
    /// The address and the names of first certificates; none if they come from elsewhere.
    pub first: Option<(SocketAddr, FirstNames, Arc<VoucherFile>)>,
}

/// The reason that `gateway.est` does not become a plan.
#[derive(Debug)]
pub enum PlanError {
    /// A setting that it shares with tunnels is faulty: certificates, the server's credential, its trust in devices.
    Tls(gateway::PlanError),
    /// The `acme` section cannot be used.
    Acme(SettingsError),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gateway.est: ")?;
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Acme(error) => error.fmt(f),
        }
    }
}

impl Error for PlanError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            Self::Acme(error) => Some(error),
        }
    }
}

impl From<gateway::PlanError> for PlanError {
    fn from(error: gateway::PlanError) -> Self {
        Self::Tls(error)
    }
}

impl Plan {
    /// Reads every file that `gateway.est` names, each noted in `watched` first; `None` if there is no such section.
    ///
    /// # Errors
    /// Returns which file is faulty.
    pub(crate) fn new(
        gateway: &Gateway<'_>,
        shared: &SharedTrust<'_>,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Option<Self>, PlanError> {
        let Some(est) = &gateway.est else { return Ok(None) };
        Self::read(gateway, est, shared, watched, provider).map(Some)
    }

    fn read(
        gateway: &Gateway<'_>,
        est: &Est<'_>,
        shared: &SharedTrust<'_>,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Self, PlanError> {
        let clients = client_auth(&est.clients, shared, watched)?;
        let mut tls = tls_settings(&est.tls, clients, watched, provider)?;
        tls.alpn = vec![b"http/1.1".to_vec()];
        let purposes = Purposes { client: true, server: false };
        let denied = shared.denied_keys().to_vec();
        let acme = Settings::read(&est.acme, purposes, denied, shared.ca_files(), |file| watched.note(file));
        let acme = acme.map_err(PlanError::Acme)?;
        let mut anchors = shared.authorities(&est.clients.ca_files, watched)?;
        // If the issuers are the system's CAs, only those found to issue here are sent to devices.
        let issuers = if est.acme.issuer_bundle.or(est.acme.ca_bundle).is_some() { &acme.anchors[..] } else { &[] };
        for anchor in issuers {
            if !anchors.contains(anchor) {
                anchors.push(anchor.clone());
            }
        }
        let own_names = OwnNames::read(gateway, est, watched)?;
        let first = est.first_enrollment.map(|listen| {
            let vouchers = Arc::new(VoucherFile::new(Path::new(est.acme.storage_path)));
            (listen, FirstNames::new(gateway, est, own_names.clone()), vouchers)
        });
        Ok(Self {
            listen: est.listen,
            tls,
            anchors,
            pinned: certificates(&est.clients.pinned_certificates, watched)?,
            known: shared.known_intermediates.clone(),
            own_names,
            chain_in_answer: est.chain_in_answer,
            acme,
            limits: gateway.limits.into(),
            own_limits: TunnelLimits::new(est.limits, gateway.limits),
            first,
        })
    }

    /// Returns the home of the account.
    pub fn home(&self) -> &Home {
        &self.acme.home
    }
}
