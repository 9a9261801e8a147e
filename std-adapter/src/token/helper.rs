//! The helper: a process that has a PKCS #11 module loaded, and answers what the program asks on standard input.

use std::io::{Read, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, getpid, kill_process};
use socket2::Socket;

use super::message::{Answer, MAX_MESSAGE, Request, Response};
use super::module::{Keys, Module};

/// The number of sessions that sign at the same time.
const WORKERS: usize = 4;

/// Serves requests until the other end of standard input, a socket, is closed.
pub(crate) fn serve(module: &Path) -> ExitCode {
    let Ok(input) = std::io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let socket = Arc::new(Socket::from(input));
    let (work, queue) = channel();
    let (module, queue) = (Arc::new(Module::load(module)), Arc::new(Mutex::new(queue)));
    for number in 0..WORKERS {
        let (module, queue, socket) = (module.clone(), queue.clone(), socket.clone());
        let worker = move || answer(module.as_ref().as_ref(), &queue, &socket);
        if std::thread::Builder::new().name(format!("sign-{number}")).spawn(worker).is_err() {
            return ExitCode::FAILURE;
        }
    }
    // This thread calls no module, so it sees the end of the program at any time.
    let mut packet = vec![0; MAX_MESSAGE];
    loop {
        match (&*socket).read(&mut packet) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(length) => {
                let request = packet.get(..length).map(serde_json::from_slice::<Request>);
                let Some(Ok(request)) = request else { break };
                if work.send(request).is_err() {
                    break;
                }
            }
        }
    }
    // The exit functions of a module may wait for a thread that is in a call.
    let _ = kill_process(getpid(), Signal::KILL);
    ExitCode::FAILURE
}

/// Answers requests, one after the other.
fn answer(module: Result<&Module, &String>, queue: &Mutex<Receiver<Request>>, socket: &Socket) {
    let mut keys = Keys::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Request { number, uri, work }) = next else { return };
        let answer = match module {
            Ok(module) => module.answer(&mut keys, &uri, &work),
            Err(reason) => Answer::Lost(reason.clone()),
        };
        let Ok(message) = serde_json::to_vec(&Response { number, answer }) else { return };
        if (&mut &*socket).write(&message).is_err() {
            return;
        }
    }
}
