//! Numbered traffic: services that echo and look at each message, and clients that look at each echo.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::{LINKS, target};
use crate::random::Random;

/// The time for an echo. A stalled line takes some of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the service of a site; returns its address.
pub fn service(site: usize, ledger: &Arc<Ledger>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let ledger = ledger.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let ledger = ledger.clone();
            // Whatever ends a session is seen by its client.
            thread::spawn(move || drop(echo(site, &stream, &ledger)));
        }
    });
    Ok(address)
}

/// Echoes lines. The first says who speaks: `link NUMBER`, `crowd NUMBER`, or somebody who should not be here.
fn echo(site: usize, stream: &TcpStream, ledger: &Ledger) -> std::io::Result<()> {
    let (mut lines, mut back) = (BufReader::new(stream), stream);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let (who, link) = match words.as_slice() {
        [] => return Ok(()),
        [who @ ("link" | "crowd" | "proof"), link] => (*who, link.parse().unwrap_or(LINKS)),
        _ => ("", LINKS),
    };
    if link >= LINKS || target(link) != site {
        ledger.violation(format!("somebody without a link speaks to {}: {}", super::SITES[site], line.trim_end()));
        return Ok(());
    }
    let numbered = who == "link";
    back.write_all(line.as_bytes())?;
    ledger.arrived(link);
    let mut expected = 0_u64;
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        let number = line.split_whitespace().next().and_then(|number| number.parse().ok());
        // A line that was cut within is no message.
        if numbered && line.ends_with('\n') {
            if number != Some(expected) {
                ledger.violation(format!("link {link}: found message {number:?}, expected {expected}"));
            }
            expected += 1;
            ledger.arrived(link);
        }
        back.write_all(line.as_bytes())?;
    }
}

/// Opens one session after the other on a link until the run is over: some seconds each, or as long as it lasts.
pub fn sessions(link: usize, address: SocketAddr, long: bool, mut random: Random, ledger: &Arc<Ledger>) {
    let ledger = ledger.clone();
    thread::spawn(move || {
        while !ledger.is_over() {
            let lasts =
                if long { Duration::from_secs(86_400) } else { Duration::from_millis(500 + random.below(9_500)) };
            let mut opened = false;
            match session(link, address, lasts, &mut random, &ledger, &mut opened) {
                Ok(()) => ledger.count(|counts| counts.sessions += 1),
                // Nothing excuses what is lost, doubled or out of order.
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    ledger.violation(format!("link {link}: {error}"));
                }
                Err(error) => {
                    ledger.failed(link, opened, &error.to_string());
                    thread::sleep(Duration::from_millis(200));
                }
            }
        }
    });
}

fn session(
    link: usize,
    address: SocketAddr,
    lasts: Duration,
    random: &mut Random,
    ledger: &Ledger,
    opened: &mut bool,
) -> std::io::Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut echoes, mut out) = (BufReader::new(&stream), &stream);
    let said = format!("link {link}\n");
    out.write_all(said.as_bytes())?;
    expect(&mut echoes, &said)?;
    *opened = true;
    let until = Instant::now() + lasts;
    let mut number = 0_u64;
    while Instant::now() < until && !ledger.is_over() {
        let (messages, octets) = (1 + random.below(16), random.below(600) as usize);
        let burst: Vec<String> =
            (0..messages).map(|more| format!("{} {}\n", number + more, "x".repeat(octets))).collect();
        out.write_all(burst.concat().as_bytes())?;
        for message in &burst {
            expect(&mut echoes, message)?;
        }
        number += messages;
        thread::sleep(Duration::from_millis(10 + random.below(60)));
    }
    // All that was sent comes back before the end.
    stream.shutdown(Shutdown::Write)?;
    expect(&mut echoes, "")
}

/// Reads a line, which is to be this one; nothing is the end.
///
/// # Errors
/// Another whole line is invalid data; part of one is the end of the session.
fn expect(echoes: &mut BufReader<&TcpStream>, expected: &str) -> std::io::Result<()> {
    let mut line = String::new();
    echoes.read_line(&mut line)?;
    if line == expected {
        return Ok(());
    }
    let kind = if line.ends_with('\n') { ErrorKind::InvalidData } else { ErrorKind::UnexpectedEof };
    let shown = |text: &str| text.chars().take(20).collect::<String>();
    Err(std::io::Error::new(kind, format!("found echo {:?}, expected {:?}", shown(&line), shown(expected))))
}

/// Opens connections to a tunnel and keeps them until the value is dropped.
pub fn crowd(link: usize, address: SocketAddr, connections: usize) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(format!("crowd {link}\n").as_bytes()).ok()?;
        Some(stream)
    };
    (0..connections).filter_map(open).collect()
}
