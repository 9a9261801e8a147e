//! The CAs of this system.

use edgetrust_core::x509::Certificate;
use pki_types::CertificateDer;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct SystemRoots {
    /// Those that the core parses.
    pub usable: Vec<CertificateDer<'static>>,
    /// How many it does not: an old root that breaks RFC 5280 must not keep a client from the others.
    pub left_out: usize,
    /// Files that could not be read.
    pub errors: Vec<String>,
}

/// Reads the CAs of this system; `SSL_CERT_FILE` and `SSL_CERT_DIR` say where they are, if not in the usual place.
pub fn system_roots() -> SystemRoots {
    let found = rustls_native_certs::load_native_certs();
    let all = found.certs.len();
    let usable: Vec<_> = found.certs.into_iter().filter(|der| Certificate::from_der(der).is_ok()).collect();
    SystemRoots { left_out: all.saturating_sub(usable.len()), usable, errors: found.errors.iter().map(fault).collect() }
}

/// What is wrong; of malformed PEM no more than that, since its own words repeat the text, and what `SSL_CERT_FILE` names may be a key.
fn fault(error: &rustls_native_certs::Error) -> String {
    match error.kind {
        rustls_native_certs::ErrorKind::Pem(_) => format!("{}: malformed PEM", error.context),
        _ => error.to_string(),
    }
}
