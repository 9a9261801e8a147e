//! Shows the demo's progress, and captures the gateways' log.

use std::io::{IsTerminal, Write, stdout};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;

use super::feed::Counters;
use super::location::{Location, Running};
use crate::cli::output;

/// The result of the demo.
#[derive(Default, Serialize)]
pub(super) struct Summary {
    /// All of the following succeeded.
    pub(super) good: bool,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// The number of messages out of order.
    pub(super) gaps: u64,
    pub(super) latency_p50_us: u64,
    pub(super) latency_p99_us: u64,
    pub(super) refusals: Vec<Refused>,
    pub(super) rotation: Rotation,
}

/// An impostor, and the gateway's reason for refusing.
#[derive(Serialize)]
pub(super) struct Refused {
    pub(super) who: &'static str,
    pub(super) refused: bool,
    pub(super) reason: String,
}

#[derive(Default, Serialize)]
pub(super) struct Rotation {
    pub(super) serial_before: String,
    pub(super) serial_after: String,
    /// The time from the new files to the new certificate in a handshake, in milliseconds.
    pub(super) served_after_ms: u64,
    /// The feed's old connection survived.
    pub(super) feed_went_on: bool,
}

/// The log of all gateways of this process.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(super) fn start() -> Self {
        let log = Self(Arc::new(Mutex::new(Vec::new())));
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .with_writer(move || writer.clone())
            .init();
        log
    }

    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns a gateway's reason for refusing a peer.
    pub(super) async fn refusal(&self, patience: Duration) -> Option<String> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let text = String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
            if let Some((_, said)) = text.split_once("refused: ")
                && let Some((line, _)) = said.split_once('\n')
            {
                let reason = line.split_once(" tunnel=").map_or(line, |(reason, _)| reason);
                return Some(reason.to_owned());
            }
            sleep(Duration::from_millis(5)).await;
        }
        None
    }
}

/// The display: a terminal with colours and an updated line, or plain lines, or nothing.
pub(super) struct Show {
    silent: bool,
    terminal: bool,
}

impl Show {
    pub(super) fn new(silent: bool) -> Self {
        Self { silent, terminal: stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn line(&self, mark: &str, colour: u8, what: &str) {
        if self.silent {
        } else if self.terminal {
            outln!("\r\x1b[K  \x1b[{colour}m{mark:<9}\x1b[0m{what}");
        } else {
            outln!("  {mark:<9}{what}");
        }
    }

    pub(super) fn pki(&self, locations: &[&Location]) {
        if self.silent {
            return;
        }
        outln!("Three locations, one root, real TLS on loopback.\n");
        outln!("  Demo Mesh Root");
        for (place, location) in (1..).zip(locations) {
            let branch = if place == locations.len() { "└─" } else { "├─" };
            let letter = location.name.trim_start_matches("location-");
            outln!(
                "  {branch} Location {} CA, for *.{letter}.example only ── CN={}, {}",
                letter.to_uppercase(),
                location.name,
                location.host
            );
        }
        outln!();
    }

    pub(super) fn gateways(&self, running: [&Running; 3]) {
        for (letter, running) in ["a", "b", "c"].iter().zip(running) {
            let accepts = running.accepts.as_ref().map(|address| format!("mutual TLS 1.3 at {address}"));
            let originates = running.originates.as_ref().map(|address| format!("to the next from {address}"));
            let both: Vec<String> = accepts.into_iter().chain(originates).collect();
            self.line("gateway", 36, &format!("{letter}: {}", both.join(", ")));
        }
        self.line("flow", 36, "a ══wss══▶ b ══wss══▶ c");
    }

    /// Updates the counts, only on a terminal, where the line can be overwritten.
    pub(super) fn flow(&self, counters: &Counters) {
        if !self.silent && self.terminal {
            let count =
                [&counters.sent, &counters.relayed, &counters.received].map(|count| count.load(Ordering::Relaxed));
            let spin = ["━╸ ", "╺━╸", " ╺━"];
            let turn = usize::try_from(count[0] / 50 % 3).ok().and_then(|turn| spin.get(turn)).unwrap_or(&spin[0]);
            output::write(format_args!(
                "\r\x1b[K  \x1b[36mflow\x1b[0m     a {} {turn} b {} {turn} c {}",
                count[0], count[1], count[2]
            ));
            output::flush();
        }
    }

    pub(super) fn refused(&self, refused: &Refused) {
        let (mark, colour) = if refused.refused { ("refused", 33) } else { ("LET IN", 31) };
        self.line(mark, colour, &format!("{}: {}", refused.who, refused.reason));
    }

    pub(super) fn rotated(&self, rotation: &Rotation) {
        let what = format!(
            "b's certificate {}… is now {}…, served after {} ms; the feed {}",
            rotation.serial_before,
            rotation.serial_after,
            rotation.served_after_ms,
            if rotation.feed_went_on { "went on" } else { "STOPPED" },
        );
        self.line("rotated", 32, &what);
    }

    pub(super) fn summary(&self, summary: &Summary, kept: Option<&Path>) {
        let lost = summary.sent.saturating_sub(summary.received);
        self.line(
            "feed",
            32,
            &format!(
                "{} messages, {lost} lost, {} out of order; a to c in {:.1} ms (median), {:.1} ms (99 %)",
                summary.received,
                summary.gaps,
                milliseconds(summary.latency_p50_us),
                milliseconds(summary.latency_p99_us),
            ),
        );
        if let Some(folder) = kept {
            self.line(
                "kept",
                36,
                &format!("{}: certificates, keys and gateway.json of each location", folder.display()),
            );
        }
        outln!("\n{}", if summary.good { "All held." } else { "NOT all held." });
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    Duration::from_micros(microseconds).as_secs_f64() * 1e3
}
