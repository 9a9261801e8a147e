//! Configured certificates: CAs and pins.

use crate::x509::{Certificate, KeyUsage};

/// The role of a configured certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The certificate vouches for certificates that its key issued, and is no peer itself.
    Ca,
    /// The certificate vouches only for a peer that shows this certificate, octet by octet.
    Pin,
}

/// A configured certificate and its role.
#[derive(Clone, Copy, Debug)]
pub struct Anchor<'a> {
    certificate: Certificate<'a>,
    role: Role,
}

impl<'a> Anchor<'a> {
    /// Creates an anchor in the role that the certificate states. A CA has both cA and keyCertSign
    /// (RFC 5280 section 4.2.1.3 demands both of an issuer). Every other certificate is a pin, including one by
    /// `openssl req -x509`, which has cA alone, as any self-signed certificate of a peer has.
    pub fn new(certificate: Certificate<'a>) -> Self {
        Self { certificate, role: role(&certificate, false) }
    }

    /// Creates an anchor from a certificate that a third party, such as a system's store, vouches for as a CA. The
    /// certificate may lack a key usage, as old roots do.
    pub fn ca(certificate: Certificate<'a>) -> Self {
        Self { certificate, role: role(&certificate, true) }
    }

    /// Creates a pin, whatever the certificate states.
    pub fn pin(certificate: Certificate<'a>) -> Self {
        Self { certificate, role: Role::Pin }
    }

    /// Returns the certificate.
    pub fn certificate(&self) -> &Certificate<'a> {
        &self.certificate
    }

    /// Returns the role.
    pub fn role(&self) -> Role {
        self.role
    }
}

fn role(certificate: &Certificate<'_>, signs_by_default: bool) -> Role {
    let extensions = certificate.extensions();
    let is_ca = extensions.basic_constraints.is_some_and(|constraints| constraints.ca);
    let signs = extensions.key_usage.map_or(signs_by_default, |usage| usage.contains(KeyUsage::KEY_CERT_SIGN));
    if is_ca && signs { Role::Ca } else { Role::Pin }
}
