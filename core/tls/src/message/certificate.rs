//! Certificate and CertificateVerify (RFC 8446 sections 4.4.2 and 4.4.3).

use super::{kind, write as write_message};
use crate::codec::{Full, Reader, Writer};
use crate::credential::Credential;
use crate::error::Fault;

/// The certificates of a message as DER, the leaf first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries<'a>(Reader<'a>);

impl<'a> Entries<'a> {
    /// Reads the body of a message.
    pub(crate) fn read(body: Reader<'a>) -> Result<Self, Fault> {
        let mut reader = body;
        let context = reader.vec8()?;
        let list = reader.vec24()?;
        reader.end()?;
        // RFC 8446 section 4.4.2: empty in the handshake
        if !context.is_empty() {
            return Err(Fault::Illegal("certificate_request_context"));
        }
        Ok(Self(list))
    }

    /// Returns the next certificate.
    pub(crate) fn next(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let der = self.0.vec24()?.some()?.rest();
        let mut extensions = self.0.vec16()?;
        // RFC 8446 section 4.4.2: none was asked for
        if !extensions.is_empty() {
            return Err(Fault::Extension(extensions.u16()?));
        }
        Ok(Some(der))
    }
}

/// Writes a message with the own chain, or with none.
pub(crate) fn write(w: &mut Writer<'_>, credential: Option<&impl Credential>) -> Result<(), Full> {
    write_message(w, kind::CERTIFICATE, |w| {
        w.vec8(|_| Ok(()))?;
        w.vec24(|w| {
            let Some(credential) = credential else { return Ok(()) };
            for index in 0.. {
                let Some(der) = credential.certificate(index) else { break };
                w.vec24(|w| w.put(der))?;
                w.vec16(|_| Ok(()))?;
            }
            Ok(())
        })
    })
}

/// Reads a CertificateVerify: the scheme and the signature.
pub(crate) fn read_verify(body: Reader<'_>) -> Result<(u16, &[u8]), Fault> {
    let mut reader = body;
    let scheme = reader.u16()?;
    let signature = reader.vec16()?.rest();
    reader.end()?;
    Ok((scheme, signature))
}

/// Writes a CertificateVerify.
pub(crate) fn write_verify(w: &mut Writer<'_>, signature: &[u8]) -> Result<(), Full> {
    write_message(w, kind::CERTIFICATE_VERIFY, |w| {
        w.u16(super::OWN_SCHEME)?;
        w.vec16(|w| w.put(signature))
    })
}
