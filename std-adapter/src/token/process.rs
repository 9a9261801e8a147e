//! Runs one helper for each PKCS #11 module, and asks it. A module that hangs, crashes or leaks does so in a process of
//! its own; the helper alone reads the PIN.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tracing::warn;

use super::message::{Answer, MAX_MESSAGE, Request, Response, Work};
use super::uri::KeyUri;

/// The subcommand that runs a helper.
pub(crate) const COMMAND: &str = "pkcs11-helper";

/// The time limit of a search, which may load the module and log in.
const FIND: Duration = Duration::from_secs(15);

/// The time limit of a signature. A TPM takes some tenths of a second for one of RSA.
const SIGN: Duration = Duration::from_secs(5);

/// The time after a failure for which a module is not asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// The number of handshakes that may wait for a module, each in a thread. Others wait without one.
const TURNS: usize = 16;

/// A module, as the program knows it.
#[derive(Debug)]
pub(super) struct Module {
    file: PathBuf,
    state: Mutex<State>,
    turns: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Arc<Helper>>,
    /// The last failure, and when it was.
    failed: Option<(Instant, String)>,
    /// The URIs whose PIN a token has refused, with what their PIN files looked like: a helper that is started anew
    /// must not use up the tries of a token.
    refused: HashMap<String, (Look, String)>,
}

/// Inode, size and times of a file.
type Look = Option<(u64, u64, i64, i64, i64, i64)>;

fn look(file: Option<&Path>) -> Look {
    let found = std::fs::metadata(file?).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()))
}

/// A helper that runs.
#[derive(Debug)]
struct Helper {
    socket: Arc<Socket>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Those who wait for answers, until the helper has ended.
#[derive(Debug, Default)]
struct Waiting {
    by_number: HashMap<u64, SyncSender<Answer>>,
    last: u64,
    ended: Option<String>,
}

/// The reason that a helper gave no answer.
enum NoAnswer {
    Ended(String),
    Late(String),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what blocks, so that other tasks of this thread go on elsewhere.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Module {
    /// Returns the module of a file, the same one each time.
    pub(super) fn of(file: &Path) -> Arc<Self> {
        static ALL: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());
        let new = || Self { file: file.to_owned(), state: Mutex::default(), turns: Arc::new(Semaphore::new(TURNS)) };
        locked(&ALL).entry(file.to_owned()).or_insert_with(|| Arc::new(new())).clone()
    }

    /// Returns the turns of those who wait for the module.
    pub(super) fn turns(&self) -> &Arc<Semaphore> {
        &self.turns
    }

    /// Asks the helper, which is started if none runs. Blocks up to a time limit.
    ///
    /// # Errors
    /// Returns the reason of the module, or that it does not answer.
    pub(super) fn ask(&self, uri: &KeyUri, work: &Work) -> Result<Answer, String> {
        aside(|| self.ask_blocking(uri, work))
    }

    fn ask_blocking(&self, uri: &KeyUri, work: &Work) -> Result<Answer, String> {
        let limit = if matches!(work, Work::Find) { FIND } else { SIGN };
        let deadline = Instant::now().checked_add(limit);
        let seen = look(uri.pin_file());
        if let Some((_, reason)) = locked(&self.state).refused.get(uri.text()).filter(|(before, _)| *before == seen) {
            return Err(reason.clone());
        }
        loop {
            // A search comes from a start or a reload, which are few: it does not wait for the end of a pause.
            let (helper, is_new) = self.running(matches!(work, Work::Find))?;
            let left = deadline.map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()));
            let reason = match helper.ask(uri, work, left) {
                Ok(Answer::Refused(reason)) => return Err(reason),
                Ok(Answer::PinRefused(reason)) => {
                    locked(&self.state).refused.insert(uri.text().to_owned(), (seen, reason.clone()));
                    return Err(reason);
                }
                Ok(Answer::Lost(reason)) | Err(NoAnswer::Ended(reason)) if is_new => {
                    return Err(self.fail(&helper, reason));
                }
                Err(NoAnswer::Late(reason)) => return Err(self.fail(&helper, reason)),
                Ok(Answer::Lost(reason)) | Err(NoAnswer::Ended(reason)) => reason,
                Ok(answer) => return Ok(answer),
            };
            // A token that came back is found by a module that is loaded anew.
            warn!(module = %self.file.display(), "the helper of a PKCS #11 module is started anew: {reason}");
            self.end(&helper);
        }
    }

    /// Returns the helper, and whether it was started for this call.
    fn running(&self, at_once: bool) -> Result<(Arc<Helper>, bool), String> {
        let mut state = locked(&self.state);
        if let Some(running) = state.running.as_ref().filter(|running| running.ended().is_none()) {
            return Ok((running.clone(), false));
        }
        let pausing = state.failed.as_ref().filter(|(when, _)| when.elapsed() < PAUSE && !at_once);
        if let Some((_, reason)) = pausing {
            return Err(reason.clone());
        }
        let started = Helper::start(&self.file).map(Arc::new);
        let started =
            started.map_err(|error| format!("the helper for {} was not started: {error}", self.file.display()));
        match &started {
            Ok(helper) => state.running = Some(helper.clone()),
            Err(reason) => state.failed = Some((Instant::now(), reason.clone())),
        }
        started.map(|helper| (helper, true))
    }

    /// Ends a helper, if it is still the one in use.
    fn end(&self, helper: &Arc<Helper>) {
        helper.end();
        let mut state = locked(&self.state);
        if state.running.as_ref().is_some_and(|running| Arc::ptr_eq(running, helper)) {
            state.running = None;
        }
    }

    /// Ends a helper that failed, and keeps the reason for the calls of the next second.
    fn fail(&self, helper: &Arc<Helper>, reason: String) -> String {
        self.end(helper);
        locked(&self.state).failed = Some((Instant::now(), reason.clone()));
        reason
    }
}

impl Helper {
    fn start(module: &Path) -> std::io::Result<Self> {
        // Packets keep messages apart, and tell the end of either process.
        let (near, far) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("edgetrust").arg(COMMAND).arg(module);
        command.stdin(Stdio::from(OwnedFd::from(far))).stdout(Stdio::null()).stderr(Stdio::null());
        // A control-c at a terminal is for the program, which may still need signatures.
        let child = command.process_group(0).spawn()?;
        drop(command);
        let (socket, waiting) = (Arc::new(near), Arc::new(Mutex::new(Waiting::default())));
        let helper = Self { socket: socket.clone(), waiting: waiting.clone() };
        let name = module.display().to_string();
        let mut child = Some(child);
        let reader = std::thread::Builder::new().name("pkcs11".to_owned());
        let started = reader.spawn({
            let child = child.take();
            move || listen(&socket, &waiting, child, &name)
        });
        started.map(|_| helper)
    }

    fn ended(&self) -> Option<String> {
        locked(&self.waiting).ended.clone()
    }

    /// Makes the helper end, and the thread that listens to it.
    fn end(&self) {
        // It may have ended already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn ask(&self, uri: &KeyUri, work: &Work, limit: Duration) -> Result<Answer, NoAnswer> {
        let (sender, receiver) = sync_channel(1);
        let number = {
            let mut waiting = locked(&self.waiting);
            if let Some(reason) = &waiting.ended {
                return Err(NoAnswer::Ended(reason.clone()));
            }
            waiting.last = waiting.last.wrapping_add(1);
            let number = waiting.last;
            waiting.by_number.insert(number, sender);
            number
        };
        let request = Request { number, uri: uri.text().to_owned(), work: work.clone() };
        let sent = serde_json::to_vec(&request).map_err(std::io::Error::other);
        // Without an answer the helper has ended, which the listener says better than an error of this call.
        let sent = sent.and_then(|message| (&mut &*self.socket).write(&message));
        let answer = if sent.is_ok() { receiver.recv_timeout(limit) } else { Err(RecvTimeoutError::Disconnected) };
        locked(&self.waiting).by_number.remove(&number);
        answer.map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                NoAnswer::Late(format!("the module gave no answer in {} s", limit.as_secs_f32().round()))
            }
            RecvTimeoutError::Disconnected => {
                NoAnswer::Ended(self.ended().unwrap_or_else(|| "the helper has ended".to_owned()))
            }
        })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Hands out answers until the helper ends, then says why to all who wait.
fn listen(socket: &Socket, waiting: &Mutex<Waiting>, mut child: Option<Child>, module: &str) {
    let mut packet = vec![0; MAX_MESSAGE];
    loop {
        let length = match (&mut &*socket).read(&mut packet) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        let Some(Ok(Response { number, answer })) = packet.get(..length).map(serde_json::from_slice) else { break };
        let asked = locked(waiting).by_number.remove(&number);
        // Whoever asked may have given up.
        let _ = asked.map(|asked| asked.try_send(answer));
    }
    let ended = child.as_mut().map(|child| {
        // It has ended by itself, or hangs.
        let _ = child.kill();
        child.wait()
    });
    let how = match ended {
        Some(Ok(status)) => status.to_string(),
        Some(Err(error)) => error.to_string(),
        None => "unknown".to_owned(),
    };
    let mut waiting = locked(waiting);
    waiting.ended = Some(format!("the helper for {module} has ended ({how})"));
    // Their receivers see that no answer comes.
    waiting.by_number.clear();
}
