//! Gathers what gateways say of the mesh that they have in force: over their control channels, and from files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::config::{Config, CredentialSource, Server, TunnelKind};
use edgetrust_core::mesh::Digest;
use edgetrust_core::path::Purpose;
use tokio::task::JoinSet;

use super::options::named;
use crate::cli::probe::stored::Stored;
use crate::cli::{Failure, arguments};
use crate::config_file::with_config;
use crate::egress::Egress;
use crate::federation::{Acknowledgement, Inquiry, Member, Sighting};
use crate::gateway::{Address, Answered, CredentialProvider, Watched, ask};
use crate::tls::{
    Anchors, ClientSettings, Credential, MinVersion, ServerTrust, TrustSettings, TrustStore, server_name,
};

/// The most gateways that are asked at once.
const AT_ONCE: usize = 16;

/// The sources of what gateways say of their mesh.
#[derive(clap::Args)]
pub(super) struct Sources {
    /// Configuration of a gateway, whose certificate is shown to all others: they are asked which mesh they have
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File with the `/status` of a gateway that cannot be asked, by its site or its host name
    #[arg(long, value_name = "SITE=FILE", value_parser = named)]
    status: Vec<(String, String)>,
    /// Time limit for each gateway that is asked
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = arguments::duration)]
    timeout: Duration,
}

impl Sources {
    /// Returns what each gateway of a mesh has said.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or there is no certificate to show.
    pub(super) fn gather(&self, inquiry: &Inquiry) -> Result<Vec<Acknowledgement>, Failure> {
        let nobody = || Err("not asked: --config asks it from a site, and --status reads its /status".to_owned());
        let mut heard: Vec<Result<Sighting, String>> = inquiry.gateways.iter().map(|_| nobody()).collect();
        for (name, file) in &self.status {
            let place = inquiry.named(name)?;
            let read = inquiry.read(place, &PathBuf::from(file))?;
            if let Some(one) = heard.get_mut(place) {
                *one = Ok(read);
            }
        }
        if let Some(file) = &self.config {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (credential, via) =
                with_config(file, |config| Ok::<_, Failure>((credential(config, &runtime)?, egress(config)?)))??;
            let unheard = inquiry.gateways.iter().enumerate();
            let unheard = unheard.filter(|(place, _)| heard.get(*place).is_some_and(Result::is_err));
            let asked = ask_all(inquiry, unheard, (&credential, via.as_ref()), self.timeout);
            for (place, answer) in runtime.block_on(asked)? {
                if let Some(one) = heard.get_mut(place) {
                    *one = answer;
                }
            }
            // A look-up that still waits is not waited for.
            runtime.shutdown_background();
        }
        Ok(inquiry.judge(&heard))
    }
}

/// Returns the certificate that a gateway shows to others: that of a client tunnel of a service, or of a server tunnel.
fn credential(config: &Config<'_>, runtime: &tokio::runtime::Runtime) -> Result<Credential, Failure> {
    let of_services = || config.gateway.tunnels.iter().filter(|tunnel| tunnel.service.is_some());
    let clients = of_services().filter_map(|tunnel| match &tunnel.kind {
        TunnelKind::Client { tls, .. } => tls.credential.as_ref().map(|source| (source, Purpose::ClientAuth)),
        TunnelKind::Server { .. } => None,
    });
    let servers = of_services().filter_map(|tunnel| match &tunnel.kind {
        TunnelKind::Server { tls: Server::Tls(tls) | Server::MutualTls(tls, _), .. } => {
            Some((&tls.credential, Purpose::ServerAuth))
        }
        _ => None,
    });
    let found = clients.chain(servers).next();
    let (source, purpose) =
        found.ok_or("--config: found no tunnel of a service with a certificate, expected a gateway of a mesh")?;
    let mut stored = Stored::new(runtime);
    let found = match source {
        CredentialSource::Files(files) => Credential::load(files.cert_file.as_ref(), files.key_file.as_ref())?,
        CredentialSource::Acme(acme) => stored.acme(acme, None, purpose, &mut Watched::default())?,
        CredentialSource::AcmeWithFallback(acme, files) => {
            stored.acme(acme, Some(files), purpose, &mut Watched::default())?
        }
    };
    if found.chain().is_empty() {
        return Err("--config: found no certificate of the gateway yet, expected one: is it running?".into());
    }
    Ok(found)
}

/// Returns the proxy of the first client tunnel of a service, through which the gateway itself asks others.
fn egress(config: &Config<'_>) -> Result<Option<Arc<Egress>>, Failure> {
    let of_services = config.gateway.tunnels.iter().filter(|tunnel| tunnel.service.is_some());
    let mut proxies = of_services.filter_map(|tunnel| match &tunnel.kind {
        TunnelKind::Client { proxy, .. } => Some(proxy.as_ref()),
        TunnelKind::Server { .. } => None,
    });
    Ok(Egress::read(proxies.next().flatten(), |_| ())?)
}

/// Asks gateways, some at once.
async fn ask_all<'i>(
    inquiry: &Inquiry,
    mut members: impl Iterator<Item = (usize, &'i Member)>,
    (credential, via): (&Credential, Option<&Arc<Egress>>),
    patience: Duration,
) -> Result<Vec<(usize, Result<Sighting, String>)>, Failure> {
    let (mut answers, mut asking) = (Vec::new(), JoinSet::new());
    loop {
        while asking.len() < AT_ONCE
            && let Some((place, member)) = members.next()
        {
            let (member, settings, via) = (member.clone(), settings(inquiry, member, credential)?, via.cloned());
            asking.spawn(async move { (place, ask_one(&member, via.as_deref(), settings, patience).await) });
        }
        match asking.join_next().await {
            Some(answer) => answers.push(answer?),
            None => return Ok(answers),
        }
    }
}

/// Returns the TLS by which a gateway is asked: it must show a certificate of a CA of its site.
fn settings(inquiry: &Inquiry, member: &Member, credential: &Credential) -> Result<ClientSettings, Failure> {
    let anchors = Anchors { stated: inquiry.roots.clone(), ..Anchors::default() };
    let trust = TrustStore::new(TrustSettings {
        known_intermediates: member.known.clone(),
        denied_keys: inquiry.denied.clone(),
        server_issuers: Some(member.issuers.clone()),
        ..anchors.into()
    })?;
    Ok(ClientSettings {
        trust: ServerTrust::Verified(trust),
        credential: Some(credential.clone()),
        min_version: MinVersion::Tls13,
        alpn: Vec::new(),
    })
}

/// Asks a gateway at the first of its ports that answers.
async fn ask_one(
    member: &Member,
    via: Option<&Egress>,
    settings: ClientSettings,
    patience: Duration,
) -> Result<Sighting, String> {
    let name = server_name(&member.host).map_err(|error| error.to_string())?;
    let mut failed = "no tunnel of a service leads to it: --status reads its /status".to_owned();
    for port in &member.ports {
        let address = match member.place.parse() {
            Ok(address) => Address::Tcp(std::net::SocketAddr::new(address, *port)),
            Err(_) => Address::Host(member.place.clone(), *port),
        };
        match ask((&address, via), name.clone(), settings.clone(), patience).await {
            Ok(Answered { edition, chain }) => {
                let above = chain.get(1).map(|issuer| *Digest::of(issuer).octets());
                return Ok(Sighting { edition, above: above.into_iter().collect() });
            }
            Err(reason) => failed = format!("{address}: {reason}"),
        }
    }
    Err(failed)
}
