//! EncryptedExtensions (RFC 8446 section 4.3.1).

use super::{Extensions, extension, kind, record_size_limit, write as write_message};
use crate::codec::{Full, Reader, Writer};
use crate::error::Fault;
use crate::limits::MAX_PLAINTEXT;

/// What a server says of the connection.
#[derive(Debug, Default)]
pub(crate) struct EncryptedExtensions {
    /// The index of the chosen protocol.
    pub(crate) protocol: Option<u8>,
    pub(crate) record_size_limit: Option<u16>,
}

impl EncryptedExtensions {
    /// Reads the body of a message to a client that offered these protocols.
    #[inline(never)]
    pub(crate) fn read(body: Reader<'_>, protocols: &[&[u8]], offered_name: bool) -> Result<Self, Fault> {
        let mut reader = body;
        let list = reader.vec16()?;
        reader.end()?;
        let mut found = Self::default();
        let mut extensions = Extensions::new(list);
        while let Some((kind, data)) = extensions.next()? {
            match kind {
                // RFC 6066 section 3
                extension::SERVER_NAME if offered_name => data.end()?,
                // What the server supports beside: of no use (RFC 8446 section 4.2.7).
                extension::SUPPORTED_GROUPS => {}
                extension::PROTOCOLS if !protocols.is_empty() => found.protocol = Some(protocol(data, protocols)?),
                extension::RECORD_SIZE_LIMIT => {
                    let limit = record_size_limit(data)?;
                    // RFC 8449 section 4
                    if usize::from(limit) > MAX_PLAINTEXT.saturating_add(1) {
                        return Err(Fault::Illegal("record_size_limit"));
                    }
                    found.record_size_limit = Some(limit);
                }
                // RFC 8446 section 4.2: known, and not of this message
                extension::KEY_SHARE
                | extension::SUPPORTED_VERSIONS
                | extension::SIGNATURE_ALGORITHMS
                | extension::PRE_SHARED_KEY
                | extension::COOKIE => return Err(Fault::Illegal("EncryptedExtensions")),
                other => return Err(Fault::Extension(other)),
            }
        }
        Ok(found)
    }

    /// Writes the message of a server that has these protocols, and this limit if the client sent one.
    #[inline(never)]
    pub(crate) fn write(&self, w: &mut Writer<'_>, protocols: &[&[u8]], took_name: bool) -> Result<(), Full> {
        write_message(w, kind::ENCRYPTED_EXTENSIONS, |w| {
            w.vec16(|w| {
                if took_name {
                    w.extension(extension::SERVER_NAME, |_| Ok(()))?;
                }
                if let Some(limit) = self.record_size_limit {
                    w.extension(extension::RECORD_SIZE_LIMIT, |w| w.u16(limit))?;
                }
                match self.protocol.and_then(|index| protocols.get(usize::from(index))) {
                    Some(name) => w.extension(extension::PROTOCOLS, |w| w.vec16(|w| w.vec8(|w| w.put(name)))),
                    None => Ok(()),
                }
            })
        })
    }
}

/// Reads the one protocol that was chosen (RFC 7301 section 3.1).
fn protocol(mut data: Reader<'_>, protocols: &[&[u8]]) -> Result<u8, Fault> {
    let mut list = data.vec16()?;
    data.end()?;
    let name = list.vec8()?.some()?.rest();
    list.end()?;
    let found = (0_u8..).zip(protocols).find(|(_, own)| **own == name);
    found.map(|(index, _)| index).ok_or(Fault::Illegal("application_layer_protocol_negotiation"))
}
