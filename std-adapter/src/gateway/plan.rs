//! Makes tunnels from the core's configuration, and reads the files that the configuration names.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::config::{
    Acme, ClientTls, ClientTrust, CredentialSource, Egress as ConfigEgress, Files, Gateway,
    MinVersion as ConfigVersion, Server, ServerTls, Tunnel as ConfigTunnel, TunnelKind as ConfigKind,
};
use edgetrust_core::path::{DeniedKey, Purpose};
use edgetrust_core::time::Utc;
use pki_types::CertificateDer;
use tracing::{error, info, warn};

use super::admin_plan::AdminPlan;
use super::control::{ControlPlan, Dial};
use super::issuers::{issuers, peers};
use super::mesh_in_force::MeshRemark;
use super::of_mesh::{MeshText, SiteMesh};
use super::plan_error::PlanError;
use super::revocation::ListStatus;
use super::shared_trust::{SharedTrust, certificates};
use super::{Address, Limits, MeshStatus, Tunnel, TunnelKind, TunnelLimits, Watched};
use crate::clock;
use crate::egress::Egress;
use crate::pem;
use crate::tls::{
    Anchors, ClientAuth, ClientSettings, Credential, MinVersion, Peers, ServerSettings, ServerTrust, TrustSettings,
    TrustStore, server_name, system_roots,
};
use crate::token;

/// Provides credentials that are not simply files.
pub trait CredentialProvider {
    /// Returns a credential from an ACME directory, with files as a fallback while the directory is unavailable; each
    /// file is noted in `watched` before it is read.
    ///
    /// # Errors
    /// Returns the fault in the section, or in the files that it names.
    fn acme(
        &mut self,
        acme: &Acme<'_>,
        fallback: Option<&Files<'_>>,
        purpose: Purpose,
        watched: &mut Watched,
    ) -> Result<Credential, Box<dyn Error + Send + Sync>>;
}

/// The provider for programs that obtain no certificates.
#[derive(Clone, Copy, Debug)]
pub struct NoAcme;

impl CredentialProvider for NoAcme {
    fn acme(
        &mut self,
        _: &Acme<'_>,
        _: Option<&Files<'_>>,
        _: Purpose,
        _: &mut Watched,
    ) -> Result<Credential, Box<dyn Error + Send + Sync>> {
        Err("mode \"acme\": this program obtains no certificates, expected \"manual\"".into())
    }
}

/// The configuration of a gateway, with its files read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The tunnels.
    pub tunnels: Vec<Tunnel>,
    /// The limits of the gateway.
    pub limits: Limits,
    /// The operator's pages.
    pub(crate) admin: Option<AdminPlan>,
    /// The control channel, if the gateway has a signed mesh and speaks of it.
    pub(crate) control: Option<ControlPlan>,
    /// The mesh in force.
    pub(crate) mesh: Option<MeshStatus>,
    /// The revocation lists.
    pub(crate) lists: Vec<ListStatus>,
    /// The keys that the configuration and the mesh deny.
    pub(crate) denied: Vec<DeniedKey>,
    /// The file of the audit log.
    pub(crate) audit_log: Option<PathBuf>,
    /// Findings about the mesh.
    pub(crate) remarks: Vec<MeshRemark>,
}

impl Plan {
    /// Reads every file that a configuration names, each noted in `watched` first.
    ///
    /// # Errors
    /// Returns the tunnel, and the fault in a file.
    pub(crate) fn new(
        gateway: &Gateway<'_>,
        shared: &SharedTrust<'_>,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Self, PlanError> {
        if gateway.tunnels.is_empty() {
            return Err(PlanError::NoTunnel);
        }
        let mut roots = LazyRoots::default();
        let mesh = shared.mesh.as_ref().map(MeshText::open).transpose().map_err(PlanError::Mesh)?;
        let tunnels = gateway.tunnels.iter().map(|tunnel| {
            Self::tunnel(tunnel, gateway, (shared, mesh.as_ref()), &mut roots, watched, provider)
                .map_err(|error| PlanError::Tunnel(tunnel.name.to_owned(), Box::new(error)))
        });
        let tunnels: Vec<Tunnel> = tunnels.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let speaks = gateway.mesh.as_ref().and_then(|mesh| mesh.signed).is_some_and(|signed| signed.control);
        let control = match mesh.as_ref().filter(|_| speaks) {
            Some(mesh) => Self::control(mesh, gateway, shared, &tunnels)?,
            None => None,
        };
        let mesh = mesh.as_ref().map(SiteMesh::status);
        let remarks = shared.mesh.as_ref().map(|mesh| mesh.remarks().to_vec()).unwrap_or_default();
        let admin = gateway.admin.as_ref().map(|admin| {
            let tls = admin.tls.as_ref().map(|tls| {
                let clients = client_auth(&admin.clients, shared, watched)?;
                tls_settings(tls, clients, watched, provider)
            });
            let tls = tls.transpose().map_err(|error| PlanError::Admin(Box::new(error)))?;
            Ok(AdminPlan::new(admin, tls))
        });
        let (limits, admin) = (gateway.limits.into(), admin.transpose()?);
        let (lists, denied) = (shared.list_status.clone(), shared.denied_keys().to_vec());
        let audit_log = gateway.audit_log.map(PathBuf::from);
        Ok(Self { tunnels, limits, admin, control, mesh, lists, denied, audit_log, remarks })
    }

    /// Makes the plan of the control channel: it listens where tunnels of services do, and dials where they lead.
    fn control(
        mesh: &SiteMesh<'_>,
        gateway: &Gateway<'_>,
        shared: &SharedTrust<'_>,
        tunnels: &[Tunnel],
    ) -> Result<Option<ControlPlan>, PlanError> {
        let Some(served) = mesh.served() else { return Ok(None) };
        let trust = |clients| {
            let anchors = Anchors { stated: mesh.roots().to_vec(), ..Anchors::default() };
            TrustStore::new(TrustSettings { clients, ..shared.with(anchors) }).map_err(PlanError::Anchor)
        };
        let (under_roots, members) = (trust(Peers::AnyVerified)?, trust(mesh.gateways())?);
        let (mut servers, mut dials) = (Vec::new(), Vec::new());
        let of_service =
            |made: &&Tunnel| gateway.tunnels.iter().any(|tunnel| tunnel.name == made.name && tunnel.service.is_some());
        for Tunnel { name, target, kind, .. } in tunnels.iter().filter(of_service) {
            match kind {
                TunnelKind::Server { tls: Some(settings), .. } => {
                    let client_auth = ClientAuth::Required(under_roots.clone());
                    servers.push((name.clone(), ServerSettings { client_auth, ..settings.clone() }));
                }
                TunnelKind::Server { tls: None, .. } => {}
                TunnelKind::Client { tls, server_name, others, via } => {
                    let first = (target.clone(), server_name.clone());
                    for server in [first].iter().chain(others) {
                        Dial::add(&mut dials, name, server, tls, via.as_ref());
                    }
                }
            }
        }
        let (issuers, keeper) = (mesh.issuer_keys().collect(), shared.keeper.clone());
        let (storage, denied) = (shared.mesh_storage.clone(), shared.denied_keys().to_vec());
        Ok(Some(ControlPlan { served, servers, under_roots, members, issuers, dials, keeper, storage, denied }))
    }

    fn tunnel(
        tunnel: &ConfigTunnel<'_>,
        gateway: &Gateway<'_>,
        (shared, mesh): (&SharedTrust<'_>, Option<&SiteMesh<'_>>),
        roots: &mut LazyRoots,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Option<Tunnel>, PlanError> {
        let of_mesh = match (tunnel.service, mesh) {
            (None, _) => None,
            (Some(_), None) => return Err(PlanError::NoMesh),
            (Some(service), Some(mesh)) => match mesh.of(service, shared.with(Anchors::default())) {
                Ok(found) => Some(found),
                // A reload that is refused would leave in force what the mesh no longer allows.
                Err(unreachable) => {
                    warn!(tunnel = %tunnel.name, "the tunnel is left out: {unreachable}");
                    return Ok(None);
                }
            },
        };
        let (trust, servers) = of_mesh.map_or((None, Vec::new()), |found| (Some(found.trust), found.servers));
        let mut servers = servers.into_iter();
        let server = servers.next();
        let kind = match &tunnel.kind {
            ConfigKind::Server { tls, sni, proxy_protocol, accept_proxy, max_fragment_size } => TunnelKind::Server {
                tls: server_settings(tls, trust, shared, watched, provider)?,
                sni: sni.iter().map(|name| (*name).to_owned()).collect(),
                proxy_protocol: *proxy_protocol,
                accept_proxy: accept_proxy.to_vec(),
                max_fragment_size: *max_fragment_size,
                others: tunnel.other_targets.iter().map(|other| other.endpoint.into()).collect(),
            },
            ConfigKind::Client { tls, server_name: name, proxy } => {
                if tls.insecure_skip_verify {
                    warn!(tunnel = %tunnel.name, "insecure_skip_verify: whoever answers is believed, no server is verified");
                }
                let name = server.as_ref().map(|(_, name)| name.as_str()).or(*name).unwrap_or_default();
                let written = tunnel.other_targets.iter().map(|other| {
                    let name = other.server_name.unwrap_or_default();
                    (Address::from(other.endpoint), name.to_owned())
                });
                let other = |(address, name): (Address, String)| Ok((address, server_name(&name)?));
                TunnelKind::Client {
                    tls: client_settings(tls, trust, shared, roots, watched, provider)?,
                    server_name: server_name(name).map_err(PlanError::ServerName)?,
                    others: servers
                        .chain(written)
                        .map(other)
                        .collect::<Result<_, _>>()
                        .map_err(PlanError::ServerName)?,
                    via: egress(proxy.as_ref(), watched)?,
                }
            }
        };
        let own = match &kind {
            TunnelKind::Server { tls, .. } => tls.as_ref().map(|tls| &tls.credential),
            TunnelKind::Client { tls, .. } => tls.credential.as_ref(),
        };
        for (subject, key) in own.map(|credential| shared.denied(&credential.chain())).unwrap_or_default() {
            error!(tunnel = %tunnel.name, "{subject}, which this gateway shows, has a denied key: {key}");
        }
        Ok(Some(Tunnel {
            name: tunnel.name.to_owned(),
            listen: tunnel.listen.into(),
            target: server.map(|(target, _)| target).or(tunnel.target.map(Into::into)).ok_or(PlanError::NoMesh)?,
            health_interval: Duration::from_millis(tunnel.health_interval_ms),
            limits: TunnelLimits::new(tunnel.limits, gateway.limits),
            kind,
        }))
    }
}

/// Reads the settings of a proxy, with the file that they name.
fn egress(proxy: Option<&ConfigEgress<'_>>, watched: &mut Watched) -> Result<Option<Arc<Egress>>, PlanError> {
    let read = Egress::read(proxy, |file| {
        watched.note(file);
        if let Some(warning) = pem::secret_permissions(file, "password") {
            warn!("{warning}");
        }
    });
    read.map_err(PlanError::Egress)
}

/// Reads a server's settings, with the files that they name; `None` for plaintext.
fn server_settings(
    tls: &Server<'_>,
    of_mesh: Option<TrustSettings>,
    shared: &SharedTrust<'_>,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<Option<ServerSettings>, PlanError> {
    let (tls, trust) = match tls {
        Server::Plain => return Ok(None),
        Server::Tls(tls) => (tls, None),
        Server::MutualTls(tls, trust) => (tls, Some(trust)),
    };
    let client_auth = match (of_mesh, trust) {
        (Some(trust), _) => ClientAuth::Required(trust_store(trust)?),
        (None, Some(trust)) => client_auth(trust, shared, watched)?,
        (None, None) => ClientAuth::Off,
    };
    tls_settings(tls, client_auth, watched, provider).map(Some)
}

/// Reads the settings of a server with TLS, with the files that they name.
pub(crate) fn tls_settings(
    tls: &ServerTls<'_>,
    client_auth: ClientAuth,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<ServerSettings, PlanError> {
    Ok(ServerSettings {
        credential: credential(&tls.credential, Purpose::ServerAuth, watched, provider)?,
        client_auth,
        min_version: tls.min_version.into(),
        alpn: Vec::new(),
    })
}

/// Reads the CAs, pins and rules for clients, with the files that they name.
pub(crate) fn client_auth(
    trust: &ClientTrust<'_>,
    shared: &SharedTrust<'_>,
    watched: &mut Watched,
) -> Result<ClientAuth, PlanError> {
    let anchors = Anchors {
        pinned: certificates(&trust.pinned_certificates, watched)?,
        stated: shared.authorities(&trust.ca_files, watched)?,
        ..Anchors::default()
    };
    let clients = peers(trust, shared.allowed_clients, watched).map_err(PlanError::AllowedClients)?;
    let store = trust_store(TrustSettings { clients, ..shared.with(anchors) })?;
    Ok(if trust.required { ClientAuth::Required(store) } else { ClientAuth::Optional(store) })
}

/// Creates a store, and warns of authorities in it that end soon.
fn trust_store(settings: TrustSettings) -> Result<Arc<TrustStore>, PlanError> {
    let store = TrustStore::new(settings).map_err(PlanError::Anchor)?;
    warn_of_ends(&store);
    Ok(store)
}

fn client_settings(
    tls: &ClientTls<'_>,
    of_mesh: Option<TrustSettings>,
    shared: &SharedTrust<'_>,
    roots: &mut LazyRoots,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<ClientSettings, PlanError> {
    let trust = if let Some(trust) = of_mesh {
        ServerTrust::Verified(trust_store(trust)?)
    } else if tls.insecure_skip_verify {
        ServerTrust::DangerNobodyIsVerified
    } else {
        let mut anchors = Anchors {
            pinned: certificates(&tls.pinned_certificates, watched)?,
            stated: shared.authorities(&tls.ca_files, watched)?,
            ..Anchors::default()
        };
        if tls.system_roots {
            anchors.system.extend_from_slice(roots.get());
        }
        if anchors.is_empty() {
            return Err(PlanError::NoAnchor);
        }
        let server_issuers = match tls.server_issuers.as_slice() {
            [] => None,
            texts => Some(issuers(texts, watched).map_err(PlanError::ServerIssuers)?),
        };
        ServerTrust::Verified(trust_store(TrustSettings { server_issuers, ..shared.with(anchors) })?)
    };
    Ok(ClientSettings {
        trust,
        credential: match &tls.credential {
            Some(source) => Some(credential(source, Purpose::ClientAuth, watched, provider)?),
            None => None,
        },
        min_version: tls.min_version.into(),
        alpn: Vec::new(),
    })
}

/// Warns of authorities that end soon: peers verified by them are refused after that.
fn warn_of_ends(store: &TrustStore) {
    let now = clock::now();
    for authority in store.authorities().iter().filter(|authority| authority.ends_soon(now)) {
        warn!(role = authority.role.name(), "{} ends at {}: replace it", authority.subject, Utc(authority.not_after));
    }
}

fn credential(
    source: &CredentialSource<'_>,
    purpose: Purpose,
    watched: &mut Watched,
    provider: &mut dyn CredentialProvider,
) -> Result<Credential, PlanError> {
    match source {
        CredentialSource::Acme(acme) => provider.acme(acme, None, purpose, watched).map_err(PlanError::Acme),
        CredentialSource::AcmeWithFallback(acme, files) => {
            provider.acme(acme, Some(files), purpose, watched).map_err(PlanError::Acme)
        }
        CredentialSource::Files(files) => {
            let (cert_file, key_file) = (Path::new(files.cert_file), Path::new(files.key_file));
            watched.note(cert_file);
            token::watched_file(files.key_file).iter().for_each(|file| watched.note(file));
            if let Some(warning) = token::key_permissions(files.key_file) {
                warn!("{warning}");
            }
            let credential = Credential::load(cert_file, key_file).map_err(PlanError::Credential)?;
            warn_of_validity(cert_file, &credential);
            Ok(credential)
        }
    }
}

/// Warns of a certificate of our own that is not valid now: the gateway starts with it, and peers refuse it.
fn warn_of_validity(cert_file: &Path, credential: &Credential) {
    let (now, file) = (clock::now(), cert_file.display());
    match credential.validity() {
        Some((_, not_after)) if now > not_after => {
            warn!("{file}: expired at {}, and it is {}: peers refuse it", Utc(not_after), Utc(now));
        }
        Some((not_before, _)) if now < not_before => {
            warn!("{file}: valid only from {}, and it is {}: peers refuse it", Utc(not_before), Utc(now));
        }
        _ => {}
    }
}

impl From<ConfigVersion> for MinVersion {
    fn from(version: ConfigVersion) -> Self {
        match version {
            ConfigVersion::Tls12 => Self::Tls12,
            ConfigVersion::Tls13 => Self::Tls13,
        }
    }
}

/// The system's CAs, read when the first tunnel needs them.
#[derive(Default)]
struct LazyRoots(Option<Vec<CertificateDer<'static>>>);

impl LazyRoots {
    fn get(&mut self) -> &[CertificateDer<'static>] {
        self.0.get_or_insert_with(|| {
            let found = system_roots();
            for error in &found.errors {
                warn!("CAs of this system: {error}");
            }
            info!(usable = found.usable.len(), left_out = found.left_out, "CAs of this system");
            found.usable
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::MeshKeeper;
    use crate::tls::CredentialError;
    use edgetrust_core::config::Config;

    #[test]
    fn an_error_leads_to_its_causes() {
        let mut text = br#"{"security": {"tls": {"server": {"enabled": true, "cert_file": "/none", "key_file": "/none"}}},
            "gateway": {"tunnels": [{"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:1"}]}}"#
            .to_vec();
        let config = Config::parse(&mut text).unwrap();
        let mut watched = Watched::default();
        let shared = SharedTrust::read(&config.gateway, &[], &mut watched, &MeshKeeper::viewer()).unwrap();
        let error = Plan::new(&config.gateway, &shared, &mut watched, &mut NoAcme).unwrap_err();
        assert_eq!(error.to_string(), "tunnel in: /none: cannot be read: No such file or directory (os error 2)");
        let Some(PlanError::Credential(credential)) = error.source().and_then(|cause| cause.downcast_ref()) else {
            panic!("{error:?}")
        };
        let CredentialError::Pem(file) = credential else { panic!("{error:?}") };
        let cause = file.source().and_then(Error::source).unwrap();
        assert!(cause.is::<std::io::Error>(), "{cause:?}");
    }
}
