//! Runs one credential: feeds events to the rotation, performs its actions and reports their results.

mod perform;

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::rotation::{Action, Alarm, Event, Machine, Phase, Serving};
use edgetrust_core::store::Slot;
use edgetrust_core::time::{TrustedTime, Utc};
use pki_types::UnixTime;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::agents::Once;
use super::alarm::say;
use super::assignment::{Assignment, Fallback};
use super::request;
use super::status::CredentialStatus;
use super::storage::{Storage, seed};
use crate::acme::{AcmeError, AcmeIssuer, Issued, RenewalWindow, Responders, forget_done_order};
use crate::clock;
use crate::store::Folder;
use crate::tls::LiveCredential;

/// The interval at which clock, requests and deadlines are checked: the clock may be set at any time.
const LOOK: Duration = Duration::from_secs(1);

/// The bounds of the interval at which a CA is asked for renewal information (RFC 9773 section 4.3.1).
const ASK_AGAIN_AT_LEAST: Duration = Duration::from_secs(60);
const ASK_AGAIN_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// The interval after a failed query.
const ASK_AFTER_FAILURE: Duration = Duration::from_secs(3600);

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, AcmeError>> + Send>>;

/// A credential that renews itself.
pub(super) struct Worker {
    assigned: watch::Receiver<Arc<Assignment>>,
    assignment: Arc<Assignment>,
    folder: Arc<Folder>,
    responders: Responders,
    /// `None` while a thread writes.
    storage: Option<Storage>,
    live: LiveCredential,
    status: Arc<CredentialStatus>,
    issuer: Arc<Mutex<AcmeIssuer>>,
    machine: Machine,
    /// The actions that precede the next one of the machine.
    todo: VecDeque<Action>,
    /// The issued certificate, until it is confirmed; [`Machine::staged`] tells its slot.
    staged: Option<Issued>,
    issuing: Option<Answer<Issued>>,
    asking: Option<Answer<Option<RenewalWindow>>>,
    ask_at: Option<UnixTime>,
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
    pub(super) fn restore(
        assigned: watch::Receiver<Arc<Assignment>>,
        folder: Arc<Folder>,
        responders: Responders,
        live: LiveCredential,
        status: Arc<CredentialStatus>,
    ) -> Result<Self, String> {
        let assignment = assigned.borrow().clone();
        let mut storage = Storage::new(folder.path()).map_err(|error| error.to_string())?;
        let kept = storage.kept();
        for error in &kept.errors {
            log!(error, status, "{error}: the other slot is used");
        }
        let issuer = AcmeIssuer::new(assignment.settings.clone(), folder.clone(), responders.clone(), live.clone())?;
        let mut worker = Self {
            machine: Machine::new(assignment.policy(seed(&folder, &status))),
            issuer: Arc::new(Mutex::new(issuer)),
            storage: Some(storage),
            todo: VecDeque::new(),
            staged: None,
            issuing: None,
            asking: None,
            ask_at: Some(clock::now()),
            assigned,
            assignment,
            folder,
            responders,
            live,
            status,
            asked_for: None,
            hooks: Vec::new(),
        };
        // The stored certificate is usable; the operator must know before it ends.
        if let Err(error) = worker.folder.try_writing() {
            log!(error, worker.status, "nothing new can be kept: {error}");
            worker.status.failed(error.to_string());
            say(Alarm::StorageFailed, &worker.status);
        }
        if let Some(active) = kept.active {
            worker.mend(active.slot);
        }
        worker.report(Event::Restored { active: kept.active, trial: kept.trial });
        // The stored certificate or the fallback is presented before the first connection; other actions can wait.
        while let Some(action) = worker.machine.next(now()) {
            match action {
                Action::Activate { slot } => worker.activate(slot),
                Action::ActivateFallback => worker.activate_fallback(),
                later => worker.todo.push_back(later),
            }
        }
        worker.status.set(worker.machine.state(), worker.machine.policy());
        // Roots or names may have changed since the certificate was stored.
        if worker.names_changed(&worker.assignment) {
            worker.report(Event::RotateNow);
        }
        Ok(worker)
    }

    /// Completes what a crash after the confirmation left: forgets the order, writes the PEM copies and runs the hook.
    fn mend(&mut self, slot: Slot) {
        let mended = self.record(slot).and_then(|issued| {
            forget_done_order(&self.folder, &issued.key).map_err(|error| error.to_string())?;
            let storage = self.storage.as_mut().ok_or("the storage is in use")?;
            let stale = !storage.is_live(&self.folder, slot);
            if stale {
                storage.write_live(&self.folder, slot, &issued)?;
            }
            Ok(stale)
        });
        match mended {
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
            self.answer();
            self.wait().await;
        }
    }

    /// Answers the request for a renewal once its attempt has ended.
    fn answer(&mut self) {
        let (issued, failed) = (self.status.issued_total(), self.status.failed_total());
        let Some(asked) = self.asked_for.take_if(|asked| (asked.issued, asked.failed) != (issued, failed)) else {
            return;
        };
        let error = self.status.now().last_error;
        if let Err(error) = request::answer(&self.folder, &asked.number, error.as_deref()) {
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
    }

    /// Waits for the next event.
    async fn wait(&mut self) {
        let event = tokio::select! {
            answer = answered(&mut self.issuing) => self.issued(answer),
            answer = answered(&mut self.asking) => self.asked(answer),
            changed = self.assigned.changed() => {
                match changed {
                    Ok(()) => self.reassigned(),
                    // The gateway is gone, and this task with it.
                    Err(_) => pending().await,
                }
                Event::Tick
            }
            () = sleep(LOOK) => {
                self.ask();
                if self.requested() { Event::RotateNow } else { Event::Tick }
            }
        };
        self.report(event);
    }

    fn requested(&mut self) -> bool {
        match request::take(&self.folder) {
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

    fn reassigned(&mut self) {
        let assignment = self.assigned.borrow_and_update().clone();
        // The fallback's files may have changed.
        self.report(Event::FallbackReady);
        if self.machine.state().serving == Serving::Fallback {
            self.todo.push_back(Action::ActivateFallback);
        }
        if assignment == std::mem::replace(&mut self.assignment, assignment.clone()) {
            return;
        }
        let settings = assignment.settings.clone();
        match AcmeIssuer::new(settings, self.folder.clone(), self.responders.clone(), self.live.clone()) {
            Ok(issuer) => {
                let names = self.names_changed(&assignment);
                self.machine.set_policy(assignment.policy(self.machine.policy().seed));
                self.issuer = Arc::new(Mutex::new(issuer));
                match self.machine.state().phase {
                    // The current attempt uses the previous settings.
                    Phase::Issuing { attempt, .. } => self.todo.push_back(Action::Issue { attempt }),
                    // The change may have removed the cause of the failure.
                    Phase::BackingOff { .. } => self.report(Event::RotateNow),
                    _ if names => self.report(Event::RotateNow),
                    _ => {}
                }
                self.ask_at = Some(clock::now());
            }
            // Settings are checked before they are assigned.
            Err(reason) => log!(error, self.status, "{reason}"),
        }
    }

    /// Returns whether the certificate in use fails the verification for the requested names and anchors.
    fn names_changed(&self, assignment: &Assignment) -> bool {
        let chain = self.live.credential().chain();
        self.machine.state().serving == Serving::Issued
            && crate::acme::verify(&assignment.settings, &chain, clock::now()).is_err()
    }

    fn issued(&mut self, answer: Result<Issued, AcmeError>) -> Event {
        self.issuing = None;
        match answer {
            Ok(issued) => {
                let event = Event::Issued { not_before: issued.not_before, not_after: issued.not_after };
                self.staged = Some(issued);
                event
            }
            Err(error) => {
                self.status.failed(error.to_string());
                log!(error, self.status, retry_after = ?error.failure.retry_after_s, "no certificate: {error}");
                Event::IssueFailed(error.failure)
            }
        }
    }

    /// Asks the CA for the suggested renewal window (RFC 9773), if a query is due.
    fn ask(&mut self) {
        let due = self.ask_at.is_some_and(|at| clock::now() >= at);
        if !due || self.asking.is_some() || !matches!(self.machine.state().phase, Phase::Waiting { .. }) {
            return;
        }
        let Some(leaf) = self.live.credential().chain().into_iter().next() else { return };
        if self.machine.state().serving != Serving::Issued {
            return;
        }
        let issuer = self.issuer.clone();
        self.asking = Some(Box::pin(async move { issuer.lock().await.renewal_window(&leaf).await }));
    }

    fn asked(&mut self, answer: Result<Option<RenewalWindow>, AcmeError>) -> Event {
        self.asking = None;
        let later = |wait: Duration| {
            let seconds = clock::now().as_secs().saturating_add(wait.as_secs());
            Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
        };
        match answer {
            Ok(Some(RenewalWindow { start, end, ask_again })) => {
                log!(info, self.status, start = %Utc(start), end = %Utc(end), "the CA suggests a renewal");
                self.ask_at = later(ask_again.clamp(ASK_AGAIN_AT_LEAST, ASK_AGAIN_AT_MOST));
                Event::RenewalWindow { start, end }
            }
            Ok(None) => {
                self.ask_at = None;
                Event::Tick
            }
            Err(error) => {
                log!(warn, self.status, "{error}");
                self.ask_at = later(ASK_AFTER_FAILURE);
                Event::Tick
            }
        }
    }
}

fn now() -> TrustedTime {
    TrustedTime::Known(clock::now())
}

/// Waits for the answer of the operation under way, or forever if there is none.
async fn answered<T>(under_way: &mut Option<Answer<T>>) -> Result<T, AcmeError> {
    match under_way {
        Some(answer) => answer.await,
        None => pending().await,
    }
}
