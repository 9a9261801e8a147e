//! Writes times as distances from now, and octets in units, for people.

use jiff::Timestamp;

/// Returns the seconds since 1970 of a time in a report.
pub(super) fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// Writes a duration in its two largest units: `7 h 59 min`.
pub(super) fn span(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds.saturating_abs();
    let mut parts = Vec::new();
    for (length, name) in UNITS {
        let count = left.checked_div(length).unwrap_or_default();
        left = left.checked_rem(length).unwrap_or_default();
        // A hundred days have no hours.
        if count > 0 && parts.len() < 2 {
            parts.push(format!("{count} {name}"));
            if count >= 100 {
                break;
            }
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// Writes octets in decimal units (IEC 80000-13): `1.2 MB`.
pub(super) fn octets(count: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    for (size, name) in UNITS {
        if count >= size {
            let tenths = count.checked_div(size / 10).unwrap_or_default();
            let (whole, tenth) = (tenths / 10, tenths % 10);
            return if whole >= 100 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") };
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_enough() {
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3_600, "1 h"),
            (3_601, "1 h"),
            (28_799, "7 h 59 min"),
            (90_000, "1 d 1 h"),
            (100 * 86_400 + 7_200, "100 d"),
            (-61, "1 min 1 s"),
            (i64::MIN, "106751991167300 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text, "{seconds}");
        }
        let cases = [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_290_000, "1.2 MB"), (123_456_789, "123 MB")];
        for (count, text) in cases {
            assert_eq!(octets(count), text, "{count}");
        }
        assert_eq!(octets(u64::MAX), "18446744 TB");
    }
}
