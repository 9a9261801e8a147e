//! Sessions that can be resumed (RFC 8446 sections 2.2 and 4.6.1), each bound to the peer that was authorized and to the
//! generation of what authorized it. A server keeps its sessions in a table of the caller's; a ticket is only the name of
//! one, so no key protects tickets and no old key can open them.

use core::time::Duration;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::TrustedTime;

use crate::key_schedule::{Early, Hash, finished};
use crate::message::ticket::{BINDER, BINDERS, NewSessionTicket};
use crate::peer::{Demand, Peer};
use crate::secret::Secret;
use crate::transcript::Transcript;

/// The longest ticket that a client keeps if it does not choose another room: [`ClientSession`]. Servers that seal their
/// state into tickets seal the client's certificate too. With certificates of 340 octets a ticket of OpenSSL has 528
/// octets, of rustls 544, and of Go, which seals the whole path twice, 1567.
pub const MAX_TICKET: usize = 1024;

/// The life of a session, in seconds; it ends with the peer's path.
pub(crate) const LIFETIME: u32 = 86_400;

/// The length of a ticket of this server.
pub(crate) const TICKET: usize = 16;

fn later(time: UnixTime, seconds: u32) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs().saturating_add(seconds.into())))
}

/// A session of a server.
#[derive(Clone, Debug)]
pub struct ServerSession {
    ticket: [u8; TICKET],
    pub(crate) key: Secret,
    pub(crate) peer: Peer,
    until: UnixTime,
}

impl ServerSession {
    /// Returns the client.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Returns the binder for a hash of the messages that it covers (RFC 8446 section 4.2.11.2).
    pub(crate) fn binder(&self, hash: &Hash) -> Hash {
        finished(&Early::new(Some(&self.key)).binder(), hash)
    }
}

/// Returns the place of a session that a client may resume.
pub(crate) fn position<P>(
    sessions: &[Option<ServerSession>],
    identity: &[u8],
    demand: &Demand<'_, P>,
) -> Option<usize> {
    let TrustedTime::Known(now) = demand.now else { return None };
    sessions.iter().position(|slot| {
        slot.as_ref().is_some_and(|one| one.ticket == *identity && one.peer.stands(demand) && now <= one.until)
    })
}

/// Keeps a session: in the place of an older one of the same client, in an empty place, or in that of the one that ends
/// first. So a client has at most one.
#[inline(never)]
pub(crate) fn keep(
    sessions: &mut [Option<ServerSession>],
    ticket: [u8; TICKET],
    key: Secret,
    peer: Peer,
    now: UnixTime,
) {
    let own = |slot: &&mut Option<ServerSession>| slot.as_ref().is_some_and(|one| one.peer.leaf() == peer.leaf());
    let until = later(now, LIFETIME).min(peer.valid_until());
    let session = Some(ServerSession { ticket, key, peer, until });
    if let Some(slot) = sessions.iter_mut().find(own) {
        *slot = session;
    } else if let Some(slot) = sessions.iter_mut().min_by_key(|slot| slot.as_ref().map(|one| one.until.as_secs())) {
        *slot = session;
    }
}

/// A session of a client. `T` is the room for its ticket: `ClientSession<[u8; 2048]>` keeps longer ones. A context takes
/// sessions of any room as `&ClientSession<[u8]>`, which a reference to one is by coercion.
#[derive(Clone, Debug)]
pub struct ClientSession<T: ?Sized = [u8; MAX_TICKET]> {
    pub(crate) key: Secret,
    pub(crate) peer: Peer,
    age_add: u32,
    since: UnixTime,
    until: UnixTime,
    length: usize,
    /// Unsized types come last.
    ticket: T,
}

impl<T: ?Sized> ClientSession<T> {
    /// Returns the server.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl ClientSession<[u8]> {
    /// Returns whether the session may be offered: the verdict on its server stands, and the ticket is not too old.
    pub(crate) fn is_fit<P>(&self, demand: &Demand<'_, P>) -> bool {
        let is_young = matches!(demand.now, TrustedTime::Known(now) if (self.since..=self.until).contains(&now));
        is_young && self.peer.stands(demand)
    }

    /// Returns the ticket and its age as they are sent (RFC 8446 section 4.2.11.1).
    pub(crate) fn offer<P>(&self, demand: &Demand<'_, P>) -> Option<(&[u8], u32)> {
        let TrustedTime::Known(now) = demand.now else { return None };
        let seconds = now.as_secs().saturating_sub(self.since.as_secs());
        // Milliseconds, modulo 2^32; a week has far fewer.
        let age = u32::try_from(seconds.saturating_mul(1000)).unwrap_or(u32::MAX);
        Some((self.ticket.get(..self.length)?, age.wrapping_add(self.age_add)))
    }

    /// Writes the binder into its place at the end of a ClientHello (RFC 8446 section 4.2.11.2).
    pub(crate) fn bind(&self, message: &mut [u8], transcript: &Transcript) {
        let covered = message.get(..message.len().saturating_sub(BINDERS)).unwrap_or_default();
        let binder = finished(&Early::new(Some(&self.key)).binder(), &transcript.hash_with(covered));
        if let Some(place) = message.last_chunk_mut::<BINDER>() {
            *place = binder;
        }
    }
}

/// A ticket that a server has sent.
#[derive(Debug)]
pub struct Ticket<'r> {
    pub(crate) message: NewSessionTicket<'r>,
    pub(crate) key: Secret,
    pub(crate) peer: Peer,
}

impl Ticket<'_> {
    /// Returns the session of the ticket; `None` if the ticket is longer than `N`, or the server wants it forgotten.
    pub fn session<const N: usize>(&self, now: UnixTime) -> Option<ClientSession<[u8; N]>> {
        // RFC 8446 section 4.6.1: a lifetime of zero is at once over.
        if self.message.lifetime == 0 {
            return None;
        }
        let mut ticket = [0; N];
        let length = self.message.ticket.len();
        ticket.get_mut(..length)?.iter_mut().zip(self.message.ticket).for_each(|(to, from)| *to = *from);
        Some(ClientSession {
            key: self.key.clone(),
            peer: self.peer,
            age_add: self.message.age_add,
            since: now,
            until: later(now, self.message.lifetime).min(self.peer.valid_until()),
            length,
            ticket,
        })
    }
}
