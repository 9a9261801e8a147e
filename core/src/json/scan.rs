//! Scans JSON text (RFC 8259) token by token.
//!
//! One scanner reads every file. A second parser could understand the same text differently, and then other values
//! would be used than were checked.

use super::error::Found;
use super::text::Text;
use crate::text::split_once;

/// The largest depth of nested objects and arrays.
pub const MAX_DEPTH: u32 = 128;

/// One token; strings are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
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
    pub(crate) fn found(self) -> Found<'a> {
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
pub(crate) struct ScanError<'a> {
    pub(crate) offset: usize,
    pub(crate) found: Found<'a>,
    pub(crate) expected: &'static str,
}

/// A place in a text between two tokens.
#[derive(Clone, Copy)]
pub(crate) struct Scanner<T> {
    text: T,
    offset: usize,
    /// The offset at which the last token began.
    pub(crate) token_offset: usize,
}

impl<'a, T: Text<'a>> Scanner<T> {
    pub(crate) fn new(text: T) -> Self {
        let mut scanner = Self { text, offset: 0, token_offset: 0 };
        // Some editors write a byte order mark (RFC 8259 section 8.1).
        if scanner.text.rest().starts_with(b"\xef\xbb\xbf") {
            scanner.take(3);
        }
        scanner
    }

    /// Creates a scanner of what is left of a text from this offset on.
    #[cfg(feature = "mesh")]
    pub(crate) fn at(text: T, offset: usize) -> Self {
        Self { text, offset, token_offset: offset }
    }

    /// Returns the next token; at the end, always [`Token::End`].
    pub(crate) fn next(&mut self) -> Result<Token<'a>, ScanError<'a>> {
        self.pass_over_blanks()?;
        self.token_offset = self.offset;
        let Some(first) = self.text.rest().first().copied() else { return Ok(Token::End) };
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

    /// Skips an object or a list that was scanned before and follows at once, in a text without escapes and comments.
    #[cfg(feature = "mesh")]
    pub(crate) fn pass_over(&mut self) {
        let (mut depth, mut in_string) = (0_u32, false);
        let length = self.text.rest().iter().position(|octet| {
            match octet {
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'[' | b'{' => depth = depth.saturating_add(1),
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && !in_string
        });
        self.take(length.map_or(0, |last| last.saturating_add(1)));
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let taken = self.text.take(count);
        self.offset = self.offset.saturating_add(taken.len());
        taken
    }

    fn error(&self, found: Found<'a>, expected: &'static str) -> ScanError<'a> {
        ScanError { offset: self.offset, found, expected }
    }

    /// Skips white space, and comments where the text may have them.
    fn pass_over_blanks(&mut self) -> Result<(), ScanError<'a>> {
        loop {
            let blanks =
                self.text.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            self.take(blanks);
            if !T::COMMENTS {
                return Ok(());
            }
            if self.text.rest().starts_with(b"//") {
                let line = self.text.rest().iter().take_while(|byte| **byte != b'\n').count();
                self.take(line);
            } else if self.text.rest().starts_with(b"/*") {
                let body = self.text.rest().get(2..).unwrap_or(&[]);
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
        let length = (self.text.rest())
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            .count();
        let word = self.take(length);
        let offset = self.token_offset;
        let Ok(word) = core::str::from_utf8(word) else {
            return Err(ScanError { offset, found: Found::Nothing, expected: EXPECTED });
        };
        match word {
            "true" => Ok(Token::True),
            "false" => Ok(Token::False),
            "null" => Ok(Token::Null),
            "" => Err(self.error(self.text.rest().first().map_or(Found::End, |byte| Found::Byte(*byte)), EXPECTED)),
            number if is_number(number) => Ok(Token::Number(number)),
            other => Err(ScanError { offset, found: Found::Literal(other), expected: EXPECTED }),
        }
    }

    /// Reads a string, decoded.
    fn text(&mut self) -> Result<Token<'a>, ScanError<'a>> {
        let mut end = 1_usize;
        let mut escaped = false;
        loop {
            match self.text.rest().get(end) {
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
        let length = end.saturating_add(1);
        self.offset = self.offset.saturating_add(length);
        let decoded = self.text.take_string(length).map_err(|at| ScanError {
            offset: begin.saturating_add(at),
            found: Found::Byte(b'\\'),
            expected: T::ESCAPES,
        })?;
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::json::{InPlace, Plain};
    use std::vec::Vec;

    fn one(text: &str) -> Result<std::string::String, usize> {
        let mut bytes = Vec::from(text);
        match Scanner::new(InPlace::new(&mut bytes)).next() {
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
        assert_eq!(Scanner::new(InPlace::new(&mut invalid)).next().unwrap_err().offset, 2);
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
    #[test]
    fn plain_text_has_neither_escapes_nor_comments() {
        for (text, expected) in [
            (r#""plain ü""#, Ok(Token::Text("plain ü"))),
            (r#""a\nb""#, Err(2)),
            (r#""a\"b""#, Err(2)),
            ("// c\n 1", Err(0)),
            (" /* c */ 1", Err(1)),
            ("17", Ok(Token::Number("17"))),
        ] {
            let found = Scanner::new(Plain::new(text.as_bytes())).next().map_err(|error| error.offset);
            assert_eq!(found, expected, "{text}");
        }
    }
}
