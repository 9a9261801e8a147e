//! Runs one location: a folder with certificates and configuration, and a gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::pki::Ca;
use crate::agent::Agents;
use crate::audit::AuditLog;
use crate::cli::Failure;
use crate::cli::service::{Loaded, Service};
use crate::config_file::with_config;
use crate::gateway::{Address, MeshKeeper, Watched};

/// The interval at which a location checks its files.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// A location with its CA.
pub(super) struct Location {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) folder: PathBuf,
    ca: Ca,
}

/// The tunnels of a location's gateway.
pub(super) struct Forwarding<'a> {
    /// The peer location to accept from, and the own service to forward to.
    pub(super) from: Option<(&'a Location, Address)>,
    /// The location that the own service's messages go to, and the address of its gateway.
    pub(super) to: Option<(&'a Location, Address)>,
}

/// A gateway that runs until it is told to stop.
pub(super) struct Running {
    pub(super) accepts: Option<Address>,
    pub(super) originates: Option<Address>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Location {
    pub(super) fn new(root: &Ca, letter: char, folder: &Path) -> Result<Self, Failure> {
        let name = format!("location-{letter}");
        let host = format!("gateway.{letter}.example");
        let folder = folder.join(&name);
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let ca =
            root.intermediate(&format!("Location {} CA", letter.to_ascii_uppercase()), &format!("{letter}.example"))?;
        root.write(&folder.join("mesh-root.pem"))?;
        let location = Self { name, host, folder, ca };
        location.issue()?;
        Ok(location)
    }

    /// Replaces the certificate by a new one.
    pub(super) fn issue(&self) -> Result<(PathBuf, PathBuf), Failure> {
        self.ca.issue(&self.folder, &self.name, &self.host)
    }

    /// Issues a certificate of the same CA for another party.
    pub(super) fn issue_for(&self, folder: &Path, cn: &str) -> Result<(PathBuf, PathBuf), Failure> {
        self.ca.issue(folder, cn, &self.host)
    }

    pub(super) fn root_file(&self) -> PathBuf {
        self.folder.join("mesh-root.pem")
    }

    /// Writes the CA of another location into this one's folder, where a name may come from no other.
    fn know(&self, other: &Self) -> Result<String, Failure> {
        let file = self.folder.join(format!("{}-ca.pem", other.name));
        other.ca.write(&file)?;
        Ok(file.display().to_string())
    }

    /// Returns the configuration file for `edgetrust run`.
    fn configuration(&self, forwarding: &Forwarding<'_>) -> Result<Value, Failure> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let (cert_file, key_file, root) = (file("cert.pem"), file("key.pem"), file("mesh-root.pem"));
        let mut tunnels = Vec::new();
        let mut server = json!({"enabled": false});
        if let Some((peer, service)) = &forwarding.from {
            server = json!({
                "enabled": true, "mode": "manual", "cert_file": cert_file, "key_file": key_file, "min_version": "1.3",
                "mtls": {
                    "enabled": true, "client_ca_files": [root], "require_client_cert": true,
                    "allowed_clients": [{"cn": peer.name, "issuers": [self.know(peer)?]}],
                },
            });
            tunnels.push(json!({
                "name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": service.to_string(),
            }));
        }
        let mut client = json!({
            "ca_files": [root], "use_system_roots": false, "min_version": "1.3",
            "mtls": {"enabled": true, "cert_file": cert_file, "key_file": key_file},
        });
        if let Some((peer, gateway)) = &forwarding.to {
            let issuers = json!([self.know(peer)?]);
            if let Some(client) = client.as_object_mut() {
                client.insert("server_issuers".to_owned(), issuers);
            }
            tunnels.push(json!({
                "name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": gateway.to_string(),
                "server_name": peer.host,
            }));
        }
        Ok(json!({
            "security": {"tls": {"server": server, "client": client}},
            "gateway": {"tunnels": tunnels, "limits": {"drain_timeout": "5s"}},
        }))
    }

    /// Writes the configuration and runs it, as `edgetrust run` would.
    pub(super) async fn start(&self, forwarding: &Forwarding<'_>) -> Result<Running, Failure> {
        let file = self.folder.join("gateway.json");
        let json = serde_json::to_string_pretty(&self.configuration(forwarding)?)?;
        std::fs::write(&file, json).map_err(|error| format!("{}: {error}", file.display()))?;
        let keeper = MeshKeeper::default();
        let load = move |watched: &mut Watched, agents: &mut Agents| {
            watched.note(&file);
            with_config(&file, |config| Loaded::of(config, Ok(()), watched, agents, &keeper))?
        };
        let mut service = Service::start(load, MeshKeeper::viewer(), AuditLog::default()).await?;
        let (accepts, originates) = (service.local_address("in"), service.local_address("out"));
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(WATCH_INTERVAL);
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = ticks.tick() => service.look().await,
                }
            }
            service.drain().await;
        });
        Ok(Running { accepts, originates, stop, task })
    }
}

impl Running {
    /// Stops the gateway and waits until it has drained.
    pub(super) async fn stop(self) {
        // The task runs until it receives this.
        let _ = self.stop.send(());
        // A task that panicked has said so.
        let _ = self.task.await;
    }
}
