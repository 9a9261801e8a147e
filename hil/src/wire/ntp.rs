//! A time server for one guest (RFC 5905, as SNTP).

use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;

/// The behaviour of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ntp {
    /// The server tells the right time.
    #[default]
    Right,
    /// The server is off by this number of seconds.
    Offset(i64),
    /// The server never answers.
    Silent,
    /// The server answers with fewer octets than a message has.
    Malformed,
    /// The server answers with a kiss-o'-death, RATE (RFC 5905 section 7.4).
    KissOfDeath,
    /// The server declares itself unsynchronised: leap indicator 3, stratum 16.
    Unsynchronised,
    /// The server answers with a time ten years ahead and the originate timestamp of another request, as an off-path
    /// forger does.
    Forged,
    /// The server answers with a transmit timestamp of zero.
    Zero,
}

/// The seconds from 1900 to 1970.
const EPOCH: u64 = 2_208_988_800;
const LENGTH: usize = 48;
const TEN_YEARS: i64 = 315_576_000;

/// A clock that can run faster than real time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    since: Instant,
    base: Duration,
    rate: u32,
}

impl Clock {
    pub(super) fn new() -> Self {
        let base = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { since: Instant::now(), base, rate: 1 }
    }

    /// Returns the time since 1970.
    pub(super) fn now(&self) -> Duration {
        self.base.saturating_add(self.since.elapsed().saturating_mul(self.rate))
    }

    /// Sets the rate from now on.
    pub(super) fn set_rate(&mut self, rate: u32) {
        *self = Self { since: Instant::now(), base: self.now(), rate: rate.max(1) };
    }
}

/// Returns seconds since 1900, modulo an era, and a fraction (RFC 5905 section 6).
fn timestamp(time: Duration, offset: i64) -> [u8; 8] {
    let seconds = time.as_secs().wrapping_add(EPOCH).wrapping_add_signed(offset) & 0xffff_ffff;
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32 | fraction).to_be_bytes()
}

/// Returns the answer, or `None` if there is none.
pub(super) fn answer(request: &[u8], mode: Ntp, now: Duration) -> Option<Vec<u8>> {
    let request = request.get(..LENGTH)?;
    let version = request[0] >> 3 & 7;
    // Mode 3: a client.
    if request[0] & 7 != 3 {
        return None;
    }
    let (offset, leap, stratum) = match mode {
        Ntp::Silent => return None,
        Ntp::Malformed => return Some(vec![0x24, 2, 0, 0, 0]),
        Ntp::Offset(offset) => (offset, 0, 2),
        Ntp::Forged => (TEN_YEARS, 0, 2),
        Ntp::Right | Ntp::Zero => (0, 0, 2),
        Ntp::KissOfDeath => (0, 3, 0),
        Ntp::Unsynchronised => (0, 3, 16),
    };
    let time = timestamp(now, offset);
    let mut message = vec![leap << 6 | version << 3 | 4, stratum, 6, 0xec];
    // Root delay and dispersion, a millisecond or so.
    message.extend([0, 0, 0, 64, 0, 0, 0, 64]);
    message.extend(if mode == Ntp::KissOfDeath { b"RATE" } else { b"HIL\0" });
    message.extend(time);
    match mode {
        Ntp::Forged => message.extend([0x5a; 8]),
        _ => message.extend(&request[40..48]),
    }
    message.extend(time);
    message.extend(if mode == Ntp::Zero { [0; 8] } else { time });
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Vec<u8> {
        let mut request = vec![0; LENGTH];
        request[0] = 0x23;
        request[40..].copy_from_slice(b"whatever");
        request
    }

    #[test]
    fn tells_the_time() {
        let now = Duration::new(1_764_000_000, 500_000_000);
        let answered = answer(&request(), Ntp::Right, now).unwrap();
        assert_eq!(answered.len(), LENGTH);
        assert_eq!(answered[..2], [0x24, 2]);
        assert_eq!(answered[24..32], *b"whatever");
        let sent = u64::from_be_bytes(answered[40..].try_into().unwrap());
        assert_eq!(sent, (1_764_000_000 + EPOCH) << 32 | 0x8000_0000);
        let late = answer(&request(), Ntp::Offset(-86_400), now).unwrap();
        let late = u64::from_be_bytes(late[40..].try_into().unwrap());
        assert_eq!((sent - late) >> 32, 86_400);
    }

    #[test]
    fn an_era_ends() {
        // 7 February 2036, 06:28:16
        assert_eq!(timestamp(Duration::from_secs(2_085_978_496), 0), [0; 8]);
    }

    #[test]
    fn misbehaves_as_told() {
        let now = Duration::from_secs(1_764_000_000);
        assert_eq!(answer(&request(), Ntp::Silent, now), None);
        assert!(answer(&request(), Ntp::Malformed, now).unwrap().len() < LENGTH);
        let kiss = answer(&request(), Ntp::KissOfDeath, now).unwrap();
        assert_eq!((kiss[1], &kiss[12..16]), (0, &b"RATE"[..]));
        assert_ne!(answer(&request(), Ntp::Forged, now).unwrap()[24..32], *b"whatever");
        assert_eq!(answer(&request(), Ntp::Unsynchronised, now).unwrap()[..2], [0xe4, 16]);
        assert_eq!(answer(&request(), Ntp::Zero, now).unwrap()[40..], [0; 8]);
        // A server's message is not a request.
        assert_eq!(answer(&kiss, Ntp::Right, now), None);
    }
}
