//! Reads the configuration in the partition, and the blobs that the configuration names.

use edgetrust_core::config::{Device, MAX_DEVICE_ISSUERS, OctetsError};
use edgetrust_core::path::Anchor;
use edgetrust_core::store::certificates;
use edgetrust_core::x509::{Certificate, KeyHash, ParseError};
use edgetrust_firmware::board::{Port, Selected};

use crate::blobs::{Blobs, BlobsError};

/// The configuration's name in the partition.
const CONFIG: &str = "config.bin";
/// The name of its text, which older firmware read and this one leaves to people.
const TEXT: &str = "config.json";
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
    /// The certificate from the factory in DER.
    pub first_certificate: &'static [u8],
    /// The key of the factory's certificate in PKCS #8.
    pub first_key: &'static [u8],
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
        let (cert_file, key_file) = (device.credential.cert_file, device.credential.key_file);
        let chain = blob(&mut blobs, cert_file)?;
        let first_certificate = certificates(chain).next().ok_or(SettingsError::NoCertificate(cert_file))?;
        let first_key = blob(&mut blobs, key_file)?;
        Ok(Self { device, anchors, server_issuers, first_certificate, first_key })
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
