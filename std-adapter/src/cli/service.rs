//! Implements start, reload and drain for `run`, `serve` and `connect`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use edgetrust_core::config;
use edgetrust_core::mesh::Digest;
use edgetrust_core::path::DeniedKey;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::audited::{AuditedState, bounded};
use super::confine::{confine, start_outside};
use super::listening::Addresses;
use super::prepared_pages::PreparedPages;
use super::systemd::{self, Watchdog};
use super::{Failure, Outcome, arguments, descriptors, log};
use crate::acme::{KeptOpen, connect_hook_helper};
use crate::agent::Agents;
use crate::audit::{self, AuditLog};
use crate::clock;
use crate::est;
use crate::gateway::{
    Address, AdminPlan, Gateway, ListEnds, ListStatus, MeshKeeper, MeshRemark, MeshStatus, NoAcme, Plan,
    PreparedControl, SharedTrust, Watched, log_mesh,
};
use crate::ops::Pages;
use crate::sandbox::{self, Needs, NotAllowed};

/// The version with the commit, if known; the build script composes the text.
pub(crate) const VERSION: &str = env!("EDGETRUST_VERSION");

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Interval between checks of the files in use; a change reloads them. 0s: reload only on SIGHUP
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = arguments::duration, help_heading = "Service")]
    watch_interval: Duration,
    /// Number of threads; by default one for each processor
    #[arg(long, value_name = "N", help_heading = "Service")]
    workers: Option<NonZeroUsize>,
    /// Run without the sandbox, which allows the files, ports and hooks of the configuration at the start and no other.
    ///
    /// For debuggers and core dumps, for reloads that name other folders, ports or hooks, and for files that root may
    /// read by its capabilities alone.
    #[arg(long, help_heading = "Service")]
    no_sandbox: bool,
}

/// The plans made from a configuration.
pub(crate) struct Loaded {
    plan: Plan,
    est: Option<est::Plan>,
    /// The configuration file, and the digest of its text.
    file: Option<(PathBuf, Digest)>,
    addresses: Addresses,
}

impl From<Plan> for Loaded {
    fn from(plan: Plan) -> Self {
        Self { addresses: Addresses::of_plan(&plan), plan, est: None, file: None }
    }
}

impl Loaded {
    /// Reads every file that a configuration names, each noted in `watched` first. What the sandbox does not allow is
    /// refused once it is known which keys are denied, which must not wait for the rest.
    pub(crate) fn of(
        config: &config::Config<'_>,
        allowed: Result<(), NotAllowed>,
        watched: &mut Watched,
        agents: &mut Agents,
        keeper: &MeshKeeper,
    ) -> Result<Self, Failure> {
        let gateway = &config.gateway;
        let shared = match SharedTrust::read(gateway, &config.denied_keys, watched, keeper) {
            Ok(shared) => shared,
            // A file that cannot be read may be one that the sandbox does not allow.
            Err(error) => return Err(allowed.err().map_or_else(|| error.into(), Failure::from)),
        };
        agents.trust(&shared);
        allowed?;
        let plan = Plan::new(gateway, &shared, watched, agents)?;
        let est = est::Plan::new(gateway, &shared, watched, agents)?;
        shared.warn_of_lists();
        if let Some(home) = est.as_ref().map(est::Plan::home).filter(|home| agents.asks_for(home)) {
            return Err(format!(
                "gateway.est.acme.storage_path: found {home} in another acme section too, expected a folder for each"
            )
            .into());
        }
        Ok(Self { plan, est, file: None, addresses: Addresses::of(config) })
    }

    /// Notes the file that the plans are from.
    pub(crate) fn with_file(self, file: &Path, digest: Digest) -> Self {
        Self { file: Some((file.to_owned(), digest)), ..self }
    }

    /// Lowers the limits to those that this process has descriptors for.
    fn fitted(mut self, available: usize) -> Self {
        if let Some(warning) = descriptors::fit(&mut self.plan, self.est.is_some(), available) {
            warn!("{warning}");
        }
        self
    }
}

/// A gateway with the function that loads its configuration.
pub(crate) struct Service<L> {
    gateway: Gateway,
    est: est::Server,
    agents: Agents,
    watched: Watched,
    pages: Option<Pages>,
    load: L,
    /// The next attempt of a refused reload, whose cause may pass by itself.
    again: Option<Again>,
    keeper: MeshKeeper,
    /// The keys that are denied now.
    denied: Vec<DeniedKey>,
    /// The sockets for http-01 that were passed: others connect to them at any time.
    http01: Vec<KeptOpen>,
    /// The ends of revocation lists that the log has said.
    ends: ListEnds,
    audit: AuditLog,
    recorded: AuditedState,
}

/// The next attempt of a refused reload: descriptors may have run out, or a file was half written and got its old
/// date.
struct Again {
    at: Instant,
    wait: Duration,
    reason: String,
}

/// The waits between attempts, which double from the first to the last.
const FIRST_AGAIN: Duration = Duration::from_secs(1);
const LAST_AGAIN: Duration = Duration::from_secs(60);

impl Again {
    /// Schedules an attempt after a refusal for `reason`; the wait grows if the reason is the same as before.
    fn after(before: Option<Self>, reason: &str) -> Self {
        let wait = match before {
            Some(before) if before.reason == reason => before.wait.saturating_mul(2).min(LAST_AGAIN),
            _ => FIRST_AGAIN,
        };
        let now = Instant::now();
        Self { at: now.checked_add(wait).unwrap_or(now), wait, reason: reason.to_owned() }
    }
}

impl<L: Fn(&mut Watched, &mut Agents) -> Result<Loaded, Failure>> Service<L> {
    pub(crate) async fn start(load: L, keeper: MeshKeeper, audit: AuditLog) -> Result<Self, Failure> {
        let (mut watched, mut agents) = (Watched::default(), Agents::default());
        let Loaded { plan, est: devices, file, addresses } = load(&mut watched, &mut agents)?;
        // First, so that a start that is refused from here on stands in it.
        audit.set(audit::open(plan.audit_log.as_deref())?);
        audit.record("started", &json!({"version": VERSION})).taken().await;
        addresses.check_passed()?;
        let prepared = agents.prepare().await?;
        let mut est = est::Server::new(agents.responders().clone(), audit.clone());
        let devices = est.prepare(devices).await?;
        let control = plan.control.map(PreparedControl::new).transpose()?;
        let gateway = Gateway::start(plan.tunnels, plan.limits, control, audit.clone()).await?;
        let of_pages = plan.admin.as_ref().and_then(AdminPlan::certificates);
        let pages = PreparedPages::new(plan.admin, None, &gateway, &agents, &est).await?;
        let http01 = kept_open(&addresses, &agents)?;
        let mut served = None;
        pages.commit(&mut served);
        agents.commit(prepared);
        est.commit(devices);
        let (denied, ends) = (plan.denied, ListEnds::default());
        let recorded = AuditedState::new(of_pages);
        let (pages, again) = (served, None);
        let mut service =
            Self { gateway, est, agents, watched, pages, load, again, keeper, denied, http01, ends, audit, recorded };
        service.tell((plan.mesh, &plan.remarks), plan.lists, file, "start").await;
        Ok(service)
    }

    /// Tells what there is to say of the mesh, the revocation lists and the configuration, which are in force now.
    async fn tell(
        &mut self,
        (mesh, remarks): (Option<MeshStatus>, &[MeshRemark]),
        lists: Vec<ListStatus>,
        file: Option<(PathBuf, Digest)>,
        cause: &str,
    ) {
        let of_file = |(file, digest): &(PathBuf, Digest)| json!({"cause": bounded(cause), "file": file.display().to_string(), "digest": digest.to_string()});
        let in_force = file.as_ref().map_or_else(|| json!({"cause": bounded(cause)}), of_file);
        self.audit.record("configuration", &in_force).taken().await;
        if let Some((file, digest)) = file {
            self.gateway.status().set_configuration(file, digest);
        }
        if mesh.is_some() {
            self.keeper.loaded();
        }
        log_mesh(remarks);
        self.recorded.record_mesh(mesh.as_ref(), cause, &self.audit).await;
        self.gateway.status().set_mesh(mesh);
        self.gateway.status().set_lists(lists);
        self.look_at_lists();
        self.record_trust().await;
    }

    /// Records in the audit log how what is trusted, shown and denied has changed.
    pub(crate) async fn record_trust(&mut self) {
        let (status, devices) = (self.gateway.status(), self.est.status());
        self.recorded.record_trust(status, devices, &self.denied, &self.audit).await;
    }

    /// Waits until a credential that renews itself is shown to peers.
    pub(crate) async fn shown(&self) {
        self.agents.credentials().shown().await;
    }

    /// Opens the audit log again, which may have been renamed.
    pub(crate) fn reopen_audit_log(&self) {
        if let Err(error) = self.audit.reopen() {
            error!("lines go on to the file as it was opened before: {error}");
        }
    }

    /// Says which revocation lists end, or have ended.
    fn look_at_lists(&mut self) {
        self.ends.look(&self.gateway.status().lists(), clock::now());
    }

    /// Denies the keys that a refused configuration, or the mesh of it, denies: they must not wait for the rest.
    async fn deny(&mut self) {
        let pending = self.keeper.pending();
        let of_mesh = pending.iter().flat_map(|(_, keys)| keys);
        let mut keys: Vec<DeniedKey> = Vec::new();
        for key in self.agents.denied_keys().iter().chain(of_mesh) {
            if !self.denied.contains(key) && !keys.contains(key) {
                keys.push(*key);
            }
        }
        // What has come is also to be passed on, where nothing of it is new here.
        let mesh = pending.map(|(mesh, _)| mesh).filter(|mesh| !self.gateway.serves(mesh));
        if keys.is_empty() && mesh.is_none() {
            return;
        }
        let denied = match self.gateway.deny(&keys, mesh).await {
            Ok(()) => self.est.deny(&keys).map_err(Failure::from),
            Err(error) => Err(error.into()),
        };
        match denied {
            Ok(()) if keys.is_empty() => {}
            Ok(()) => {
                warn!(keys = keys.len(), "keys that the refused configuration denies are denied all the same");
                self.denied.extend(keys);
                self.record_trust().await;
            }
            Err(error) => error!("keys that the refused configuration denies are not denied: {error}"),
        }
    }

    /// Returns the address that a tunnel listens on, for a tunnel configured with port 0.
    pub(crate) fn local_address(&self, tunnel: &str) -> Option<Address> {
        self.gateway.local_address(tunnel)
    }

    /// Reloads if a file that is in use has changed, or if a refused reload is due again.
    pub(crate) async fn look(&mut self) {
        if self.keeper.keep_again() {
            info!("the mesh in force is kept now");
        }
        self.look_at_lists();
        let files = self.watched.changed();
        if files.is_empty() && self.again.as_ref().is_some_and(|again| Instant::now() >= again.at) {
            return self.attempt("the last reload was refused", true).await;
        }
        if !files.is_empty() {
            let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            self.reload(&format!("changed: {}", names.join(", "))).await;
        }
    }

    /// Reloads all or nothing: after any failure, the last good configuration stays in force, and a retry follows.
    pub(crate) async fn reload(&mut self, cause: &str) {
        self.attempt(cause, false).await;
    }

    /// Makes one attempt. A `repeated` one is only logged if its result differs from the previous one.
    async fn attempt(&mut self, cause: &str, repeated: bool) {
        let mut read = Watched::default();
        let reloaded = self.try_reload(&mut read, cause).await.map_err(|error| error.to_string());
        let before = self.again.take();
        let same = |reason: &String| before.as_ref().is_some_and(|before| before.reason == *reason);
        let known = repeated && reloaded.as_ref().err().is_some_and(same);
        if !known {
            self.gateway.status().reloaded(reloaded.as_ref().err().cloned());
        }
        match reloaded {
            Ok(()) => {
                self.watched = read;
                info!(%cause, "reloaded");
            }
            Err(reason) => {
                // A change of a file of either configuration, the good or the refused one, is worth another attempt.
                self.watched.extend(read);
                self.again = Some(Again::after(before, &reason));
                if !known {
                    error!(%cause, "reload refused, the last good configuration stays: {reason}");
                    let refused = json!({"cause": bounded(cause), "reason": bounded(&reason)});
                    self.audit.record("configuration_refused", &refused).taken().await;
                }
                self.deny().await;
            }
        }
    }

    async fn try_reload(&mut self, read: &mut Watched, cause: &str) -> Result<(), Failure> {
        self.agents.begin();
        let Loaded { plan, est: devices, file, addresses } = (self.load)(read, &mut self.agents)?;
        let prepared = self.agents.prepare().await?;
        // Everything that can fail comes before the first change.
        let audit_file = audit::open(plan.audit_log.as_deref())?;
        let of_pages = plan.admin.as_ref().and_then(AdminPlan::certificates);
        let pages = PreparedPages::new(plan.admin, self.pages.as_ref(), &self.gateway, &self.agents, &self.est).await?;
        let devices = self.est.prepare(devices).await?;
        let control = plan.control.map(PreparedControl::new).transpose()?;
        let http01 = kept_open(&addresses, &self.agents)?;
        self.gateway.reload(plan.tunnels, plan.limits).await?;
        self.http01 = http01;
        if let Err(unserved) = addresses.check_passed() {
            warn!("clients of a passed socket wait in vain: {unserved}");
        }
        self.agents.commit(prepared);
        self.est.commit(devices);
        self.gateway.set_control(control);
        self.denied = plan.denied;
        self.recorded.set_pages(of_pages);
        let was_on = self.audit.is_on();
        self.audit.set(audit_file);
        if !was_on {
            self.recorded.forget();
        }
        self.tell((plan.mesh, &plan.remarks), plan.lists, file, cause).await;
        pages.commit(&mut self.pages);
        Ok(())
    }

    /// Waits until another gateway has brought a mesh, which is then to be loaded.
    pub(crate) async fn news(&self) {
        self.gateway.news().await;
    }

    pub(crate) async fn drain(self) {
        tokio::join!(self.gateway.drain(), self.est.drain());
        // Last: they tell how far the end is.
        if let Some(pages) = self.pages {
            pages.end().await;
        }
    }
}

/// Answers at the sockets for http-01 that were passed to this process.
fn kept_open(addresses: &Addresses, agents: &Agents) -> Result<Vec<KeptOpen>, Failure> {
    let mut kept = Vec::new();
    for address in &addresses.http01 {
        let open = agents.responders().keep_open(*address);
        kept.extend(open.map_err(|error| format!("acme.http_listen: cannot listen on {address}: {error}"))?);
    }
    Ok(kept)
}

/// Runs the configuration of `load` until SIGTERM or SIGINT; SIGHUP or a changed file loads it again. The log starts
/// here, since it has a thread; `tell` is what it has to say first.
pub(crate) fn run(
    options: &Options,
    format: log::Format,
    keeper: MeshKeeper,
    tell: impl FnOnce(),
    needs: impl FnOnce() -> Result<Needs, Failure>,
    load: impl Fn(&mut Watched, &mut Agents) -> Result<Loaded, Failure>,
) -> Outcome {
    let confined = if options.no_sandbox { Ok(()) } else { confine(needs) };
    log::start(format, "info");
    info!(version = VERSION, "edgetrust starts");
    tell();
    confined?;
    match sandbox::in_force() {
        Some(sandbox) => sandbox.tell(),
        None => info!("there is no sandbox: --no-sandbox"),
    }
    let mut runtime = match options.workers.map(NonZeroUsize::get) {
        None => Builder::new_multi_thread(),
        // A single thread has no other to steal work from or to wake.
        Some(1) => Builder::new_current_thread(),
        Some(workers) => {
            let mut runtime = Builder::new_multi_thread();
            runtime.worker_threads(workers);
            runtime
        }
    };
    let available = descriptors::raise();
    let load =
        |watched: &mut Watched, agents: &mut Agents| load(watched, agents).map(|loaded| loaded.fitted(available));
    let runtime = runtime.enable_all().build()?;
    let audit = AuditLog::default();
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        connect_hook_helper()?;
        let mut service = Service::start(load, keeper, audit.clone()).await?;
        systemd::ready();
        let mut watchdog = Watchdog::of_environment();
        let mut ticks = interval(options.watch_interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hangup.recv() => {
                    systemd::reloading();
                    service.reopen_audit_log();
                    service.reload("SIGHUP").await;
                    systemd::ready();
                }
                () = service.shown() => service.record_trust().await,
                () = service.news() => service.reload("another gateway has brought a mesh").await,
                _ = ticks.tick(), if !options.watch_interval.is_zero() => service.look().await,
                () = watchdog.due() => Watchdog::alive(),
            }
        }
        systemd::stopping();
        info!("draining");
        tokio::select! {
            () = service.drain() => info!("drained"),
            _ = signals.terminate.recv() => info!("a second signal to stop: open connections are cut"),
            _ = signals.interrupt.recv() => info!("a second signal to stop: open connections are cut"),
        }
        Ok(ExitCode::SUCCESS)
    });
    let refused = outcome.as_ref().err().map(ToString::to_string);
    let stopped = refused.map_or_else(|| json!({}), |reason| json!({"reason": bounded(&reason)}));
    // A stalled disk must not keep the program from ending.
    runtime.shutdown_timeout(LAST_WRITES);
    // Last, after all connections.
    drop(audit.record("stopped", &stopped));
    audit.flush();
    outcome
}

/// Runs the one tunnel that flags describe.
pub(crate) fn run_tunnel<'a>(
    options: &Options,
    format: log::Format,
    deny: &arguments::DenyFlags,
    gateway: impl Fn() -> Result<config::Gateway<'a>, Failure>,
) -> Outcome {
    let needs = || {
        let needs = Needs::of_gateway(&gateway()?);
        start_outside(&needs, format)?;
        Ok(needs)
    };
    let keeper = MeshKeeper::viewer();
    let load = |watched: &mut Watched, _: &mut Agents| {
        let gateway = gateway()?;
        sandbox::allows(&Needs::of_gateway(&gateway))?;
        let shared = SharedTrust::read(&gateway, &deny.keys(), watched, &keeper)?;
        Ok(Plan::new(&gateway, &shared, watched, &mut NoAcme)?.into())
    };
    run(options, format, keeper.clone(), || {}, needs, load)
}

/// The time that pending disk writes get when the program ends.
const LAST_WRITES: Duration = Duration::from_secs(1);

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}
