//! An open connection: only a handshake with an authorized peer makes one.

use crate::alert::Alert;
use crate::error::{Error, Fault};
use crate::limits::{MAX_IDLE_RECORDS, MAX_PLAINTEXT, OVERHEAD};
use crate::message::{MESSAGE_HEADER, kind};
use crate::peer::Peer;
use crate::protection::TrafficKey;
use crate::record::{Output, content, open, read_alert};
#[cfg(any(feature = "exporter", feature = "resumption"))]
use crate::secret::Secret;
#[cfg(feature = "resumption")]
use crate::session::Ticket;

/// The side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// What a handshake leaves.
pub(crate) struct Opened {
    pub(crate) role: Role,
    pub(crate) read: TrafficKey,
    pub(crate) write: TrafficKey,
    pub(crate) peer: Peer,
    pub(crate) protocol: Option<u8>,
    pub(crate) own_limit: u16,
    pub(crate) peer_limit: u16,
    #[cfg(feature = "exporter")]
    pub(crate) exporter: Secret,
    #[cfg(feature = "resumption")]
    pub(crate) resumption: Secret,
}

/// The content of a record.
#[derive(Debug)]
pub enum Event<'r> {
    /// Nothing for the application. There may be output.
    Nothing,
    /// Application data.
    Data(&'r [u8]),
    /// The peer sends nothing more (RFC 8446 section 6.1). The other direction is still open.
    Closed,
    /// The server gave a ticket for another connection.
    #[cfg(feature = "resumption")]
    Ticket(Ticket<'r>),
}

/// The longest message after a handshake that is put together from parts: KeyUpdate.
const KEY_UPDATE: usize = MESSAGE_HEADER + 1;

/// A connection with an authorized peer.
///
/// ```compile_fail,E0451
/// fn skip(opened: edgetrust_tls::Connection) -> edgetrust_tls::Connection {
///     edgetrust_tls::Connection { is_read_closed: false, ..opened }
/// }
/// ```
pub struct Connection {
    opened: Opened,
    /// A message that waits for its end.
    part: heapless::Vec<u8, KEY_UPDATE>,
    /// The octets left of a ticket that came in several records, which is not kept.
    skip: usize,
    idle: u8,
    /// Whether the peer asked for a new key.
    is_update_due: bool,
    is_read_closed: bool,
    is_write_closed: bool,
}

impl core::fmt::Debug for Connection {
    /// Leaves out the keys.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.opened.role)
            .field("peer", &self.opened.peer)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(opened: Opened) -> Self {
        Self {
            opened,
            part: heapless::Vec::new(),
            skip: 0,
            idle: 0,
            is_update_due: false,
            is_read_closed: false,
            is_write_closed: false,
        }
    }

    /// Returns the peer.
    pub fn peer(&self) -> &Peer {
        &self.opened.peer
    }

    /// Returns the index of the protocol in the own list (RFC 7301), or `None` if none was agreed on.
    pub fn protocol(&self) -> Option<usize> {
        self.opened.protocol.map(usize::from)
    }

    /// Returns the largest number of octets of data in a record for the peer (RFC 8449).
    pub fn record_size(&self) -> usize {
        usize::from(self.opened.peer_limit).saturating_sub(1).clamp(1, MAX_PLAINTEXT)
    }

    /// Writes records of data, and returns how many octets of it found place.
    ///
    /// # Errors
    /// [`Error::Ended`] after [`Connection::close`] or a failure.
    pub fn send(&mut self, data: &[u8], out: &mut Output<'_>) -> Result<usize, Error> {
        if self.is_write_closed {
            return Err(Error::Ended);
        }
        let mut sent = 0_usize;
        while let Some(rest) = data.get(sent..).filter(|rest| !rest.is_empty()) {
            // RFC 8446 sections 4.6.3 and 5.5
            if self.opened.write.is_worn() || self.is_update_due {
                if out.free() <= OVERHEAD.saturating_mul(2).saturating_add(KEY_UPDATE) {
                    break;
                }
                self.update_keys(false, out)?;
            }
            let count = rest.len().min(self.record_size()).min(out.free().saturating_sub(OVERHEAD));
            let Some(part) = rest.get(..count).filter(|part| !part.is_empty()) else { break };
            let limit = self.opened.peer_limit;
            out.add(content::APPLICATION_DATA, Some(&mut self.opened.write), limit, |w| w.put(part), |_| ())?;
            sent = sent.saturating_add(count);
        }
        Ok(sent)
    }

    /// Takes a record of the peer, header and all, which is decrypted in place.
    ///
    /// # Errors
    /// The reason that the connection ended. The output has the alert for the peer: send it, and close.
    pub fn receive<'r>(&mut self, record: &'r mut [u8], out: &mut Output<'_>) -> Result<Event<'r>, Error> {
        if self.is_read_closed {
            return Err(Error::Ended);
        }
        let outcome = self.record(record);
        if let Err(error) = &outcome {
            self.is_read_closed = true;
            if let Some(alert) = error.alert().filter(|_| !self.is_write_closed) {
                // Without a place for the alert the connection just ends.
                let _ = out.alert(alert, Some(&mut self.opened.write));
            }
            self.is_write_closed = true;
        }
        outcome
    }

    fn record<'r>(&mut self, record: &'r mut [u8]) -> Result<Event<'r>, Error> {
        let (kind, octets) = open(record, Some(&mut self.opened.read), self.opened.own_limit, false)?;
        // A message that waits for its end is not interrupted (RFC 8446 section 5.1).
        let is_between = self.part.is_empty() && self.skip == 0;
        let event = match kind {
            content::APPLICATION_DATA if is_between && !octets.is_empty() => {
                self.idle = 0;
                return Ok(Event::Data(octets));
            }
            content::APPLICATION_DATA if is_between => Event::Nothing,
            content::HANDSHAKE => self.messages(octets)?,
            content::ALERT if is_between => match read_alert(octets)? {
                Alert::CloseNotify => {
                    self.is_read_closed = true;
                    return Ok(Event::Closed);
                }
                Alert::UserCanceled => Event::Nothing,
                alert => return Err(Error::Alert(alert)),
            },
            other => return Err(Error::Peer(Fault::UnexpectedRecord(other))),
        };
        self.idle = self.idle.saturating_add(1);
        if self.idle > MAX_IDLE_RECORDS { Err(Error::Peer(Fault::IdleRecords)) } else { Ok(event) }
    }

    /// Takes messages after the handshake (RFC 8446 section 4.6): tickets for a client, and KeyUpdate. All others are
    /// unexpected, authentication after the handshake too, which is never offered.
    fn messages<'r>(&mut self, octets: &'r [u8]) -> Result<Event<'r>, Error> {
        let mut rest = octets;
        #[cfg_attr(not(feature = "resumption"), expect(unused_mut, reason = "only tickets are events"))]
        let mut event = Event::Nothing;
        while !rest.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(rest.len());
                self.skip = self.skip.saturating_sub(count);
                rest = rest.get(count..).unwrap_or_default();
                continue;
            }
            #[cfg(feature = "resumption")]
            if self.part.is_empty()
                && self.opened.role == Role::Client
                && rest.first() == Some(&kind::NEW_SESSION_TICKET)
                && let Some((message, more)) = whole(rest)
            {
                rest = more;
                event = self.ticket(message)?;
                continue;
            }
            let wanted = if self.part.len() < MESSAGE_HEADER { MESSAGE_HEADER } else { KEY_UPDATE };
            let count = wanted.saturating_sub(self.part.len()).min(rest.len());
            let (now, more) = rest.split_at_checked(count).ok_or(Error::Ended)?;
            self.part.extend_from_slice(now).map_err(|_| Error::Ended)?;
            rest = more;
            match *self.part.as_slice() {
                [kind::NEW_SESSION_TICKET, high, middle, low] if self.opened.role == Role::Client => {
                    self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                    self.part.clear();
                }
                [kind::KEY_UPDATE, 0, 0, 1] => {}
                [kind::KEY_UPDATE, _, _, _] => return Err(Error::Peer(Fault::Decode)),
                [kind, _, _, _] => return Err(Error::Peer(Fault::UnexpectedMessage(kind))),
                [_, _, _, _, request] => {
                    self.part.clear();
                    // RFC 8446 section 5.1
                    if !rest.is_empty() {
                        return Err(Error::Peer(Fault::KeyChange));
                    }
                    self.key_update(request)?;
                }
                _ => {}
            }
        }
        Ok(event)
    }

    /// Takes a KeyUpdate (RFC 8446 section 4.6.3). One that asks for another is answered before the next data, and many
    /// of them by one.
    fn key_update(&mut self, request: u8) -> Result<(), Error> {
        self.opened.read.update();
        match request {
            0 => Ok(()),
            1 => {
                self.is_update_due = true;
                Ok(())
            }
            _ => Err(Error::Peer(Fault::Illegal("request_update"))),
        }
    }

    /// Takes the next key for what is sent, and asks the peer to do the same if `request` is set. Connections do so by
    /// themselves long before a key is worn out (RFC 8446 section 5.5).
    ///
    /// # Errors
    /// [`Error::OutputFull`], or [`Error::Ended`] after [`Connection::close`] or a failure.
    pub fn update_keys(&mut self, request: bool, out: &mut Output<'_>) -> Result<(), Error> {
        if self.is_write_closed {
            return Err(Error::Ended);
        }
        let message = [kind::KEY_UPDATE, 0, 0, 1, u8::from(request)];
        let limit = self.opened.peer_limit;
        out.add(content::HANDSHAKE, Some(&mut self.opened.write), limit, |w| w.put(&message), |_| ())?;
        self.opened.write.update();
        self.is_update_due = false;
        Ok(())
    }

    /// Writes close_notify (RFC 8446 section 6.1): nothing more is sent. What the peer still sends can be read.
    ///
    /// # Errors
    /// [`Error::OutputFull`], or [`Error::Ended`] if it was closed before.
    pub fn close(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        if self.is_write_closed {
            return Err(Error::Ended);
        }
        out.alert(Alert::CloseNotify, Some(&mut self.opened.write))?;
        self.is_write_closed = true;
        Ok(())
    }

    /// Writes an alert for a reason of the application, and ends the connection.
    pub fn abort(&mut self, alert: Alert, out: &mut Output<'_>) {
        if !self.is_write_closed {
            // Without a place for the alert the connection just ends.
            let _ = out.alert(alert, Some(&mut self.opened.write));
        }
        (self.is_read_closed, self.is_write_closed) = (true, true);
    }

    /// Returns keying material for a label, and for the SHA-256 hash of a context (RFC 8446 section 7.5); without a
    /// context the hash is of nothing. Labels have at most 249 octets.
    #[cfg(feature = "exporter")]
    pub fn export(&self, label: &[u8], context: &[u8]) -> Option<[u8; 32]> {
        use sha2::{Digest, Sha256};
        const MAX_LABEL: usize = 249;
        let hash = Sha256::digest(context).into();
        (label.len() <= MAX_LABEL).then(|| crate::key_schedule::export(&self.opened.exporter, label, &hash).0)
    }

    #[cfg(feature = "resumption")]
    fn ticket<'r>(&self, message: &'r [u8]) -> Result<Event<'r>, Error> {
        let (_, body) = crate::message::split(message)?;
        let message = crate::message::ticket::NewSessionTicket::read(body)?;
        let key = crate::key_schedule::pre_shared_key(&self.opened.resumption, message.nonce);
        Ok(Event::Ticket(Ticket { message, key, peer: self.opened.peer }))
    }

    /// Writes a NewSessionTicket (RFC 8446 section 4.6.1), and keeps its session.
    #[cfg(feature = "resumption")]
    pub(crate) fn issue<P>(
        &mut self,
        sessions: &mut [Option<crate::session::ServerSession>],
        demand: &crate::peer::Demand<'_, P>,
        rng: &mut impl rand_core::CryptoRngCore,
        out: &mut Output<'_>,
    ) -> Result<(), Error> {
        use crate::message::ticket::NewSessionTicket;
        use crate::session::{LIFETIME, TICKET, keep};
        use edgetrust_core::time::TrustedTime;
        let TrustedTime::Known(now) = demand.now else { return Ok(()) };
        let mut ticket = [0; TICKET];
        rng.fill_bytes(&mut ticket);
        // One ticket a connection needs one nonce.
        const NONCE: &[u8] = &[0];
        let message = NewSessionTicket { lifetime: LIFETIME, age_add: rng.next_u32(), nonce: NONCE, ticket: &ticket };
        let limit = self.opened.peer_limit;
        out.add(content::HANDSHAKE, Some(&mut self.opened.write), limit, |w| message.write(w), |_| ())?;
        let key = crate::key_schedule::pre_shared_key(&self.opened.resumption, NONCE);
        keep(sessions, ticket, key, self.opened.peer, now);
        Ok(())
    }
}

/// Splits a whole message off.
#[cfg(feature = "resumption")]
fn whole(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, high, middle, low] = *octets.first_chunk::<MESSAGE_HEADER>()?;
    let body = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    octets.split_at_checked(body.saturating_add(MESSAGE_HEADER))
}
