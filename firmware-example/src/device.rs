//! Runs one session after the other, and the work between sessions.

use core::pin::{Pin, pin};

use edgetrust_core::embedded_tls::{HandshakeError, Shared};
use edgetrust_core::path::{PathError, PathErrorKind};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::rotation::{Failure, FailureKind};
use edgetrust_core::time::TrustedTime;
use edgetrust_firmware::board::{self, ResetReason};
use edgetrust_firmware::random::KeyErasingRng;
use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use rand_core::RngCore;
use static_cell::ConstStaticCell;

use crate::clock::Clock;
use crate::dial::{DialError, Link, Memory, Target, apart, dial, hang_up};
use crate::enroll::{By, EnrollError, Enrollment, Issuers, enroll};
use crate::messages::Report;
use crate::progress::alive;
use crate::renewal::{Renewal, RenewalError, Slots, seed};
use crate::settings::{First, Settings, SettingsError};
use crate::sntp;
use crate::telemetry::{Left, Order, Owner, feed, report, report_of};
use crate::verdict::{SessionError, Verdict};
use crate::websocket::WebSocketError;

/// The first wait after a failure; the wait doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The interval of checks while the device rests.
const LOOK: Duration = Duration::from_secs(30);
/// The interval of looks at the device's own address during a session.
const TICK: Duration = Duration::from_secs(1);
/// The wait after an unintended start.
const AFTER_CRASH: Duration = Duration::from_secs(1);
/// The size in octets of the buffer for the gateway's answers.
const BUFFER: usize = 3584;

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static ANSWERS: ConstStaticCell<[u8; BUFFER]> = ConstStaticCell::new([0; BUFFER]);

/// The reason for which the device cannot start.
#[derive(defmt::Format)]
pub enum DeviceError {
    Settings(SettingsError),
    Renewal(RenewalError),
}

/// The next step after a session.
enum Next {
    Session,
    /// A session after this time.
    Rest(Duration),
    Restart,
}

/// The whole state of the device.
pub struct Device {
    settings: Settings,
    net: Stack<'static>,
    rng: KeyErasingRng,
    reset: ResetReason,
    clock: Clock,
    renewal: Renewal<Slots>,
    memory: &'static mut Memory,
    shared: Shared,
    answers: &'static mut [u8; BUFFER],
    /// The octets of `answers` that an enrollment uses.
    issuers: Issuers,
    reported: bool,
    /// The last address that was logged.
    address: Option<[u8; 4]>,
}

impl Device {
    #[inline(never)]
    pub fn new(
        settings: Settings,
        slots: Slots,
        net: Stack<'static>,
        rng: KeyErasingRng,
        reset: ResetReason,
    ) -> Result<Self, DeviceError> {
        let seed = seed(&settings);
        let mut renewal = Renewal::new(slots, &settings, seed).map_err(DeviceError::Renewal)?;
        let clock = Clock::new(renewal.time_seen());
        let (memory, answers) = (MEMORY.take(), ANSWERS.take());
        Ok(Self {
            settings,
            net,
            rng,
            reset,
            clock,
            renewal,
            memory,
            shared: Shared::new(),
            answers,
            issuers: None,
            reported: false,
            address: None,
        })
    }

    /// Runs sessions for ever.
    pub async fn run(&mut self) -> ! {
        let mut wait = FIRST_WAIT;
        self.renewal.restore(&self.settings, self.clock.now());
        if !matches!(self.reset, ResetReason::PowerOn | ResetReason::Requested) {
            // The cause of the last run's end may persist: the wait keeps the device from meeting it at full speed.
            Timer::after(AFTER_CRASH).await;
        }
        loop {
            alive();
            self.address().await;
            match self.session().await {
                Ok(Next::Session) => wait = FIRST_WAIT,
                Ok(Next::Rest(interval)) => {
                    wait = FIRST_WAIT;
                    self.rest(interval).await;
                }
                Ok(Next::Restart) => {
                    Timer::after_millis(100).await;
                    board::reset();
                }
                Err(error) => {
                    // A refusal was logged with the server's name.
                    if !matches!(error, SessionError::Dial(DialError::Refused(_))) {
                        defmt::warn!("session: {}", error);
                    }
                    // A session that the gateway had admitted, and a new address, restart the waits.
                    if matches!(
                        error,
                        SessionError::Moved | SessionError::WebSocket(WebSocketError::Closed | WebSocketError::Ended)
                    ) {
                        wait = FIRST_WAIT;
                    }
                    // Half of the wait is random, so that a fleet does not reconnect at once.
                    let half = wait.as_millis() / 2;
                    let millis = half.saturating_add(self.rng.next_u64() % half.max(1));
                    defmt::info!("retry in {=u64} ms", millis);
                    Timer::after_millis(millis).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Waits for the next report, or until a new credential is wanted.
    async fn rest(&mut self, interval: Duration) {
        let until = Instant::now() + interval;
        while Instant::now() < until && !self.renewal.wanted() {
            alive();
            Timer::at(until.min(Instant::now() + LOOK)).await;
            self.renewal.tick(&self.settings, self.clock.now());
        }
    }

    /// Waits for an address from DHCP.
    async fn address(&mut self) {
        while with_timeout(Duration::from_secs(15), self.net.wait_config_up()).await.is_err() {
            alive();
            defmt::warn!("net: no address from dhcp");
        }
        let address = address_of(self.net);
        if let Some(octets) = address.filter(|_| address != self.address) {
            defmt::info!("net: address {=[u8; 4]}", octets);
        }
        self.address = address;
    }

    /// Returns the time for a handshake, and requests the time first if due.
    async fn time(&mut self) -> Result<TrustedTime, SessionError> {
        if self.clock.is_due() {
            self.clock.ask();
            if let Some(unix_s) =
                sntp::ask(self.net, self.settings.device.ntp, self.clock.floor(), self.rng.next_u64()).await
            {
                self.clock.propose(unix_s);
            }
        }
        match self.clock.to_try() {
            TrustedTime::Known(now) => Ok(TrustedTime::Known(now)),
            TrustedTime::AtLeast(_) | TrustedTime::Unknown => Err(SessionError::Time),
        }
    }

    /// Runs one connection, for enrollment or for a report and feed.
    async fn session(&mut self) -> Result<Next, SessionError> {
        let now = self.time().await?;
        let Self { settings, net, rng, reset, clock, renewal, memory, shared, answers, issuers, reported, .. } = self;
        renewal.tick(settings, clock.now());
        let device = &settings.device;
        if renewal.is_new() && !renewal.wanted() {
            // There is nothing to show to the gateway yet.
            return Ok(Next::Rest(LOOK));
        }
        let claim = match renewal.claim(settings, rng) {
            Some(Ok(by)) => Some(by),
            Some(Err(error)) => {
                renewal.failed(settings, clock.now(), error.failure());
                return Err(SessionError::Enroll(error));
            }
            None => None,
        };
        let enrollment = match (&claim, settings.first) {
            (Some(_), First::Voucher(voucher)) => Some(voucher.enroll),
            _ => device.enroll.filter(|_| renewal.wanted()),
        };
        let target = match enrollment {
            Some(enroll) => Target { host: enroll.server.host, port: enroll.server.port, name: enroll.server_name },
            None => Target { host: device.gateway.host, port: device.gateway.port, name: device.server_name },
        };
        // Later changes of the credential are counted from here.
        renewal.changed();
        // The address of the connection: an earlier one may have changed while the time was requested.
        let address = address_of(*net);
        // A block of its own: a connection is a kilobyte and a half, and values that live on keep their place in the
        // task's memory.
        let mut link = {
            let dialled = {
                let mut credential = renewal.credential();
                let dialling = pin!(dial(*net, (memory, shared), settings, target, now, credential.as_mut(), rng));
                apart(dialling).await
            };
            learn(&dialled, clock, renewal);
            match dialled {
                Ok(link) => link,
                Err(error) => {
                    if let DialError::Refused(error) = &error {
                        defmt::warn!("refused: {}, asked for {=str}", error, target.name);
                    }
                    if enrollment.is_some() {
                        let failure = Failure { kind: FailureKind::Transient, retry_after_s: None };
                        renewal.failed(settings, clock.now(), failure);
                    }
                    let error = SessionError::Dial(error);
                    if let Some(verdict) = Verdict::of(&error) {
                        renewal.judged(settings, clock.now(), verdict);
                    }
                    return Err(error);
                }
            }
        };
        let until = link.server().valid_until();
        let mut words = Words { settings, clock, renewal, reset, until, taken: false, issuers, reported };
        // The dial may have taken a minute.
        alive();
        let outcome = if enrollment.is_some() {
            while_at(*net, address, pin!(words.enroll(&mut link, target.name, claim, rng, answers))).await
        } else {
            while_at(*net, address, pin!(words.serve(&mut link, target.name, rng, answers))).await
        };
        let taken = words.taken;
        // Nobody can answer what is sent from an address that the device no longer has.
        if !matches!(outcome, Err(SessionError::Moved)) {
            hang_up!(link);
        }
        if let Err(error) = &outcome
            && !taken
            && let Some(verdict) = Verdict::of(error)
        {
            renewal.judged(settings, clock.now(), verdict);
        }
        outcome
    }
}

/// Returns the device's address.
fn address_of(net: Stack<'_>) -> Option<[u8; 4]> {
    net.config_v4().map(|config| config.address.address().octets())
}

/// Runs a part of a session for as long as the device has the address from which the session began.
async fn while_at<'a, T>(
    net: Stack<'_>,
    address: Option<[u8; 4]>,
    part: Pin<&'a mut (dyn Future<Output = Result<T, SessionError>> + 'a)>,
) -> Result<T, SessionError> {
    let moved = async {
        while address_of(net) == address {
            Timer::after(TICK).await;
        }
    };
    match select(part, moved).await {
        // smoltcp resets a connection that is from an address of before.
        Either::First(Err(_)) if address_of(net) != address => Err(SessionError::Moved),
        Either::First(outcome) => outcome,
        Either::Second(()) => Err(SessionError::Moved),
    }
}

/// Confirms or refutes the time by the result of a handshake.
fn learn<T>(dialled: &Result<T, DialError>, clock: &mut Clock, renewal: &mut Renewal<Slots>) {
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
        Err(_) => {}
    }
}

/// The messages on a connection.
struct Words<'a> {
    settings: &'a Settings,
    clock: &'a mut Clock,
    renewal: &'a mut Renewal<Slots>,
    reset: &'a ResetReason,
    /// The earliest notAfter on the server's path.
    until: UnixTime,
    /// True if the gateway has answered, and so has accepted the device's certificate.
    taken: bool,
    issuers: &'a mut Issuers,
    /// True if the report was sent on a connection that ended with it.
    reported: &'a mut bool,
}

impl Words<'_> {
    /// Sends the report, if configured; then runs the feed.
    async fn serve(
        &mut self,
        link: &mut Link<'_>,
        host: &str,
        rng: &mut KeyErasingRng,
        answers: &mut [u8; BUFFER],
    ) -> Result<Next, SessionError> {
        let device = &self.settings.device;
        // The answers of this connection overwrite the intermediates.
        *self.issuers = None;
        if let Some(path) = device.report.filter(|_| !*self.reported) {
            let own = self.how(0);
            let (status, closes) = report(link, host, path, &own, answers).await.map_err(SessionError::Report)?;
            self.opened();
            match status {
                200..=299 => defmt::info!("posted: {=u16}", status),
                status => return Err(SessionError::ReportRefused(status)),
            }
            if closes && device.websocket.is_some() {
                *self.reported = true;
                return Ok(Next::Session);
            }
        }
        *self.reported = false;
        let interval = Duration::from_millis(device.interval_ms.into());
        let Some(path) = device.websocket else { return Ok(Next::Rest(interval)) };
        match feed(link, rng, host, path, interval, self).await.map_err(SessionError::WebSocket)? {
            Left::Command(Order::Restart) => return Ok(Next::Restart),
            Left::Command(Order::Rotate) => self.renewal.rotate(self.settings, self.clock.now()),
            // A report precedes every feed.
            Left::Command(Order::Report) | Left::Wanted => {}
        }
        Ok(Next::Session)
    }

    /// Enrolls for another credential.
    async fn enroll(
        &mut self,
        link: &mut Link<'_>,
        host: &str,
        claim: Option<By<'static>>,
        rng: &mut KeyErasingRng,
        answers: &mut [u8; BUFFER],
    ) -> Result<Next, SessionError> {
        let now = self.clock.now();
        let by = claim.unwrap_or(By::Certificate(self.renewal.certificate()));
        let enrollment = Enrollment { settings: self.settings, host, by, now };
        match enroll(link, enrollment, self.issuers, rng, answers).await {
            Ok(None) => {
                self.opened();
                Ok(Next::Session)
            }
            Ok(Some(issued)) => {
                self.opened();
                self.renewal.issued(self.settings, self.clock.now(), &issued);
                Ok(Next::Session)
            }
            Err(error) => {
                if let (EnrollError::Refused(401), First::Voucher(voucher)) = (&error, self.settings.first) {
                    let name = voucher.name;
                    defmt::error!(
                        "the gateway does not take the voucher of {=str}: its log says why; `edgetrust devices invite {=str}` makes another",
                        name,
                        name
                    );
                }
                self.renewal.failed(self.settings, self.clock.now(), error.failure());
                Err(SessionError::Enroll(error))
            }
        }
    }

    fn how(&self, sequence: u32) -> Report {
        let (now, confirmed) = (self.clock.now(), self.clock.is_confirmed());
        report_of(sequence, now, confirmed, self.renewal.not_after(), self.reset)
    }
}

impl Owner for Words<'_> {
    fn opened(&mut self) {
        if !self.taken {
            self.taken = true;
            self.renewal.judged(self.settings, self.clock.now(), Verdict::Taken);
        }
    }

    fn report(&mut self, sequence: u32) -> Option<Report> {
        alive();
        let now = self.clock.now();
        self.renewal.tick(self.settings, now);
        let expired = matches!(now, TrustedTime::Known(now) if now > self.until);
        if expired {
            defmt::info!("the gateway's certificate has expired: another connection");
        }
        let goes_on = !expired && !self.clock.is_due() && !self.renewal.wanted() && !self.renewal.changed();
        goes_on.then(|| self.how(sequence))
    }
}
