//! Runs hooks for a process that is in a sandbox, from a process that was started before and is in none. It runs the
//! hooks that it was told at its start, and nothing else, whatever it is asked later.
//!
//! Both ends of a pair of Unix sockets carry one JSON text a line: first the hooks, then requests there and answers
//! back. The helper ends with the connection, and with it what it still runs.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::error;

use super::hook::{HookCall, HookError, Hooks, environment, run_here};

/// The subcommand that is the helper.
pub const HOOK_HELPER: &str = "hook-helper";

/// The size limit of the list of hooks, in octets: it is as long as the configuration at most.
const MAX_LIST: u64 = 2 * 1024 * 1024;

/// The size limit of a request and of an answer, in octets: four texts, each octet of which JSON may write as six.
const MAX_MESSAGE: u64 = 128 * 1024;

/// The size limit of a text of a request, in octets: paths have that of Linux.
const MAX_TEXT: usize = 4096;

/// The number of hooks that run at a time; further ones wait.
const AT_A_TIME: usize = 64;

/// The names of records for dns-01 begin with this (RFC 8555 section 8.4).
const RECORD: &str = "_acme-challenge.";

/// The length of a record's value: a SHA-256 in base64url (RFC 8555 section 8.4).
const VALUE: usize = 43;

#[derive(Serialize, Deserialize)]
struct Request {
    id: u64,
    hook: String,
    call: HookCall,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    id: u64,
    /// The reason that the hook failed.
    failed: Option<String>,
}

/// The helper of this process, which has one at most.
static HELPER: OnceLock<Helper> = OnceLock::new();

type Asked = (String, HookCall, oneshot::Sender<Option<String>>);

/// The connection to the helper.
#[derive(Debug)]
struct Helper {
    /// The socket until there is a runtime.
    socket: Mutex<Option<StdUnixStream>>,
    asked: OnceLock<mpsc::Sender<Asked>>,
}

/// Runs a hook, by the helper if this process has one.
///
/// # Errors
/// Returns why the hook failed.
pub async fn run_hook(hook: &str, call: HookCall) -> Result<(), HookError> {
    match HELPER.get() {
        Some(helper) => helper.run(hook, call).await.map_err(HookError::Helper),
        None => run_here(hook, &call).await,
    }
}

/// Starts the helper of this process, for these hooks.
///
/// # Errors
/// Fails if the helper cannot be started.
pub fn start_hook_helper(hooks: &Hooks) -> io::Result<()> {
    if let Some(hook) = hooks.renewal.iter().chain(&hooks.dns).find(|hook| hook.len() > MAX_TEXT) {
        let start: String = hook.chars().take(64).collect();
        return Err(io::Error::other(format!("hook {start}…: found more than {MAX_TEXT} octets")));
    }
    let (mut ours, theirs) = StdUnixStream::pair()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(HOOK_HELPER).env_clear().envs(environment());
    // A group of its own: Ctrl-C in a terminal is for this process, which then ends the helper.
    command.process_group(0).stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    // It is not waited for: it ends after this process, or its end is seen at the socket.
    drop(command.spawn()?);
    ours.write_all(&line(hooks)?)?;
    ours.set_nonblocking(true)?;
    // A second helper is started by nobody.
    let _ = HELPER.set(Helper { socket: Mutex::new(Some(ours)), asked: OnceLock::new() });
    Ok(())
}

/// Takes up the connection to the helper of this process, if it has one: from now on hooks can run, and the end of the helper
/// is logged. It has to be called in the runtime.
///
/// # Errors
/// Fails if the runtime does not take the socket.
pub fn connect_hook_helper() -> io::Result<()> {
    let Some(helper) = HELPER.get() else { return Ok(()) };
    let Some(socket) = helper.socket.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
    let stream = UnixStream::from_std(socket)?;
    let (sender, asked) = mpsc::channel(AT_A_TIME);
    // The socket was taken here, so that nobody else comes to this line.
    let _ = helper.asked.set(sender);
    tokio::spawn(async move {
        converse(stream, asked).await;
        error!("the helper that runs hooks has ended: hooks fail until the gateway is restarted");
    });
    Ok(())
}

fn line(text: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(text)?;
    line.push(b'\n');
    Ok(line)
}

/// Reads one line; `None` at the end, and for a line that is too long.
async fn read_line<T: for<'a> Deserialize<'a>>(
    from: &mut (impl AsyncBufRead + Unpin),
    limit: u64,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(limit).read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

impl Helper {
    async fn run(&self, hook: &str, call: HookCall) -> Result<(), String> {
        let gone = || format!("hook {hook}: the helper that runs hooks has ended, expected it until a restart");
        let sender = self.asked.get().ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        sender.send((hook.to_owned(), call, answer)).await.map_err(|_| gone())?;
        match answered.await {
            Ok(None) => Ok(()),
            Ok(Some(reason)) => Err(reason),
            Err(_) => Err(gone()),
        }
    }
}

/// Carries requests to the helper and answers back, until the helper ends.
async fn converse(stream: UnixStream, mut asked: mpsc::Receiver<Asked>) {
    let (reading, mut writing) = stream.into_split();
    let (answers, mut answered) = mpsc::channel::<Answer>(1);
    tokio::spawn(async move {
        let mut reading = BufReader::new(reading);
        while let Ok(Some(answer)) = read_line(&mut reading, MAX_MESSAGE).await {
            if answers.send(answer).await.is_err() {
                break;
            }
        }
    });
    let mut waiting: HashMap<u64, oneshot::Sender<Option<String>>> = HashMap::new();
    for id in 0_u64.. {
        let (hook, call, answer) = loop {
            tokio::select! {
                found = answered.recv() => match found {
                    // Whoever asked may wait no longer.
                    Some(Answer { id, failed }) => drop(waiting.remove(&id).map(|waiting| waiting.send(failed))),
                    None => return,
                },
                Some(asked) = asked.recv() => break asked,
            }
        };
        waiting.insert(id, answer);
        let Ok(line) = line(&Request { id, hook, call }) else { return };
        if writing.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Checks a request against the hooks of the start: the gateway that asks may be in a stranger's hands by now.
fn check(hooks: &Hooks, hook: &String, call: &HookCall) -> Result<(), String> {
    let (known, texts) = match call {
        HookCall::Renewed { cert_file, key_file, name } => (&hooks.renewal, vec![cert_file, key_file, name]),
        HookCall::Present { name, value } | HookCall::Cleanup { name, value } => (&hooks.dns, vec![name, value]),
    };
    if !known.contains(hook) {
        // It is not repeated: whoever asks knows it, and it may be of any length.
        return Err("found no such hook in the configuration at the start: restart to change it".to_owned());
    }
    if texts.iter().any(|text| text.len() > MAX_TEXT || text.contains('\0')) {
        return Err(format!("hook {hook}: found a text of more than {MAX_TEXT} octets or with a zero"));
    }
    if let HookCall::Present { name, value } | HookCall::Cleanup { name, value } = call {
        let plain = |text: &str, others: &[u8]| {
            text.bytes().all(|octet| octet.is_ascii_alphanumeric() || others.contains(&octet))
        };
        if !name.starts_with(RECORD) || !plain(name, b"-._") || value.len() != VALUE || !plain(value, b"-_") {
            return Err(format!("hook {hook}: found no record of dns-01"));
        }
    }
    Ok(())
}

/// Returns an error's text, cut to what an answer has room for.
fn bounded(error: &HookError) -> String {
    error.to_string().chars().take(MAX_TEXT).collect()
}

/// Runs hooks, as the helper, until whoever started it is gone.
///
/// # Errors
/// Fails if standard input is not the socket of a gateway.
pub fn serve_hooks() -> io::Result<()> {
    let socket = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr().map_err(|_| io::Error::other("found no socket at standard input: the gateway starts this"))?;
    socket.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // What still runs is killed with the runtime.
    runtime.block_on(async {
        // A service manager stops a gateway with all its processes, and its hooks have to run until the gateway ends.
        let _ignored = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        let (reading, writing) = UnixStream::from_std(socket)?.into_split();
        let (mut reading, writing) = (BufReader::new(reading), Arc::new(tokio::sync::Mutex::new(writing)));
        let Some(hooks) = read_line::<Hooks>(&mut reading, MAX_LIST).await? else { return Ok(()) };
        let turns = Arc::new(Semaphore::new(AT_A_TIME));
        while let Some(Request { id, hook, call }) = read_line(&mut reading, MAX_MESSAGE).await? {
            // It is never closed.
            let Ok(turn) = turns.clone().acquire_owned().await else { break };
            let (checked, writing) = (check(&hooks, &hook, &call), writing.clone());
            tokio::spawn(async move {
                let done = match checked {
                    Ok(()) => run_here(&hook, &call).await.map_err(|error| bounded(&error)),
                    Err(reason) => Err(reason),
                };
                if let Ok(line) = line(&Answer { id, failed: done.err() }) {
                    // Without a reader, the loop ends too.
                    let _ = writing.lock().await.write_all(&line).await;
                }
                drop(turn);
            });
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_helper_refuses() {
        let hooks = Hooks { renewal: vec!["/bin/reload it".to_owned()], dns: vec!["/bin/dns".to_owned()] };
        let renewed = |name: &str| HookCall::Renewed {
            cert_file: "/a".to_owned(),
            key_file: "/b".to_owned(),
            name: name.to_owned(),
        };
        let present = |name: &str, value: &str| HookCall::Present { name: name.to_owned(), value: value.to_owned() };
        let check = |hook: &str, call| check(&hooks, &hook.to_owned(), &call);
        assert_eq!(check("/bin/reload it", renewed("a")), Ok(()));
        let value = "-aZ_9".repeat(9)[..VALUE].to_owned();
        assert_eq!(check("/bin/dns", present("_acme-challenge.a.example", &value)), Ok(()));
        for (hook, call) in [
            ("/bin/sh", renewed("a")),
            ("/bin/reload", renewed("a")),
            ("/bin/dns", renewed("a")),
            ("/bin/reload it", present("_acme-challenge.a.example", &value)),
            ("/bin/reload it", renewed(&"a".repeat(MAX_TEXT + 1))),
            ("/bin/reload it", renewed("a\0b")),
            ("/bin/dns", present("--config=/tmp/x", &value)),
            ("/bin/dns", present("_acme-challenge.a example", &value)),
            ("/bin/dns", present("_acme-challenge.a.example", "-rf")),
            ("/bin/dns", present("_acme-challenge.a.example", &value.replacen('a', "$", 1))),
        ] {
            assert!(check(hook, call.clone()).is_err(), "{hook} {call:?}");
        }
    }
}
