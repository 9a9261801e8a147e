//! ServerHello and HelloRetryRequest (RFC 8446 sections 4.1.3 and 4.1.4).

use super::{
    Extensions, LEGACY_VERSION, POINT, SECP256R1, VERSION, check_version, extension, kind, write as write_message,
};
use crate::codec::{Full, Reader, Writer};
use crate::error::Fault;
use crate::limits::MAX_COOKIE;
use crate::protection::CipherSuite;

/// The random that makes a ServerHello a HelloRetryRequest (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a server answers.
#[derive(Debug)]
pub(crate) struct ServerHello<'a> {
    pub(crate) suite: CipherSuite,
    pub(crate) answer: Answer<'a>,
}

#[derive(Debug)]
pub(crate) enum Answer<'a> {
    Hello {
        share: &'a [u8],
        is_resumed: bool,
    },
    /// The client shall come again with this cookie.
    Retry {
        cookie: &'a [u8],
    },
}

impl<'a> ServerHello<'a> {
    /// Reads the body of a message to a client that offered these suites, secp256r1 with a share, and perhaps a
    /// pre-shared key.
    #[inline(never)]
    pub(crate) fn read(body: Reader<'a>, suites: &[CipherSuite], offered_key: bool) -> Result<Self, Fault> {
        let mut reader = body;
        let legacy_version = reader.u16()?;
        check_version(legacy_version)?;
        let is_retry = *reader.array()? == RETRY;
        let session_id = reader.vec8()?.rest();
        let code = reader.u16()?;
        let compression = reader.u8()?;
        // Without extensions it is of an older version.
        if reader.is_empty() {
            return Err(Fault::Version);
        }
        let list = reader.vec16()?;
        reader.end()?;
        let (mut version, mut share, mut cookie, mut key, mut other) = (None, None, None, None, None);
        let mut extensions = Extensions::new(list);
        while let Some((kind, data)) = extensions.next()? {
            match kind {
                extension::SUPPORTED_VERSIONS => version = Some(data),
                extension::KEY_SHARE => share = Some(data),
                extension::COOKIE if is_retry => cookie = Some(data),
                extension::PRE_SHARED_KEY if offered_key && !is_retry => key = Some(data),
                kind => other = other.or(Some(kind)),
            }
        }
        // An older version comes first: a server that has no other answers with that version's extensions.
        let mut version = version.ok_or(Fault::Version)?;
        let selected = version.u16()?;
        version.end()?;
        // RFC 8446 section 4.2.1
        if selected != VERSION {
            return Err(Fault::Illegal("supported_versions"));
        }
        // RFC 8446 section 4.2: an extension that was not offered, or that does not belong here
        if let Some(kind) = other {
            return Err(Fault::Extension(kind));
        }
        if legacy_version != LEGACY_VERSION {
            return Err(Fault::Illegal("legacy_version"));
        }
        if !session_id.is_empty() {
            return Err(Fault::Illegal("legacy_session_id_echo"));
        }
        if compression != 0 {
            return Err(Fault::Illegal("legacy_compression_method"));
        }
        let suite = suites.iter().find(|suite| suite.code() == code);
        let suite = *suite.ok_or(Fault::Illegal("cipher_suite"))?;
        let answer = if is_retry { Self::retry(share, cookie)? } else { Self::hello(share, key)? };
        Ok(Self { suite, answer })
    }

    /// RFC 8446 section 4.1.4: a retry must change something, and the one group has its share already.
    fn retry(share: Option<Reader<'a>>, cookie: Option<Reader<'a>>) -> Result<Answer<'a>, Fault> {
        if share.is_some() {
            return Err(Fault::Illegal("key_share"));
        }
        let mut data = cookie.ok_or(Fault::Illegal("HelloRetryRequest"))?;
        let cookie = data.vec16()?.some()?.rest();
        data.end()?;
        if cookie.len() > MAX_COOKIE {
            return Err(Fault::Illegal("cookie"));
        }
        Ok(Answer::Retry { cookie })
    }

    fn hello(share: Option<Reader<'a>>, key: Option<Reader<'a>>) -> Result<Answer<'a>, Fault> {
        let mut data = share.ok_or(Fault::Missing("key_share"))?;
        let group = data.u16()?;
        let share = data.vec16()?.some()?.rest();
        data.end()?;
        if group != SECP256R1 {
            return Err(Fault::Illegal("key_share"));
        }
        let is_resumed = match key {
            None => false,
            Some(mut data) => {
                // One key was offered: it is the first.
                let index = data.u16()?;
                data.end()?;
                if index != 0 {
                    return Err(Fault::Illegal("pre_shared_key"));
                }
                true
            }
        };
        Ok(Answer::Hello { share, is_resumed })
    }
}

/// Writes a ServerHello. `key` is the index of the pre-shared key that was taken.
pub(crate) fn write(
    w: &mut Writer<'_>,
    random: &[u8; 32],
    session_id: &[u8],
    suite: CipherSuite,
    share: &[u8; POINT],
    key: Option<u16>,
) -> Result<(), Full> {
    write_any(w, random, session_id, suite, |w| {
        w.extension(extension::KEY_SHARE, |w| {
            w.u16(SECP256R1)?;
            w.vec16(|w| w.put(share))
        })?;
        match key {
            Some(index) => w.extension(extension::PRE_SHARED_KEY, |w| w.u16(index)),
            None => Ok(()),
        }
    })
}

/// Writes a HelloRetryRequest for a share of secp256r1.
pub(crate) fn write_retry(w: &mut Writer<'_>, session_id: &[u8], suite: CipherSuite) -> Result<(), Full> {
    write_any(w, &RETRY, session_id, suite, |w| w.extension(extension::KEY_SHARE, |w| w.u16(SECP256R1)))
}

#[inline(never)]
fn write_any(
    w: &mut Writer<'_>,
    random: &[u8; 32],
    session_id: &[u8],
    suite: CipherSuite,
    more: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    write_message(w, kind::SERVER_HELLO, |w| {
        w.u16(LEGACY_VERSION)?;
        w.put(random)?;
        w.vec8(|w| w.put(session_id))?;
        w.u16(suite.code())?;
        w.u8(0)?;
        w.vec16(|w| {
            w.extension(extension::SUPPORTED_VERSIONS, |w| w.u16(VERSION))?;
            more(w)
        })
    })
}
