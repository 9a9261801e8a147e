//! Runs the firmware's test of its board (`src/bin/board.rs`) in QEMU, with echo services of this machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::log::Log;
use crate::qemu::{Board, Machine, Network};

/// The time limit of one run: it takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the test twice on a new flash, the second time with what the first one left there; returns whether both runs
/// passed.
///
/// # Errors
/// Fails if QEMU or the services cannot be started.
pub fn run(board: &'static Board, firmware: &Path, flash: &Path, log: &Arc<Log>) -> io::Result<bool> {
    match std::fs::remove_file(flash) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (tcp, udp) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    let (tcp_at, udp_at) = (tcp.local_addr()?, udp.local_addr()?);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| echo_tcp(&tcp, &done));
        scope.spawn(|| echo_udp(&udp, &done));
        let passed = (|| {
            for kept in [false, true] {
                let mut arguments = vec![format!("tcp={}", tcp_at.port()), format!("udp={}", udp_at.port())];
                if kept {
                    arguments.push("kept".into());
                }
                let (firmware, flash) = (firmware.to_owned(), flash.to_owned());
                let machine = Machine { board, firmware, flash, arguments, by_instructions: true };
                let mut qemu = machine.start(Network::Host, log)?;
                match qemu.wait(Instant::now() + PATIENCE) {
                    Some(status) if status.success() => {}
                    Some(status) => {
                        log.note(format!("the test ended with {status}"));
                        return Ok(false);
                    }
                    None => {
                        log.note(format!("the test did not end in {} s", PATIENCE.as_secs()));
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        })();
        // Each service waits for a peer: these are the last.
        done.store(true, Ordering::Relaxed);
        let _last = TcpStream::connect(tcp_at);
        udp.send_to(&[], udp_at)?;
        passed
    })
}

/// Sends all that comes back, one connection after the other.
fn echo_tcp(listener: &TcpListener, done: &AtomicBool) {
    for stream in listener.incoming() {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let mut octets = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut octets) {
            if octets.get(..count).is_none_or(|read| stream.write_all(read).is_err()) {
                break;
            }
        }
    }
}

/// Sends each datagram back.
fn echo_udp(socket: &UdpSocket, done: &AtomicBool) {
    let mut octets = [0; 2048];
    while let Ok((count, from)) = socket.recv_from(&mut octets) {
        if done.load(Ordering::Relaxed) {
            return;
        }
        if let Some(read) = octets.get(..count) {
            // A peer that is gone needs no answer.
            let _ = socket.send_to(read, from);
        }
    }
}
