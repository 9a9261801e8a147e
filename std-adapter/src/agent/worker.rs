//! Runs one credential: feeds events to the rotation, performs its actions and reports their results.

mod perform;
mod renewal_info;
mod sharing;
mod storage;
mod under_way;

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::rotation::{Action, Alarm, Event, Machine, Phase, Serving};
use edgetrust_core::store::Slot;
use edgetrust_core::time::TrustedTime;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::renewal_info::RenewalInfo;
use self::storage::Keeper;
use self::under_way::UnderWay;
use super::alarm::say;
use super::assignment::Assignment;
use super::replica::Replica;
use super::request;
use super::status::CredentialStatus;
use crate::acme::{AcmeError, AcmeIssuer, HttpError, Responders};
use crate::clock;
use crate::store::{Held, Record, StorageError};
use crate::tls::LiveCredential;
use crate::token::TokenKey;

/// The interval at which clock, requests and deadlines are checked: the clock may be set at any time.
const LOOK: Duration = Duration::from_secs(1);

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

/// The reason that a credential is not started.
#[derive(Debug)]
pub enum StartError {
    /// Its home cannot be taken.
    Home(StorageError),
    /// The contents of its home cannot be read.
    Kept(StorageError),
    /// No client for its directory can be made.
    Directory(HttpError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(error) => write!(f, "acme.storage_path: {error}"),
            Self::Kept(error) => error.fmt(f),
            Self::Directory(error) => error.fmt(f),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Home(error) | Self::Kept(error) => Some(error),
            Self::Directory(error) => Some(error),
        }
    }
}

/// A credential that renews itself.
pub(super) struct Worker {
    assigned: watch::Receiver<Arc<Assignment>>,
    assignment: Arc<Assignment>,
    keeper: Keeper,
    responders: Responders,
    live: LiveCredential,
    status: Arc<CredentialStatus>,
    issuer: Arc<Mutex<AcmeIssuer>>,
    /// The gateways that share the credential.
    replica: Option<Replica>,
    machine: Machine,
    /// The actions that precede the next one of the machine.
    todo: VecDeque<Action>,
    issuing: UnderWay<Record>,
    renewal_info: RenewalInfo,
    /// The request that waits for the result of the next attempt.
    asked_for: Option<Asked>,
    /// The running hooks.
    hooks: Vec<JoinHandle<()>>,
}

/// A requested renewal, with the counts of attempts that had ended before.
struct Asked {
    number: String,
    issued: u64,
    failed: u64,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl Worker {
    /// Restores the stored certificate and presents it at once; [`Worker::run`] does what is due.
    pub(super) async fn restore(
        assigned: watch::Receiver<Arc<Assignment>>,
        held: Arc<dyn Held>,
        responders: Responders,
        live: LiveCredential,
        status: Arc<CredentialStatus>,
    ) -> Result<Self, StartError> {
        let assignment = assigned.borrow().clone();
        let mut keeper = Keeper::new(held, status.clone());
        let kept = keeper.kept().await.map_err(StartError::Kept)?;
        let seed = keeper.seed().await;
        let replica = keeper.share(&assignment.settings, seed).await.map_err(StartError::Kept)?;
        let (settings, held) = (assignment.settings.clone(), keeper.held().clone());
        let issuer =
            AcmeIssuer::new(settings, held, responders.clone(), live.clone()).map_err(StartError::Directory)?;
        let mut worker = Self {
            machine: Machine::new(assignment.policy(seed)),
            replica,
            issuer: Arc::new(Mutex::new(issuer)),
            keeper,
            todo: VecDeque::new(),
            issuing: UnderWay::none(),
            renewal_info: RenewalInfo::new(),
            assigned,
            assignment,
            responders,
            live,
            status,
            asked_for: None,
            hooks: Vec::new(),
        };
        // The stored certificate is usable; the operator must know before it ends.
        if let Err(error) = worker.keeper.held().try_writing().await {
            log!(error, worker.status, "nothing new can be kept: {error}");
            worker.status.failed(error.to_string());
            say(Alarm::StorageFailed, &worker.status);
        }
        if let Some(active) = kept.active {
            worker.mend(active.slot).await;
        }
        worker.report(Event::Restored { active: kept.active, trial: kept.trial });
        // The stored certificate or the fallback is presented before the first connection; other actions can wait.
        while let Some(action) = worker.machine.next(now()) {
            match action {
                Action::Activate { slot } => worker.activate(slot).await,
                Action::ActivateFallback => worker.activate_fallback(),
                later => worker.todo.push_back(later),
            }
        }
        worker.status.set(worker.machine.state(), worker.machine.policy());
        // Roots, names or denied keys may have changed since the certificate was stored.
        if worker.is_outdated(&worker.assignment) {
            worker.report(Event::RotateNow);
        }
        Ok(worker)
    }

    /// Completes what a crash after the confirmation left, and runs the hook of a renewal that had not run it.
    async fn mend(&mut self, slot: Slot) {
        match self.keeper.mend(slot).await {
            Ok(true) => self.run_hook(),
            Ok(false) => {}
            Err(error) => log!(warn, self.status, "{error}"),
        }
    }

    fn report(&mut self, event: Event) {
        self.machine.report(now(), event);
    }

    /// Works until the future is dropped.
    pub(super) async fn run(mut self) {
        loop {
            self.work().await;
            self.answer().await;
            self.wait().await;
        }
    }

    /// Answers the request for a renewal once its attempt has ended.
    async fn answer(&mut self) {
        let (issued, failed) = (self.status.issued_total(), self.status.failed_total());
        let Some(asked) = self.asked_for.take_if(|asked| (asked.issued, asked.failed) != (issued, failed)) else {
            return;
        };
        let error = self.status.now().last_error;
        if let Err(error) = request::answer(&**self.keeper.held(), &asked.number, error.as_deref()).await {
            log!(warn, self.status, "{error}");
        }
    }

    /// Makes one attempt, started by hand or by a timer.
    pub(super) async fn once(mut self, force: bool) -> Once {
        let before = self.status.issued_total();
        if force {
            self.report(Event::RotateNow);
        }
        loop {
            self.work().await;
            let phase = self.machine.state().phase;
            let renewed = self.status.issued_total() > before;
            match phase {
                Phase::Waiting { .. } if renewed || !self.is_due() => return self.done(renewed).await,
                // A certificate that cannot be stored now is not waited for.
                Phase::BackingOff { .. } | Phase::Persisting { attempt: 1.., .. } => {
                    return Once::Failed(self.status.now().last_error.unwrap_or_default());
                }
                _ => {}
            }
            self.wait().await;
        }
    }

    /// Returns the result after the hooks, which would end with the process.
    async fn done(&mut self, renewed: bool) -> Once {
        for hook in self.hooks.drain(..) {
            // The hook reports its own result.
            let _ = hook.await;
        }
        match self.status.now().last_error {
            Some(error) if renewed => Once::Failed(format!("a new certificate is in use, and {error}")),
            None if renewed => Once::Renewed,
            _ => Once::Fresh,
        }
    }

    /// Returns whether a renewal is due now; the spread after a restart is for services, not for an attempt by hand.
    fn is_due(&mut self) -> bool {
        let due = self
            .machine
            .state()
            .active
            .is_none_or(|active| clock::now() >= self.machine.policy().renewal_point(&active));
        if due {
            self.report(Event::RotateNow);
        }
        due
    }

    /// Performs every action that is possible now, then publishes the state.
    async fn work(&mut self) {
        while let Some(action) = self.todo.pop_front().or_else(|| self.machine.next(now())) {
            self.perform(action).await;
        }
        self.status.set(self.machine.state(), self.machine.policy());
        self.status.stand(self.replica.as_ref().map(Replica::standing));
    }

    /// Waits for the next event, or until it is time to look at clock and deadlines.
    async fn wait(&mut self) {
        let event = tokio::select! {
            answer = self.issuing.answer() => Some(self.issued(answer)),
            answer = self.renewal_info.answer() => {
                let window = self.renewal_info.take(answer, &self.status);
                window.map(|(start, end)| Event::RenewalWindow { start, end })
            }
            changed = self.assigned.changed() => {
                match changed {
                    Ok(()) => self.reassigned().await,
                    // The gateway is gone, and this task with it.
                    Err(_) => pending().await,
                }
                None
            }
            () = Replica::changed_of(&mut self.replica) => self.attend().await.then_some(Event::RotateNow),
            () = sleep(LOOK) => {
                self.ask();
                (self.requested().await || self.missed_newer()).then_some(Event::RotateNow)
            }
        };
        if let Some(event) = event {
            self.report(event);
        }
    }

    async fn requested(&mut self) -> bool {
        match request::take(&**self.keeper.held()).await {
            Ok(None) => false,
            Ok(Some(number)) => {
                log!(info, self.status, "a renewal was asked for");
                let (issued, failed) = (self.status.issued_total(), self.status.failed_total());
                self.asked_for = Some(Asked { number, issued, failed });
                true
            }
            Err(error) => {
                log!(warn, self.status, "{error}");
                false
            }
        }
    }

    async fn reassigned(&mut self) {
        let assignment = self.assigned.borrow_and_update().clone();
        // The fallback's files may have changed.
        self.report(Event::FallbackReady);
        if self.machine.state().serving == Serving::Fallback {
            self.todo.push_back(Action::ActivateFallback);
        }
        let before = std::mem::replace(&mut self.assignment, assignment.clone());
        if assignment == before {
            return;
        }
        self.share_anew(&before.settings).await;
        let (settings, held) = (assignment.settings.clone(), self.keeper.held().clone());
        match AcmeIssuer::new(settings, held, self.responders.clone(), self.live.clone()) {
            Ok(issuer) => {
                let outdated = self.is_outdated(&assignment);
                self.machine.set_policy(assignment.policy(self.machine.policy().seed));
                self.issuer = Arc::new(Mutex::new(issuer));
                match self.machine.state().phase {
                    // The current attempt uses the previous settings.
                    Phase::Issuing { attempt, .. } => self.todo.push_back(Action::Issue { attempt }),
                    // The change may have removed the cause of the failure.
                    Phase::BackingOff { .. } => self.report(Event::RotateNow),
                    _ if outdated => self.report(Event::RotateNow),
                    _ => {}
                }
                self.renewal_info.ask_anew();
            }
            // Settings are checked before they are assigned.
            Err(reason) => log!(error, self.status, "{reason}"),
        }
    }

    /// Returns whether the certificate in use fails the verification for the requested names, anchors and denied keys.
    fn is_outdated(&self, assignment: &Assignment) -> bool {
        if self.machine.state().serving != Serving::Issued {
            return false;
        }
        // The token that the configuration names, or none.
        let token = self.live.credential().token();
        if token.as_ref().map(TokenKey::uri) != assignment.settings.key.as_deref() {
            return true;
        }
        match crate::acme::verify(&assignment.settings, &self.live.credential().chain(), clock::now()) {
            Ok(()) => false,
            Err(error) => {
                if error.is_denied_key() {
                    log!(error, self.status, "a certificate with another key is ordered: {error}");
                }
                true
            }
        }
    }

    fn issued(&mut self, answer: Result<Record, AcmeError>) -> Event {
        match answer {
            Ok(record) => {
                let event = Event::Issued { not_before: record.not_before, not_after: record.not_after };
                self.keeper.obtained(record);
                event
            }
            Err(error) => {
                self.status.failed(error.to_string());
                log!(error, self.status, retry_after = ?error.failure.retry_after_s, "no certificate: {error}");
                Event::IssueFailed(error.failure)
            }
        }
    }

    /// Asks the CA for the renewal information of the certificate in use, if a query is due.
    fn ask(&mut self) {
        let state = self.machine.state();
        let at_rest = matches!(state.phase, Phase::Waiting { .. }) && state.serving == Serving::Issued;
        if !at_rest || !self.renewal_info.is_due() {
            return;
        }
        if let Some(leaf) = self.live.credential().chain().into_iter().next() {
            self.renewal_info.ask(self.issuer.clone(), leaf);
        }
    }
}

fn now() -> TrustedTime {
    TrustedTime::Known(clock::now())
}

#[cfg(test)]
mod tests;
