//! Tells systemd about the state of the service, and that it still works (`sd_notify(3)`).

use std::future::pending;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

/// Reports that a start or a reload is over.
pub(crate) fn ready() {
    tell(vec![NotifyState::Ready]);
}

/// Reports a reload as `Type=notify-reload` requires (`systemd.service`, section "Options").
pub(crate) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(vec![NotifyState::Reloading, now]);
    }
}

/// Reports that the program is about to end.
pub(crate) fn stopping() {
    tell(vec![NotifyState::Stopping]);
}

/// Notifies systemd, if systemd started the process. A thread does so and is waited for only briefly, since a full
/// queue of systemd must not block a start, a reload or a stop.
fn tell(states: Vec<NotifyState<'static>>) {
    const PATIENCE: Duration = Duration::from_secs(1);
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (told, heard) = std::sync::mpsc::channel();
    let telling = std::thread::Builder::new().spawn(move || told.send(sd_notify::notify(&states)));
    match telling.map(|_| heard.recv_timeout(PATIENCE)) {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) | Err(error) => warn!("systemd: {error}"),
        Ok(Err(_)) => warn!("systemd does not read notifications"),
    }
}

/// The signs of life that `WatchdogSec=` asks for.
pub(crate) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Returns the watchdog that the environment asks for, with two signs in each of its periods.
    pub(crate) fn of_environment() -> Self {
        Self(sd_notify::watchdog_enabled().map(|period| {
            let half = period.checked_div(2).unwrap_or(period).max(Duration::from_millis(1));
            let mut ticks = interval(half);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        }))
    }

    /// Waits until the next sign is due, and until a thread of those that serve connections has taken up a task: a service
    /// whose threads are all stuck gives none.
    pub(crate) async fn due(&mut self) {
        match &mut self.0 {
            Some(ticks) => drop(ticks.tick().await),
            None => pending().await,
        }
        // The runtime ends after the main loop does, so that the task is never cancelled.
        let _ = tokio::spawn(async {}).await;
    }

    /// Gives the sign.
    pub(crate) fn alive() {
        tell(vec![NotifyState::Watchdog]);
    }
}
