//! ClientHello (RFC 8446 section 4.1.2).

use super::{
    Extensions, LEGACY_VERSION, POINT, SECP256R1, VERSION, check_version, extension, kind, record_size_limit,
    write as write_message,
};
use crate::codec::{Full, Reader, Writer};
use crate::error::Fault;
use crate::protection::CipherSuite;

/// The parts that a server looks at.
#[derive(Debug)]
pub(crate) struct ClientHello<'a> {
    /// What must be the same after a HelloRetryRequest.
    pub(crate) fixed: &'a [u8],
    pub(crate) session_id: &'a [u8],
    suites: Reader<'a>,
    /// The share for secp256r1, if one was sent.
    pub(crate) share: Option<&'a [u8]>,
    /// Whether it is the only one.
    pub(crate) is_only_share: bool,
    /// Whether the client announces early data, which no ticket of this server allows.
    pub(crate) has_early_data: bool,
    schemes: Option<Reader<'a>>,
    pub(crate) server_name: Option<&'a str>,
    protocols: Option<Reader<'a>>,
    pub(crate) record_size_limit: Option<u16>,
    #[cfg(feature = "resumption")]
    pub(crate) offered: Option<super::ticket::Offered<'a>>,
    /// Whether the client resumes sessions with (EC)DHE.
    #[cfg(feature = "resumption")]
    pub(crate) resumes: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a message.
    #[inline(never)]
    pub(crate) fn read(body: Reader<'a>) -> Result<Self, Fault> {
        let whole = body.rest();
        let mut reader = body;
        let version = reader.u16()?;
        reader.take(32)?;
        let session_id = reader.vec8()?.rest();
        let suites = reader.vec16()?;
        let compression = reader.vec8()?.rest();
        let fixed = whole.get(..whole.len().saturating_sub(reader.rest().len())).unwrap_or_default();
        check_version(version)?;
        if session_id.len() > 32 || suites.is_empty() || suites.rest().len() % 2 != 0 || compression.is_empty() {
            return Err(Fault::Decode);
        }
        // A ClientHello without extensions is of an older version (RFC 8446 section 4.1.2).
        if reader.is_empty() {
            return Err(Fault::Version);
        }
        let list = reader.vec16()?;
        reader.end()?;
        let mut hello = Self {
            fixed,
            session_id,
            suites,
            share: None,
            is_only_share: false,
            has_early_data: false,
            schemes: None,
            server_name: None,
            protocols: None,
            record_size_limit: None,
            #[cfg(feature = "resumption")]
            offered: None,
            #[cfg(feature = "resumption")]
            resumes: false,
        };
        let (mut versions, mut groups, mut shares, mut last) = (None, None, None, true);
        #[cfg(feature = "resumption")]
        let (mut modes, mut pre_shared) = (None, None);
        let mut extensions = Extensions::new(list);
        while let Some((kind, data)) = extensions.next()? {
            match kind {
                extension::SUPPORTED_VERSIONS => versions = Some(data),
                extension::SUPPORTED_GROUPS => groups = Some(data),
                extension::KEY_SHARE => shares = Some(data),
                extension::SIGNATURE_ALGORITHMS => hello.schemes = Some(list_of_u16(data)?),
                extension::SERVER_NAME => hello.server_name = Some(server_name(data)?),
                extension::PROTOCOLS => hello.protocols = Some(data),
                extension::RECORD_SIZE_LIMIT => hello.record_size_limit = Some(record_size_limit(data)?),
                extension::PRE_SHARED_KEY => {
                    last = extensions.is_last();
                    #[cfg(feature = "resumption")]
                    {
                        pre_shared = Some(data);
                    }
                }
                #[cfg(feature = "resumption")]
                extension::PSK_KEY_EXCHANGE_MODES => modes = Some(data),
                extension::EARLY_DATA => hello.has_early_data = true,
                _ => {}
            }
        }
        let mut versions = versions.ok_or(Fault::Version)?;
        let mut offered = versions.vec8()?.some()?;
        versions.end()?;
        let mut known = false;
        while !offered.is_empty() {
            known |= offered.u16()? == VERSION;
        }
        if !known {
            return Err(Fault::Version);
        }
        // From here it is a ClientHello of TLS 1.3: RFC 8446 sections 4.1.2 and 4.2.11.
        if version != LEGACY_VERSION {
            return Err(Fault::Illegal("legacy_version"));
        }
        if compression != [0] {
            return Err(Fault::Illegal("legacy_compression_methods"));
        }
        if !last {
            return Err(Fault::Illegal("pre_shared_key"));
        }
        hello.shares(groups, shares)?;
        #[cfg(feature = "resumption")]
        {
            hello.resumes = modes.map(super::ticket::has_own_mode).transpose()?.unwrap_or_default();
            // RFC 8446 section 4.2.9
            if pre_shared.is_some() && modes.is_none() {
                return Err(Fault::Missing("psk_key_exchange_modes"));
            }
            let offered = pre_shared.map(super::ticket::Offered::read).transpose()?;
            hello.offered = offered.filter(|_| hello.resumes);
        }
        Ok(hello)
    }

    /// Reads supported_groups and key_share (RFC 8446 sections 4.2.7, 4.2.8 and 9.2).
    #[inline(never)]
    fn shares(&mut self, groups: Option<Reader<'a>>, shares: Option<Reader<'a>>) -> Result<(), Fault> {
        let groups = list_of_u16(groups.ok_or(Fault::Missing("supported_groups"))?)?;
        let mut shares = shares.ok_or(Fault::Missing("key_share"))?;
        let mut list = shares.vec16()?;
        shares.end()?;
        let mut count = 0_u8;
        while !list.is_empty() {
            let group = list.u16()?;
            let key = list.vec16()?.some()?.rest();
            if group == SECP256R1 && self.share.replace(key).is_some() {
                return Err(Fault::Illegal("key_share"));
            }
            count = count.saturating_add(1);
        }
        self.is_only_share = count == 1;
        match (contains(groups, SECP256R1)?, self.share) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(Fault::Illegal("key_share")),
            (false, None) => Err(Fault::NoCommon("group")),
        }
    }

    /// Returns the first suite of this list that the client offers too.
    pub(crate) fn suite(&self, own: &[CipherSuite]) -> Result<CipherSuite, Fault> {
        for suite in own {
            if contains(self.suites, suite.code())? {
                return Ok(*suite);
            }
        }
        Err(Fault::NoCommon("cipher suite"))
    }

    /// Checks that the client takes the own signatures.
    pub(crate) fn scheme(&self) -> Result<(), Fault> {
        let schemes = self.schemes.ok_or(Fault::Missing("signature_algorithms"))?;
        if contains(schemes, super::OWN_SCHEME)? { Ok(()) } else { Err(Fault::NoCommon("signature scheme")) }
    }

    /// Returns the index of the first protocol of this list that the client offers too (RFC 7301 section 3.2); `None`
    /// if one side names none.
    #[inline(never)]
    pub(crate) fn protocol(&self, own: &[&[u8]]) -> Result<Option<u8>, Fault> {
        let Some(mut data) = self.protocols else { return Ok(None) };
        let list = data.vec16()?.some()?;
        data.end()?;
        // All of the list is read, whatever is found first.
        let mut best: Option<u8> = None;
        let mut rest = list;
        while !rest.is_empty() {
            let name = rest.vec8()?.some()?.rest();
            let index = (0_u8..).zip(own).find(|(_, own)| **own == name).map(|(index, _)| index);
            best = match (best, index) {
                (Some(best), Some(index)) => Some(best.min(index)),
                (one, other) => one.or(other),
            };
        }
        if best.is_none() && !own.is_empty() { Err(Fault::Protocol) } else { Ok(best) }
    }
}

/// Reads a vector of numbers of two octets, which must not be empty.
#[inline(never)]
pub(crate) fn list_of_u16(mut data: Reader<'_>) -> Result<Reader<'_>, Fault> {
    let list = data.vec16()?.some()?;
    data.end()?;
    if list.rest().len() % 2 == 0 { Ok(list) } else { Err(Fault::Decode) }
}

#[inline(never)]
fn contains(mut list: Reader<'_>, wanted: u16) -> Result<bool, Fault> {
    while !list.is_empty() {
        if list.u16()? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether a list of signature schemes has the own one.
pub(crate) fn has_own_scheme(list: Reader<'_>) -> Result<bool, Fault> {
    contains(list, super::OWN_SCHEME)
}

/// Reads server_name (RFC 6066 section 3): the only kind of name is a host name.
#[inline(never)]
fn server_name(mut data: Reader<'_>) -> Result<&str, Fault> {
    let mut list = data.vec16()?.some()?;
    data.end()?;
    let kind = list.u8()?;
    let name = list.vec16()?.some()?.rest();
    list.end()?;
    let name = core::str::from_utf8(name).ok().filter(|name| name.is_ascii());
    name.filter(|_| kind == 0).ok_or(Fault::Illegal("server_name"))
}

/// What a client sends.
pub(crate) struct Sent<'a, S> {
    pub(crate) random: &'a [u8; 32],
    pub(crate) suites: &'a [CipherSuite],
    pub(crate) share: &'a [u8; POINT],
    pub(crate) schemes: S,
    pub(crate) server_name: Option<&'a str>,
    pub(crate) protocols: &'a [&'a [u8]],
    pub(crate) record_size_limit: u16,
    pub(crate) cookie: Option<&'a [u8]>,
    /// A ticket, and its age as it is sent.
    #[cfg(feature = "resumption")]
    pub(crate) ticket: Option<(&'a [u8], u32)>,
}

impl<S: Iterator<Item = u16>> Sent<'_, S> {
    /// Writes the message, with an empty place for the binder at its end.
    pub(crate) fn write(self, writer: &mut Writer<'_>) -> Result<(), Full> {
        write_message(writer, kind::CLIENT_HELLO, |w| {
            w.u16(LEGACY_VERSION)?;
            w.put(self.random)?;
            w.vec8(|_| Ok(()))?;
            w.vec16(|w| self.suites.iter().try_for_each(|suite| w.u16(suite.code())))?;
            w.put(&[1, 0])?;
            w.vec16(|w| self.extensions(w))
        })
    }

    #[inline(never)]
    fn extensions(self, w: &mut Writer<'_>) -> Result<(), Full> {
        if let Some(name) = self.server_name {
            w.extension(extension::SERVER_NAME, |w| {
                w.vec16(|w| {
                    w.u8(0)?;
                    w.vec16(|w| w.put(name.as_bytes()))
                })
            })?;
        }
        w.extension(extension::SUPPORTED_VERSIONS, |w| w.vec8(|w| w.u16(VERSION)))?;
        w.extension(extension::SUPPORTED_GROUPS, |w| w.vec16(|w| w.u16(SECP256R1)))?;
        let mut schemes = self.schemes;
        w.extension(extension::SIGNATURE_ALGORITHMS, |w| w.vec16(|w| schemes.try_for_each(|scheme| w.u16(scheme))))?;
        w.extension(extension::KEY_SHARE, |w| {
            w.vec16(|w| {
                w.u16(SECP256R1)?;
                w.vec16(|w| w.put(self.share))
            })
        })?;
        w.extension(extension::RECORD_SIZE_LIMIT, |w| w.u16(self.record_size_limit))?;
        if !self.protocols.is_empty() {
            w.extension(extension::PROTOCOLS, |w| {
                w.vec16(|w| self.protocols.iter().try_for_each(|name| w.vec8(|w| w.put(name))))
            })?;
        }
        if let Some(cookie) = self.cookie {
            w.extension(extension::COOKIE, |w| w.vec16(|w| w.put(cookie)))?;
        }
        #[cfg(feature = "resumption")]
        {
            w.extension(extension::PSK_KEY_EXCHANGE_MODES, |w| w.vec8(|w| w.u8(super::ticket::PSK_DHE_KE)))?;
            if let Some((ticket, age)) = self.ticket {
                super::ticket::write_offer(w, ticket, age)?;
            }
        }
        Ok(())
    }
}
