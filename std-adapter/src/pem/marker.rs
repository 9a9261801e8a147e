//! Recognizes the lines that begin and end a block (RFC 7468 section 2), and malformed ones.

/// Labels that a message may repeat. Any other label is text of the file, which may be a key.
const KNOWN: [&str; 22] = [
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "X.509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "ATTRIBUTE CERTIFICATE",
    "X509 CRL",
    "PKCS7",
    "PKCS #7 SIGNED DATA",
    "CMS",
    "PRIVATE KEY",
    "EC PRIVATE KEY",
    "RSA PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "DSA PRIVATE KEY",
    "ANY PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "EC PARAMETERS",
    "DH PARAMETERS",
];

/// Returns the label as a message may show it.
pub(super) fn known(label: &str) -> &'static str {
    KNOWN.into_iter().find(|known| *known == label).unwrap_or("a label of another kind")
}

/// The kind of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Text.
    Text,
    /// `-----BEGIN LABEL-----`
    Begin(&'a str),
    /// `-----END LABEL-----`
    End(&'a str),
    /// Both: the preceding file of a concatenation had no line break at its end.
    EndBegin(&'a str, &'a str),
    /// A marker with something else on its line.
    Beside,
    /// A block on one line.
    Whole,
    /// A marker beside `\n` in two characters.
    Escaped,
    /// A malformed marker.
    Malformed,
}

impl<'a> Line<'a> {
    /// Classifies a line; blanks around a marker do not count (RFC 7468 section 2).
    pub(super) fn of(line: &'a str) -> Self {
        // Each file of a concatenation may begin with a byte order mark.
        let line = line.trim_matches(['\u{feff}', ' ', '\t', '\r', '\x0b', '\x0c']);
        if let Some((label, rest)) = marker(line, "-----BEGIN ") {
            if rest.is_empty() {
                return Self::Begin(label);
            }
        } else if let Some((label, rest)) = marker(line, "-----END ") {
            match marker(rest.trim_start(), "-----BEGIN ") {
                _ if rest.is_empty() => return Self::End(label),
                Some((next, "")) => return Self::EndBegin(label, next),
                _ => {}
            }
        } else if !meant(line) {
            return Self::Text;
        }
        let whole = |keyword: &str| {
            let rest = line.find(keyword).and_then(|place| line.get(place..));
            rest.is_some_and(|rest| marker(rest, keyword).is_some())
        };
        match (whole("-----BEGIN "), whole("-----END ")) {
            _ if line.contains("\\n") || line.contains("\\r") => Self::Escaped,
            (true, true) => Self::Whole,
            (true, false) | (false, true) => Self::Beside,
            (false, false) => Self::Malformed,
        }
    }
}

/// Returns the label of a marker, and the text after the marker.
fn marker<'a>(line: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (label, rest) = line.strip_prefix(keyword)?.split_once("-----")?;
    let good = !label.is_empty()
        && label.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        && !label.starts_with([' ', '-'])
        && !label.ends_with([' ', '-']);
    good.then_some((label, rest))
}

/// Returns whether a line was meant as a marker of a known label: in small letters, with other dashes, with none.
fn meant(line: &str) -> bool {
    // Typesetting turns two or three hyphens into one of these.
    let dash = |c: char| matches!(c, '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{ff0d}');
    if line.contains("-----BEGIN ") || line.contains("-----END ") {
        return true;
    }
    let mut squeezed = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            c if dash(c) => squeezed.push_str("--"),
            c if c == '-' || c.is_alphanumeric() => squeezed.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    ["begin", "end"].into_iter().any(|word| {
        squeezed.match_indices(word).any(|(place, _)| {
            let before = squeezed.get(..place).unwrap_or_default();
            let after = squeezed.get(place..).unwrap_or_default().trim_start_matches(word).trim_start_matches('-');
            let labels = KNOWN.into_iter().map(|label| label.chars().filter(char::is_ascii_alphanumeric));
            let mut labels = labels.map(|label| label.map(|c| c.to_ascii_lowercase()).collect::<String>());
            labels.any(|label| match after.strip_prefix(label.as_str()) {
                Some("") => before.trim_matches('-').is_empty(),
                Some(rest) => before.ends_with("--") || rest.starts_with("--"),
                None => false,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_told_from_text_and_from_what_was_meant_as_one() {
        for (line, expected) in [
            ("-----BEGIN CERTIFICATE-----", Line::Begin("CERTIFICATE")),
            (" \t-----BEGIN X509 CRL----- \r", Line::Begin("X509 CRL")),
            ("\u{feff}-----BEGIN CERTIFICATE-----", Line::Begin("CERTIFICATE")),
            ("-----END A-B-----", Line::End("A-B")),
            ("-----END CERTIFICATE----------BEGIN PRIVATE KEY-----", Line::EndBegin("CERTIFICATE", "PRIVATE KEY")),
            ("-----END CERTIFICATE----- -----BEGIN CMS-----", Line::EndBegin("CERTIFICATE", "CMS")),
            ("-----BEGIN CERTIFICATE-----MIIB", Line::Beside),
            ("# -----BEGIN CERTIFICATE-----", Line::Beside),
            ("AA==-----END CERTIFICATE-----", Line::Beside),
            ("-----END CERTIFICATE-----.", Line::Beside),
            ("-----BEGIN CERTIFICATE----- AAAA -----END CERTIFICATE-----", Line::Whole),
            ("-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n", Line::Escaped),
            ("-----begin certificate-----", Line::Malformed),
            ("-----Begin Private Key-----", Line::Malformed),
            ("----BEGIN CERTIFICATE----", Line::Malformed),
            ("-----BEGIN CERTIFICATE", Line::Malformed),
            ("BEGIN CERTIFICATE", Line::Malformed),
            ("BEGIN CERTIFICATE-----", Line::Malformed),
            ("-----BEGIN  CERTIFICATE-----", Line::Malformed),
            ("-----BEGIN CERTIFICATE ----", Line::Malformed),
            ("-----BEGINCERTIFICATE-----", Line::Malformed),
            ("—–BEGIN CERTIFICATE—–", Line::Malformed),
            ("----- END RSA PRIVATE KEY -----", Line::Malformed),
            ("-----BEGIN -----", Line::Malformed),
            ("", Line::Text),
            ("        Subject: CN = END CERTIFICATES, O = Begin", Line::Text),
            ("===== Root CA =====", Line::Text),
            ("----- end of the intermediates -----", Line::Text),
            ("the chain begins: certificate 1", Line::Text),
            ("X509v3 Authority Key Identifier:", Line::Text),
            ("-----", Line::Text),
        ] {
            assert_eq!(Line::of(line), expected, "{line}");
        }
    }
}
