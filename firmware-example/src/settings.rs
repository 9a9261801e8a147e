//! Reads the configuration in the partition, and the blobs that the configuration names.

use edgetrust_core::config::{Device, Enroll, Files, FirstCredential, MAX_DEVICE_ISSUERS, OctetsError, VoucherFile};
use edgetrust_core::path::Anchor;
use edgetrust_core::request::OneName;
use edgetrust_core::store::certificates;
use edgetrust_core::x509::{Certificate, KeyHash, ParseError};
use edgetrust_firmware::board::{Port, Selected};

use crate::blobs::{Blobs, BlobsError};

/// The configuration's name in the partition.
const CONFIG: &str = "config.bin";
/// The name of its text, which older firmware read and this one leaves to people.
const TEXT: &str = "config.json";
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
    /// The blob of this name cannot be read.
    Blob(&'static str, BlobsError),
    /// The partition has no blob of this name.
    Missing(&'static str),
    /// The image has the configuration as text alone: it was made for older firmware.
    ImageForOlderFirmware,
    /// The configuration is for other firmware, or invalid.
    Config(OctetsError),
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
    /// Reads the settings.
    ///
    /// # Errors
    /// Returns the key or the blob, and its fault.
    #[inline(never)]
    pub fn read(flash: &mut <Selected as Port>::Flash) -> Result<Self, SettingsError> {
        let mut blobs = Blobs::open(flash).map_err(SettingsError::Blobs)?;
        let octets = match find(&mut blobs, CONFIG)? {
            Some(octets) => octets,
            None if find(&mut blobs, TEXT)?.is_some() => return Err(SettingsError::ImageForOlderFirmware),
            None => return Err(SettingsError::Missing(CONFIG)),
        };
        let device = Device::from_octets(octets).map_err(SettingsError::Config)?;
        let mut anchors = heapless::Vec::new();
        for name in &device.ca_files {
            each_certificate(&mut blobs, name, &mut |anchor| {
                anchors.push(Anchor::new(anchor)).map_err(|_| SettingsError::TooManyAnchors)
            })?;
        }
        let mut server_issuers = heapless::Vec::new();
        let mut bind = |key| server_issuers.push(key).map_err(|_| SettingsError::TooManyIssuers);
        for name in &device.server_issuers {
            match KeyHash::parse(name) {
                Some(key) => bind(key)?,
                None => each_certificate(&mut blobs, name, &mut |issuer| {
                    bind(KeyHash::of(&issuer.subject_public_key_info()))
                })?,
            }
        }
        let first = match device.credential {
            FirstCredential::Files(Files { cert_file, key_file }) => {
                let certificate = certificates(blob(&mut blobs, cert_file)?).next();
                let certificate = certificate.ok_or(SettingsError::NoCertificate(cert_file))?;
                First::Factory { certificate, key: blob(&mut blobs, key_file)? }
            }
            FirstCredential::Voucher(VoucherFile { file, enroll }) => {
                let line = core::str::from_utf8(blob(&mut blobs, file)?).ok().filter(|line| line.len() <= MAX_VOUCHER);
                let parts = line.and_then(|line| Some((line, line.split_once(':')?.0)));
                let parts = parts.filter(|(_, name)| OneName::new(name).is_some());
                let (line, name) = parts.ok_or(SettingsError::Voucher(file))?;
                First::Voucher(Voucher { enroll, name, line })
            }
        };
        Ok(Self { device, anchors, server_issuers, first })
    }
}

/// Returns the blob of this name, if there is one.
fn find(blobs: &mut Blobs, name: &'static str) -> Result<Option<&'static [u8]>, SettingsError> {
    blobs.get(name).map_err(|error| SettingsError::Blob(name, error))
}

/// Returns the blob of this name.
fn blob(blobs: &mut Blobs, name: &'static str) -> Result<&'static [u8], SettingsError> {
    find(blobs, name)?.ok_or(SettingsError::Missing(name))
}

/// Calls `each` for every certificate in the blob of this name, of which there is at least one.
fn each_certificate(
    blobs: &mut Blobs,
    name: &'static str,
    each: &mut dyn FnMut(Certificate<'static>) -> Result<(), SettingsError>,
) -> Result<(), SettingsError> {
    let mut found = false;
    for der in certificates(blob(blobs, name)?) {
        each(Certificate::from_der(der).map_err(|error| SettingsError::Certificate(name, error))?)?;
        found = true;
    }
    if found { Ok(()) } else { Err(SettingsError::NoCertificate(name)) }
}
