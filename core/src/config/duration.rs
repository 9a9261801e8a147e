//! Parses durations as Go writes them (`8h`, `1h30m`, `1.5h`), the syntax of the SemStreams configuration.

/// The syntax of a duration, for errors.
pub(super) const EXPECTED: &str = "a duration such as \"8h\", \"1h30m\", \"1.5h\" or \"0s\"";

/// The number of milliseconds in each unit; units finer than a millisecond are of no use here.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Reads a duration that is not negative, in milliseconds; `None` if malformed, or too long for 32 bits of seconds.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = |c: char| c.is_ascii_digit();
        let number = rest.trim_start_matches(digits);
        let whole = rest.strip_suffix(number)?;
        let (fraction, unit) = match number.strip_prefix('.') {
            Some(tail) => {
                let after = tail.trim_start_matches(digits);
                (tail.strip_suffix(after)?, after)
            }
            None => ("", number),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (name, scale) = UNITS.iter().find(|(name, _)| unit.starts_with(name))?;
        rest = unit.strip_prefix(name)?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(*scale)?)?;
        let mut place = *scale;
        for digit in fraction.bytes() {
            place /= 10;
            total = total.checked_add(place.checked_mul(u64::from(digit.checked_sub(b'0')?))?)?;
        }
    }
    (!text.is_empty() && total / 1_000 <= u64::from(u32::MAX)).then_some(total)
}

/// Reads a duration that is not negative, as Go writes it (`8h`, `1h30m`, `1.5h`, `0s`); `None` if the text is
/// malformed, or the duration too long for 32 bits of seconds.
pub fn parse_duration(text: &str) -> Option<core::time::Duration> {
    milliseconds(text).map(core::time::Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (text, expected) in [
            ("8h", Some(28_800_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            (".5s", Some(500)),
            ("300ms", Some(300)),
            ("1m300ms", Some(60_300)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("", None),
            ("8", None),
            ("h", None),
            ("8 h", None),
            ("-8h", None),
            ("8d", None),
            (".h", None),
            ("99999999999999999999h", None),
            ("1193047h", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
