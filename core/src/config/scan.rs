//! Scans JSON text (RFC 8259) token by token and in place: comments are skipped, escapes are decoded in place.
//!
//! One scanner reads the file once. A second parser could understand the same text differently, and then other values
//! would be used than were checked.

use super::error::Found;
use crate::text::split_once;

/// The largest depth of nested objects and arrays.
pub const MAX_DEPTH: u32 = 128;

/// One token; strings are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Colon,
    Comma,
    Text(&'a str),
    Number(&'a str),
    True,
    False,
    Null,
    End,
}

impl<'a> Token<'a> {
    /// Returns the token as an error shows it.
    pub(super) fn found(self) -> Found<'a> {
        match self {
            Self::ObjectStart => Found::Object,
            Self::ArrayStart => Found::Array,
            Self::ObjectEnd => Found::Byte(b'}'),
            Self::ArrayEnd => Found::Byte(b']'),
            Self::Colon => Found::Byte(b':'),
            Self::Comma => Found::Byte(b','),
            Self::Text(text) => Found::Text(text),
            Self::Number(text) => Found::Literal(text),
            Self::True => Found::Literal("true"),
            Self::False => Found::Literal("false"),
            Self::Null => Found::Literal("null"),
            Self::End => Found::End,
        }
    }
}

/// An error for text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScanError<'a> {
    pub(super) offset: usize,
    pub(super) found: Found<'a>,
    pub(super) expected: &'static str,
}

pub(super) struct Scanner<'a> {
    rest: &'a mut [u8],
    offset: usize,
    /// The offset at which the last token began.
    pub(super) token_offset: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a mut [u8]) -> Self {
        let mut scanner = Self { rest: text, offset: 0, token_offset: 0 };
        // Some editors write a byte order mark (RFC 8259 section 8.1).
        if scanner.rest.starts_with(b"\xef\xbb\xbf") {
            scanner.take(3);
        }
        scanner
    }

    /// Returns the next token; at the end, always [`Token::End`].
    pub(super) fn next(&mut self) -> Result<Token<'a>, ScanError<'a>> {
        self.pass_over_blanks()?;
        self.token_offset = self.offset;
        let Some(first) = self.rest.first().copied() else { return Ok(Token::End) };
        let punctuation = match first {
            b'{' => Token::ObjectStart,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayStart,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.text(),
            _ => return self.literal(),
        };
        self.take(1);
        Ok(punctuation)
    }

    fn take(&mut self, count: usize) -> &'a mut [u8] {
        let rest = core::mem::take(&mut self.rest);
        match rest.split_at_mut_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset = self.offset.saturating_add(count);
                taken
            }
            None => &mut [],
        }
    }

    fn error(&self, found: Found<'a>, expected: &'static str) -> ScanError<'a> {
        ScanError { offset: self.offset, found, expected }
    }

    /// Skips white space and comments, which ADR-001 allows.
    fn pass_over_blanks(&mut self) -> Result<(), ScanError<'a>> {
        loop {
            let blanks = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            self.take(blanks);
            if self.rest.starts_with(b"//") {
                let line = self.rest.iter().take_while(|byte| **byte != b'\n').count();
                self.take(line);
            } else if self.rest.starts_with(b"/*") {
                let body = self.rest.get(2..).unwrap_or(&[]);
                match body.windows(2).position(|pair| pair == b"*/") {
                    Some(end) => self.take(end.saturating_add(4)),
                    None => return Err(self.error(Found::End, "*/ at the end of the comment")),
                };
            } else {
                return Ok(());
            }
        }
    }

    fn literal(&mut self) -> Result<Token<'a>, ScanError<'a>> {
        const EXPECTED: &str = "a JSON value";
        let length = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            .count();
        let word = &*self.take(length);
        let offset = self.token_offset;
        let Ok(word) = core::str::from_utf8(word) else {
            return Err(ScanError { offset, found: Found::Nothing, expected: EXPECTED });
        };
        match word {
            "true" => Ok(Token::True),
            "false" => Ok(Token::False),
            "null" => Ok(Token::Null),
            "" => Err(self.error(self.rest.first().map_or(Found::End, |byte| Found::Byte(*byte)), EXPECTED)),
            number if is_number(number) => Ok(Token::Number(number)),
            other => Err(ScanError { offset, found: Found::Literal(other), expected: EXPECTED }),
        }
    }

    /// Reads a string and decodes it in place: the decoded text is never longer than the encoded text.
    fn text(&mut self) -> Result<Token<'a>, ScanError<'a>> {
        let mut end = 1_usize;
        let mut escaped = false;
        loop {
            match self.rest.get(end) {
                None => return Err(self.error(Found::End, "a \" at the end of the text")),
                Some(b'"') if !escaped => break,
                // RFC 8259 section 7: control characters are escaped
                Some(byte) if *byte < 0x20 => {
                    let error = self.error(Found::Byte(*byte), "control characters in text as escapes");
                    return Err(ScanError { offset: self.offset.saturating_add(end), ..error });
                }
                Some(byte) => escaped = *byte == b'\\' && !escaped,
            }
            end = end.saturating_add(1);
        }
        let begin = self.offset.saturating_add(1);
        let quoted = self.take(end.saturating_add(1));
        let body = quoted.get_mut(1..end).unwrap_or(&mut []);
        let length = decode_escapes(body).map_err(|at| ScanError {
            offset: begin.saturating_add(at),
            found: Found::Byte(b'\\'),
            expected: "an escape of RFC 8259 section 7",
        })?;
        let (decoded, _) = body.split_at_checked(length).unwrap_or((&[], &[]));
        match core::str::from_utf8(decoded) {
            Ok(text) => Ok(Token::Text(text)),
            Err(error) => Err(ScanError {
                offset: begin.saturating_add(error.valid_up_to()),
                found: decoded.get(error.valid_up_to()).map_or(Found::End, |byte| Found::Byte(*byte)),
                expected: "UTF-8",
            }),
        }
    }
}

/// Recognises a number (RFC 8259 section 6).
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match split_once(unsigned, b'e').or_else(|| split_once(unsigned, b'E')) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match split_once(mantissa, b'.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

/// Decodes escapes in place; returns the new length, or the offset of an invalid escape as the error.
fn decode_escapes(text: &mut [u8]) -> Result<usize, usize> {
    let (mut from, mut to) = (0_usize, 0_usize);
    while let Some(byte) = text.get(from).copied() {
        if byte != b'\\' {
            put(text, &mut to, &[byte]);
            from = from.saturating_add(1);
            continue;
        }
        let (character, length) = escape(text.get(from..).unwrap_or(&[])).ok_or(from)?;
        let mut utf8 = [0; 4];
        put(text, &mut to, character.encode_utf8(&mut utf8).as_bytes());
        from = from.saturating_add(length);
    }
    Ok(to)
}

fn put(text: &mut [u8], to: &mut usize, bytes: &[u8]) {
    for byte in bytes {
        if let Some(place) = text.get_mut(*to) {
            *place = *byte;
        }
        *to = to.saturating_add(1);
    }
}

/// Decodes one escape at the beginning of `text`: its character and its length (RFC 8259 section 7).
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let character = match text.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex4(text.get(2..6)?)?;
            if let Some(character) = char::from_u32(high) {
                return Some((character, 6));
            }
            // A pair of surrogates; half a pair is no character.
            let low = text.get(6..12).filter(|low| low.starts_with(b"\\u")).and_then(|low| hex4(low.get(2..)?))?;
            let mut pair = char::decode_utf16([u16::try_from(high).ok()?, u16::try_from(low).ok()?]);
            return match (pair.next(), pair.next()) {
                (Some(Ok(character)), None) => Some((character, 12)),
                _ => None,
            };
        }
        _ => return None,
    };
    Some((character, 2))
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| value.checked_mul(16)?.checked_add(char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn one(text: &str) -> Result<std::string::String, usize> {
        let mut bytes = Vec::from(text);
        match Scanner::new(&mut bytes).next() {
            Ok(Token::Text(text)) => Ok(text.into()),
            Ok(token) => Ok(std::format!("{token:?}")),
            Err(error) => Err(error.offset),
        }
    }

    #[test]
    fn strings_are_decoded_or_refused() {
        for (text, expected) in [
            (r#""plain""#, Ok("plain")),
            (r#""a\nb\"c\\""#, Ok("a\nb\"c\\")),
            (r#""\u00fc""#, Ok("ü")),
            (r#""\ud83d\ude00!""#, Ok("😀!")),
            (r#""\ud83d""#, Err(1)),
            (r#""\ude00\ud83d""#, Err(1)),
            (r#""a\x""#, Err(2)),
            (r#""\u12g4""#, Err(1)),
            ("\"a\nb\"", Err(2)),
            ("\"open", Err(0)),
            ("\"open\\\"", Err(0)),
        ] {
            assert_eq!(one(text).as_deref(), expected.as_ref().map(|text| *text), "{text}");
        }
        let mut invalid = *b"\"a\xff\"";
        assert_eq!(Scanner::new(&mut invalid).next().unwrap_err().offset, 2);
    }

    #[test]
    fn numbers_and_comments() {
        for (text, good) in [
            ("0", true),
            ("-1.5e+3", true),
            ("01", false),
            ("1.", false),
            (".5", false),
            ("+1", false),
            ("nul", false),
            ("// c\n 1", true),
            ("/* c */ 1", true),
            ("/* c", false),
            ("#", false),
        ] {
            assert_eq!(one(text).is_ok_and(|token| token.starts_with("Number")), good, "{text}");
        }
    }
}
