//! Manages all credentials of a gateway, and starts, changes and stops them together with the configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgetrust_core::config::{Acme, Config, CredentialSource, Files, Server, TunnelKind};
use edgetrust_core::path::Purpose;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::assignment::{Assignment, Fallback};
use super::request;
use super::status::{CredentialStatus, Credentials};
use super::worker::Worker;
use crate::acme::{Purposes, Responders, Settings};
use crate::gateway::{CredentialProvider, Watched};
use crate::store::{Folder, FolderError};
use crate::tls::{Credential, LiveCredential};

/// The credentials of a gateway, by their folders.
#[derive(Debug, Default)]
pub struct Agents {
    running: HashMap<PathBuf, Agent>,
    /// Assignments are only read, since the folders may be another process's.
    only_reads: bool,
    /// The credentials that the configuration being read asks for.
    asked: HashMap<PathBuf, Asked>,
    responders: Responders,
    credentials: Credentials,
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
    /// The locked folder of a new credential.
    folder: Option<Arc<Folder>>,
}

/// The result of a single attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// A certificate was obtained.
    Renewed,
    /// Nothing was due.
    Fresh,
    /// No certificate was obtained.
    Failed(String),
}

impl CredentialProvider for Agents {
    fn acme(
        &mut self,
        acme: &Acme<'_>,
        fallback: Option<&Files<'_>>,
        purpose: Purpose,
        watched: &mut Watched,
    ) -> Result<Credential, String> {
        let purposes = Purposes { server: purpose == Purpose::ServerAuth, client: purpose == Purpose::ClientAuth };
        let settings = Settings::read(acme, purposes, |file| watched.note(file))?;
        let fallback = fallback.map(|files| fallback_of(files, watched)).transpose()?;
        let place = settings.storage_path.clone();
        let mut assignment = Assignment { settings, fallback };
        if let Some(asked) = self.asked.get_mut(&place) {
            // One section may serve several tunnels, in both directions.
            let both = Purposes {
                server: asked.assignment.settings.purposes.server || purposes.server,
                client: asked.assignment.settings.purposes.client || purposes.client,
            };
            assignment.settings.purposes = asked.assignment.settings.purposes;
            if assignment != asked.assignment {
                return Err(format!(
                    "acme.storage_path: found {} in two acme sections that differ, expected a folder for each",
                    place.display()
                ));
            }
            asked.assignment.settings.purposes = both;
            return Ok(asked.live.credential());
        }
        let (live, folder) = match self.running.get(&place) {
            Some(agent) => (agent.live.clone(), None),
            None if self.only_reads => (LiveCredential::new(), None),
            None => {
                let folder = Folder::open(&place).map_err(|error| format!("acme.storage_path: {error}"))?;
                (LiveCredential::new(), Some(Arc::new(folder)))
            }
        };
        let credential = live.credential();
        self.asked.insert(place, Asked { assignment, live, folder });
        Ok(credential)
    }
}

fn fallback_of(files: &Files<'_>, watched: &mut Watched) -> Result<Fallback, String> {
    let fallback = Fallback { cert_file: PathBuf::from(files.cert_file), key_file: PathBuf::from(files.key_file) };
    watched.note(&fallback.cert_file);
    watched.note(&fallback.key_file);
    Credential::load(&fallback.cert_file, &fallback.key_file).map_err(|error| error.to_string())?;
    Ok(fallback)
}

/// Returns all credentials that a configuration asks for: of its tunnels, of EST and of `security.tls`.
///
/// # Errors
/// Returns the fault of a section, or of the files that it names.
pub fn assignments(config: &Config<'_>) -> Result<Vec<Assignment>, String> {
    let (mut agents, mut watched) = (Agents { only_reads: true, ..Agents::default() }, Watched::default());
    let mut ask = |source: &CredentialSource<'_>, purpose| match source {
        CredentialSource::Files(_) => Ok(()),
        CredentialSource::Acme(acme) => agents.acme(acme, None, purpose, &mut watched).map(drop),
        CredentialSource::AcmeWithFallback(acme, files) => {
            agents.acme(acme, Some(files), purpose, &mut watched).map(drop)
        }
    };
    let mut server = |server: &Server<'_>| match server {
        Server::Plain => Ok(()),
        Server::Tls(tls) | Server::MutualTls(tls, _) => ask(&tls.credential, Purpose::ServerAuth),
    };
    for tunnel in &config.gateway.tunnels {
        if let TunnelKind::Server { tls, .. } = &tunnel.kind {
            server(tls)?;
        }
    }
    if let Some(est) = &config.gateway.est {
        server(&Server::MutualTls(est.tls.clone(), est.clients.clone()))?;
    }
    server(&config.server)?;
    let clients = config.gateway.tunnels.iter().filter_map(|tunnel| match &tunnel.kind {
        TunnelKind::Client { tls, .. } => Some(tls),
        TunnelKind::Server { .. } => None,
    });
    for client in clients.chain([&config.client]) {
        if let Some(source) = &client.credential {
            ask(source, Purpose::ClientAuth)?;
        }
    }
    let mut all: Vec<_> = agents.asked.into_values().map(|asked| asked.assignment).collect();
    all.sort_by(|one, other| one.settings.storage_path.cmp(&other.settings.storage_path));
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

    /// Returns whether the configuration being read keeps a credential in this folder.
    pub fn asks_for(&self, folder: &Path) -> bool {
        self.asked.contains_key(folder)
    }

    /// Prepares for reading a configuration: forgets the credentials that a rejected one asked for.
    pub fn begin(&mut self) {
        self.asked.clear();
    }

    /// Presents the stored certificates of an accepted configuration's new credentials, before a connection needs one.
    ///
    /// # Errors
    /// Fails if a credential cannot be started; then nothing changes.
    pub fn prepare(&mut self) -> Result<Prepared, String> {
        let mut prepared = Prepared::default();
        for (place, asked) in &self.asked {
            let Some(folder) = &asked.folder else { continue };
            let (agent, worker) = self.agent(asked, folder.clone())?;
            prepared.0.push((place.clone(), agent, worker));
        }
        Ok(prepared)
    }

    fn agent(&self, asked: &Asked, folder: Arc<Folder>) -> Result<(Prepare, Worker), String> {
        let settings = &asked.assignment.settings;
        let which = settings.which();
        let status = Arc::new(CredentialStatus::new(which.name, which.storage_path));
        let (assigned, seen) = watch::channel(Arc::new(asked.assignment.clone()));
        let worker = Worker::restore(seen, folder, self.responders.clone(), asked.live.clone(), status.clone())?;
        Ok((Prepare { assigned, live: asked.live.clone(), status }, worker))
    }

    /// Applies the configuration: new credentials are renewed from now on, others get new settings, the rest ends.
    pub fn commit(&mut self, prepared: Prepared) {
        let asked = std::mem::take(&mut self.asked);
        self.running.retain(|place, agent| {
            let stays = asked.contains_key(place);
            if !stays {
                log!(info, agent.status, "no longer asked for");
            }
            stays
        });
        for (place, asked) in asked {
            if let Some(agent) = self.running.get(&place) {
                let assignment = Arc::new(asked.assignment);
                agent.assigned.send_if_modified(|current| {
                    // The fallback's files may have changed.
                    let changed = **current != *assignment || assignment.fallback.is_some();
                    *current = assignment.clone();
                    changed
                });
            }
        }
        for (place, Prepare { assigned, live, status }, worker) in prepared.0 {
            let task = tokio::spawn(worker.run()).abort_handle();
            self.running.insert(place, Agent { assigned, live, status, task });
        }
        self.credentials.set(self.running.values().map(|agent| agent.status.clone()).collect());
    }

    /// Makes one attempt for one credential, started by hand or by a timer.
    ///
    /// # Errors
    /// Fails if the attempt cannot be started.
    pub async fn once(
        assignment: Assignment,
        folder: Folder,
        live: LiveCredential,
        force: bool,
    ) -> Result<Once, String> {
        let asked = Asked { assignment, live, folder: None };
        let agents = Self::default();
        let (_prepare, worker) = agents.agent(&asked, Arc::new(folder))?;
        Ok(worker.once(force).await)
    }

    /// Asks the process that holds the folder to renew; the number is for [`Agents::answer`].
    ///
    /// # Errors
    /// Fails if the request cannot be written.
    pub fn request(folder: &Path, number: &str) -> Result<(), FolderError> {
        request::ask(folder, number)
    }

    /// Withdraws a request if no process holds the folder any more; returns whether that is so.
    pub fn withdraw(folder: &Path) -> bool {
        let Ok(folder) = Folder::open(folder) else { return false };
        // A request that cannot be removed is carried out at the next start.
        let _ = request::take(&folder);
        true
    }

    /// Returns the result of a request: renewed, or the reason for the failure; `None` while there is no answer.
    ///
    /// # Errors
    /// Fails if the answer cannot be read.
    pub fn answer(folder: &Path, number: &str) -> Result<Option<Result<(), String>>, FolderError> {
        request::answered(folder, number)
    }
}

/// Credentials that are ready but not yet renewed.
#[derive(Debug, Default)]
pub struct Prepared(Vec<(PathBuf, Prepare, Worker)>);

#[derive(Debug)]
struct Prepare {
    assigned: watch::Sender<Arc<Assignment>>,
    live: LiveCredential,
    status: Arc<CredentialStatus>,
}
