//! The origin of a device's first credential: the factory, or the gateway for a voucher.

use super::model::{Enroll, Files};

/// The origin of a device's first credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstCredential<'a> {
    /// The factory: `security.tls.client.mtls`.
    Files(Files<'a>),
    /// The gateway, which gives it for a voucher.
    Voucher(VoucherFile<'a>),
}

/// The voucher of a device, and where it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherFile<'a> {
    /// The file with name and password.
    pub file: &'a str,
    /// The EST server for devices without a certificate.
    pub enroll: Enroll<'a>,
}
