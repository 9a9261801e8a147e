//! NewSessionTicket, and the pre-shared keys that a client offers (RFC 8446 sections 4.6.1 and 4.2.11).

use super::{Extensions, extension, kind, write as write_message};
use crate::codec::{Full, Reader, Writer};
use crate::error::Fault;
use crate::limits::MAX_IDENTITIES;

/// The key exchange mode with (EC)DHE (RFC 8446 section 4.2.9): no other is used.
pub(crate) const PSK_DHE_KE: u8 = 1;

/// The length of a binder by SHA-256, and of the list with one.
pub(crate) const BINDER: usize = 32;
pub(crate) const BINDERS: usize = 2 + 1 + BINDER;

/// The longest life of a ticket, in seconds (RFC 8446 section 4.6.1).
pub(crate) const MAX_LIFETIME: u32 = 604_800;

/// Reads psk_key_exchange_modes (RFC 8446 section 4.2.9), and returns whether (EC)DHE is among them.
pub(crate) fn has_own_mode(mut data: Reader<'_>) -> Result<bool, Fault> {
    let list = data.vec8()?.some()?;
    data.end()?;
    Ok(list.rest().contains(&PSK_DHE_KE))
}

/// The pre-shared keys of a ClientHello.
#[derive(Debug)]
pub(crate) struct Offered<'a> {
    identities: Reader<'a>,
    binders: Reader<'a>,
    /// The length of the list of binders with its own length: what the binders do not cover (RFC 8446 section 4.2.11.2).
    pub(crate) uncovered: usize,
}

/// An identity that is known: its index, its binder, and what is known.
type Found<'a, T> = (u16, &'a [u8], T);

impl<'a> Offered<'a> {
    /// Reads pre_shared_key.
    #[inline(never)]
    pub(crate) fn read(mut data: Reader<'a>) -> Result<Self, Fault> {
        let identities = data.vec16()?.some()?;
        let uncovered = data.rest().len();
        let binders = data.vec16()?.some()?;
        data.end()?;
        let (mut names, mut macs, mut excess) = (identities, binders, 0_i32);
        while !names.is_empty() {
            names.vec16()?.some()?;
            names.u32()?;
            excess = excess.saturating_add(1);
        }
        while !macs.is_empty() {
            if macs.vec8()?.rest().len() < BINDER {
                return Err(Fault::Decode);
            }
            excess = excess.saturating_sub(1);
        }
        if excess != 0 {
            return Err(Fault::Illegal("pre_shared_key"));
        }
        Ok(Self { identities, binders, uncovered })
    }

    /// Returns what `known` makes of the first identity that it knows, with its index and its binder. Those that come
    /// late are not looked at.
    pub(crate) fn find<T>(&self, mut known: impl FnMut(&[u8]) -> Option<T>) -> Result<Option<Found<'a, T>>, Fault> {
        let (mut identities, mut binders) = (self.identities, self.binders);
        for index in (0_u16..).take(MAX_IDENTITIES) {
            if identities.is_empty() {
                break;
            }
            let identity = identities.vec16()?.rest();
            identities.u32()?;
            let binder = binders.vec8()?.rest();
            if let Some(found) = known(identity) {
                return Ok(Some((index, binder, found)));
            }
        }
        Ok(None)
    }
}

/// Writes pre_shared_key with one ticket and an empty place for its binder.
pub(crate) fn write_offer(w: &mut Writer<'_>, ticket: &[u8], age: u32) -> Result<(), Full> {
    w.extension(extension::PRE_SHARED_KEY, |w| {
        w.vec16(|w| {
            w.vec16(|w| w.put(ticket))?;
            w.u32(age)
        })?;
        w.vec16(|w| w.vec8(|w| w.put(&[0; BINDER])))
    })
}

/// A NewSessionTicket.
#[derive(Debug)]
pub(crate) struct NewSessionTicket<'a> {
    pub(crate) lifetime: u32,
    pub(crate) age_add: u32,
    pub(crate) nonce: &'a [u8],
    pub(crate) ticket: &'a [u8],
}

impl<'a> NewSessionTicket<'a> {
    /// Reads the body of a message.
    #[inline(never)]
    pub(crate) fn read(body: Reader<'a>) -> Result<Self, Fault> {
        let mut reader = body;
        let lifetime = reader.u32()?;
        let age_add = reader.u32()?;
        let nonce = reader.vec8()?.rest();
        let ticket = reader.vec16()?.some()?.rest();
        let list = reader.vec16()?;
        reader.end()?;
        let mut extensions = Extensions::new(list);
        while extensions.next()?.is_some() {}
        if lifetime > MAX_LIFETIME {
            return Err(Fault::Illegal("ticket_lifetime"));
        }
        Ok(Self { lifetime, age_add, nonce, ticket })
    }

    /// Writes the message.
    pub(crate) fn write(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        write_message(w, kind::NEW_SESSION_TICKET, |w| {
            w.u32(self.lifetime)?;
            w.u32(self.age_add)?;
            w.vec8(|w| w.put(self.nonce))?;
            w.vec16(|w| w.put(self.ticket))?;
            w.vec16(|_| Ok(()))
        })
    }
}
