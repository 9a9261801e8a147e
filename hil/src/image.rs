//! The flash of a device as a file: QEMU's main memory, shared with this program.
//!
//! | offset | octets | |
//! |---|---|---|
//! | 0 | 64 KiB | named blobs: the configuration, compiled and as text, and the files that it names, certificates in DER, keys in PKCS #8 |
//! | 0x10000 | 16 KiB | slot A of the core's store |
//! | 0x14000 | 16 KiB | slot B |
//! | 0x20000 | 4 KiB | settings for the firmware from the test bench, and the firmware's reports |
//!
//! Numbers are little endian.

mod blobs;

use std::fs::{File, Permissions};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use blobs::{CONFIG, MadeFor};
use edgetrust_core::store::{Slot, SlotMedium, Store};

/// The size of the file in octets: the main memory of the board with the least. For others QEMU's file is longer.
const SIZE: u64 = 16 * 1024 * 1024;
const SLOT: u64 = 16 * 1024;
const SLOTS: u64 = 0x1_0000;

const RIG: u64 = 0x2_0000;
const RIG_MAGIC: u32 = 0x5249_4731;
/// The word that the firmware writes when it stops at its cut.
const RIG_STOPPED: u32 = 0xdead;

/// The settings that a test bench gives the firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rig {
    /// The operation on flash, counted from boot, at which the firmware stops for ever: each erased sector and each
    /// programmed word is one operation. 0: never.
    pub cut_at: u32,
    /// The number of seconds of the device's clock in each second; 0 means 1.
    pub clock_rate: u32,
    /// The device's own address with the length of its prefix, and its gateway, which is its DNS server too; by DHCP if
    /// there is none.
    pub addresses: Option<(Ipv4Addr, u8, Ipv4Addr)>,
}

/// A run of flash operations that fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlashFault {
    /// The number of operations that succeed before the first failure.
    #[serde(default)]
    pub after: u32,
    /// The number of operations that fail; 0 ends the failures.
    pub times: u32,
}

/// The firmware's report of its flash operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// The number of operations since boot.
    pub count: u32,
    /// True if the firmware stopped at its cut.
    pub stopped: bool,
}

/// A device's flash with its provisioned contents.
#[derive(Debug)]
pub struct Flash {
    path: PathBuf,
    file: File,
}

impl Flash {
    /// Creates a flash: erased but for a configuration and the files that the configuration names, read from `folder`.
    ///
    /// # Errors
    /// Fails if the configuration is invalid, a file is missing or malformed, or the partition is too small.
    pub fn create(path: &Path, config: &str, folder: &Path) -> Result<Self, String> {
        Self::create_for(path, config, folder, None)
    }

    /// Creates a flash likewise, with a voucher in place of the file that the configuration names.
    ///
    /// # Errors
    /// Fails as [`Flash::create`] does, and if the voucher is none.
    pub fn create_for(path: &Path, config: &str, folder: &Path, voucher: Option<&str>) -> Result<Self, String> {
        let partition = blobs::partition(config, folder, voucher, MadeFor::ThisFirmware)?;
        let flash = Self::erased(path).map_err(|error| format!("{}: {error}", path.display()))?;
        flash.write(&partition)?;
        Ok(flash)
    }

    /// Writes the partition anew, from a configuration and the files that it names. Must not be called while firmware
    /// runs on it.
    ///
    /// # Errors
    /// As [`Flash::create`].
    pub fn write_partition(&self, config: &str, folder: &Path, made_for: MadeFor) -> Result<(), String> {
        self.write(&blobs::partition(config, folder, None, made_for)?)
    }

    fn write(&self, partition: &[u8]) -> Result<(), String> {
        self.file.write_all_at(partition, 0).map_err(|error| format!("{}: {error}", self.path.display()))
    }

    /// Creates an erased flash, which its owner alone may read: keys and vouchers come into it.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn erased(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let blank = vec![0xff; 1024 * 1024];
        for offset in (0..SIZE).step_by(blank.len()) {
            file.write_all_at(&blank, offset)?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Opens an existing flash file.
    ///
    /// # Errors
    /// Fails if the file does not exist or is too short for a flash.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        if size < SIZE {
            let text = format!("{}: {size} octets, expected {SIZE} or more", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the core's store over the octets that the firmware uses. Must not be called while firmware runs on them.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn store(&self) -> io::Result<Store<Slots>> {
        let slots = Slots { file: self.file.try_clone()? };
        Store::new(slots).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Writes the settings for the next boot.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn set_rig(&self, rig: Rig) -> io::Result<()> {
        let number = |address: Ipv4Addr| u32::from_le_bytes(address.octets());
        let (own, prefix, gateway) =
            rig.addresses.map_or((0, 0, 0), |(own, prefix, gateway)| (number(own), u32::from(prefix), number(gateway)));
        let words = [RIG_MAGIC, rig.cut_at, 0, 0, rig.clock_rate, 0, 0, own, prefix, gateway];
        let octets: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.file.write_all_at(&octets, RIG)
    }

    /// Makes operations fail from now on, while the firmware runs.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn fail(&self, fault: FlashFault) -> io::Result<()> {
        let from = self.operations()?.count.saturating_add(1).saturating_add(fault.after);
        self.file.write_all_at(&RIG_MAGIC.to_le_bytes(), RIG)?;
        // The count is 0 while the fault is half written: no operation fails by a half-written fault.
        self.file.write_all_at(&0_u32.to_le_bytes(), RIG + 24)?;
        self.file.write_all_at(&from.to_le_bytes(), RIG + 20)?;
        self.file.write_all_at(&fault.times.to_le_bytes(), RIG + 24)
    }

    /// Returns the firmware's report since the settings were written.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn operations(&self) -> io::Result<Operations> {
        let [mut count, mut stopped] = [[0; 4]; 2];
        self.file.read_exact_at(&mut count, RIG + 8)?;
        self.file.read_exact_at(&mut stopped, RIG + 12)?;
        Ok(Operations { count: u32::from_le_bytes(count), stopped: u32::from_le_bytes(stopped) == RIG_STOPPED })
    }
}

/// The two slots of the store in a flash.
#[derive(Debug)]
pub struct Slots {
    file: File,
}

fn place(slot: Slot, offset: u32) -> u64 {
    let begin = match slot {
        Slot::A => SLOTS,
        Slot::B => SLOTS + SLOT,
    };
    begin + u64::from(offset)
}

impl SlotMedium for Slots {
    type Error = io::Error;

    const WRITE_SIZE: u32 = 4;

    fn capacity(&self) -> u32 {
        SLOT as u32
    }

    fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, place(slot, offset))
    }

    fn erase(&mut self, slot: Slot) -> io::Result<()> {
        self.file.write_all_at(&[0xff; SLOT as usize], place(slot, 0))
    }

    fn program(&mut self, slot: Slot, offset: u32, octets: &[u8]) -> io::Result<()> {
        let mut before = vec![0; octets.len()];
        self.read(slot, offset, &mut before)?;
        if before.iter().any(|octet| *octet != 0xff) {
            return Err(io::Error::other(format!("{slot}, offset {offset}: programmed twice")));
        }
        self.file.write_all_at(octets, place(slot, offset))
    }

    fn barrier(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::blobs::tests::{TEXT, folder};
    use super::*;
    use edgetrust_core::pki_types::UnixTime;
    use edgetrust_core::store::NewRecord;
    use std::time::Duration;

    #[test]
    fn a_record_is_stored_as_firmware_does_it() {
        let (folder, _, device) = folder();
        let flash = Flash::create(&folder.path().join("flash"), TEXT, folder.path()).unwrap();
        let mut store = flash.store().unwrap();
        assert_eq!(store.survey().selected().active, None);
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (key, chain) = (device.key.serialized_der(), &device.chain[0]);
        let record = NewRecord { key, chain, not_before: at(1), not_after: at(2), time_seen: at(1) };
        store.write(Slot::A, &record).unwrap();
        store.confirm(Slot::A).unwrap();
        // The same file, opened again.
        let again = Flash::open(flash.path()).unwrap();
        assert_eq!(again.store().unwrap().survey().selected().active, Some(Slot::A));
        std::fs::write(folder.path().join("short"), "").unwrap();
        assert!(Flash::open(&folder.path().join("short")).is_err());
    }

    #[test]
    fn a_flash_file_is_for_its_owner_alone() {
        let (folder, ..) = folder();
        let path = folder.path().join("flash");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        // It holds keys or a voucher, and may be there already.
        for left in [None, Some(0o644)] {
            if let Some(mode) = left {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            Flash::create(&path, TEXT, folder.path()).unwrap();
            assert_eq!(mode(), 0o600);
        }
    }

    #[test]
    fn the_bench_tells_and_hears() {
        let (folder, ..) = folder();
        let flash = Flash::erased(&folder.path().join("flash")).unwrap();
        flash.set_rig(Rig { cut_at: 7, clock_rate: 60, addresses: None }).unwrap();
        assert_eq!(flash.operations().unwrap(), Operations::default());
        let octets = std::fs::read(flash.path()).unwrap();
        assert_eq!(octets[RIG as usize..][..8], [0x31, 0x47, 0x49, 0x52, 7, 0, 0, 0]);
        // The words that the firmware writes at its cut.
        flash.file.write_all_at(&[7, 0, 0, 0, 0xad, 0xde, 0, 0], RIG + 8).unwrap();
        assert_eq!(flash.operations().unwrap(), Operations { count: 7, stopped: true });
    }
}
