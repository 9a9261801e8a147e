//! Keeps the device's knowledge of the time.
//!
//! The clock starts with a floor: the build's date, or the highest time that the store has seen. The floor can only
//! refuse. SNTP proposes a time, unauthenticated: a proposal below the floor is refused, and one above is trusted for
//! one handshake, in which the gateway's certificate must be valid. The handshake confirms the time, and only a
//! confirmed time becomes the floor and is stored. A forger of SNTP can move the device's time within the validity of
//! the gateway's certificate, a day, and cannot make the device trust a certificate that expired before the floor.
//!
//! Oscillators drift: the time is requested again every six hours, and after a gateway was refused for its dates.

use core::time::Duration as Span;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::{TrustedTime, Utc};
use embassy_time::Instant;

/// The age in seconds at which a time is requested again.
const ASK_AGAIN_S: u64 = 6 * 3600;

/// The assumed maximum gain of an oscillator without a crystal: one second in this number.
const DRIFT: u64 = 32;

/// The tolerance in seconds below which no time is refused.
const SLACK_S: u64 = 5;

/// A time, and the instant at which it was valid.
#[derive(Clone, Copy)]
struct Reading {
    unix_ms: u64,
    at: Instant,
}

impl Reading {
    fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Span::from_millis(self.unix_ms.saturating_add(passed_ms(self.at))))
    }

    /// Returns the earliest time that it can be now.
    fn at_least(&self) -> UnixTime {
        let drift_s = (passed_ms(self.at) / 1000 / DRIFT).saturating_add(SLACK_S);
        UnixTime::since_unix_epoch(Span::from_secs(self.now().as_secs().saturating_sub(drift_s)))
    }
}

/// Returns the milliseconds of the device's clock since an instant.
fn passed_ms(since: Instant) -> u64 {
    since.elapsed().as_millis().saturating_mul(rate())
}

/// Returns the seconds of the device's clock in each second: 1 except in tests.
fn rate() -> u64 {
    #[cfg(feature = "rig")]
    return edgetrust_firmware::board::rig::clock_rate().unwrap_or(1).into();
    #[cfg(not(feature = "rig"))]
    1
}

/// The device's clock.
pub struct Clock {
    floor: UnixTime,
    confirmed: Option<Reading>,
    proposed: Option<Reading>,
    /// The instant of the last request for the time.
    asked: Option<Instant>,
    /// True if a gateway was refused for its dates: the dates or the device's time are wrong.
    doubted: bool,
}

impl Clock {
    /// Creates a clock from the highest time that the store has seen.
    pub fn new(seen: Option<UnixTime>) -> Self {
        let built = UnixTime::since_unix_epoch(Span::from_secs(build_time()));
        let (floor, source) = match seen {
            Some(seen) if seen > built => (seen, "store"),
            _ => (built, "build"),
        };
        let clock = Self { floor, confirmed: None, proposed: None, asked: None, doubted: false };
        defmt::info!("time: {}, from the {=str}", clock.now(), source);
        clock
    }

    /// Returns the known time. A confirmed time has precedence: a proposal must not renew a certificate.
    pub fn now(&self) -> TrustedTime {
        self.known(self.confirmed.or(self.proposed))
    }

    /// Returns the time for the next handshake: a proposal has precedence, which the handshake confirms or refutes.
    pub fn to_try(&self) -> TrustedTime {
        self.known(self.proposed.or(self.confirmed))
    }

    fn known(&self, reading: Option<Reading>) -> TrustedTime {
        reading.map_or(TrustedTime::AtLeast(self.floor), |reading| TrustedTime::Known(reading.now()))
    }

    /// Returns the floor: no earlier time is trusted.
    pub fn floor(&self) -> UnixTime {
        self.floor
    }

    /// Returns whether a time was ever confirmed.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.is_some()
    }

    /// Returns whether the time is to be requested.
    pub fn is_due(&self) -> bool {
        let old = self.asked.is_none_or(|asked| passed_ms(asked) / 1000 >= ASK_AGAIN_S);
        old || self.doubted || !matches!(self.now(), TrustedTime::Known(_))
    }

    /// Notes a request for the time. Without an answer the device continues with its known time.
    pub fn ask(&mut self) {
        self.asked = Some(Instant::now());
        self.doubted = false;
    }

    /// Proposes the time that a time server returned.
    pub fn propose(&mut self, unix_s: u64) {
        let time = UnixTime::since_unix_epoch(Span::from_secs(unix_s));
        let floor = self.confirmed.map_or(self.floor, |reading| reading.at_least().max(self.floor));
        if time < floor {
            defmt::warn!("time: sntp says {}, which is before {}: refused", Utc(time), Utc(floor));
            return;
        }
        self.proposed = Some(Reading { unix_ms: unix_s.saturating_mul(1000), at: Instant::now() });
        defmt::info!("time: {}, from sntp", Utc(time));
    }

    /// Confirms the proposed time: the gateway's certificate is valid at it. Returns the time if it is new.
    pub fn confirm(&mut self) -> Option<UnixTime> {
        let reading = self.proposed.take()?;
        self.confirmed = Some(reading);
        let now = reading.now();
        self.floor = self.floor.max(now);
        defmt::info!("time: {}, confirmed by the gateway's certificate", Utc(now));
        Some(now)
    }

    /// Notes that the gateway's certificate is not valid now: the dates or the time are wrong. A proposed time is
    /// dropped, and the time is requested again.
    pub fn reject(&mut self) {
        self.doubted = true;
        if self.proposed.take().is_some() {
            defmt::warn!("time: not confirmed by the gateway's certificate: {}", self.now());
        }
    }
}

/// Returns the build's time in seconds since 1970: the commit's date.
const fn build_time() -> u64 {
    // The day of the first version, if the build sets no time.
    let text = match option_env!("EDGETRUST_BUILD_TIME") {
        Some(text) => text.as_bytes(),
        None => b"1793491200",
    };
    let (mut seconds, mut index) = (0_u64, 0);
    while index < text.len() {
        assert!(text[index].is_ascii_digit(), "EDGETRUST_BUILD_TIME: expected seconds since 1970");
        seconds = seconds * 10 + (text[index] - b'0') as u64;
        index += 1;
    }
    seconds
}
