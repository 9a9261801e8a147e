//! Reads the CAs of this system.

use edgetrust_core::x509::Certificate;
use pki_types::CertificateDer;

/// The CAs found on this system.
#[derive(Clone, Debug, Default)]
pub struct SystemRoots {
    /// The CAs that the core parses.
    pub usable: Vec<CertificateDer<'static>>,
    /// The number of CAs that the core does not parse: an old root that breaks RFC 5280 must not keep out the others.
    pub left_out: usize,
    /// The files that could not be read.
    pub errors: Vec<String>,
}

/// Reads the CAs of this system, from `SSL_CERT_FILE` and `SSL_CERT_DIR` if set, else from the usual place.
pub fn system_roots() -> SystemRoots {
    let found = rustls_native_certs::load_native_certs();
    let all = found.certs.len();
    let usable: Vec<_> = found.certs.into_iter().filter(|der| Certificate::from_der(der).is_ok()).collect();
    SystemRoots { left_out: all.saturating_sub(usable.len()), usable, errors: found.errors.iter().map(fault).collect() }
}

/// Describes an error. Malformed PEM is not described further: the library's message repeats the text, and
/// `SSL_CERT_FILE` may name a key.
fn fault(error: &rustls_native_certs::Error) -> String {
    match error.kind {
        rustls_native_certs::ErrorKind::Pem(_) => format!("{}: malformed PEM", error.context),
        _ => error.to_string(),
    }
}
