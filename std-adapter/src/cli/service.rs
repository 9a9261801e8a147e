//! What `run`, `serve` and `connect` have in common: start, reload, drain.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use edgetrust::gateway::{Gateway, Plan, Watched};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::{Outcome, arguments, text};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often the files that are in use are looked at; a change reloads them. 0s: only on SIGHUP
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = arguments::duration, help_heading = "Service")]
    watch_interval: Duration,
    /// Threads; by default one for each processor
    #[arg(long, value_name = "N", help_heading = "Service")]
    workers: Option<std::num::NonZeroUsize>,
}

/// Runs what `load` says until SIGTERM or SIGINT; SIGHUP or a changed file asks it again.
pub(crate) fn run(options: &Options, load: impl Fn(&mut Watched) -> Result<Plan, String>) -> Outcome {
    let mut watched = Watched::default();
    let plan = load(&mut watched)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = options.workers {
        runtime.worker_threads(workers.get());
    }
    runtime.enable_all().build().map_err(text)?.block_on(async {
        let mut signals = Signals::new().map_err(text)?;
        let mut gateway = Gateway::start(plan.tunnels, plan.limits).await.map_err(text)?;
        let mut ticks = interval(options.watch_interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let cause = tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hangup.recv() => "SIGHUP".to_owned(),
                _ = ticks.tick(), if !options.watch_interval.is_zero() => match watched.changed() {
                    files if files.is_empty() => continue,
                    files => changed(&files),
                },
            };
            reload(&mut gateway, &mut watched, &load, &cause).await;
        }
        info!("draining");
        tokio::select! {
            () = gateway.drain() => info!("drained"),
            _ = signals.terminate.recv() => info!("told twice to stop: connections are cut"),
            _ = signals.interrupt.recv() => info!("told twice to stop: connections are cut"),
        }
        Ok(ExitCode::SUCCESS)
    })
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// All or nothing: whatever fails, the last good configuration stays in force.
async fn reload(
    gateway: &mut Gateway,
    watched: &mut Watched,
    load: &impl Fn(&mut Watched) -> Result<Plan, String>,
    cause: &str,
) {
    let mut read = Watched::default();
    let reloaded = match load(&mut read) {
        Ok(plan) => gateway.reload(plan.tunnels, plan.limits).await.map_err(text),
        Err(reason) => Err(reason),
    };
    match reloaded {
        Ok(()) => {
            *watched = read;
            info!(%cause, "reloaded");
        }
        Err(reason) => {
            // What was good and what was tried: a change of either is worth another attempt.
            watched.extend(read);
            error!(%cause, "reload refused, the last good configuration stays: {reason}");
        }
    }
}

fn changed(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    format!("changed: {}", names.join(", "))
}
