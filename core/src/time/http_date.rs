//! Reads the dates of HTTP fields (RFC 9110 section 5.6.7).

use der::DateTime;
use pki_types::UnixTime;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Returns the time of an HTTP date in any of its three forms, of which two are obsolete and must be accepted; `None`
/// for other text. The day of the week is not checked.
pub fn http_date(text: &[u8]) -> Option<UnixTime> {
    let mut parts = text.split(|octet| matches!(octet, b' ' | b',' | b'-' | b':')).filter(|part| !part.is_empty());
    parts.next().filter(|weekday| weekday.first().is_some_and(u8::is_ascii_alphabetic))?;
    let (first, second) = (parts.next()?, parts.next()?);
    let (day, month, year) = match month(second) {
        // IMF-fixdate, or the form of RFC 850.
        Some(month) => (number(first)?, month, Some(number(parts.next()?)?)),
        // The form of asctime, whose year comes last.
        None => (number(second)?, month(first)?, None),
    };
    let (hour, minute, second) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let year = match year {
        Some(year) => {
            parts.next().filter(|zone| *zone == b"GMT")?;
            // Two digits are of this century: what a server asks to be waited for is not in the last one.
            if year < 100 { year.saturating_add(2000) } else { year }
        }
        None => number(parts.next()?)?,
    };
    if parts.next().is_some() {
        return None;
    }
    let small = |number: u16| u8::try_from(number).ok();
    // A leap second is shown as the second before.
    let time = DateTime::new(year, month, small(day)?, small(hour)?, small(minute)?, small(second)?.min(59)).ok()?;
    Some(UnixTime::since_unix_epoch(time.unix_duration()))
}

fn month(name: &[u8]) -> Option<u8> {
    (1..).zip(MONTHS).find(|(_, month)| *month == name).map(|(number, _)| number)
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn all_three_forms_are_read() {
        // The examples of the section.
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(http_date(text.as_bytes()).map(|time| time.as_secs()), Some(784_111_777), "{text}");
        }
        for text in ["Wed, 25 Nov 2026 12:00:00 GMT", "Wednesday, 25-Nov-26 12:00:00 GMT", "Wed Nov 25 12:00:00 2026"] {
            assert_eq!(http_date(text.as_bytes()).map(|time| time.as_secs()), Some(1_795_608_000), "{text}");
        }
        assert_eq!(http_date(b"Thu, 31 Dec 2026 23:59:60 GMT").map(|time| time.as_secs()), Some(1_798_761_599));
    }

    #[test]
    fn other_text_is_no_date() {
        for text in [
            "",
            "120",
            "Wed",
            "Wed, 25 Nov 2026 12:00:00",
            "Wed, 25 Nov 2026 12:00:00 CET",
            "Wed, 25 Nov 2026 12:00:00 GMT more",
            "Wed, 31 Nov 2026 12:00:00 GMT",
            "Wed, 25 Nov 2026 24:00:00 GMT",
            "Wed, 25 nov 2026 12:00:00 GMT",
            "Wed, 25 Nov 99999 12:00:00 GMT",
            "Wed, 25 Nov 2026 12:00 GMT",
            "Wed Nov 25 12:00:00 2026 GMT",
            "25 Nov 2026 12:00:00 GMT",
            "2026-11-25T12:00:00Z",
        ] {
            assert_eq!(http_date(text.as_bytes()), None, "{text}");
        }
    }
}
