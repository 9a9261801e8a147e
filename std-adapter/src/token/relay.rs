//! The relay: a process outside of the sandbox, for one PKCS #11 module. It starts the module's helpers for a gateway that
//! may start no program, and passes requests on for the keys that it was told at its start, and for no others.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::Socket;

use super::message::{Answer, MAX_MESSAGE, Request, Response};
use super::process::{Module, program, stay_alone};
use super::uri::KeyUri;

/// The subcommand that runs a relay.
pub(crate) const COMMAND: &str = "pkcs11-relay";

/// The number of requests that are answered at the same time. A gateway has fewer turns than that, beside its searches.
const AT_A_TIME: usize = 64;

/// Starts a relay for each module of these keys. URIs with faults are left to whoever loads them. Until
/// [`relays_started`] this process keeps to one thread.
///
/// # Errors
/// Fails if a process cannot be started.
pub(crate) fn start_relays(uris: &[String], log_format: &str) -> io::Result<()> {
    stay_alone(true);
    let parsed: Vec<_> = uris.iter().filter_map(|uri| KeyUri::parse(uri).ok()).collect();
    let mut modules: Vec<&Path> = parsed.iter().map(KeyUri::module).collect();
    modules.sort_unstable();
    modules.dedup();
    for module in modules {
        let mut command = program();
        command.arg("--log-format").arg(log_format).arg(COMMAND).arg(module);
        command.args(parsed.iter().filter(|uri| uri.module() == module).map(KeyUri::text));
        Module::of(module).relay(&mut command)?;
    }
    Ok(())
}

/// Tells that threads may start.
pub(crate) fn relays_started() {
    stay_alone(false);
}

/// Serves requests for these keys of a module until the other end of standard input, a socket, is closed.
///
/// # Errors
/// Fails if standard input is no socket.
pub(crate) fn serve_relay(module: &Path, keys: &[String]) -> io::Result<ExitCode> {
    let socket = Arc::new(Socket::from(io::stdin().as_fd().try_clone_to_owned()?));
    let module = Module::of(module);
    let keys: Arc<Vec<KeyUri>> = Arc::new(keys.iter().filter_map(|uri| KeyUri::parse(uri).ok()).collect());
    let busy = Arc::new(AtomicUsize::new(0));
    let mut packet = vec![0; MAX_MESSAGE];
    loop {
        let length = match (&*socket).read(&mut packet) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        let request = packet.get(..length).map(serde_json::from_slice::<Request>);
        let Some(Ok(Request { number, uri, work })) = request else { return Ok(ExitCode::SUCCESS) };
        let (module, keys, answered, ended) = (module.clone(), keys.clone(), socket.clone(), busy.clone());
        let answer = move || {
            // The gateway may be in a stranger's hands by now.
            let answer = match keys.iter().find(|known| known.text() == uri) {
                Some(known) => module.ask(known, &work).unwrap_or_else(Answer::Refused),
                None => {
                    Answer::Refused("found no such key in the configuration at the start: restart to change it".into())
                }
            };
            say(&answered, number, answer);
            ended.fetch_sub(1, Ordering::Relaxed);
        };
        let is_busy = busy.fetch_add(1, Ordering::Relaxed) >= AT_A_TIME;
        if is_busy || std::thread::Builder::new().spawn(answer).is_err() {
            busy.fetch_sub(1, Ordering::Relaxed);
            say(&socket, number, Answer::Refused(format!("found {AT_A_TIME} requests, expected fewer at a time")));
        }
    }
}

/// Answers. Without a reader, the next read ends the relay.
fn say(socket: &Socket, number: u64, answer: Answer) {
    if let Ok(message) = serde_json::to_vec(&Response { number, answer }) {
        // See above.
        let _ = (&mut &*socket).write(&message);
    }
}
