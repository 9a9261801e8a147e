//! CertificateRequest (RFC 8446 section 4.3.2).

use super::client_hello::{has_own_scheme, list_of_u16};
use super::{Extensions, extension, kind, write as write_message};
use crate::codec::{Full, Reader, Writer};
use crate::error::Fault;

/// Reads the body of a message: the own signature must be welcome.
pub(crate) fn read(body: Reader<'_>) -> Result<(), Fault> {
    let mut reader = body;
    let context = reader.vec8()?;
    let list = reader.vec16()?;
    reader.end()?;
    // RFC 8446 section 4.3.2: empty in the handshake
    if !context.is_empty() {
        return Err(Fault::Illegal("certificate_request_context"));
    }
    let mut schemes = None;
    let mut extensions = Extensions::new(list);
    while let Some((kind, data)) = extensions.next()? {
        // Others may be ignored: they help a client that has a choice of certificates.
        if kind == extension::SIGNATURE_ALGORITHMS {
            schemes = Some(list_of_u16(data)?);
        }
    }
    let schemes = schemes.ok_or(Fault::Missing("signature_algorithms"))?;
    if has_own_scheme(schemes)? { Ok(()) } else { Err(Fault::NoCommon("signature scheme")) }
}

/// Writes a message that asks for a certificate and one of these signatures.
pub(crate) fn write(w: &mut Writer<'_>, mut schemes: impl Iterator<Item = u16>) -> Result<(), Full> {
    write_message(w, kind::CERTIFICATE_REQUEST, |w| {
        w.vec8(|_| Ok(()))?;
        w.vec16(|w| {
            w.extension(extension::SIGNATURE_ALGORITHMS, |w| w.vec16(|w| schemes.try_for_each(|scheme| w.u16(scheme))))
        })
    })
}
