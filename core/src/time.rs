//! The time, as far as it is known. Time is always an argument: nothing in this crate reads a clock.

#[cfg(feature = "device")]
mod http_date;

use core::fmt;

use pki_types::UnixTime;

#[cfg(feature = "device")]
pub use http_date::http_date;

/// A device's knowledge of the time. Only [`TrustedTime::Known`] lets a chain be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedTime {
    /// The time is unknown: no certificate can be judged.
    Unknown,
    /// The build date, or the latest time that a store has seen: enough to refuse an expired certificate only.
    AtLeast(UnixTime),
    /// The time from a trusted source.
    Known(UnixTime),
}

/// Shows a time as `2026-01-02T03:04:05Z` (RFC 3339).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(pub UnixTime);

impl Utc {
    /// Reads the form in which times are shown, in whole seconds and UTC; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let time: der::DateTime = text.parse().ok()?;
        Some(Self(UnixTime::since_unix_epoch(time.unix_duration())))
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match der::DateTime::from_unix_duration(core::time::Duration::from_secs(self.0.as_secs())) {
            Ok(time) => fmt::Display::fmt(&time, f),
            Err(_) => write!(f, "{} s after 1970", self.0.as_secs()),
        }
    }
}

/// Writes seconds since 1970, which a decoder shows in the form of RFC 3339.
#[cfg(feature = "defmt")]
impl defmt::Format for Utc {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u64:iso8601s}", self.0.as_secs());
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for TrustedTime {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::Unknown => defmt::write!(f, "unknown"),
            Self::AtLeast(time) => defmt::write!(f, "at least {}", Utc(*time)),
            Self::Known(time) => defmt::write!(f, "{}", Utc(*time)),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::time::Duration;
    use std::string::ToString;

    #[test]
    fn times_are_shown_as_rfc_3339() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "253402300800 s after 1970"),
        ] {
            let time = Utc(UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
            assert_eq!(time.to_string(), shown);
            assert_eq!(Utc::parse(shown), Some(time).filter(|_| shown.ends_with('Z')), "{shown}");
        }
    }

    #[test]
    fn other_forms_of_rfc_3339_are_not_read() {
        for text in [
            "",
            "2024-02-30T00:00:00Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29 00:00:00Z",
            "2024-02-29T00:00:00z",
            "2024-02-29T00:00:00+00:00",
            "2024-02-29T00:00:00.5Z",
            "2024-02-29",
            "1969-12-31T23:59:59Z",
            "2024-02-29T00:00:0éZ",
        ] {
            assert_eq!(Utc::parse(text), None, "{text}");
        }
    }
}
