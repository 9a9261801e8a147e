//! Manages all credentials of a gateway, and starts, changes and stops them together with the configuration.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use edgetrust_core::config::{Acme, ClientTls, Config, CredentialSource, Files, Server, TunnelKind};
use edgetrust_core::path::{DeniedKey, Purpose};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::assignment::{Assignment, AssignmentError, Fallback};
use super::request;
use super::status::{CredentialStatus, Credentials};
use super::worker::{Once, StartError, Worker};
use crate::acme::{Purposes, Responders, Settings};
use crate::gateway::{CredentialProvider, MeshKeeper, SharedTrust, Watched};
use crate::pem::CaFiles;
use crate::store::{Held, Home, StorageError};
use crate::tls::{Credential, LiveCredential};
use crate::token;

/// The credentials of a gateway, by their homes.
#[derive(Debug, Default)]
pub struct Agents {
    running: HashMap<Home, Agent>,
    /// The credentials that the configuration being read asks for. Reading one takes no home; [`Agents::prepare`] does.
    asked: HashMap<Home, Asked>,
    responders: Responders,
    credentials: Credentials,
    /// The keys that the configuration being read denies.
    denied_keys: Vec<DeniedKey>,
    /// The reader of files of CAs.
    ca_files: CaFiles,
}

#[derive(Debug)]
struct Agent {
    assigned: watch::Sender<Arc<Assignment>>,
    live: LiveCredential,
    status: Arc<CredentialStatus>,
    task: AbortHandle,
}

impl Drop for Agent {
    /// Aborts the task, which may be interrupted at any instant.
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Asked {
    assignment: Assignment,
    live: LiveCredential,
}

impl CredentialProvider for Agents {
    fn acme(
        &mut self,
        acme: &Acme<'_>,
        fallback: Option<&Files<'_>>,
        purpose: Purpose,
        watched: &mut Watched,
    ) -> Result<Credential, Box<dyn Error + Send + Sync>> {
        Ok(self.ask(acme, fallback, purpose, watched)?)
    }
}

impl Agents {
    /// Takes a section of the configuration that is being read, and returns its credential.
    fn ask(
        &mut self,
        acme: &Acme<'_>,
        fallback: Option<&Files<'_>>,
        purpose: Purpose,
        watched: &mut Watched,
    ) -> Result<Credential, AssignmentError> {
        let purposes = Purposes { server: purpose == Purpose::ServerAuth, client: purpose == Purpose::ClientAuth };
        let denied = self.denied_keys.clone();
        let settings = Settings::read(acme, purposes, denied, &self.ca_files, |file| watched.note(file));
        let settings = settings.map_err(AssignmentError::Settings)?;
        let fallback = fallback.map(|files| fallback_of(files, watched)).transpose()?;
        let home = settings.home.clone();
        let mut assignment = Assignment { settings, fallback };
        if let Some(asked) = self.asked.get_mut(&home) {
            // One section may serve several tunnels, in both directions.
            let both = Purposes {
                server: asked.assignment.settings.purposes.server || purposes.server,
                client: asked.assignment.settings.purposes.client || purposes.client,
            };
            assignment.settings.purposes = asked.assignment.settings.purposes;
            if assignment != asked.assignment {
                return Err(AssignmentError::Differ(home));
            }
            asked.assignment.settings.purposes = both;
            return Ok(asked.live.credential());
        }
        let live = self.running.get(&home).map_or_else(LiveCredential::new, |agent| agent.live.clone());
        let credential = live.credential();
        self.asked.insert(home, Asked { assignment, live });
        Ok(credential)
    }
}

fn fallback_of(files: &Files<'_>, watched: &mut Watched) -> Result<Fallback, AssignmentError> {
    let fallback = Fallback { cert_file: PathBuf::from(files.cert_file), key_file: PathBuf::from(files.key_file) };
    watched.note(&fallback.cert_file);
    token::watched_file(files.key_file).iter().for_each(|file| watched.note(file));
    Credential::load(&fallback.cert_file, &fallback.key_file).map_err(AssignmentError::Fallback)?;
    Ok(fallback)
}

/// Returns where the credentials come from that a gateway shows: of its tunnels and of EST.
pub(crate) fn credential_sources<'c, 'a>(
    config: &'c Config<'a>,
) -> impl Iterator<Item = (&'c CredentialSource<'a>, Purpose)> {
    let tunnels = config.gateway.tunnels.iter().filter_map(|tunnel| match &tunnel.kind {
        TunnelKind::Server { tls, .. } => of_server(tls),
        TunnelKind::Client { tls, .. } => of_client(tls),
    });
    let est = config.gateway.est.as_ref();
    tunnels.chain(est.map(|est| (&est.tls.credential, Purpose::ServerAuth)))
}

fn of_server<'c, 'a>(server: &'c Server<'a>) -> Option<(&'c CredentialSource<'a>, Purpose)> {
    match server {
        Server::Plain => None,
        Server::Tls(tls) | Server::MutualTls(tls, _) => Some((&tls.credential, Purpose::ServerAuth)),
    }
}

fn of_client<'c, 'a>(client: &'c ClientTls<'a>) -> Option<(&'c CredentialSource<'a>, Purpose)> {
    client.credential.as_ref().map(|source| (source, Purpose::ClientAuth))
}

/// Returns all credentials that a configuration asks for: of its tunnels, of EST and of `security.tls`.
///
/// # Errors
/// Returns the fault of a section, or of the files that it names.
pub fn assignments(config: &Config<'_>) -> Result<Vec<Assignment>, AssignmentError> {
    let (mut agents, mut watched) = (Agents::default(), Watched::default());
    let shared = SharedTrust::read(&config.gateway, &config.denied_keys, &mut watched, &MeshKeeper::viewer());
    agents.trust(&shared.map_err(AssignmentError::Trust)?);
    let mut ask = |source: &CredentialSource<'_>, purpose| match source {
        CredentialSource::Files(_) => Ok(()),
        CredentialSource::Acme(acme) => agents.ask(acme, None, purpose, &mut watched).map(drop),
        CredentialSource::AcmeWithFallback(acme, files) => {
            agents.ask(acme, Some(files), purpose, &mut watched).map(drop)
        }
    };
    let shared = of_server(&config.server).into_iter().chain(of_client(&config.client));
    credential_sources(config).chain(shared).try_for_each(|(source, purpose)| ask(source, purpose))?;
    let mut all: Vec<_> = agents.asked.into_values().map(|asked| asked.assignment).collect();
    all.sort_by(|one, other| one.settings.home.cmp(&other.settings.home));
    Ok(all)
}

impl Agents {
    /// Returns the status of the credentials.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Returns the http-01 responders, for other code that obtains certificates.
    pub fn responders(&self) -> &Responders {
        &self.responders
    }

    /// Returns whether the configuration being read keeps a credential in this home.
    pub fn asks_for(&self, home: &Home) -> bool {
        self.asked.contains_key(home)
    }

    /// Prepares for reading a configuration: forgets the credentials that a rejected one asked for.
    pub fn begin(&mut self) {
        self.asked.clear();
    }

    /// Takes the denied keys of the configuration that is being read, and the roots of its mesh, before its sections.
    pub(crate) fn trust(&mut self, shared: &SharedTrust<'_>) {
        self.denied_keys = shared.denied_keys().to_vec();
        self.ca_files = shared.ca_files().clone();
    }

    /// Returns the denied keys of the configuration that was read last, accepted or not.
    pub fn denied_keys(&self) -> &[DeniedKey] {
        &self.denied_keys
    }

    /// Takes the homes of an accepted configuration's new credentials, and presents their stored certificates before a
    /// connection needs one.
    ///
    /// # Errors
    /// Fails if a home cannot be taken or a credential cannot be started; then nothing changes.
    pub async fn prepare(&self) -> Result<Prepared, StartError> {
        let mut prepared = Prepared::default();
        for (home, asked) in self.asked.iter().filter(|(home, _)| !self.running.contains_key(home)) {
            let held = home.take().await.map_err(StartError::Home)?;
            let (agent, worker) = self.agent(asked, held).await?;
            prepared.0.push((home.clone(), agent, worker));
        }
        Ok(prepared)
    }

    async fn agent(&self, asked: &Asked, held: Arc<dyn Held>) -> Result<(Prepare, Worker), StartError> {
        let settings = &asked.assignment.settings;
        let which = settings.which();
        let status = Arc::new(CredentialStatus::reporting(which.name, which.home, &self.credentials));
        let (assigned, seen) = watch::channel(Arc::new(asked.assignment.clone()));
        let worker = Worker::restore(seen, held, self.responders.clone(), asked.live.clone(), status.clone()).await?;
        Ok((Prepare { assigned, live: asked.live.clone(), status }, worker))
    }

    /// Applies the configuration: new credentials are renewed from now on, others get new settings, the rest ends.
    pub fn commit(&mut self, prepared: Prepared) {
        let asked = std::mem::take(&mut self.asked);
        self.running.retain(|home, agent| {
            let stays = asked.contains_key(home);
            if !stays {
                log!(info, agent.status, "no longer asked for");
            }
            stays
        });
        for (home, asked) in asked {
            if let Some(agent) = self.running.get(&home) {
                let assignment = Arc::new(asked.assignment);
                agent.assigned.send_if_modified(|current| {
                    // The fallback's files may have changed.
                    let changed = **current != *assignment || assignment.fallback.is_some();
                    *current = assignment.clone();
                    changed
                });
            }
        }
        for (home, Prepare { assigned, live, status }, worker) in prepared.0 {
            let task = tokio::spawn(worker.run()).abort_handle();
            self.running.insert(home, Agent { assigned, live, status, task });
        }
        self.credentials.set(self.running.values().map(|agent| agent.status.clone()).collect());
    }

    /// Makes one attempt for one credential, started by hand or by a timer.
    ///
    /// # Errors
    /// Fails if the attempt cannot be started.
    pub async fn once(
        assignment: Assignment,
        held: Arc<dyn Held>,
        live: LiveCredential,
        force: bool,
    ) -> Result<Once, StartError> {
        let asked = Asked { assignment, live };
        let agents = Self::default();
        let (_prepare, worker) = agents.agent(&asked, held).await?;
        Ok(worker.once(force).await)
    }

    /// Asks the process that holds the home to renew; the number is for [`Agents::answer`].
    ///
    /// # Errors
    /// Fails if the request cannot be written.
    pub async fn request(home: &Home, number: &str) -> Result<(), StorageError> {
        request::ask(home, number).await
    }

    /// Withdraws a request if no process holds the home any more; returns whether that is so.
    pub async fn withdraw(home: &Home) -> bool {
        let Ok(held) = home.take().await else { return false };
        // A request that cannot be removed is carried out at the next start.
        let _ = request::take(&*held).await;
        true
    }

    /// Returns the result of a request: renewed, or the reason for the failure; `None` while there is no answer.
    ///
    /// # Errors
    /// Fails if the answer cannot be read.
    pub async fn answer(home: &Home, number: &str) -> Result<Option<Result<(), String>>, StorageError> {
        request::answered(home, number).await
    }
}

/// Credentials that are ready but not yet renewed.
#[derive(Debug, Default)]
pub struct Prepared(Vec<(Home, Prepare, Worker)>);

#[derive(Debug)]
struct Prepare {
    assigned: watch::Sender<Arc<Assignment>>,
    live: LiveCredential,
    status: Arc<CredentialStatus>,
}
