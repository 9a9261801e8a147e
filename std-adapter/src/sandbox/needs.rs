//! Tells what a configuration needs of the system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edgetrust_core::config::{
    Acme, ChallengeType, ClientTls, Config, CredentialSource, Egress, Endpoint, Gateway, NatsStore, PathKind, Server,
    TunnelKind,
};

use crate::acme::Hooks;
use crate::egress;

/// The port of DNS, for answers that are too long for UDP.
const DNS: u16 = 53;
/// The port of an ACME server whose URL names none, and of what its directory leads to.
const HTTPS: u16 = 443;

/// The needs of a configuration. Ports and names come with the section that has them.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(super) paths: Vec<(PathKind, PathBuf)>,
    /// The configuration file.
    pub(super) config: Option<PathBuf>,
    pub(super) listen: BTreeMap<u16, String>,
    pub(super) connect: BTreeMap<u16, String>,
    /// The section that connects to ports that only a mesh names, and listens on those of links that come later.
    pub(super) any_port: Option<String>,
    /// The section that looks up names, or trusts the system's CAs.
    pub(super) system: Option<String>,
    pub(super) hooks: Hooks,
    /// The URIs of keys in tokens.
    pub(super) tokens: Vec<String>,
}

impl Needs {
    /// Returns the needs of whoever reads one file.
    pub(crate) fn one_file(file: &Path) -> Self {
        Self { paths: vec![(PathKind::File, file.to_owned())], config: Some(file.to_owned()), ..Self::default() }
    }

    /// Adds the files of other needs.
    pub(crate) fn and(mut self, files: Self) -> Self {
        self.paths.extend(files.paths);
        self.config = self.config.or(files.config);
        self
    }

    /// Returns the needs of a gateway from flags.
    pub(crate) fn of_gateway(gateway: &Gateway<'_>) -> Self {
        let none = ClientTls {
            ca_files: Default::default(),
            pinned_certificates: Default::default(),
            server_issuers: Default::default(),
            system_roots: false,
            credential: None,
            min_version: Default::default(),
            insecure_skip_verify: false,
        };
        Self::of(&Config {
            server: Server::Plain,
            client: none,
            denied_keys: Default::default(),
            gateway: gateway.clone(),
            device: None,
        })
    }

    /// Returns the needs of a configuration, whose relative names are resolved.
    pub(crate) fn of(config: &Config<'_>) -> Self {
        let mut needs = Self::default();
        config.clone().for_each_path(&mut |kind, path| match kind {
            PathKind::Token => needs.tokens.push((*path).to_owned()),
            _ => needs.paths.push((kind, PathBuf::from(*path))),
        });
        let gateway = &config.gateway;
        for tunnel in &gateway.tunnels {
            let who = format!("tunnel {}", tunnel.name);
            needs.listens(tunnel.listen, &who);
            let proxy = match &tunnel.kind {
                TunnelKind::Client { proxy, .. } => proxy.as_ref(),
                TunnelKind::Server { .. } => None,
            };
            for target in tunnel.target.iter().chain(tunnel.other_targets.iter().map(|other| &other.endpoint)) {
                needs.reaches(target, proxy, &who);
            }
            match &tunnel.kind {
                TunnelKind::Server { tls: Server::Plain, .. } => {}
                TunnelKind::Server { tls: Server::Tls(tls) | Server::MutualTls(tls, _), .. } => {
                    needs.credential(&tls.credential, &who);
                }
                TunnelKind::Client { tls, .. } => {
                    if tls.system_roots {
                        needs.looks_up(&who);
                    }
                    if let Some(credential) = &tls.credential {
                        needs.credential(credential, &who);
                    }
                }
            }
        }
        if let Some(admin) = &gateway.admin {
            needs.listens(admin.listen, "gateway.admin");
            if let Some(tls) = &admin.tls {
                needs.credential(&tls.credential, "gateway.admin.tls");
            }
        }
        if let Some(est) = &gateway.est {
            needs.listens(Endpoint::Tcp(est.listen), "gateway.est");
            if let Some(first) = est.first_enrollment {
                needs.listens(Endpoint::Tcp(first), "gateway.est.first_enrollment");
            }
            needs.credential(&est.tls.credential, "gateway.est");
            needs.acme(&est.acme, "gateway.est.acme");
        }
        if gateway.mesh.is_some() {
            needs.any_port = Some("gateway.mesh".to_owned());
            needs.looks_up("gateway.mesh");
        }
        if let Some(store) = gateway.mesh.as_ref().and_then(|mesh| mesh.storage.as_ref()) {
            needs.storage(store, "gateway.mesh.storage");
        }
        needs
    }

    fn credential(&mut self, source: &CredentialSource<'_>, who: &str) {
        match source {
            CredentialSource::Files(_) => {}
            CredentialSource::Acme(acme) | CredentialSource::AcmeWithFallback(acme, _) => {
                self.acme(acme, &format!("{who}: acme"));
            }
        }
    }

    fn acme(&mut self, acme: &Acme<'_>, who: &str) {
        self.looks_up(who);
        let port = acme.directory_url.parse::<hyper::Uri>().ok().and_then(|url| url.port_u16());
        for port in [port.unwrap_or(HTTPS), HTTPS] {
            self.reaches(&Endpoint::Host("", port), acme.proxy.as_ref(), who);
        }
        if acme.keys.challenge_type == ChallengeType::Http01 {
            self.listens(Endpoint::Tcp(acme.http_listen), who);
        }
        if let Some(store) = &acme.storage {
            self.storage(store, &format!("{who}.storage"));
        }
        let keys = &acme.keys;
        for (hook, known) in [(keys.hook, &mut self.hooks.renewal), (keys.dns_hook, &mut self.hooks.dns)] {
            if let Some(hook) = hook.filter(|hook| !known.iter().any(|other| other == hook)) {
                known.push(hook.to_owned());
            }
        }
    }

    fn storage(&mut self, store: &NatsStore<'_>, who: &str) {
        if store.ca_files.is_empty() {
            self.looks_up(who);
        }
        let endpoints = store.servers.iter().filter_map(|server| Endpoint::parse(server.split_once("://")?.1));
        endpoints.for_each(|endpoint| self.dials(&endpoint, who));
    }

    fn listens(&mut self, on: Endpoint<'_>, who: &str) {
        match on {
            Endpoint::Tcp(address) => drop(self.listen.entry(address.port()).or_insert_with(|| who.to_owned())),
            Endpoint::Host(_, port) => {
                self.listen.entry(port).or_insert_with(|| who.to_owned());
                self.looks_up(who);
            }
            Endpoint::Unix(_) => {}
        }
    }

    /// Adds the port of a target, or of the proxy on the way there.
    fn reaches(&mut self, target: &Endpoint<'_>, proxy: Option<&Egress<'_>>, who: &str) {
        match proxy {
            Some(Egress::Proxy(proxy)) => self.dials(&proxy.endpoint, who),
            Some(environment @ Egress::Environment) => {
                // What `no_proxy` lists is reached without.
                self.dials(target, who);
                // The configuration is loaded next, and tells what is wrong with the environment.
                if let Ok(Some(proxy)) = egress::Egress::read(Some(environment), |_| {}) {
                    let (host, port) = proxy.host();
                    self.dials(&Endpoint::Host(host, port), who);
                }
            }
            None => self.dials(target, who),
        }
    }

    fn dials(&mut self, to: &Endpoint<'_>, who: &str) {
        match to {
            Endpoint::Tcp(address) => self.connects(address.port(), who),
            Endpoint::Host(_, port) => {
                self.connects(*port, who);
                self.looks_up(who);
            }
            Endpoint::Unix(_) => {}
        }
    }

    fn connects(&mut self, port: u16, who: &str) {
        self.connect.entry(port).or_insert_with(|| who.to_owned());
    }

    fn looks_up(&mut self, who: &str) {
        self.connects(DNS, who);
        self.system.get_or_insert_with(|| who.to_owned());
    }

    /// Returns the URIs of keys in tokens.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Returns the commands.
    pub(crate) fn hooks(&self) -> &Hooks {
        &self.hooks
    }
}
