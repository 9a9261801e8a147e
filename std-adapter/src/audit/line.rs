//! Composes a line: one JSON object in ASCII, so that no text of a stranger ends a line or changes how it is shown.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::clock;

#[derive(Serialize)]
struct Line<'a, F> {
    time: String,
    event: &'a str,
    #[serde(flatten)]
    fields: &'a F,
}

/// Returns a line with its end.
///
/// # Errors
/// Fails if the fields cannot be written as JSON.
pub(super) fn line(event: &str, fields: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let time = Timestamp::try_from(clock::system()).unwrap_or_default();
    let text = serde_json::to_string(&Line { time: format!("{time:.3}"), event, fields })?;
    Ok(ascii(&text))
}

/// Escapes what is not visible ASCII (RFC 8259 section 7); it stands in strings alone.
fn ascii(json: &str) -> Vec<u8> {
    let mut line = String::with_capacity(json.len().saturating_add(1));
    for character in json.chars() {
        match character {
            ' '..='~' => line.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn hostile_texts_stay_in_their_string() {
        let hostile = "\n{\"event\":\"started\"}\r\u{0}\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{202e}\u{1f980}\\\"";
        let octets = line("refused", &json!({"reason": hostile})).unwrap();
        assert_eq!(octets.iter().filter(|octet| !(b' '..=b'~').contains(octet)).count(), 1, "the end alone");
        assert_eq!(octets.last(), Some(&b'\n'));
        let read: Value = serde_json::from_slice(&octets).unwrap();
        assert_eq!((&read["event"], &read["reason"]), (&json!("refused"), &json!(hostile)));
        let time: Timestamp = read["time"].as_str().unwrap().parse().unwrap();
        assert!(read["time"].as_str().unwrap().ends_with('Z') && Timestamp::now() >= time, "{read}");
    }
}
