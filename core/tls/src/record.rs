//! The record layer (RFC 8446 section 5): frames, fragments, and the order of content types.

use crate::alert::Alert;
use crate::codec::{Full, Writer};
use crate::error::{Error, Fault};
use crate::limits::{HEADER, MAX_PLAINTEXT, OVERHEAD, TAG};
use crate::protection::TrafficKey;

/// The content types (RFC 8446 section 5.1).
pub(crate) mod content {
    pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const APPLICATION_DATA: u8 = 23;
}
use content::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE};

/// Puts the octets of a stream together to records.
///
/// Read at most [`Records::space`] from the stream into it, say how many came with [`Records::filled`], and take the
/// record when [`Records::record`] has one.
#[derive(Debug)]
pub struct Records<'b> {
    buffer: &'b mut [u8],
    have: usize,
    /// The length of the record with its header, once the header is there.
    length: usize,
}

impl<'b> Records<'b> {
    /// Takes a buffer: [`crate::record_buffer`] says how long it must be.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, have: 0, length: HEADER }
    }

    /// Returns the place for the next octets of the stream. It is empty when a record is complete.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.have..self.length).unwrap_or_default()
    }

    /// Takes note that so many octets of [`Records::space`] were filled.
    ///
    /// # Errors
    /// The header is not of a record, or the record is longer than the buffer. No record comes any more: the handshake or
    /// the connection has `abort` for the alert.
    pub fn filled(&mut self, count: usize) -> Result<(), Error> {
        self.have = self.have.saturating_add(count).min(self.length);
        if self.have == HEADER && self.length == HEADER {
            let header = self.buffer.first_chunk::<HEADER>().ok_or(Error::Peer(Fault::RecordOverflow))?;
            // RFC 8446 section 5.1: legacy_record_version is ignored.
            let [kind, _, _, high, low] = *header;
            if !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind) {
                return Err(Error::Peer(Fault::UnexpectedRecord(kind)));
            }
            let length = HEADER.saturating_add(usize::from(u16::from_be_bytes([high, low])));
            if length > self.buffer.len() {
                return Err(Error::Peer(Fault::RecordOverflow));
            }
            self.length = length;
        }
        Ok(())
    }

    /// Returns a complete record with its header.
    pub fn record(&mut self) -> Option<&mut [u8]> {
        // An empty record has nothing but its header.
        let complete = self.have == self.length && self.have >= HEADER;
        self.buffer.get_mut(..self.length).filter(|_| complete)
    }

    /// Returns whether a part of a record has come.
    pub fn is_within_record(&self) -> bool {
        self.have > 0
    }

    /// Forgets the record, and begins with the next.
    pub fn next_record(&mut self) {
        (self.have, self.length) = (0, HEADER);
    }
}

/// Records that are to be sent.
#[derive(Debug)]
pub struct Output<'b> {
    buffer: &'b mut [u8],
    length: usize,
}

impl<'b> Output<'b> {
    /// Takes a buffer. A server's flight must fit: its chain and about 500 octets.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// Returns the octets to send.
    pub fn octets(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// Returns whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the number of octets that still fit.
    pub fn free(&self) -> usize {
        self.buffer.len().saturating_sub(self.length)
    }

    /// Forgets what was sent.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Writes content into records of at most `limit` octets of content each. `written` sees the content before it is
    /// encrypted. Nothing is added if there is no place for it.
    pub(crate) fn add(
        &mut self,
        kind: u8,
        key: Option<&mut TrafficKey>,
        limit: u16,
        content: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
        written: impl FnOnce(&mut [u8]),
    ) -> Result<(), Error> {
        let place = self.buffer.get_mut(self.length..).ok_or(Error::OutputFull)?;
        let body = place.get_mut(HEADER..).ok_or(Error::OutputFull)?;
        let mut writer = Writer::new(body);
        content(&mut writer)?;
        let count = writer.len();
        written(body.get_mut(..count).unwrap_or_default());
        let added = protect(place, count, kind, key, limit)?;
        self.length = self.length.saturating_add(added);
        Ok(())
    }

    /// Writes an alert (RFC 8446 section 6).
    pub(crate) fn alert(&mut self, alert: Alert, key: Option<&mut TrafficKey>) -> Result<(), Error> {
        const WARNING: u8 = 1;
        const FATAL: u8 = 2;
        let level = if alert == Alert::CloseNotify { WARNING } else { FATAL };
        self.add(ALERT, key, u16::MAX, |writer| writer.put(&[level, alert.code()]), |_| ())
    }

    /// Writes the record of middlebox compatibility (RFC 8446 appendix D.4).
    pub(crate) fn change_cipher_spec(&mut self) -> Result<(), Error> {
        self.add(CHANGE_CIPHER_SPEC, None, u16::MAX, |writer| writer.u8(1), |_| ())
    }
}

/// Makes records of `count` octets of content, which stand behind the place of a header. The pieces are moved apart from
/// the last to the first, and encrypted from the first to the last.
#[inline(never)]
fn protect(
    place: &mut [u8],
    count: usize,
    kind: u8,
    mut key: Option<&mut TrafficKey>,
    limit: u16,
) -> Result<usize, Error> {
    // RFC 8449 section 4: the limit includes the content type, and unprotected records have none.
    let (size, overhead) = match key {
        Some(_) => (usize::from(limit).saturating_sub(1).clamp(1, MAX_PLAINTEXT), OVERHEAD),
        None => (MAX_PLAINTEXT, HEADER),
    };
    let pieces = count.div_ceil(size).max(1);
    let total = count.saturating_add(pieces.saturating_mul(overhead));
    let place = place.get_mut(..total).ok_or(Error::OutputFull)?;
    let step = size.saturating_add(overhead);
    for piece in (1..pieces).rev() {
        let from = HEADER.saturating_add(piece.saturating_mul(size));
        let to = HEADER.saturating_add(piece.saturating_mul(step));
        let end = from.saturating_add(size).min(HEADER.saturating_add(count));
        // Each octet moves on its own, the last first: the places overlap.
        for offset in (0..end.saturating_sub(from)).rev() {
            let octet = place.get(from.saturating_add(offset)).copied().unwrap_or_default();
            if let Some(to) = place.get_mut(to.saturating_add(offset)) {
                *to = octet;
            }
        }
    }
    for record in place.chunks_mut(step) {
        let sent = if key.is_some() { APPLICATION_DATA } else { kind };
        let length = u16::try_from(record.len().saturating_sub(HEADER)).map_err(|_| Error::OutputFull)?;
        let [high, low] = length.to_be_bytes();
        if let Some(header) = record.first_chunk_mut::<HEADER>() {
            *header = [sent, 3, 3, high, low];
        }
        if let Some(key) = key.as_deref_mut() {
            let end = record.len().saturating_sub(TAG.saturating_add(1));
            if let Some(inner) = record.get_mut(end) {
                *inner = kind;
            }
            key.seal(record)?;
        }
    }
    Ok(total)
}

/// Opens a record, header and all, and returns its content type and content. `limit` is the own record size limit.
#[inline(never)]
pub(crate) fn open<'r>(
    record: &'r mut [u8],
    key: Option<&mut TrafficKey>,
    limit: u16,
    is_fresh: bool,
) -> Result<(u8, &'r mut [u8]), Error> {
    let (header, body) = record.split_first_chunk_mut::<HEADER>().ok_or(Error::Peer(Fault::Decode))?;
    let kind = header.first().copied().unwrap_or_default();
    let (kind, body) = match (kind, key) {
        (CHANGE_CIPHER_SPEC, _) => (kind, body),
        (APPLICATION_DATA, Some(key)) => {
            let text = key.open(header, body)?;
            // RFC 8449 section 4: padding and content type count.
            if text.len() > usize::from(limit) {
                return Err(Error::Peer(Fault::RecordOverflow));
            }
            // RFC 8446 section 5.4: a record without a content type is unexpected.
            let end = text.iter().rposition(|octet| *octet != 0);
            let (text, kind) = end
                .and_then(|end| text.split_at_mut_checked(end))
                .and_then(|(text, rest)| Some((text, *rest.first()?)))
                .ok_or(Error::Peer(Fault::UnexpectedRecord(0)))?;
            if kind == CHANGE_CIPHER_SPEC {
                return Err(Error::Peer(Fault::UnexpectedRecord(kind)));
            }
            (kind, text)
        }
        // A peer that refused the first flight has no key yet: nobody proves such an alert, and it only ends a handshake.
        (ALERT, Some(_)) if is_fresh => (kind, body),
        (HANDSHAKE | ALERT, None) => (kind, body),
        _ => return Err(Error::Peer(Fault::UnexpectedRecord(kind))),
    };
    // RFC 8446 section 5.1: no empty fragments of these types.
    if body.is_empty() && kind != APPLICATION_DATA {
        return Err(Error::Peer(Fault::UnexpectedRecord(kind)));
    }
    if body.len() > MAX_PLAINTEXT {
        return Err(Error::Peer(Fault::RecordOverflow));
    }
    Ok((kind, body))
}

/// Reads an alert (RFC 8446 section 6).
pub(crate) fn read_alert(content: &[u8]) -> Result<Alert, Error> {
    match content {
        // The level says nothing that the description does not say.
        [_, code] => Ok(Alert::of(*code)),
        _ => Err(Error::Peer(Fault::Decode)),
    }
}
