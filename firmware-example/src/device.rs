//! One session after the other, and what is done between them.

use edgetrust_core::path::{PathError, PathErrorKind};
use edgetrust_core::embedded_tls::{HandshakeError, Shared};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::rotation::{Failure, FailureKind};
use edgetrust_core::time::TrustedTime;
use edgetrust_firmware::board::{self, ResetReason};
use embassy_net::Stack;
use embassy_time::{Duration, Timer, with_timeout};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use static_cell::ConstStaticCell;

use crate::clock::Clock;
use crate::dial::{DialError, Memory, Target, dial, hang_up};
use crate::enroll::{EnrollError, Enrollment, enroll};
use crate::http::HttpError;
use crate::renewal::{MAX_CHAIN, Renewal, RenewalError, seed};
use crate::settings::{Settings, SettingsError};
use crate::telemetry::{Command, Left, Owner, Report, feed, report};
use crate::websocket::WebSocketError;
use crate::{Slots, alive, sntp};

/// The first wait after a failure; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Answers of the gateway.
const BUFFER: usize = 3072;

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static ANSWERS: ConstStaticCell<[u8; BUFFER]> = ConstStaticCell::new([0; BUFFER]);
static CHAIN: ConstStaticCell<[u8; MAX_CHAIN]> = ConstStaticCell::new([0; MAX_CHAIN]);

/// Why there is no device.
#[derive(defmt::Format)]
pub enum DeviceError {
    Settings(SettingsError),
    Renewal(RenewalError),
}

/// How a session came to its end.
#[derive(defmt::Format)]
enum SessionError {
    Time,
    Dial(DialError),
    Report(HttpError),
    ReportRefused(u16),
    WebSocket(WebSocketError),
    Enroll(EnrollError),
}

/// What is to be done next.
enum Next {
    Session,
    Restart,
}

/// All of it.
pub struct Device {
    settings: Settings,
    net: Stack<'static>,
    rng: ChaCha20Rng,
    reset: ResetReason,
    clock: Clock,
    renewal: Renewal<Slots>,
    memory: &'static mut Memory,
    shared: Shared,
    answers: &'static mut [u8; BUFFER],
    chain: &'static mut [u8; MAX_CHAIN],
}

impl Device {
    pub fn new(
        partition: &'static [u8],
        slots: Slots,
        net: Stack<'static>,
        rng: ChaCha20Rng,
        reset: ResetReason,
    ) -> Result<Self, DeviceError> {
        let settings = Settings::read(partition).map_err(DeviceError::Settings)?;
        let seed = seed(&settings.device, settings.first_certificate);
        let mut renewal = Renewal::new(slots, &settings, seed).map_err(DeviceError::Renewal)?;
        let clock = Clock::new(renewal.time_seen());
        renewal.restore(&settings, clock.now());
        let (memory, answers, chain) = (MEMORY.take(), ANSWERS.take(), CHAIN.take());
        Ok(Self { settings, net, rng, reset, clock, renewal, memory, shared: Shared::new(), answers, chain })
    }

    /// For ever.
    pub async fn run(&mut self) -> ! {
        let mut wait = FIRST_WAIT;
        loop {
            alive();
            self.address().await;
            match self.session().await {
                Ok(Next::Session) => wait = FIRST_WAIT,
                Ok(Next::Restart) => {
                    Timer::after_millis(100).await;
                    board::reset();
                }
                Err(error) => {
                    match &error {
                        SessionError::Dial(DialError::Refused(error)) => defmt::warn!("refused: {}", error),
                        error => defmt::warn!("session: {}", error),
                    }
                    // A feed that had been let in begins anew.
                    if matches!(error, SessionError::WebSocket(WebSocketError::Closed | WebSocketError::Ended)) {
                        wait = FIRST_WAIT;
                    }
                    // Half of it is left to chance: a fleet does not come back as one.
                    let half = wait.as_millis() / 2;
                    let millis = half.saturating_add(self.rng.next_u64() % half.max(1));
                    defmt::info!("retry in {=u64} ms", millis);
                    Timer::after_millis(millis).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Waits for an address.
    async fn address(&mut self) {
        while with_timeout(Duration::from_secs(15), self.net.wait_config_up()).await.is_err() {
            alive();
            defmt::warn!("net: no address from dhcp");
        }
        if let Some(config) = self.net.config_v4() {
            defmt::info!("net: address {=[u8; 4]}", config.address.address().octets());
        }
    }

    /// The time, after asking for it where it is not known.
    async fn time(&mut self) -> Result<TrustedTime, SessionError> {
        if !matches!(self.clock.now(), TrustedTime::Known(_)) {
            let asked = sntp::ask(self.net, self.settings.device.ntp, self.clock.floor()).await;
            self.clock.propose(asked.ok_or(SessionError::Time)?);
        }
        match self.clock.now() {
            TrustedTime::Known(now) => Ok(TrustedTime::Known(now)),
            TrustedTime::AtLeast(_) | TrustedTime::Unknown => Err(SessionError::Time),
        }
    }

    /// One connection, for whatever it is wanted for.
    async fn session(&mut self) -> Result<Next, SessionError> {
        let now = self.time().await?;
        self.renewal.tick(&self.settings, now);
        let device = self.settings.device;
        if let Some(server) = device.enroll.filter(|_| self.renewal.wanted()) {
            let target = Target { host: server.server.host, port: server.server.port, name: server.server_name };
            return self.enroll(target, now).await.map(|()| Next::Session);
        }
        let target = Target { host: device.gateway.host, port: device.gateway.port, name: device.server_name };
        if let Some(path) = device.report {
            self.report(target, path).await?;
        }
        match device.websocket {
            Some(path) => self.feed(target, path).await,
            None => {
                Timer::after_millis(device.interval_ms.into()).await;
                Ok(Next::Session)
            }
        }
    }

    async fn enroll(&mut self, target: Target<'_>, now: TrustedTime) -> Result<(), SessionError> {
        let Self { settings, net, rng, clock, renewal, memory, shared, answers, chain, .. } = self;
        let dialled = dial(*net, (memory, shared), settings, target, now, &mut renewal.credential(), rng).await;
        learn(&dialled, clock, renewal, settings);
        let outcome = match dialled {
            Ok(mut link) => {
                let current = renewal.certificate();
                let purpose = Enrollment { settings, host: target.name, current, now };
                let enrolled = enroll(&mut link, purpose, rng, &mut answers[..], chain).await;
                hang_up(link).await;
                enrolled.map_err(SessionError::Enroll)
            }
            Err(error) => Err(SessionError::Dial(error)),
        };
        let now = clock.now();
        match outcome {
            Ok(issued) => {
                renewal.issued(settings, now, &issued);
                Ok(())
            }
            Err(error) => {
                let failure = match &error {
                    SessionError::Enroll(error) => error.failure(),
                    _ => Failure { kind: FailureKind::Transient, retry_after_s: None },
                };
                renewal.failed(settings, now, failure);
                Err(error)
            }
        }
    }

    async fn report(&mut self, target: Target<'_>, path: &str) -> Result<(), SessionError> {
        let Self { settings, net, rng, reset, clock, renewal, memory, shared, answers, .. } = self;
        let dialled = dial(*net, (memory, shared), settings, target, clock.now(), &mut renewal.credential(), rng).await;
        learn(&dialled, clock, renewal, settings);
        let mut link = dialled.map_err(SessionError::Dial)?;
        let words = Report { sequence: 0, now: clock.now(), confirmed: clock.is_confirmed(), reset };
        let outcome = report(&mut link, target.name, path, &words, &mut answers[..]).await;
        hang_up(link).await;
        renewal.judged(settings, clock.now(), outcome.is_ok());
        match outcome.map_err(SessionError::Report)? {
            status @ 200..=299 => {
                defmt::info!("posted: {=u16}", status);
                Ok(())
            }
            status => Err(SessionError::ReportRefused(status)),
        }
    }

    async fn feed(&mut self, target: Target<'_>, path: &str) -> Result<Next, SessionError> {
        let Self { settings, net, rng, reset, clock, renewal, memory, shared, .. } = self;
        let dialled = dial(*net, (memory, shared), settings, target, clock.now(), &mut renewal.credential(), rng).await;
        learn(&dialled, clock, renewal, settings);
        let mut link = dialled.map_err(SessionError::Dial)?;
        let until = link.server().valid_until();
        let interval = Duration::from_millis(settings.device.interval_ms.into());
        let mut minder = Minder { settings, clock, renewal, reset, until, opened: false };
        let outcome = feed(&mut link, rng, target.name, path, interval, &mut minder).await;
        let Minder { opened, .. } = minder;
        hang_up(link).await;
        match outcome {
            Ok(Left::Command(Command::Restart)) => Ok(Next::Restart),
            Ok(Left::Command(Command::Rotate)) => {
                renewal.rotate(settings, clock.now());
                Ok(Next::Session)
            }
            // A report comes before every feed.
            Ok(Left::Command(Command::Report) | Left::Wanted) => Ok(Next::Session),
            Err(error) => {
                if !opened {
                    renewal.judged(settings, clock.now(), false);
                }
                Err(SessionError::WebSocket(error))
            }
        }
    }
}

/// What a handshake says of the time and of our credential.
fn learn<T>(dialled: &Result<T, DialError>, clock: &mut Clock, renewal: &mut Renewal<Slots>, settings: &Settings) {
    match dialled {
        Ok(_) => {
            if let Some(time) = clock.confirm() {
                renewal.note_time(time);
            }
        }
        Err(DialError::Refused(HandshakeError::Path(PathError {
            kind: PathErrorKind::Expired { .. } | PathErrorKind::NotYetValid { .. },
            ..
        }))) => clock.reject(),
        Err(DialError::Refused(HandshakeError::Alert(_))) => renewal.judged(settings, clock.now(), false),
        Err(_) => {}
    }
}

/// Looks after the device while it feeds.
struct Minder<'a> {
    settings: &'a Settings,
    clock: &'a mut Clock,
    renewal: &'a mut Renewal<Slots>,
    reset: &'a ResetReason,
    /// When the first certificate of the server's path expires.
    until: UnixTime,
    opened: bool,
}

impl Owner for Minder<'_> {
    fn opened(&mut self) {
        self.opened = true;
        self.renewal.judged(self.settings, self.clock.now(), true);
    }

    fn report(&mut self, sequence: u32) -> Option<Report<'_>> {
        alive();
        let now = self.clock.now();
        self.renewal.tick(self.settings, now);
        let expired = matches!(now, TrustedTime::Known(now) if now > self.until);
        if expired {
            defmt::info!("the gateway's certificate has expired: another connection");
        }
        let goes_on = !expired && !self.renewal.wanted() && !self.renewal.changed();
        let report = Report { sequence, now, confirmed: self.clock.is_confirmed(), reset: self.reset };
        goes_on.then_some(report)
    }
}
