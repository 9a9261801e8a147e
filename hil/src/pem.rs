//! Converts PEM to DER and back (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const CERTIFICATE: &str = "CERTIFICATE";

/// Labels that a message may repeat. Any other label is text of the file, which may be a key.
const KNOWN: [&str; 8] = [
    CERTIFICATE,
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
    "PRIVATE KEY",
    "EC PRIVATE KEY",
    "RSA PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "EC PARAMETERS",
];

/// Returns the label in a form that a message may show.
pub fn shown(label: &str) -> &'static str {
    KNOWN.into_iter().find(|known| *known == label).unwrap_or("a label of another kind")
}

/// Returns the label and DER of each block of a file. Malformed blocks are errors, never skipped; an error names the
/// line, and none of its text.
///
/// # Errors
/// Fails if a block does not end or is not base64, or a line is almost a marker.
pub fn decode(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
        let marker = |word: &str| line.strip_prefix(word)?.strip_suffix("-----").filter(|label| !label.contains("--"));
        match (marker("-----BEGIN "), marker("-----END "), open.take()) {
            (Some(label), _, None) => open = Some((number, label.to_owned(), String::new())),
            (Some(_), _, Some((begin, ..))) => return Err(format!("line {begin}: BEGIN without END")),
            (_, Some(_), None) => return Err(format!("line {number}: END without BEGIN")),
            (_, Some(end), Some((begin, label, base64))) => {
                if end != label {
                    return Err(format!("line {number}: END has another label than BEGIN"));
                }
                // The base64 error contains an octet of the block, so it is dropped.
                let der = STANDARD.decode(base64).map_err(|_| format!("line {begin}: the base64 is truncated"))?;
                blocks.push((label, der));
            }
            (None, None, None) if !is_text(line) => {
                return Err(format!("line {number}: expected BEGIN and END on lines of their own, with five hyphens"));
            }
            (None, None, None) => {}
            (None, None, Some((begin, label, mut base64))) => {
                if line.contains("\\n") {
                    return Err(format!("line {number}: line breaks are written as \\n, expected real ones"));
                }
                if line.contains(|c: char| !is_base64(c) && !c.is_whitespace()) {
                    return Err(format!("line {number}: found a character that is not base64"));
                }
                base64.extend(line.chars().filter(|c| !c.is_whitespace()));
                open = Some((begin, label, base64));
            }
        }
    }
    open.map_or(Ok(blocks), |(begin, ..)| Err(format!("line {begin}: BEGIN without END")))
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')
}

/// Returns whether a line is neither meant as a marker nor part of a block without markers.
fn is_text(line: &str) -> bool {
    let upper = line.to_uppercase();
    let marker = ["BEGIN", "END"].iter().any(|word| upper.contains(word))
        && [CERTIFICATE, "KEY", "PARAMETERS"].iter().any(|label| upper.contains(label));
    let dashes = line.contains("--") || line.contains(['\u{2013}', '\u{2014}']);
    let contents = line.len() >= 64 && line.chars().all(is_base64) && line.contains(|c: char| c.is_ascii_lowercase());
    let exact = line.contains("-----BEGIN ") || line.contains("-----END ");
    !(exact || marker && dashes || upper.starts_with("BEGIN CERTIFICATE") || contents)
}

/// Returns one block.
pub fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Returns certificates, one block after the other.
pub fn certificates<'a>(chain: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    chain.into_iter().map(|der| encode(CERTIFICATE, der)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let [one, other] = [vec![7; 100], vec![]];
        let text = format!("a comment\n{}{}", certificates([&one]), encode("PRIVATE KEY", &other));
        assert_eq!(decode(&text), Ok(vec![("CERTIFICATE".to_owned(), one), ("PRIVATE KEY".to_owned(), other)]));
        for wrong in [
            "-----BEGIN X-----\nAA",
            "-----END X-----",
            "-----BEGIN X-----\n!\n-----END X-----",
            "-----BEGIN X-----\nAAAA\n-----END Y-----",
            "-----BEGIN X-----\n-----BEGIN X-----\nAAAA\n-----END X-----",
            "-----BEGIN X-----\\nAAAA\\n-----END X-----",
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_certificate_counts_or_the_line_is_named() {
        let certificate = |octet| certificates([&vec![octet; 100]]);
        let (one, other) = (certificate(1), certificate(2));
        let labels = |text: &str| decode(text).map(|blocks| blocks.len());
        for text in [
            format!("\u{feff}{one}\u{feff}{other}"),
            format!("{one}{other}").replace('\n', "\r\n"),
            format!("{one}  text of openssl: 01:02\n{}", other.replace("-----BEGIN", "  -----BEGIN")),
        ] {
            assert_eq!(labels(&text), Ok(2), "{text}");
        }
        let begin = one.lines().count() + 1;
        for (text, line) in [
            (format!("{}{other}", one.trim_end()), begin - 1),
            (format!("{one}{}", other.to_lowercase()), begin),
            (format!("{one}# {other}"), begin),
            (format!("{one}{}", other.replace("-----", "----")), begin),
            (format!("{one}{}", other.replace("-----", "\u{2014}")), begin),
            (format!("{one}{}", other.replace('\n', "")), begin),
            (format!("{one}{}", other.replace("-----BEGIN CERTIFICATE-----\n", "")), begin),
            (format!("{one}{}.", other.trim_end()), begin + 4),
        ] {
            let error = labels(&text).unwrap_err();
            assert!(error.starts_with(&format!("line {line}: ")), "expected line {line}: {error}\n{text}");
        }
    }

    #[test]
    fn an_error_holds_nothing_of_a_key() {
        let text = encode("PRIVATE KEY", &std::array::from_fn::<u8, 138, _>(|place| (place as u8).wrapping_mul(37)));
        let body: String = text.lines().filter(|line| !line.contains("--")).collect();
        for place in 0..text.len() {
            for with in ["", "\\n", "!", "-", "-----", ":", "="] {
                let mutilated = format!("{}{with}{}", &text[..place], &text[place + 1..]);
                let Err(error) = decode(&mutilated) else { continue };
                let leaks = body.as_bytes().windows(8).any(|part| error.contains(std::str::from_utf8(part).unwrap()));
                assert!(!leaks, "{error}");
            }
        }
    }
}
