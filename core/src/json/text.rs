//! The two ways in which a text is read: decoded in place, or left as it is.

/// A text that a scanner reads.
pub(crate) trait Text<'a> {
    /// Comments are skipped.
    const COMMENTS: bool;
    /// The escapes that a string may have, for errors.
    const ESCAPES: &'static str;

    /// Returns what has not been read yet.
    fn rest(&self) -> &[u8];

    /// Takes this many octets from the front, or none if there are fewer.
    fn take(&mut self, count: usize) -> &'a [u8];

    /// Takes a string of this length with its quotes from the front, and returns its characters; or the offset among
    /// them of an escape that is not allowed, as the error.
    fn take_string(&mut self, length: usize) -> Result<&'a [u8], usize>;
}

/// A text whose strings are decoded in place: the decoded string is never longer. Comments are allowed, as ADR-001 has
/// them.
pub(crate) struct InPlace<'a>(&'a mut [u8]);

impl<'a> InPlace<'a> {
    pub(crate) fn new(text: &'a mut [u8]) -> Self {
        Self(text)
    }

    fn take_mut(&mut self, count: usize) -> &'a mut [u8] {
        let rest = core::mem::take(&mut self.0);
        match rest.split_at_mut_checked(count) {
            Some((taken, rest)) => {
                self.0 = rest;
                taken
            }
            None => &mut [],
        }
    }
}

impl<'a> Text<'a> for InPlace<'a> {
    const COMMENTS: bool = true;
    const ESCAPES: &'static str = "an escape of RFC 8259 section 7";

    fn rest(&self) -> &[u8] {
        self.0
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        self.take_mut(count)
    }

    fn take_string(&mut self, length: usize) -> Result<&'a [u8], usize> {
        let body = self.take_mut(length).get_mut(1..length.saturating_sub(1)).unwrap_or(&mut []);
        let length = decode_escapes(body)?;
        Ok(body.split_at_checked(length).map_or(&[], |(decoded, _)| decoded))
    }
}

/// A text that is read more than once: it has neither escapes nor comments.
#[cfg(any(test, feature = "device", feature = "mesh"))]
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a>(&'a [u8]);

#[cfg(any(test, feature = "device", feature = "mesh"))]
impl<'a> Plain<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self(text)
    }
}

#[cfg(any(test, feature = "device", feature = "mesh"))]
impl<'a> Text<'a> for Plain<'a> {
    const COMMENTS: bool = false;
    const ESCAPES: &'static str = "text without \\";

    fn rest(&self) -> &[u8] {
        self.0
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        match self.0.split_at_checked(count) {
            Some((taken, rest)) => {
                self.0 = rest;
                taken
            }
            None => &[],
        }
    }

    fn take_string(&mut self, length: usize) -> Result<&'a [u8], usize> {
        let body = self.take(length).get(1..length.saturating_sub(1)).unwrap_or(&[]);
        match body.iter().position(|byte| *byte == b'\\') {
            Some(escape) => Err(escape),
            None => Ok(body),
        }
    }
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
