//! What a session with the gateway is: a report by HTTP, then a WebSocket on which telemetry goes out and commands come in.

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::TrustedTime;
use edgetrust_firmware::board::ResetReason;
use edgetrust_firmware::stack;
use embassy_time::{Duration, Instant, with_timeout};
use rand_chacha::ChaCha20Rng;

use crate::dial::{Link, SILENCE};
use crate::http::{HttpError, Request, ask, decimal};
use crate::websocket::{Message, Octets, WebSocket, WebSocketError};

/// The device is looked after at least so often while it listens.
const TICK: Duration = Duration::from_secs(1);

/// What a command asks for.
#[derive(Clone, Copy, PartialEq, Eq, defmt::Format)]
pub enum Command {
    /// A new credential.
    Rotate,
    /// A report.
    Report,
    /// Another start.
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

/// Why a WebSocket was left in good order.
pub enum Left {
    /// A command wants it.
    Command(Command),
    /// Whoever looks after the device wants the connection for something else.
    Wanted,
}

/// Who looks after the device while it feeds.
pub trait Owner {
    /// The gateway has let us in.
    fn opened(&mut self);

    /// How the device is; none where the connection is wanted for something else. Asked every second.
    fn report(&mut self, sequence: u32) -> Option<Report<'_>>;
}

/// The device's own words on how it is.
pub struct Report<'a> {
    pub sequence: u32,
    pub now: TrustedTime,
    pub confirmed: bool,
    /// When the certificate that the device shows ends.
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
            // It fits: numbers of twenty digits at the most, and words of ours.
            let _ = text.push_str(part);
        }
        text
    }
}

/// Sends a report by POST; the status, and whether the server closes the connection.
pub async fn report(
    link: &mut Link<'_>,
    host: &str,
    path: &str,
    text: &str,
    buffer: &mut [u8],
) -> Result<(u16, bool), HttpError> {
    let request = Request { host, path, post: Some(("application/json", text.as_bytes())) };
    let answer = with_timeout(SILENCE, ask(link, request, buffer)).await;
    answer.map_err(|_| HttpError::Ended)?.map(|answer| (answer.head.status, answer.head.closes))
}

/// Sends telemetry until something ends it.
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
