//! Writes the log to standard error: repeats are folded, and a thread writes from a bounded queue, so that logging
//! never waits for a reader that is slow, stopped or gone.

mod fold;
mod queue;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use fold::Fold;
use queue::Queue;

/// The number of octets that may wait for standard error. A line that finds no room is lost, and counted.
const CAPACITY: usize = 1024 * 1024;

/// The time limit for writing the last lines at the end of the program.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Format {
    /// One readable line per event
    Text,
    /// One JSON object per line
    Json,
}

impl Format {
    /// Returns the name that `--log-format` takes.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

struct Log {
    queue: Arc<Queue>,
    fold: Fold,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the log of this process; `level` is for where RUST_LOG is not set.
pub(crate) fn start(format: Format, level: &str) {
    let log = LOG.get_or_init(|| Log { queue: Arc::new(Queue::new(CAPACITY)), fold: Fold::default() });
    // A separate descriptor: a write that blocks must not hold the lock of `std::io::stderr`.
    let started = io::stderr().as_fd().try_clone_to_owned().and_then(|stderr| {
        let stderr = File::from(stderr);
        let write = move || log.queue.write_to(stderr, || log.fold.report(Instant::now()));
        std::thread::Builder::new().name("log".to_owned()).spawn(write)
    });
    if started.is_err() {
        log.queue.close();
    }
    // What the client of NATS says each time that it tries to connect, the gateway says once.
    let quiet = || EnvFilter::new(format!("{level},async_nats=off"));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| quiet());
    let lines = fmt::layer().with_writer(log.queue.clone()).with_target(false).log_internal_errors(false);
    let events = tracing_subscriber::registry().with(filter).with(log.fold.clone());
    // A second start, which does not occur, changes nothing.
    let _ = match format {
        Format::Text => events.with(lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr()))).try_init(),
        Format::Json => events.with(lines.json().flatten_event(true)).try_init(),
    };
}

/// Writes the folded counts and the program's last message, which is not an event, and waits a while for the writes.
pub(crate) fn finish(last_word: Option<String>) {
    let word = last_word.map(|word| format!("edgetrust: {word}\n")).unwrap_or_default();
    match LOG.get() {
        Some(log) => {
            log.fold.report_all();
            log.queue.push(word.as_bytes());
            log.queue.flush(FLUSH_PATIENCE);
        }
        None => {
            // If standard error is gone, there is no reader left.
            let _ = io::stderr().write_all(word.as_bytes());
        }
    }
}
