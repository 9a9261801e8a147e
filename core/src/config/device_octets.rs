//! A device's configuration as octets: what its image holds in place of text, so that firmware needs no parser of JSON.
//! `edgetrust-hil image` writes them from a validated configuration, and the firmware reads them.
//!
//! | octets | |
//! |---|---|
//! | 8 | `EDGECONF` |
//! | 4 | [`DEVICE_OCTETS_VERSION`] |
//! | 4 | the number of octets behind |
//! | … | the fields of [`Device`], as the tables in this file list them |
//!
//! Numbers are little endian. A text or list begins with its length (2 octets), an optional value with 0 or 1. The digest
//! of the partition covers all octets; what a device has no room for is refused when it is read, with the field.

use core::time::Duration;

use pki_types::UnixTime;

use super::enroll::{Enroll, Remote};
use super::model::{Device, Files, FirstCredential, VoucherFile};
use crate::path::DeniedKey;
use crate::x509::KeyHash;

/// The version of the octets: another one for each change of a table in this file.
pub const DEVICE_OCTETS_VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"EDGECONF";

/// The fault of a device's configuration in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OctetsError {
    /// The octets are no configuration.
    Magic,
    /// The configuration is for other firmware, which reads this version.
    Version(u32),
    /// The octets are fewer or more than the header says.
    Length,
    /// The value of this field cannot be read, or the device has no room for it.
    Field(&'static str),
}

impl core::fmt::Display for OctetsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Magic => f.write_str("found other octets, expected a device's configuration"),
            Self::Version(found) => write!(f, "found version {found}, expected {DEVICE_OCTETS_VERSION}"),
            Self::Length => f.write_str("found another number of octets than the header says"),
            Self::Field(field) => write!(f, "{field}: found no value that a device has room for"),
        }
    }
}

impl core::error::Error for OctetsError {}

impl<'a> Device<'a> {
    /// Writes the configuration in octets; returns their number, or none if they do not fit.
    pub fn to_octets(&self, out: &mut [u8]) -> Option<usize> {
        let room = out.len();
        let (head, fields) = out.split_first_chunk_mut::<16>()?;
        let mut rest = Writer(fields);
        self.write(&mut rest)?;
        let written = room.checked_sub(16)?.checked_sub(rest.0.len())?;
        let mut head = Writer(head);
        head.put(&MAGIC)?;
        head.put(&DEVICE_OCTETS_VERSION.to_le_bytes())?;
        head.put(&u32::try_from(written).ok()?.to_le_bytes())?;
        written.checked_add(16)
    }

    /// Reads a configuration in octets.
    ///
    /// # Errors
    /// Returns the first fault.
    pub fn from_octets(octets: &'a [u8]) -> Result<Self, OctetsError> {
        let mut rest = Reader(octets);
        if rest.take() != Some(&MAGIC) {
            return Err(OctetsError::Magic);
        }
        let version = u32::read(&mut rest).ok_or(OctetsError::Length)?;
        if version != DEVICE_OCTETS_VERSION {
            return Err(OctetsError::Version(version));
        }
        let length = u32::read(&mut rest).ok_or(OctetsError::Length)?;
        if usize::try_from(length) != Ok(rest.0.len()) {
            return Err(OctetsError::Length);
        }
        let device = Self::fields(&mut rest)?;
        if rest.0.is_empty() { Ok(device) } else { Err(OctetsError::Length) }
    }
}

/// The room that is left.
struct Writer<'w>(&'w mut [u8]);

impl Writer<'_> {
    fn put(&mut self, octets: &[u8]) -> Option<()> {
        let (to, rest) = core::mem::take(&mut self.0).split_at_mut_checked(octets.len())?;
        to.copy_from_slice(octets);
        self.0 = rest;
        Some(())
    }
}

/// The octets that are left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }
}

/// A value in octets.
trait Octets<'a>: Sized {
    fn write(&self, to: &mut Writer<'_>) -> Option<()>;

    /// Reads the value; none if it is malformed or does not fit.
    fn read(from: &mut Reader<'a>) -> Option<Self>;
}

/// Lists the fields of a type in the order of their octets. A field that is missing here does not compile.
macro_rules! table {
    ($name:ident<'a> { $($field:ident),* $(,)? }) => {
        impl<'a> $name<'a> {
            fn fields(from: &mut Reader<'a>) -> Result<Self, OctetsError> {
                Ok(Self { $($field: Octets::read(from).ok_or(OctetsError::Field(stringify!($field)))?),* })
            }
        }

        impl<'a> Octets<'a> for $name<'a> {
            fn write(&self, to: &mut Writer<'_>) -> Option<()> {
                $(self.$field.write(to)?;)*
                Some(())
            }

            fn read(from: &mut Reader<'a>) -> Option<Self> {
                Self::fields(from).ok()
            }
        }
    };
}

table!(Device<'a> {
    ca_files,
    credential,
    gateway,
    server_name,
    server_issuers,
    denied_keys,
    websocket,
    report,
    interval_ms,
    enroll,
    renew_before_s,
    ntp,
});
table!(Files<'a> { cert_file, key_file });
table!(VoucherFile<'a> { file, enroll });
table!(Enroll<'a> { server, server_name });
table!(Remote<'a> { host, port });

impl<'a> Octets<'a> for FirstCredential<'a> {
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        match self {
            Self::Files(files) => {
                0_u8.write(to)?;
                files.write(to)
            }
            Self::Voucher(voucher) => {
                1_u8.write(to)?;
                voucher.write(to)
            }
        }
    }

    fn read(from: &mut Reader<'a>) -> Option<Self> {
        match u8::read(from)? {
            0 => Files::read(from).map(Self::Files),
            1 => VoucherFile::read(from).map(Self::Voucher),
            _ => None,
        }
    }
}

macro_rules! number {
    ($type:ty) => {
        impl<'a> Octets<'a> for $type {
            fn write(&self, to: &mut Writer<'_>) -> Option<()> {
                to.put(&self.to_le_bytes())
            }

            fn read(from: &mut Reader<'a>) -> Option<Self> {
                from.take().map(|octets| Self::from_le_bytes(*octets))
            }
        }
    };
}

number!(u8);
number!(u16);
number!(u32);
number!(u64);

impl<'a> Octets<'a> for &'a str {
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        u16::try_from(self.len()).ok()?.write(to)?;
        to.put(self.as_bytes())
    }

    fn read(from: &mut Reader<'a>) -> Option<Self> {
        let length = u16::read(from)?;
        let (text, rest) = from.0.split_at_checked(length.into())?;
        from.0 = rest;
        core::str::from_utf8(text).ok()
    }
}

impl<'a, T: Octets<'a>> Octets<'a> for Option<T> {
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        u8::from(self.is_some()).write(to)?;
        self.as_ref().map_or(Some(()), |value| value.write(to))
    }

    fn read(from: &mut Reader<'a>) -> Option<Self> {
        match u8::read(from)? {
            0 => Some(None),
            1 => T::read(from).map(Some),
            _ => None,
        }
    }
}

impl<'a, T: Octets<'a>, const N: usize> Octets<'a> for heapless::Vec<T, N> {
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        u16::try_from(self.len()).ok()?.write(to)?;
        self.iter().try_for_each(|value| value.write(to))
    }

    fn read(from: &mut Reader<'a>) -> Option<Self> {
        let mut list = Self::new();
        for _ in 0..u16::read(from)? {
            list.push(T::read(from)?).ok()?;
        }
        Some(list)
    }
}

impl<'a> Octets<'a> for KeyHash {
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        to.put(self.octets())
    }

    fn read(from: &mut Reader<'a>) -> Option<Self> {
        from.take().map(|octets| Self::new(*octets))
    }
}

impl<'a> Octets<'a> for DeniedKey {
    fn write(&self, to: &mut Writer<'_>) -> Option<()> {
        self.key.write(to)?;
        self.until.map(|until| until.as_secs()).write(to)
    }

    fn read(from: &mut Reader<'a>) -> Option<Self> {
        let key = KeyHash::read(from)?;
        let until = Option::<u64>::read(from)?.map(|until| UnixTime::since_unix_epoch(Duration::from_secs(until)));
        Some(Self { key, until })
    }
}
