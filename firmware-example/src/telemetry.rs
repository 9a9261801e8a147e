//! Runs the messages of a session with the gateway: a report by HTTP, then a WebSocket with outgoing telemetry and
//! incoming commands.

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::TrustedTime;
use edgetrust_firmware::board::ResetReason;
use edgetrust_firmware::stack;
use embassy_time::{Duration, Instant, with_timeout};
use rand_chacha::ChaCha20Rng;

use crate::dial::{Link, SILENCE};
use crate::http::{HttpError, Request, ask, decimal};
use crate::websocket::{Message, Octets, WebSocket, WebSocketError};

/// The maximum interval between two calls of [`Owner::report`] while the device listens.
const TICK: Duration = Duration::from_secs(1);

/// A command from the service.
#[derive(Clone, Copy, PartialEq, Eq, defmt::Format)]
pub enum Command {
    /// Requests a new credential.
    Rotate,
    /// Requests a report.
    Report,
    /// Restarts the device.
    Restart,
}

impl Command {
    fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "rotate" => Some(Self::Rotate),
            "report" => Some(Self::Report),
            "restart" => Some(Self::Restart),
            _ => None,
        }
    }
}

/// The reason for which a WebSocket was closed in good order.
pub enum Left {
    /// A command requires it.
    Command(Command),
    /// The owner needs the connection for another purpose.
    Wanted,
}

/// The owner of the device's state during a feed.
pub trait Owner {
    /// Notes that the gateway has admitted the device.
    fn opened(&mut self);

    /// Returns the device's state, or `None` if the connection is needed for another purpose. Called every second.
    fn report(&mut self, sequence: u32) -> Option<Report<'_>>;
}

/// The device's report of its own state.
pub struct Report<'a> {
    pub sequence: u32,
    pub now: TrustedTime,
    pub confirmed: bool,
    /// The end of the shown certificate's validity.
    pub certificate_until: UnixTime,
    pub reset: &'a ResetReason,
}

impl Report<'_> {
    pub fn json(&self) -> Message {
        let reset = match self.reset {
            ResetReason::PowerOn => "power on",
            ResetReason::Requested => "requested",
            ResetReason::Watchdog { .. } => "watchdog",
            ResetReason::Fault { .. } => "fault",
            ResetReason::StackOverflow => "stack overflow",
            ResetReason::Panic(_) => "panic",
        };
        let time = match self.now {
            TrustedTime::Known(now) | TrustedTime::AtLeast(now) => now.as_secs(),
            TrustedTime::Unknown => 0,
        };
        let confirmed = if self.confirmed { "true" } else { "false" };
        let parts = [
            "{\"sequence\":",
            &decimal(self.sequence.into()),
            ",\"uptime_ms\":",
            &decimal(Instant::now().as_millis()),
            ",\"time\":",
            &decimal(time),
            ",\"time_confirmed\":",
            confirmed,
            ",\"certificate_until\":",
            &decimal(self.certificate_until.as_secs()),
            ",\"reset\":\"",
            reset,
            "\",\"stack\":",
            &decimal(u64::try_from(stack::usage().peak).unwrap_or(u64::MAX)),
            "}",
        ];
        let mut text = Message::new();
        for part in parts {
            // The text fits: numbers have twenty digits at most, and the words are fixed.
            let _ = text.push_str(part);
        }
        text
    }
}

/// Sends a report by POST; returns the status, and whether the server closes the connection.
pub async fn report(
    link: &mut Link<'_>,
    host: &str,
    path: &str,
    text: &str,
    buffer: &mut [u8],
) -> Result<(u16, bool), HttpError> {
    let request = Request { host, path, authorization: "", post: Some(("application/json", text.as_bytes())) };
    let answer = with_timeout(SILENCE, ask(link, request, buffer)).await;
    answer.map_err(|_| HttpError::Ended)?.map(|answer| (answer.head.status, answer.head.closes))
}

/// Sends telemetry until a command, the owner or an error ends the feed.
pub async fn feed(
    link: &mut Link<'_>,
    rng: &mut ChaCha20Rng,
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
        let Some(text) = owner.report(sequence).map(|report| report.json()) else {
            socket.close().await;
            return Ok(Left::Wanted);
        };
        if Instant::now() >= due {
            socket.send(&text).await?;
            defmt::info!("telemetry {=u32}", sequence);
            sequence = sequence.wrapping_add(1);
            due += interval;
        }
        let until = due.min(Instant::now() + TICK);
        if let Some(text) = socket.receive(until, &mut memory).await? {
            match Command::parse(text) {
                Some(command) => {
                    defmt::info!("command: {}", command);
                    socket.send("{\"accepted\":true}").await?;
                    socket.close().await;
                    return Ok(Left::Command(command));
                }
                None => {
                    defmt::warn!("command: {=str}: not known", text);
                    socket.send("{\"accepted\":false}").await?;
                }
            }
        }
    }
}
