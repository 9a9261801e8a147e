//! Bounds JSON text of a peer before a parser reads it that does not bound itself: serde-json-core recurses at each
//! level of nesting, hands out escapes undecoded, and takes control characters.

use crate::json::{Plain, Scanner, Token};

/// Returns whether a text consists of JSON tokens that are nested at most this deep, without escapes. Whether the tokens
/// are in order is for the parser to find.
pub fn is_plain(text: &[u8], max_depth: u32) -> bool {
    let mut scanner = Scanner::new(Plain::new(text));
    let mut depth = 0_u32;
    loop {
        match scanner.next() {
            Ok(Token::ObjectStart | Token::ArrayStart) if depth >= max_depth => return false,
            Ok(Token::ObjectStart | Token::ArrayStart) => depth = depth.saturating_add(1),
            Ok(Token::ObjectEnd | Token::ArrayEnd) => depth = depth.saturating_sub(1),
            Ok(Token::End) => return depth == 0,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn text_is_bounded() {
        for (text, plain) in [
            (r#"{"command":"rotate","id":7}"#, true),
            (" { \"a\" : [ ] } ", false),
            (r#"{"a":{}}"#, false),
            (r#"{"a":1}{"b":2}"#, true),
            (r#"{"command":"\u0072otate"}"#, false),
            (r#"{"command":"rot\"ate"}"#, false),
            ("{\"command\":\"rot\nate\"}", false),
            (r#"{"command":"rotate""#, false),
            (r#"{"command":"rotate}"#, false),
            (r#"{"id":007}"#, false),
            (r#"{"id":7} // seven"#, false),
            ("rotate", false),
            ("", true),
        ] {
            assert_eq!(is_plain(text.as_bytes(), 1), plain, "{text}");
        }
        assert!(is_plain(br#"{"a":[]}"#, 2));
        assert!(!is_plain(b"\"\xff\"", 1));
        let deep: String = "[".repeat(100_000);
        assert!(!is_plain(deep.as_bytes(), 128));
    }
}
