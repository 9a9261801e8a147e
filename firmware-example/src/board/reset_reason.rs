//! Encodes the reason of a reset in words that are kept over the reset.

use heapless::String;

/// The octets of a file's path that are kept: the path's end, which is more specific than its beginning.
const MAX_FILE: usize = 64;
/// The number of words of an encoded reason; the last word is the checksum.
pub const REASON_WORDS: usize = 6 + MAX_FILE / 4;
/// The mark that distinguishes a record from random memory after power-on.
const MAGIC: u32 = 0x4554_5231;

/// The reason for which a run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The power came on, or an external reset occurred: no record was left.
    PowerOn,
    /// The application requested the reset.
    Requested,
    /// The watchdog was not fed while this instruction ran.
    Watchdog {
        /// The address of the instruction.
        pc: u32,
    },
    /// An access or an instruction was invalid.
    Fault {
        /// The address of the instruction.
        pc: u32,
    },
    /// The stack exceeded its memory.
    StackOverflow,
    /// The program panicked.
    Panic(PanicPlace),
}

/// The source location of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicPlace {
    file: String<MAX_FILE>,
    /// The line, from one.
    pub line: u32,
    /// The column, from one.
    pub column: u32,
}

impl PanicPlace {
    /// Creates a place that keeps the end of the path.
    pub(crate) fn new(file: &str, line: u32, column: u32) -> Self {
        let mut kept = String::new();
        let from = file.len().saturating_sub(MAX_FILE);
        // A cut in the middle of a character keeps nothing: source paths are ASCII.
        let _ = kept.push_str(file.get(from..).unwrap_or_default());
        Self { file: kept, line, column }
    }

    pub(crate) const fn unknown() -> Self {
        Self { file: String::new(), line: 0, column: 0 }
    }

    /// Returns the kept end of the source's path.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }
}

impl ResetReason {
    /// Encodes the reason for [`ResetReason::from_words`].
    pub(crate) fn to_words(&self) -> [u32; REASON_WORDS] {
        let (kind, a, b, file) = match self {
            Self::PowerOn => (0, 0, 0, ""),
            Self::Requested => (1, 0, 0, ""),
            Self::Watchdog { pc } => (2, *pc, 0, ""),
            Self::Fault { pc } => (3, *pc, 0, ""),
            Self::StackOverflow => (4, 0, 0, ""),
            Self::Panic(place) => (5, place.line, place.column, place.file()),
        };
        let mut words = [0; REASON_WORDS];
        let mut octets = file.as_bytes().chunks(4);
        let length = u32::try_from(file.len()).unwrap_or_default();
        for (word, value) in words.iter_mut().zip([MAGIC, kind, a, b, length]) {
            *word = value;
        }
        for word in words.iter_mut().skip(5).take(MAX_FILE / 4) {
            let mut four = [0; 4];
            for (to, from) in four.iter_mut().zip(octets.next().unwrap_or_default()) {
                *to = *from;
            }
            *word = u32::from_le_bytes(four);
        }
        let sum = checksum(&words);
        if let Some(last) = words.last_mut() {
            *last = sum;
        }
        words
    }

    /// Decodes a reason; returns `None` if the words are random memory.
    pub(crate) fn from_words(words: &[u32; REASON_WORDS]) -> Option<Self> {
        let [magic, kind, a, b, length, file @ .., sum] = words;
        if *magic != MAGIC || *sum != checksum(words) {
            return None;
        }
        Some(match kind {
            1 => Self::Requested,
            2 => Self::Watchdog { pc: *a },
            3 => Self::Fault { pc: *a },
            4 => Self::StackOverflow,
            5 => {
                let length = usize::try_from(*length).ok()?;
                let mut kept = String::new();
                for octet in file.iter().flat_map(|word| word.to_le_bytes()).take(length) {
                    kept.push(char::from(octet)).ok()?;
                }
                Self::Panic(PanicPlace { file: kept, line: *a, column: *b })
            }
            _ => return None,
        })
    }
}

/// Returns the checksum of all words but the last. It guards against memory that lost its charge, not against
/// attackers.
fn checksum(words: &[u32; REASON_WORDS]) -> u32 {
    let [counted @ .., _] = words;
    counted.iter().fold(0x811c_9dc5, |sum, word| (sum ^ word).wrapping_mul(0x0100_0193).rotate_left(5))
}

impl defmt::Format for ResetReason {
    fn format(&self, f: defmt::Formatter) {
        match self {
            Self::PowerOn => defmt::write!(f, "power on"),
            Self::Requested => defmt::write!(f, "reset requested"),
            Self::Watchdog { pc } => defmt::write!(f, "watchdog, at {=u32:#010x}", pc),
            Self::Fault { pc } => defmt::write!(f, "fault at {=u32:#010x}", pc),
            Self::StackOverflow => defmt::write!(f, "stack overflow"),
            Self::Panic(place) => {
                defmt::write!(f, "panic at {=str}:{=u32}:{=u32}", place.file(), place.line, place.column);
            }
        }
    }
}
