//! Splits a PEM text into blocks. Nothing meant as a block is ignored: it counts, or the error names its line.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use zeroize::Zeroizing;

use super::marker::{Line, known};

/// The room for the base64 of a block, in octets: that of a key, which is wiped, is not moved while it grows.
const ROOM: usize = 8192;

/// A fault of a PEM text and its line. The fault holds nothing of the text, which may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PemFault {
    /// The line, from 1.
    pub line: usize,
    /// The kind of fault.
    pub kind: PemFaultKind,
}

/// The kind of fault of a PEM text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemFaultKind {
    /// UTF-16, or NUL octets among text.
    WideCharacters,
    /// Binary DER.
    Der,
    /// Line breaks are written as `\n`, in two characters.
    EscapedLineBreaks,
    /// A block is on one line.
    NoLineBreaks,
    /// A marker's line has other text.
    BesideMarker,
    /// A line is almost a marker.
    MalformedMarker,
    /// An END line has no BEGIN line.
    EndWithoutBegin,
    /// A BEGIN line has no END line.
    BeginWithoutEnd,
    /// The END line's label differs from the BEGIN line's.
    LabelsDiffer,
    /// A block has headers (RFC 1421), which only an encrypted key has.
    Headers,
    /// A character in a block is not base64 (RFC 4648 section 4).
    NotBase64,
    /// The base64 of a block ends too early, or its last character was changed.
    Incomplete,
    /// Base64 is outside of a block.
    OutsideOfBlock,
    /// A block holds fewer octets than its DER's length states.
    Truncated,
    /// A block of a private key holds no DER, or more than one value.
    NotDer,
    /// A block has this label where another was expected.
    Label(&'static str),
    /// A private key is encrypted: there is nobody to ask for a password.
    Encrypted,
    /// A private key follows the one that begins on this line.
    SecondKey(usize),
}

impl fmt::Display for PemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        f.write_str(match self.kind {
            PemFaultKind::WideCharacters => "found UTF-16 or NUL octets, expected ASCII or UTF-8",
            PemFaultKind::Der => "found DER, expected PEM",
            PemFaultKind::EscapedLineBreaks => "line breaks are written as \\n, expected real ones",
            PemFaultKind::NoLineBreaks => {
                "the block has no line breaks, expected its BEGIN and END on lines of their own"
            }
            PemFaultKind::BesideMarker => {
                "found other text beside BEGIN or END, expected a line break before and after"
            }
            PemFaultKind::MalformedMarker => {
                "malformed BEGIN or END line, expected five hyphens on each side and capital letters"
            }
            PemFaultKind::EndWithoutBegin => "END without BEGIN",
            PemFaultKind::BeginWithoutEnd => "BEGIN without END: the block is truncated",
            PemFaultKind::LabelsDiffer => "END has another label than BEGIN",
            PemFaultKind::Headers => "found a header in the block, expected base64",
            PemFaultKind::NotBase64 => "found a character that is not base64",
            PemFaultKind::Incomplete => "the base64 of this block is truncated",
            PemFaultKind::OutsideOfBlock => "base64 outside of a block: its BEGIN line is missing",
            PemFaultKind::Truncated => "the block is truncated: its DER says that more follows",
            PemFaultKind::NotDer => "the block holds no DER of a private key",
            PemFaultKind::Label("TRUSTED CERTIFICATE") => {
                "found TRUSTED CERTIFICATE, whose trust settings are not processed, expected CERTIFICATE, as `openssl x509 -in` writes it"
            }
            PemFaultKind::Label(label) => return write!(f, "found {label}, which is not processed here"),
            PemFaultKind::Encrypted => "found an encrypted private key, expected one without a password",
            PemFaultKind::SecondKey(first) => {
                return write!(f, "found a second private key after that of line {first}, expected one");
            }
        })
    }
}

impl std::error::Error for PemFault {}

/// A block between BEGIN and END.
pub(super) struct Block {
    /// The line of its BEGIN, from 1.
    pub(super) line: usize,
    pub(super) label: String,
    /// The block has the headers of an encrypted key, and its contents are empty.
    pub(super) encrypted: bool,
    pub(super) der: Vec<u8>,
}

/// A block whose END has not been read yet.
struct Open {
    line: usize,
    label: String,
    encrypted: bool,
    base64: Zeroizing<Vec<u8>>,
}

/// Returns the blocks of a text.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block>, PemFault> {
    let fault = |line, kind| Err(PemFault { line, kind });
    match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return fault(1, PemFaultKind::WideCharacters),
        // A SEQUENCE with a long length (X.690 section 8.1.3.5); no text begins so.
        [0x30, length, ..] if *length >= 0x80 => return fault(1, PemFaultKind::Der),
        _ => {}
    }
    let (mut blocks, mut open) = (Vec::new(), None::<Open>);
    for (number, octets) in (1..).zip(lines(text)) {
        let line = String::from_utf8_lossy(octets);
        let begin = |label: &str| {
            Some(Open {
                line: number,
                label: label.to_owned(),
                encrypted: false,
                base64: Zeroizing::new(Vec::with_capacity(ROOM)),
            })
        };
        match (Line::of(&line), open.take()) {
            (Line::Text | Line::Malformed, None) if octets.contains(&0) => {
                return fault(number, PemFaultKind::WideCharacters);
            }
            (Line::Text, None) if is_body(octets) => return fault(number, PemFaultKind::OutsideOfBlock),
            (Line::Text, None) => {}
            (Line::Text, Some(mut block)) => {
                block.take(octets).map_err(|kind| PemFault { line: number, kind })?;
                open = Some(block);
            }
            (Line::Begin(label), None) => open = begin(label),
            (Line::Begin(_), Some(block)) => return fault(block.line, PemFaultKind::BeginWithoutEnd),
            (Line::End(_) | Line::EndBegin(..), None) => return fault(number, PemFaultKind::EndWithoutBegin),
            (Line::End(label), Some(block)) => blocks.push(block.end(label, number)?),
            (Line::EndBegin(label, next), Some(block)) => {
                blocks.push(block.end(label, number)?);
                open = begin(next);
            }
            (Line::Beside, _) => return fault(number, PemFaultKind::BesideMarker),
            (Line::Whole, _) => return fault(number, PemFaultKind::NoLineBreaks),
            (Line::Escaped, _) => return fault(number, PemFaultKind::EscapedLineBreaks),
            (Line::Malformed, _) => return fault(number, PemFaultKind::MalformedMarker),
        }
    }
    open.map_or(Ok(blocks), |block| fault(block.line, PemFaultKind::BeginWithoutEnd))
}

impl Open {
    /// Adds a line of contents.
    fn take(&mut self, line: &[u8]) -> Result<(), PemFaultKind> {
        let blank = |octet: &&u8| !octet.is_ascii_whitespace();
        if self.encrypted {
            return Ok(());
        }
        if line.contains(&b':') {
            // RFC 1421 section 4.6.1.1, as openssl writes it.
            self.encrypted =
                line.trim_ascii_start().starts_with(b"Proc-Type:") && line.trim_ascii_end().ends_with(b"ENCRYPTED");
            return if self.encrypted { Ok(()) } else { Err(PemFaultKind::Headers) };
        }
        if line.contains(&b'\\') {
            return Err(PemFaultKind::EscapedLineBreaks);
        }
        for octet in line.iter().filter(blank) {
            let padded = self.base64.last() == Some(&b'=');
            match octet {
                b'=' => {}
                octet if is_base64(*octet) && !padded => {}
                0 => return Err(PemFaultKind::WideCharacters),
                _ => return Err(PemFaultKind::NotBase64),
            }
            self.base64.push(*octet);
        }
        Ok(())
    }

    fn end(self, label: &str, number: usize) -> Result<Block, PemFault> {
        let Self { line, label: begun, encrypted, base64 } = self;
        if begun != label {
            return Err(PemFault { line: number, kind: PemFaultKind::LabelsDiffer });
        }
        // The decoder's error message holds octets of the block.
        let der = BASE64_STANDARD.decode(&base64).map_err(|_| PemFault { line, kind: PemFaultKind::Incomplete })?;
        if !encrypted && length(&der).is_some_and(|length| length > der.len()) {
            return Err(PemFault { line, kind: PemFaultKind::Truncated });
        }
        Ok(Block { line, label: begun, encrypted, der })
    }
}

impl Block {
    pub(super) fn is_certificate(&self) -> bool {
        // RFC 7468 section 5.1: old programs wrote the other labels.
        matches!(self.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE" | "X.509 CERTIFICATE")
    }

    pub(super) fn is_revocation_list(&self) -> bool {
        // RFC 7468 section 6: old programs write the other label.
        matches!(self.label.as_str(), "X509 CRL" | "CRL")
    }

    /// Returns whether the label is a private key's, supported or not.
    pub(super) fn is_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }

    /// Returns whether the label is of a block that often accompanies a key or a certificate, and is neither.
    pub(super) fn is_company(&self) -> bool {
        matches!(self.label.as_str(), "PUBLIC KEY" | "RSA PUBLIC KEY" | "EC PARAMETERS" | "DH PARAMETERS")
    }

    /// Returns the label as a message may show it.
    pub(super) fn shown_label(&self) -> &'static str {
        known(&self.label)
    }

    /// Returns the fault of a label that does not belong here.
    pub(super) fn misplaced(&self) -> PemFault {
        PemFault { line: self.line, kind: PemFaultKind::Label(self.shown_label()) }
    }

    /// Returns whether the contents are one SEQUENCE.
    pub(super) fn is_sequence(&self) -> bool {
        length(&self.der) == Some(self.der.len())
    }
}

/// Splits a text into lines, which end in LF, CRLF or, if there is no LF at all, CR (RFC 7468 section 3).
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = if text.contains(&b'\n') { b'\n' } else { b'\r' };
    text.split(move |octet| *octet == end).map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/')
}

/// Returns whether a line is full of base64, as in a block without its markers, and is no hexadecimal digest.
fn is_body(line: &[u8]) -> bool {
    const FULL: usize = 64;
    let line = line.trim_ascii();
    let contents = line.strip_suffix(b"==").or(line.strip_suffix(b"=")).unwrap_or(line);
    let has = |kind: fn(&u8) -> bool| contents.iter().any(kind);
    line.len() >= FULL
        && contents.iter().all(|octet| is_base64(*octet))
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && !contents.iter().all(u8::is_ascii_hexdigit)
}

/// Returns the octets of the SEQUENCE that begins here, if any, with tag and length (X.690 section 8.1.3).
fn length(der: &[u8]) -> Option<usize> {
    let [0x30, first, rest @ ..] = der else { return None };
    let (contents, head) = match usize::from(*first) {
        short @ 0..=0x7f => (short, 2_usize),
        long @ 0x81..=0x84 => {
            let count = long & 0x7f;
            let octets = rest.get(..count)?;
            (octets.iter().fold(0, |value, octet| (value << 8) | usize::from(*octet)), count.saturating_add(2))
        }
        _ => return None,
    };
    contents.checked_add(head)
}
