//! What the device knows of the time.
//!
//! It starts with a floor: the build's date, or the highest time that the store has seen, which only refuses. SNTP proposes a time; it
//! is not authenticated, so a proposal below the floor is refused, and one above is believed for one handshake: the gateway's certificate
//! must be valid then. That confirms it, and only a confirmed time becomes the floor and is noted in the store. Who forges SNTP can move
//! the device within the validity of the gateway's certificate, a day, and not make it believe one that expired before the floor.
//!
//! Oscillators drift: a confirmed time is asked for again every six hours, and once a gateway was refused for its dates.

use core::time::Duration as Span;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::{TrustedTime, Utc};
use embassy_time::Instant;

/// How long a time is good for.
const ASK_AGAIN_S: u64 = 6 * 3600;

/// What an oscillator without a crystal may be too fast by: one second in so many.
const DRIFT: u64 = 32;

/// What is not worth a refusal, in seconds.
const SLACK_S: u64 = 5;

/// A time, and when it was that.
#[derive(Clone, Copy)]
struct Reading {
    unix_ms: u64,
    at: Instant,
}

impl Reading {
    fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Span::from_millis(self.unix_ms.saturating_add(passed_ms(self.at))))
    }

    /// What it is now at the least.
    fn at_least(&self) -> UnixTime {
        let drift_s = (passed_ms(self.at) / 1000 / DRIFT).saturating_add(SLACK_S);
        UnixTime::since_unix_epoch(Span::from_secs(self.now().as_secs().saturating_sub(drift_s)))
    }
}

/// Milliseconds of the device's clock since then.
fn passed_ms(since: Instant) -> u64 {
    since.elapsed().as_millis().saturating_mul(rate())
}

/// Seconds of the device's clock in a second: 1 but in tests.
fn rate() -> u64 {
    #[cfg(feature = "rig")]
    return edgetrust_firmware::board::rig::clock_rate().unwrap_or(1).into();
    #[cfg(not(feature = "rig"))]
    1
}

/// The clock.
pub struct Clock {
    floor: UnixTime,
    confirmed: Option<Reading>,
    proposed: Option<Reading>,
    /// When the time was last asked for.
    asked: Option<Instant>,
    /// A gateway was refused for its dates: theirs are wrong, or ours.
    doubted: bool,
}

impl Clock {
    /// With the highest time that the store has seen.
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

    /// What is known. While there is a confirmed time, a proposal is nothing to renew a certificate by.
    pub fn now(&self) -> TrustedTime {
        self.known(self.confirmed.or(self.proposed))
    }

    /// What the next handshake goes by: a proposal, which that confirms or not.
    pub fn to_try(&self) -> TrustedTime {
        self.known(self.proposed.or(self.confirmed))
    }

    fn known(&self, reading: Option<Reading>) -> TrustedTime {
        reading.map_or(TrustedTime::AtLeast(self.floor), |reading| TrustedTime::Known(reading.now()))
    }

    /// No time below it is believed.
    pub fn floor(&self) -> UnixTime {
        self.floor
    }

    /// A time was ever confirmed.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.is_some()
    }

    /// The time is to be asked for.
    pub fn is_due(&self) -> bool {
        let old = self.asked.is_none_or(|asked| passed_ms(asked) / 1000 >= ASK_AGAIN_S);
        old || self.doubted || !matches!(self.now(), TrustedTime::Known(_))
    }

    /// It is asked for now. Without an answer the device goes on with what it knows.
    pub fn ask(&mut self) {
        self.asked = Some(Instant::now());
        self.doubted = false;
    }

    /// A server of time says this.
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

    /// The gateway's certificate is valid at the proposed time. The time, where that is news.
    pub fn confirm(&mut self) -> Option<UnixTime> {
        let reading = self.proposed.take()?;
        self.confirmed = Some(reading);
        let now = reading.now();
        self.floor = self.floor.max(now);
        defmt::info!("time: {}, confirmed by the gateway's certificate", Utc(now));
        Some(now)
    }

    /// The gateway's certificate is not valid now: one of the two is wrong. A proposed time is not believed, and is asked for anew.
    pub fn reject(&mut self) {
        self.doubted = true;
        if self.proposed.take().is_some() {
            defmt::warn!("time: not confirmed by the gateway's certificate: {}", self.now());
        }
    }
}

/// When this was built, in seconds since 1970: the commit's date.
const fn build_time() -> u64 {
    // The day of the first version, where a build does not say.
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
