//! Reads the configuration in the partition, and the blobs that the configuration names.

use edgetrust_core::config::{ConfigError, Device, Enroll, Files, FirstCredential, MAX_DEVICE_ISSUERS, VoucherFile};
use edgetrust_core::path::Anchor;
use edgetrust_core::request::OneName;
use edgetrust_core::store::certificates;
use edgetrust_core::x509::{Certificate, KeyHash, ParseError};
use static_cell::ConstStaticCell;

use crate::blobs::{Blobs, BlobsError};

/// The configuration's name in the partition.
const CONFIG: &str = "config.json";
/// The maximum size of a configuration in octets: it is decoded in memory.
const MAX_CONFIG: usize = 2048;
/// The maximum size of a voucher in octets.
pub const MAX_VOUCHER: usize = 128;
/// The maximum number of CAs and pins.
pub const MAX_ANCHORS: usize = 4;

/// The settings of the device.
pub struct Settings {
    /// The `device` section.
    pub device: Device<'static>,
    /// The trust anchors.
    pub anchors: heapless::Vec<Anchor<'static>, MAX_ANCHORS>,
    /// The keys of the CAs that the gateway's certificate must come from; empty for any.
    pub server_issuers: heapless::Vec<KeyHash, MAX_DEVICE_ISSUERS>,
    /// The credential from the factory, or the voucher for one.
    pub first: First,
}

/// The origin of the device's first credential.
#[derive(Clone, Copy)]
pub enum First {
    /// The factory.
    Factory {
        /// The certificate in DER.
        certificate: &'static [u8],
        /// Its key in PKCS #8.
        key: &'static [u8],
    },
    /// The gateway, which takes this voucher for one.
    Voucher(Voucher),
}

/// A voucher.
#[derive(Clone, Copy)]
pub struct Voucher {
    /// The EST server that takes it.
    pub enroll: Enroll<'static>,
    /// The device's name.
    pub name: &'static str,
    /// Name and password, with a colon between them (RFC 7617 section 2).
    pub line: &'static str,
}

/// The reason for which the settings cannot be read.
#[derive(defmt::Format)]
pub enum SettingsError {
    /// The partition is invalid.
    Blobs(BlobsError),
    /// The partition has no blob of this name.
    Missing(&'static str),
    /// The configuration is larger than its memory.
    TooLong(usize),
    /// The configuration is invalid.
    Config(ConfigError<'static>),
    /// A certificate in the blob of this name is malformed.
    Certificate(&'static str, ParseError),
    /// This blob has no certificate.
    NoCertificate(&'static str),
    /// More CAs than [`MAX_ANCHORS`].
    TooManyAnchors,
    /// This blob is no line of name and password, or the name is none for a certificate.
    Voucher(&'static str),
    /// A file of issuers has more CAs than [`MAX_DEVICE_ISSUERS`] leave.
    TooManyIssuers,
}

impl Settings {
    /// Reads the settings; may be called once.
    ///
    /// # Errors
    /// Returns the key or the blob, and its fault.
    #[inline(never)]
    pub fn read(partition: &'static [u8]) -> Result<Self, SettingsError> {
        static TEXT: ConstStaticCell<[u8; MAX_CONFIG]> = ConstStaticCell::new([0; MAX_CONFIG]);
        let blobs = Blobs::open(partition).map_err(SettingsError::Blobs)?;
        let json = blobs.get(CONFIG).ok_or(SettingsError::Missing(CONFIG))?;
        let text = TEXT.take().get_mut(..json.len()).ok_or(SettingsError::TooLong(json.len()))?;
        text.copy_from_slice(json);
        let device = Device::parse(text).map_err(SettingsError::Config)?;
        let mut anchors = heapless::Vec::new();
        for name in &device.ca_files {
            each_certificate(&blobs, name, &mut |anchor| {
                anchors.push(Anchor::new(anchor)).map_err(|_| SettingsError::TooManyAnchors)
            })?;
        }
        let mut server_issuers = heapless::Vec::new();
        let mut bind = |key| server_issuers.push(key).map_err(|_| SettingsError::TooManyIssuers);
        for name in &device.server_issuers {
            match KeyHash::parse(name) {
                Some(key) => bind(key)?,
                None => {
                    each_certificate(&blobs, name, &mut |issuer| bind(KeyHash::of(&issuer.subject_public_key_info())))?
                }
            }
        }
        let blob = |name| blobs.get(name).ok_or(SettingsError::Missing(name));
        let first = match device.credential {
            FirstCredential::Files(Files { cert_file, key_file }) => {
                let certificate = certificates(blob(cert_file)?).next();
                let certificate = certificate.ok_or(SettingsError::NoCertificate(cert_file))?;
                First::Factory { certificate, key: blob(key_file)? }
            }
            FirstCredential::Voucher(VoucherFile { file, enroll }) => {
                let line = core::str::from_utf8(blob(file)?).ok().filter(|line| line.len() <= MAX_VOUCHER);
                let parts = line.and_then(|line| Some((line, line.split_once(':')?.0)));
                let parts = parts.filter(|(_, name)| OneName::new(name).is_some());
                let (line, name) = parts.ok_or(SettingsError::Voucher(file))?;
                First::Voucher(Voucher { enroll, name, line })
            }
        };
        Ok(Self { device, anchors, server_issuers, first })
    }
}

/// Calls `each` for every certificate in the blob of this name, of which there is at least one.
fn each_certificate(
    blobs: &Blobs,
    name: &'static str,
    each: &mut dyn FnMut(Certificate<'static>) -> Result<(), SettingsError>,
) -> Result<(), SettingsError> {
    let blob = blobs.get(name).ok_or(SettingsError::Missing(name))?;
    let mut found = false;
    for der in certificates(blob) {
        each(Certificate::from_der(der).map_err(|error| SettingsError::Certificate(name, error))?)?;
        found = true;
    }
    if found { Ok(()) } else { Err(SettingsError::NoCertificate(name)) }
}
