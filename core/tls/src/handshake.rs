//! What the handshakes of both roles share: records in, whole messages out, and the other way.

use edgetrust_core::possession::{Signer, signed_content};

use crate::alert::Alert;
use crate::codec::{Full, Writer};
use crate::credential::Credential;
use crate::error::{Error, Fault};
use crate::key_schedule::{finished, is_equal};
use crate::limits::{MAX_IDLE_RECORDS, MAX_PLAINTEXT};
use crate::message::{MESSAGE_HEADER, certificate, kind, write};
use crate::protection::{CipherSuite, TrafficKey};
use crate::record::{Output, content, open, read_alert};
use crate::secret::Secret;
use crate::transcript::Transcript;

/// The state of the record layer during a handshake.
#[derive(Debug)]
pub(crate) struct Flow<'r> {
    /// The place where a message is put together that comes in several records.
    room: &'r mut [u8],
    have: usize,
    pub(crate) transcript: Transcript,
    pub(crate) read: Option<TrafficKey>,
    pub(crate) write: Option<TrafficKey>,
    /// Whether nothing was decrypted by a key of the peer yet.
    is_fresh: bool,
    pub(crate) own_limit: u16,
    pub(crate) peer_limit: u16,
    idle: u8,
}

/// The records of a peer that has no limit.
pub(crate) const NO_LIMIT: u16 = 16_385;

/// What a message does to the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    Same,
    /// What comes next is protected by another key, so that no octet may wait (RFC 8446 section 5.1).
    Changed,
}

impl<'r> Flow<'r> {
    pub(crate) fn new(room: &'r mut [u8], own_limit: u16) -> Self {
        Self {
            room,
            have: 0,
            transcript: Transcript::new(),
            read: None,
            write: None,
            is_fresh: true,
            own_limit,
            peer_limit: NO_LIMIT,
            idle: 0,
        }
    }

    /// Opens a record, and returns the content of handshake messages in it. It is empty for a record without any.
    pub(crate) fn open<'c>(&mut self, record: &'c mut [u8], has_begun: bool) -> Result<&'c [u8], Error> {
        let (kind, octets) = open(record, self.read.as_mut(), self.own_limit, self.is_fresh)?;
        if self.read.is_some() && kind != content::CHANGE_CIPHER_SPEC {
            self.is_fresh = false;
        }
        // A message that waits for its end is not interrupted (RFC 8446 section 5.1).
        let is_between = self.have == 0;
        match kind {
            content::HANDSHAKE => return Ok(octets),
            // RFC 8446 section 5: one octet, and only within a handshake.
            content::CHANGE_CIPHER_SPEC if has_begun && *octets == [1] => {}
            content::ALERT if is_between => match read_alert(octets)? {
                // RFC 8446 section 6.1: a close_notify follows.
                Alert::UserCanceled => {}
                alert => return Err(Error::Alert(alert)),
            },
            other => return Err(Error::Peer(Fault::UnexpectedRecord(other))),
        }
        self.idle = self.idle.saturating_add(1);
        if self.idle > MAX_IDLE_RECORDS { Err(Error::Peer(Fault::IdleRecords)) } else { Ok(&[]) }
    }

    /// Returns the next whole message, which stands in `octets` or in `room`, and how many of the octets it took. Without a
    /// whole message the room keeps all of them.
    pub(crate) fn next_message<'c>(
        &mut self,
        octets: &'c [u8],
        room: &'c mut [u8],
    ) -> Result<(Option<&'c [u8]>, usize), Error> {
        if self.have == 0 {
            if octets.is_empty() {
                return Ok((None, 0));
            }
            let whole = message_length(octets).and_then(|length| octets.get(..length));
            if let Some(message) = whole {
                return Ok((Some(message), message.len()));
            }
        }
        // First the header, by which the length is known, and then the rest.
        let mut taken = 0_usize;
        loop {
            let known = room.get(..self.have).and_then(message_length);
            let wanted = known.unwrap_or(MESSAGE_HEADER);
            if wanted > room.len() {
                let (message, room) = (u32::try_from(wanted), u32::try_from(room.len()));
                let (message, room) = (message.unwrap_or(u32::MAX), room.unwrap_or(u32::MAX));
                return Err(Error::RoomFull { message, room });
            }
            if known.is_some() && self.have == wanted {
                self.have = 0;
                return Ok((room.get(..wanted), taken));
            }
            let rest = octets.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok((None, taken));
            }
            let count = wanted.saturating_sub(self.have).min(rest.len());
            let end = self.have.saturating_add(count);
            let place = room.get_mut(self.have..end).unwrap_or_default();
            place.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            (self.have, taken) = (end, taken.saturating_add(count));
        }
    }

    /// Lends the room, while a message is looked at.
    pub(crate) fn take_room(&mut self) -> &'r mut [u8] {
        core::mem::take(&mut self.room)
    }

    pub(crate) fn put_back(&mut self, room: &'r mut [u8]) {
        self.room = room;
    }

    /// Writes a message, and adds it to the transcript.
    pub(crate) fn send(
        &mut self,
        out: &mut Output<'_>,
        message: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
    ) -> Result<(), Error> {
        let transcript = &mut self.transcript;
        out.add(content::HANDSHAKE, self.write.as_mut(), self.peer_limit, message, |octets| transcript.add(octets))
    }

    /// Writes Certificate and CertificateVerify (RFC 8446 sections 4.4.2 and 4.4.3). Without a credential the
    /// Certificate is empty, and proves nothing.
    pub(crate) fn authenticate(
        &mut self,
        out: &mut Output<'_>,
        signer: Signer,
        credential: Option<&mut impl Credential>,
    ) -> Result<(), Error> {
        self.send(out, |w| certificate::write(w, credential.as_deref()))?;
        let Some(credential) = credential else { return Ok(()) };
        let message = signed_content(signer, &self.transcript.hash());
        let signature = credential.sign(&message).ok_or(Error::Signing)?;
        self.send(out, |w| certificate::write_verify(w, &signature))
    }

    /// Writes the own Finished (RFC 8446 section 4.4.4).
    #[inline(never)]
    pub(crate) fn finish(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        let secret = self.write.as_ref().ok_or(Error::Ended)?.secret();
        let mac = finished(secret, &self.transcript.hash());
        self.send(out, |w| write(w, kind::FINISHED, |w| w.put(&mac)))
    }

    /// Checks the peer's Finished by the secret of its handshake key (RFC 8446 section 4.4.4).
    #[inline(never)]
    pub(crate) fn check_finished(&self, body: crate::codec::Reader<'_>) -> Result<(), Error> {
        let secret = self.read.as_ref().ok_or(Error::Ended)?.secret();
        let mut body = body;
        let found = body.array()?;
        body.end()?;
        let expected = finished(secret, &self.transcript.hash());
        if is_equal(found, &expected) { Ok(()) } else { Err(Error::Peer(Fault::Finished)) }
    }

    pub(crate) fn read_with(&mut self, suite: CipherSuite, secret: Secret) {
        self.read = Some(TrafficKey::new(suite, secret));
        self.is_fresh = true;
    }

    pub(crate) fn write_with(&mut self, suite: CipherSuite, secret: Secret) {
        self.write = Some(TrafficKey::new(suite, secret));
    }

    /// Sets the limit that the peer has for records (RFC 8449 section 4).
    pub(crate) fn limit(&mut self, limit: u16) {
        self.peer_limit = limit.min(NO_LIMIT);
    }
}

/// Returns the length of a message with its header, once the header is there.
fn message_length(octets: &[u8]) -> Option<usize> {
    let [_, high, middle, low] = *octets.first_chunk::<MESSAGE_HEADER>()?;
    let body = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    Some(body.saturating_add(MESSAGE_HEADER))
}

// The limit of a peer that has none is that of the protocol, with the content type.
const _: () = assert!(NO_LIMIT as usize == MAX_PLAINTEXT + 1, "a limit includes the content type");
