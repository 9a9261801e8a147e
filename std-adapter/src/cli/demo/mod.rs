//! Implements `edgetrust demo`: three locations in one process, with an operator's files, configurations and gateways.
//!
//! Messages flow a → b → c over wss through the tunnels, impostors connect and are refused, b's certificate is
//! replaced, and nothing is lost.

#![allow(clippy::arithmetic_side_effects, reason = "times of this process alone, and nothing from outside")]

mod feed;
mod impostor;
mod location;
mod pki;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::{Failure, Outcome};
use feed::Counters;
use impostor::PATIENCE;
use location::{Forwarding, Location, Running};
use pki::Ca;
use show::{Log, Refused, Rotation, Show, Summary};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of seconds for which messages flow
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print only the summary, as JSON
    #[arg(long)]
    json: bool,
    /// Keep certificates and configurations in this folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Outcome {
    let log = Log::start();
    let temporary;
    let folder: &Path = match &args.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            folder
        }
        None => {
            temporary = tempfile::tempdir()?;
            temporary.path()
        }
    };
    let show = Show::new(args.json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let summary = runtime.block_on(demo(&show, &log, folder, Duration::from_secs(args.seconds)))?;
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        show.summary(&summary, args.keep.as_deref());
    }
    Ok(if summary.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn demo(show: &Show, log: &Log, folder: &Path, length: Duration) -> Result<Summary, Failure> {
    let root = Ca::root("Demo Mesh Root")?;
    let [a, b, c] = ['a', 'b', 'c'].map(|letter| Location::new(&root, letter, folder));
    let (a, b, c) = (a?, b?, c?);
    show.pki(&[&a, &b, &c]);

    // The gateways start from the end of the chain, since each needs the next one's address.
    let (consumer, consumer_address) = feed::listen().await?;
    let (relay, relay_address) = feed::listen().await?;
    let forwarding = Forwarding { from: Some((&b, consumer_address)), to: None };
    let running_c = c.start(&forwarding).await?;
    let accepts = |running: &Running| running.accepts.clone().ok_or("no server tunnel");
    let originates = |running: &Running| running.originates.clone().ok_or("no client tunnel");
    let forwarding = Forwarding { from: Some((&a, relay_address)), to: Some((&c, accepts(&running_c)?)) };
    let running_b = b.start(&forwarding).await?;
    let gateway_b = accepts(&running_b)?;
    let running_a = a.start(&Forwarding { from: None, to: Some((&b, gateway_b.clone())) }).await?;
    show.gateways([&running_a, &running_b, &running_c]);

    let (started, counters, stop) = (Instant::now(), Arc::new(Counters::default()), Arc::new(AtomicBool::new(false)));
    let consumed = tokio::spawn(feed::consume(consumer, started, counters.clone()));
    let relayed = tokio::spawn(feed::relay(relay, originates(&running_b)?, counters.clone()));
    let produced = tokio::spawn(feed::produce(originates(&running_a)?, started, counters.clone(), stop.clone()));

    let mut summary = Summary::default();
    flow(show, &counters, length / 3).await;
    let mut impostors_folder = folder.to_owned();
    impostors_folder.push("impostors");
    for (who, credential) in impostor::credentials(&b, &c, &impostors_folder)? {
        let reason = impostor::knock(log, &gateway_b, &b, &credential).await;
        let refused = Refused { who, refused: reason.is_ok(), reason: reason.unwrap_or_else(|what| what.to_string()) };
        show.refused(&refused);
        summary.refusals.push(refused);
    }
    flow(show, &counters, length / 3).await;
    summary.rotation = rotate(show, &a, &b, &gateway_b, &counters).await?;
    flow(show, &counters, length / 3).await;

    stop.store(true, Ordering::Relaxed);
    let ended = async {
        produced.await??;
        relayed.await??;
        consumed.await?
    };
    let received = timeout(PATIENCE, ended).await.map_err(|_| "the feed did not end")??;
    for running in [running_a, running_b, running_c] {
        running.stop().await;
    }
    let share = |percent: usize| {
        let index = received.latencies.len().saturating_mul(percent) / 100;
        received.latencies.get(index.min(received.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    summary.sent = counters.sent.load(Ordering::Relaxed);
    summary.received = counters.received.load(Ordering::Relaxed);
    summary.gaps = received.gaps;
    (summary.latency_p50_us, summary.latency_p99_us) = (share(50), share(99));
    summary.good = summary.sent > 0
        && summary.sent == summary.received
        && summary.gaps == 0
        && summary.refusals.iter().all(|refused| refused.refused)
        && summary.rotation.feed_went_on;
    Ok(summary)
}

/// Lets messages flow, and shows it.
async fn flow(show: &Show, counters: &Counters, length: Duration) {
    let until = Instant::now() + length;
    while Instant::now() < until {
        show.flow(counters);
        sleep(Duration::from_millis(100).min(until.saturating_duration_since(Instant::now()))).await;
    }
    show.flow(counters);
}

/// Replaces b's certificate while the feed flows.
async fn rotate(
    show: &Show,
    a: &Location,
    b: &Location,
    gateway: &crate::gateway::Address,
    counters: &Counters,
) -> Result<Rotation, Failure> {
    let serial_before = impostor::served_serial(gateway, a, b).await?;
    let since = Instant::now();
    b.issue()?;
    let mut serial_after = serial_before.clone();
    while serial_after == serial_before {
        if since.elapsed() > PATIENCE {
            return Err("the new certificate is not served".into());
        }
        show.flow(counters);
        sleep(Duration::from_millis(10)).await;
        serial_after = impostor::served_serial(gateway, a, b).await?;
    }
    let served_after_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let before = counters.received.load(Ordering::Relaxed);
    let mut feed_went_on = false;
    while !feed_went_on && since.elapsed() < PATIENCE {
        sleep(Duration::from_millis(10)).await;
        feed_went_on = counters.received.load(Ordering::Relaxed) > before;
    }
    let rotation = Rotation { serial_before, serial_after, served_after_ms, feed_went_on };
    show.rotated(&rotation);
    Ok(rotation)
}
