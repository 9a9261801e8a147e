//! Runs one helper for each PKCS #11 module, and asks it. A module that hangs, crashes or leaks does so in a process of
//! its own; the helper alone reads the PIN.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// The time that a relay may take beside its helper.
const MORE: Duration = Duration::from_secs(2);

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
    /// The process that starts the helpers, where this one may start none.
    relay: Option<Arc<Helper>>,
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
    /// The process and its name, until a thread listens to it.
    unheard: Mutex<Option<(Child, String)>>,
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

    /// Starts the process that starts the helpers, and asks it from now on.
    #[cfg(feature = "pkcs11")]
    pub(super) fn relay(&self, command: &mut Command) -> std::io::Result<()> {
        let relay = Helper::start(command, &self.file)?;
        locked(&self.state).relay = Some(Arc::new(relay));
        Ok(())
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
        let relay = locked(&self.state).relay.clone();
        if let Some(relay) = relay {
            // It has the same limits, and starts helpers anew by itself.
            return match relay.ask(uri, work, limit.saturating_add(MORE)) {
                Ok(Answer::Refused(reason)) | Err(NoAnswer::Ended(reason) | NoAnswer::Late(reason)) => Err(reason),
                Ok(answer) => Ok(answer),
            };
        }
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
        let mut command = program();
        let started = Helper::start(command.arg(COMMAND).arg(&self.file).stderr(Stdio::null()), &self.file);
        let started = started.map(Arc::new);
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

/// Returns the command that starts this program once more.
pub(super) fn program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("edgetrust");
    command
}

/// Threads may start only after the sandbox, which would leave others free.
static ALONE: AtomicBool = AtomicBool::new(false);

/// Tells that this process is to have one thread for a while, or no longer.
#[cfg(feature = "pkcs11")]
pub(super) fn stay_alone(alone: bool) {
    ALONE.store(alone, Ordering::Relaxed);
}

impl Helper {
    fn start(command: &mut Command, module: &Path) -> std::io::Result<Self> {
        // Packets keep messages apart, and tell the end of either process.
        let (near, far) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        // A control-c at a terminal is for the program, which may still need signatures.
        let child = command.stdin(OwnedFd::from(far)).stdout(Stdio::null()).process_group(0).spawn()?;
        // The other end is the child's alone.
        command.stdin(Stdio::null());
        let unheard = Mutex::new(Some((child, module.display().to_string())));
        Ok(Self { socket: Arc::new(near), waiting: Arc::default(), unheard })
    }

    /// Starts the thread that listens, before the first request.
    fn listen(&self) -> std::io::Result<()> {
        let mut unheard = locked(&self.unheard);
        let Some((child, module)) = unheard.take() else { return Ok(()) };
        let (socket, waiting) = (self.socket.clone(), self.waiting.clone());
        let listener = std::thread::Builder::new().name("pkcs11".to_owned());
        listener.spawn(move || listen(&socket, &waiting, child, &module)).map(drop)
    }

    /// Asks without a thread that listens.
    fn ask_alone(&self, request: &[u8], number: u64, limit: Duration) -> Result<Answer, NoAnswer> {
        let ended = |error: std::io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => NoAnswer::Late(late(limit)),
            _ => NoAnswer::Ended(format!("the helper has ended ({error})")),
        };
        let asked = self.socket.set_read_timeout(Some(limit)).and_then(|()| (&mut &*self.socket).write(request));
        asked.map_err(ended)?;
        let mut packet = vec![0; MAX_MESSAGE];
        loop {
            let length = match (&mut &*self.socket).read(&mut packet) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(ended)?,
            };
            let answer = packet.get(..length).map(serde_json::from_slice::<Response>);
            let Some(Ok(response)) = answer else { return Err(NoAnswer::Ended("the helper has ended".to_owned())) };
            // An earlier answer may have come late.
            if response.number == number {
                self.socket.set_read_timeout(None).map_err(ended)?;
                return Ok(response.answer);
            }
        }
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
        if let (true, Ok(request)) = (ALONE.load(Ordering::Relaxed), &sent) {
            return self.ask_alone(request, number, limit);
        }
        let sent = sent.and_then(|message| self.listen().map(|()| message));
        // Without an answer the helper has ended, which the listener says better than an error of this call.
        let sent = sent.and_then(|message| (&mut &*self.socket).write(&message));
        let answer = if sent.is_ok() { receiver.recv_timeout(limit) } else { Err(RecvTimeoutError::Disconnected) };
        locked(&self.waiting).by_number.remove(&number);
        answer.map_err(|error| match error {
            RecvTimeoutError::Timeout => NoAnswer::Late(late(limit)),
            RecvTimeoutError::Disconnected => {
                NoAnswer::Ended(self.ended().unwrap_or_else(|| "the helper has ended".to_owned()))
            }
        })
    }
}

fn late(limit: Duration) -> String {
    format!("the module gave no answer in {} s", limit.as_secs_f32().round())
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Hands out answers until the helper ends, then says why to all who wait.
fn listen(socket: &Socket, waiting: &Mutex<Waiting>, mut child: Child, module: &str) {
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
    // It has ended by itself, or hangs. One that was started before the sandbox cannot be killed, and sees its end of the
    // sockets.
    let _ = child.kill();
    let how = match child.wait() {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let mut waiting = locked(waiting);
    waiting.ended = Some(format!("the helper for {module} has ended ({how})"));
    // Their receivers see that no answer comes.
    waiting.by_number.clear();
}
