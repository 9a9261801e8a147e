//! Parses Time (RFC 5280 section 4.1.2.5).

use der::DateTime;
use pki_types::UnixTime;

use super::error::{ParseError, ParseErrorKind};
use super::reader::{DerReader, tag};

/// Reads one Time. A date before 1970 is stored as 1970, which is past for every clock that this crate is given.
pub(crate) fn time(reader: &mut DerReader<'_>) -> Result<UnixTime, ParseError> {
    let here = reader.fault(ParseErrorKind::Time);
    let tlv = reader.tlv().map_err(|_| here)?;
    let (century, rest) = match (tlv.tag, tlv.value) {
        (tag::UTC_TIME, value) => (None, value),
        (tag::GENERALIZED_TIME, [c1, c2, rest @ ..]) => (Some(two_digits(*c1, *c2).ok_or(here)?), rest),
        _ => return Err(here),
    };
    let [y1, y2, mo1, mo2, d1, d2, h1, h2, mi1, mi2, s1, s2, b'Z'] = *rest else {
        return Err(here);
    };
    let digits = |a, b| two_digits(a, b).ok_or(here);
    let year_of_century = digits(y1, y2)?;
    let year = match century {
        Some(century) => century.saturating_mul(100).saturating_add(year_of_century),
        // RFC 5280 section 4.1.2.5.1
        None if year_of_century >= 50 => year_of_century.saturating_add(1900),
        None => year_of_century.saturating_add(2000),
    };
    // RFC 5280 section 4.1.2.5: a CA writes dates through 2049 as UTCTime, but a reader accepts either form
    let byte = |a, b| digits(a, b).map(|n| n as u8);
    // The calendar repeats every 400 years, so a date before 1970 is checked by a later one that `der` can hold.
    let before_1970 = year < 1970;
    let calendar_year = if before_1970 { (year % 400).saturating_add(2000) } else { year };
    let time =
        DateTime::new(calendar_year, byte(mo1, mo2)?, byte(d1, d2)?, byte(h1, h2)?, byte(mi1, mi2)?, byte(s1, s2)?)
            .map_err(|_| here)?;
    Ok(UnixTime::since_unix_epoch(if before_1970 { core::time::Duration::ZERO } else { time.unix_duration() }))
}

fn two_digits(tens: u8, ones: u8) -> Option<u16> {
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    let digit = |c: u8| u16::from(c.saturating_sub(b'0'));
    Some(digit(tens).saturating_mul(10).saturating_add(digit(ones)))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn read(tag: u8, text: &str) -> Option<u64> {
        let mut der = Vec::from([tag, text.len() as u8]);
        der.extend(text.as_bytes());
        time(&mut DerReader::new(&der)).ok().map(|t| t.as_secs())
    }

    #[test]
    fn table() {
        for (tag, text, expected) in [
            (tag::UTC_TIME, "700101000000Z", Some(0)),
            (tag::UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (tag::UTC_TIME, "500101000000Z", Some(0)),
            (tag::UTC_TIME, "240229000000Z", Some(1_709_164_800)),
            (tag::UTC_TIME, "230229000000Z", None),
            (tag::UTC_TIME, "2401010000Z", None),
            (tag::UTC_TIME, "240101000000+0000", None),
            (tag::UTC_TIME, "24010100000aZ", None),
            (tag::UTC_TIME, "240101240000Z", None),
            (tag::UTC_TIME, "241301000000Z", None),
            (tag::GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (tag::GENERALIZED_TIME, "20491231235959Z", Some(2_524_607_999)),
            (tag::GENERALIZED_TIME, "00010101000000Z", Some(0)),
            (tag::GENERALIZED_TIME, "19000229000000Z", None),
            (tag::GENERALIZED_TIME, "20500101000000.5Z", None),
            (tag::GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (tag::GENERALIZED_TIME, "", None),
        ] {
            assert_eq!(read(tag, text), expected, "{text}");
        }
    }
}
