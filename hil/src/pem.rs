//! PEM to DER and back (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const CERTIFICATE: &str = "CERTIFICATE";

/// The blocks of a file: label and DER; an error says which line is wrong.
///
/// # Errors
/// Where a block does not end, or is no base64.
pub fn decode(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            open = Some((label.to_owned(), String::new()));
        } else if line.starts_with("-----END ") {
            let (label, base64) = open.take().ok_or(format!("line {number}: END without BEGIN"))?;
            let der = STANDARD.decode(base64).map_err(|error| format!("the block before line {number}: {error}"))?;
            blocks.push((label, der));
        } else if let Some((_, base64)) = &mut open {
            base64.push_str(line);
        }
    }
    open.map_or(Ok(blocks), |(label, _)| Err(format!("{label}: BEGIN without END")))
}

/// One block.
pub fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Certificates, one block after the other.
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
        for wrong in ["-----BEGIN X-----\nAA", "-----END X-----", "-----BEGIN X-----\n!\n-----END X-----"] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
    }
}
