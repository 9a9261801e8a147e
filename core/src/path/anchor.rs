//! A configured certificate: a CA, or a pin.

use crate::x509::{Certificate, KeyUsage};

/// What a configured certificate vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// For what its key issued; it is no peer itself.
    Ca,
    /// For the peer that shows it, octet by octet, and for nobody else.
    Pin,
}

/// A configured certificate, and what it vouches for.
#[derive(Clone, Copy, Debug)]
pub struct Anchor<'a> {
    certificate: Certificate<'a>,
    role: Role,
}

impl<'a> Anchor<'a> {
    /// A certificate that is what it says. A CA says so twice, by cA and by keyCertSign (RFC 5280 section 4.2.1.3 demands both of whoever
    /// issues); every other is a pin, and so is what `openssl req -x509` makes: cA alone, which any self-signed certificate of a peer has.
    pub fn new(certificate: Certificate<'a>) -> Self {
        Self { certificate, role: role(&certificate, false) }
    }

    /// A certificate that somebody else vouches for as a CA, as a system's store does: it may lack a key usage, as roots of old do.
    pub fn ca(certificate: Certificate<'a>) -> Self {
        Self { certificate, role: role(&certificate, true) }
    }

    /// A pin, whatever the certificate says.
    pub fn pin(certificate: Certificate<'a>) -> Self {
        Self { certificate, role: Role::Pin }
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate<'a> {
        &self.certificate
    }

    /// What it vouches for.
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
