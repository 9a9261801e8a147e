//! The handshake messages (RFC 8446 section 4), read and written.

pub(crate) mod certificate;
pub(crate) mod certificate_request;
pub(crate) mod client_hello;
pub(crate) mod encrypted_extensions;
pub(crate) mod server_hello;
#[cfg(feature = "resumption")]
pub(crate) mod ticket;

use crate::codec::{Full, Reader, Writer};
use crate::error::Fault;
use crate::limits::MAX_EXTENSIONS;

/// The types of messages (RFC 8446 section 4).
pub(crate) mod kind {
    pub(crate) const CLIENT_HELLO: u8 = 1;
    pub(crate) const SERVER_HELLO: u8 = 2;
    pub(crate) const NEW_SESSION_TICKET: u8 = 4;
    pub(crate) const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub(crate) const CERTIFICATE: u8 = 11;
    pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
    pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
    pub(crate) const FINISHED: u8 = 20;
    pub(crate) const KEY_UPDATE: u8 = 24;
}

/// The types of extensions (RFC 8446 section 4.2).
pub(crate) mod extension {
    pub(crate) const SERVER_NAME: u16 = 0;
    pub(crate) const SUPPORTED_GROUPS: u16 = 10;
    pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(crate) const PROTOCOLS: u16 = 16;
    /// RFC 8449 section 4.
    pub(crate) const RECORD_SIZE_LIMIT: u16 = 28;
    pub(crate) const PRE_SHARED_KEY: u16 = 41;
    pub(crate) const EARLY_DATA: u16 = 42;
    pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
    pub(crate) const COOKIE: u16 = 44;
    #[cfg(feature = "resumption")]
    pub(crate) const PSK_KEY_EXCHANGE_MODES: u16 = 45;
    pub(crate) const KEY_SHARE: u16 = 51;
}

/// TLS 1.3, and the version that stands in its place where old software looks (RFC 8446 section 4.1.2).
pub(crate) const VERSION: u16 = 0x0304;
pub(crate) const LEGACY_VERSION: u16 = 0x0303;

/// Checks that a hello is not of SSL 3.0, whatever else it offers (RFC 8446 appendix D.5).
pub(crate) fn check_version(legacy_version: u16) -> Result<(), Fault> {
    const SSL3: u16 = 0x0300;
    if legacy_version > SSL3 { Ok(()) } else { Err(Fault::Version) }
}

/// The group secp256r1 (RFC 8446 section 4.2.7).
pub(crate) const SECP256R1: u16 = 23;

/// The scheme of all own signatures, ecdsa_secp256r1_sha256 (RFC 8446 section 4.2.3).
pub(crate) const OWN_SCHEME: u16 = 0x0403;

/// The length of an uncompressed point of the curve.
pub(crate) const POINT: usize = 65;

/// The length of the header of a message.
pub(crate) const MESSAGE_HEADER: usize = 4;

/// Returns the type and the body of a whole message.
pub(crate) fn split(message: &[u8]) -> Result<(u8, Reader<'_>), Fault> {
    let mut reader = Reader::new(message);
    let kind = reader.u8()?;
    let body = reader.vec24()?;
    reader.end()?;
    Ok((kind, body))
}

/// Writes a message.
pub(crate) fn write(
    writer: &mut Writer<'_>,
    kind: u8,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    writer.u8(kind)?;
    writer.vec24(body)
}

/// The extensions of a message. None may be there twice (RFC 8446 section 4.2).
pub(crate) struct Extensions<'a> {
    rest: Reader<'a>,
    seen: heapless::Vec<u16, MAX_EXTENSIONS>,
}

impl<'a> Extensions<'a> {
    pub(crate) fn new(list: Reader<'a>) -> Self {
        Self { rest: list, seen: heapless::Vec::new() }
    }

    /// Returns the next extension: its type and its data.
    pub(crate) fn next(&mut self) -> Result<Option<(u16, Reader<'a>)>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let kind = self.rest.u16()?;
        let data = self.rest.vec16()?;
        if self.seen.contains(&kind) {
            return Err(Fault::Illegal("extensions"));
        }
        // One more than there is room for is none that any client sends.
        self.seen.push(kind).map_err(|_| Fault::Illegal("extensions"))?;
        Ok(Some((kind, data)))
    }

    /// Returns whether this is the last extension.
    pub(crate) fn is_last(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Reads a record size limit (RFC 8449 section 4).
pub(crate) fn record_size_limit(mut data: Reader<'_>) -> Result<u16, Fault> {
    let limit = data.u16()?;
    data.end()?;
    if limit < crate::limits::MIN_RECORD_SIZE {
        return Err(Fault::Illegal("record_size_limit"));
    }
    Ok(limit)
}
