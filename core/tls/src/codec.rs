//! Reads and writes the presentation language of RFC 8446 section 3.

use crate::error::{Error, Fault};

/// A structure that does not parse: a decode_error. It is small, since each step of a parser may return it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// There is no place for what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl From<Malformed> for Fault {
    fn from(Malformed: Malformed) -> Self {
        Self::Decode
    }
}

impl From<Malformed> for Error {
    fn from(Malformed: Malformed) -> Self {
        Self::Peer(Fault::Decode)
    }
}

impl From<Full> for Error {
    fn from(Full: Full) -> Self {
        Self::OutputFull
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Peer(fault)
    }
}

/// Reads a structure. What is missing or too much is a decode_error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    #[inline(never)]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[octet]| *octet)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().copied().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Result<usize, Malformed> {
        let [high, middle, low] = *self.array()?;
        Ok(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    #[cfg(feature = "resumption")]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().copied().map(u32::from_be_bytes)
    }

    pub(crate) fn vec8(&mut self) -> Result<Self, Malformed> {
        let length = self.u8()?;
        self.take(length.into()).map(Self)
    }

    pub(crate) fn vec16(&mut self) -> Result<Self, Malformed> {
        let length = self.u16()?;
        self.take(length.into()).map(Self)
    }

    pub(crate) fn vec24(&mut self) -> Result<Self, Malformed> {
        let length = self.u24()?;
        self.take(length).map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Returns the rest, which must not be empty: a vector `<1..2^16-1>`.
    pub(crate) fn some(self) -> Result<Self, Malformed> {
        if self.is_empty() { Err(Malformed) } else { Ok(self) }
    }

    /// Ends the structure: nothing may follow.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Writes a structure into a buffer. What does not fit is [`Full`].
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    length: usize,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    #[cfg(test)]
    pub(crate) fn written(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    #[inline(never)]
    pub(crate) fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.length.saturating_add(octets.len());
        let place = self.buffer.get_mut(self.length..end).ok_or(Full)?;
        place.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        self.length = end;
        Ok(())
    }

    pub(crate) fn u8(&mut self, value: u8) -> Result<(), Full> {
        self.put(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    #[cfg(feature = "resumption")]
    pub(crate) fn u32(&mut self, value: u32) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// Begins a vector whose length has so many octets, and returns where its content begins.
    #[inline(never)]
    fn begin(&mut self, digits: usize) -> Result<usize, Full> {
        self.put([0; 4].get(..digits).unwrap_or_default())?;
        Ok(self.length)
    }

    /// Ends a vector: its length is written before its content.
    #[inline(never)]
    fn end(&mut self, digits: usize, from: usize) -> Result<(), Full> {
        let mut length = self.length.saturating_sub(from);
        let place = self.buffer.get_mut(from.saturating_sub(digits)..from).ok_or(Full)?;
        for octet in place.iter_mut().rev() {
            *octet = u8::try_from(length & 0xff).unwrap_or_default();
            length >>= 8;
        }
        if length == 0 { Ok(()) } else { Err(Full) }
    }

    /// Writes a vector whose length has so many octets, with what `body` writes.
    #[inline(always)]
    fn vec(&mut self, digits: usize, body: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        let from = self.begin(digits)?;
        body(self)?;
        self.end(digits, from)
    }

    pub(crate) fn vec8(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        self.vec(1, body)
    }

    pub(crate) fn vec16(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        self.vec(2, body)
    }

    pub(crate) fn vec24(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        self.vec(3, body)
    }

    /// Writes an extension (RFC 8446 section 4.2).
    pub(crate) fn extension(
        &mut self,
        kind: u16,
        body: impl FnOnce(&mut Self) -> Result<(), Full>,
    ) -> Result<(), Full> {
        self.u16(kind)?;
        self.vec16(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_and_end_where_they_should() {
        let mut buffer = [0; 16];
        let mut writer = Writer::new(&mut buffer);
        writer.vec16(|w| w.vec8(|w| w.put(b"abc"))).unwrap();
        assert_eq!(writer.written(), [0, 4, 3, b'a', b'b', b'c']);
        let mut reader = Reader::new(writer.written());
        let mut outer = reader.vec16().unwrap();
        reader.end().unwrap();
        assert_eq!(outer.vec8().unwrap().rest(), b"abc");
        outer.end().unwrap();
        for cut in 0..6 {
            let mut reader = Reader::new(&[0, 4, 3, b'a', b'b', b'c'][..cut]);
            assert!(reader.vec16().is_err(), "{cut}");
        }
        assert!(Reader::new(&[1]).end().is_err());
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut writer = Writer::new(&mut []);
        assert_eq!(writer.put(&[1]), Err(Full));
        let mut buffer = [0; 300];
        let mut writer = Writer::new(&mut buffer);
        assert_eq!(writer.vec8(|w| w.put(&[0; 256])), Err(Full));
    }
}
