//! Runs the messages of a session with the gateway: a report by HTTP, then a WebSocket with outgoing telemetry and
//! incoming commands.

use edgetrust_core::message::is_plain;
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::TrustedTime;
use edgetrust_firmware::board::ResetReason;
use edgetrust_firmware::random::KeyErasingRng;
use edgetrust_firmware::stack;
use embassy_time::{Duration, Instant, with_timeout};
use serde::Serialize;

use crate::dial::{Link, SILENCE};
use crate::http::{HttpError, Request, ask};
use crate::messages::{Answer, Command, Reason, Report, Reset};
use crate::websocket::{Octets, WebSocket, WebSocketError};

/// The maximum interval between two calls of [`Owner::report`] while the device listens.
const TICK: Duration = Duration::from_secs(1);

/// The subject of a command.
#[derive(Clone, Copy, PartialEq, Eq, defmt::Format)]
pub enum Order {
    /// Requests a new credential.
    Rotate,
    /// Requests a report.
    Report,
    /// Restarts the device.
    Restart,
}

impl Order {
    fn named(name: &str) -> Option<Self> {
        match name {
            "rotate" => Some(Self::Rotate),
            "report" => Some(Self::Report),
            "restart" => Some(Self::Restart),
            _ => None,
        }
    }
}

/// Reads a text of the service: a command in JSON, or its bare name. Returns the answer, and the order if it is accepted.
#[inline(never)]
fn heard(text: &str) -> (Answer, Option<Order>) {
    let text = text.trim();
    let command = if text.starts_with('{') {
        // serde-json-core recurses, takes control characters, and leaves escapes in texts.
        let plain = is_plain(text.as_bytes(), 1);
        serde_json_core::from_str::<Command<'_>>(if plain { text } else { "" }).ok().map(|(command, _)| command)
    } else {
        Some(Command { command: text, id: None })
    };
    let id = command.and_then(|command| command.id);
    let order = command.map(|command| Order::named(command.command));
    let reason = match order {
        Some(Some(_)) => None,
        Some(None) => Some(Reason::Unknown),
        None => Some(Reason::Malformed),
    };
    (Answer { accepted: reason.is_none(), id, reason }, order.flatten())
}

/// Writes a message as JSON.
fn written(message: &impl Serialize) -> Octets {
    // The messages of `messages.rs` fit: numbers have twenty digits at most, and the words are fixed.
    serde_json_core::to_vec(message).unwrap_or_default()
}

/// The reason for which a WebSocket was closed in good order.
pub enum Left {
    /// A command requires it.
    Command(Order),
    /// The owner needs the connection for another purpose.
    Wanted,
}

/// The owner of the device's state during a feed.
pub trait Owner {
    /// Notes that the gateway has admitted the device.
    fn opened(&mut self);

    /// Returns the device's state, or `None` if the connection is needed for another purpose. Called every second.
    fn report(&mut self, sequence: u32) -> Option<Report>;
}

/// Returns the report of a device's state; with the reason of its last start, and the end of its certificate's validity.
pub fn report_of(
    sequence: u32,
    now: TrustedTime,
    time_confirmed: bool,
    certificate_until: UnixTime,
    reset: &ResetReason,
) -> Report {
    Report {
        sequence,
        uptime_ms: Instant::now().as_millis(),
        time: match now {
            TrustedTime::Known(now) | TrustedTime::AtLeast(now) => now.as_secs(),
            TrustedTime::Unknown => 0,
        },
        time_confirmed,
        certificate_until: certificate_until.as_secs(),
        reset: match reset {
            ResetReason::PowerOn => Reset::PowerOn,
            ResetReason::Requested => Reset::Requested,
            ResetReason::Watchdog { .. } => Reset::Watchdog,
            ResetReason::Fault { .. } => Reset::Fault,
            ResetReason::StackOverflow => Reset::StackOverflow,
            ResetReason::Panic(_) => Reset::Panic,
        },
        stack: u32::try_from(stack::usage().peak).unwrap_or(u32::MAX),
    }
}

/// Sends a report by POST; returns the status, and whether the server closes the connection.
pub async fn report(
    link: &mut Link<'_>,
    host: &str,
    path: &str,
    report: &Report,
    buffer: &mut [u8],
) -> Result<(u16, bool), HttpError> {
    let text = written(report);
    let request = Request { host, path, authorization: "", post: Some(("application/json", &text)) };
    let answer = with_timeout(SILENCE, ask(link, request, buffer)).await;
    answer.map_err(|_| HttpError::Ended)?.map(|answer| (answer.head.status, answer.head.closes))
}

/// Sends telemetry until a command, the owner or an error ends the feed.
pub async fn feed(
    link: &mut Link<'_>,
    rng: &mut KeyErasingRng,
    host: &str,
    path: &str,
    interval: Duration,
    owner: &mut impl Owner,
) -> Result<Left, WebSocketError> {
    let mut socket = WebSocket::open(link, rng, host, path).await?;
    defmt::info!("connected: websocket");
    owner.opened();
    let mut due = Instant::now();
    let mut memory = Octets::new();
    let mut sequence = 0_u32;
    loop {
        let Some(report) = owner.report(sequence) else {
            socket.close().await;
            return Ok(Left::Wanted);
        };
        if Instant::now() >= due {
            socket.send(&written(&report)).await?;
            defmt::info!("telemetry {=u32}", sequence);
            sequence = sequence.wrapping_add(1);
            due += interval;
        }
        let until = due.min(Instant::now() + TICK);
        if let Some(text) = socket.receive(until, &mut memory).await? {
            let (answer, order) = heard(text);
            match order {
                Some(order) => defmt::info!("command: {}", order),
                None => defmt::warn!("command: {=str}: refused", text),
            }
            socket.send(&written(&answer)).await?;
            if let Some(order) = order {
                socket.close().await;
                return Ok(Left::Command(order));
            }
        }
    }
}
