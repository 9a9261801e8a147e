//! What a session with the gateway is: a report by HTTP, then a WebSocket on which telemetry goes out and commands come in.

use core::fmt::Write as _;

use edgetrust_core::time::TrustedTime;
use edgetrust_firmware::board::ResetReason;
use edgetrust_firmware::stack;
use embassy_time::{Duration, Instant};
use rand_chacha::ChaCha20Rng;

use crate::dial::Link;
use crate::http::{HttpError, Post, post};
use crate::websocket::{Message, WebSocket, WebSocketError};

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
    pub reset: &'a ResetReason,
}

impl Report<'_> {
    fn json(&self) -> Message {
        let mut text = Message::new();
        let stack = stack::usage();
        let uptime = Instant::now().as_millis();
        let reset = match self.reset {
            ResetReason::PowerOn => "power on",
            ResetReason::Requested => "requested",
            ResetReason::Watchdog { .. } => "watchdog",
            ResetReason::Fault { .. } => "fault",
            ResetReason::StackOverflow => "stack overflow",
            ResetReason::Panic(_) => "panic",
        };
        let Self { sequence, now, confirmed, .. } = self;
        let time = match now {
            TrustedTime::Known(now) | TrustedTime::AtLeast(now) => now.as_secs(),
            TrustedTime::Unknown => 0,
        };
        // It fits: numbers of ten digits and words of ours.
        let _ = write!(
            text,
            "{{\"sequence\":{sequence},\"uptime_ms\":{uptime},\"time\":{time},\"time_confirmed\":{confirmed},\"reset\":\"{reset}\",\"stack\":{}}}",
            stack.peak
        );
        text
    }
}

/// Sends a report by POST; the status.
pub async fn report(
    link: &mut Link<'_>,
    host: &str,
    path: &str,
    report: &Report<'_>,
    buffer: &mut [u8],
) -> Result<u16, HttpError> {
    let body = report.json();
    let message = Post { host, path, content_type: "application/json", body: body.as_bytes() };
    let answer = embassy_time::with_timeout(crate::dial::SILENCE, post(link, message, buffer)).await;
    answer.map_err(|_| HttpError::Ended)?.map(|answer| answer.status)
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
    let mut message = Message::new();
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
        if socket.receive(until, &mut message).await? {
            match Command::parse(&message) {
                Some(command) => {
                    defmt::info!("command: {}", command);
                    socket.send("{\"accepted\":true}").await?;
                    socket.close().await;
                    return Ok(Left::Command(command));
                }
                None => {
                    defmt::warn!("command: {=str}: not known", message.as_str());
                    socket.send("{\"accepted\":false}").await?;
                }
            }
        }
    }
}
