//! The flash of a device as a file: QEMU's main memory, shared with this program.
//!
//! | offset | octets | |
//! |---|---|---|
//! | 0 | 64 KiB | named blobs: the configuration and the files that it names, certificates in DER, keys in PKCS #8 |
//! | 0x10000 | 16 KiB | slot A of the core's store |
//! | 0x14000 | 16 KiB | slot B |
//! | 0x20000 | 4 KiB | what the test bench tells the firmware, and hears of it |
//!
//! Numbers are little endian. A blob partition is `EDGEBLOB`, version, count; entries of 64 octets: name (48, filled up with NUL), offset,
//! length, 8 octets 0; then the blobs, each at a multiple of 4; the last 32 octets are the SHA-256 of all before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use edgetrust_core::config::{Config, CredentialSource};
use edgetrust_core::store::{Slot, SlotMedium, Store};
use sha2::{Digest, Sha256};

use crate::pem;

/// Octets of the whole: the main memory of the board.
pub const SIZE: u64 = 16 * 1024 * 1024;
/// The name of the configuration.
pub const CONFIG: &str = "config.json";

const PARTITION: usize = 64 * 1024;
const MAGIC: &[u8; 8] = b"EDGEBLOB";
const HEAD: usize = 16;
const ENTRY: usize = 64;
const NAME: usize = 48;
const DIGEST: usize = 32;

const SLOT: u64 = 16 * 1024;
const SLOTS: u64 = 0x1_0000;

const RIG: u64 = 0x2_0000;
const RIG_MAGIC: u32 = 0x5249_4731;
/// What a firmware that stopped at its cut writes.
const RIG_STOPPED: u32 = 0xdead;

/// What a test bench tells a firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rig {
    /// The operation on flash, counted from boot, at which the firmware stops for ever: each erased sector and each programmed word is
    /// one. 0: never.
    pub cut_at: u32,
    /// Seconds of the device in a second; 0 is 1.
    pub clock_rate: u32,
}

/// What a firmware did to its flash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Operations since boot.
    pub count: u32,
    /// It stopped at its cut.
    pub stopped: bool,
}

/// A flash with what a device is provisioned with.
#[derive(Debug)]
pub struct Flash {
    path: PathBuf,
    file: File,
}

impl Flash {
    /// A new one: all erased but for a configuration and the files that it names, which are looked for below `folder`.
    ///
    /// # Errors
    /// Where the configuration is none, a file is missing or not what it should be, or the partition is too small.
    pub fn create(path: &Path, config: &str, folder: &Path) -> Result<Self, String> {
        let partition = partition(&blobs(config, folder)?)?;
        let flash = Self::erased(path).map_err(|error| format!("{}: {error}", path.display()))?;
        flash.file.write_all_at(&partition, 0).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(flash)
    }

    /// A new one without anything.
    ///
    /// # Errors
    /// The system's.
    pub fn erased(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let blank = vec![0xff; 1024 * 1024];
        for offset in (0..SIZE).step_by(blank.len()) {
            file.write_all_at(&blank, offset)?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// One that is there.
    ///
    /// # Errors
    /// Where it is not there, or of another size.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        if size != SIZE {
            let text = format!("{}: {size} octets, expected {SIZE}", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The core's store, over the same octets as the firmware's. Not while a firmware runs on them.
    ///
    /// # Errors
    /// The system's.
    pub fn store(&self) -> io::Result<Store<Slots>> {
        let slots = Slots { file: self.file.try_clone()? };
        Store::new(slots).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Tells the next boot.
    ///
    /// # Errors
    /// The system's.
    pub fn set_rig(&self, rig: Rig) -> io::Result<()> {
        let words = [RIG_MAGIC, rig.cut_at, 0, 0, rig.clock_rate];
        let octets: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.file.write_all_at(&octets, RIG)
    }

    /// What the firmware did since it was told.
    ///
    /// # Errors
    /// The system's.
    pub fn operations(&self) -> io::Result<Operations> {
        let [mut count, mut stopped] = [[0; 4]; 2];
        self.file.read_exact_at(&mut count, RIG + 8)?;
        self.file.read_exact_at(&mut stopped, RIG + 12)?;
        Ok(Operations { count: u32::from_le_bytes(count), stopped: u32::from_le_bytes(stopped) == RIG_STOPPED })
    }
}

/// The configuration and the files that it names, as they go onto a device.
fn blobs(config: &str, folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut scratch = config.as_bytes().to_vec();
    let parsed = Config::parse(&mut scratch).map_err(|error| format!("{CONFIG}: {error}"))?;
    if parsed.device.is_none() {
        return Err(format!("{CONFIG}: device: not there, expected an object"));
    }
    let mut blobs = BTreeMap::from([(CONFIG.to_owned(), config.as_bytes().to_vec())]);
    let mut put = |name: &str, label: &str| -> Result<(), String> {
        blobs.insert(name.to_owned(), der(&folder.join(name), label)?);
        Ok(())
    };
    for name in &parsed.client.ca_files {
        put(name, "CERTIFICATE")?;
    }
    if let Some(CredentialSource::Files(files)) = &parsed.client.credential {
        put(files.cert_file, "CERTIFICATE")?;
        put(files.key_file, "PRIVATE KEY")?;
    }
    Ok(blobs)
}

/// The blocks of a PEM file, one after the other.
fn der(path: &Path, label: &str) -> Result<Vec<u8>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let blocks = pem::decode(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    match blocks.iter().find(|(found, _)| found != label) {
        Some((found, _)) => Err(format!("{}: found {found}, expected {label}", path.display())),
        None if blocks.is_empty() => Err(format!("{}: no {label} in it", path.display())),
        None => Ok(blocks.into_iter().flat_map(|(_, der)| der).collect()),
    }
}

/// A blob partition.
fn partition(blobs: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, String> {
    let word = |number: usize| u32::try_from(number).map(u32::to_le_bytes).map_err(|_| "too large".to_owned());
    let mut head = [&MAGIC[..], &word(1)?, &word(blobs.len())?].concat();
    let mut contents = Vec::new();
    let begin = HEAD + ENTRY * blobs.len();
    for (name, blob) in blobs {
        let mut entry = [0; ENTRY];
        let room = entry[..NAME].get_mut(..name.len());
        room.ok_or(format!("{name}: longer than {NAME} octets"))?.copy_from_slice(name.as_bytes());
        entry[NAME..NAME + 4].copy_from_slice(&word(begin + contents.len())?);
        entry[NAME + 4..NAME + 8].copy_from_slice(&word(blob.len())?);
        head.extend_from_slice(&entry);
        contents.extend_from_slice(blob);
        contents.resize(contents.len().next_multiple_of(4), 0xff);
    }
    head.extend_from_slice(&contents);
    if head.len() > PARTITION - DIGEST {
        return Err(format!("{} octets of blobs, at most {}", head.len(), PARTITION - DIGEST));
    }
    head.resize(PARTITION - DIGEST, 0xff);
    let digest = Sha256::digest(&head);
    head.extend_from_slice(&digest);
    Ok(head)
}

/// The two slots of a flash.
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
    use super::*;
    use crate::pki::{Pki, Wish};
    use edgetrust_core::pki_types::UnixTime;
    use edgetrust_core::store::NewRecord;
    use std::time::Duration;
    use tempfile::TempDir;

    const CONFIG_TEXT: &str = r#"{
        // Comments are allowed.
        "security": {"tls": {"client": {"ca_files": ["roots.pem"],
            "mtls": {"enabled": true, "cert_file": "device.pem", "key_file": "device.key"}}}},
        "device": {"gateway": "gateway.a.example:8443", "websocket": "/telemetry"}
    }"#;

    fn folder() -> (TempDir, Pki, crate::pki::Credential) {
        let (folder, pki) = (tempfile::tempdir().unwrap(), Pki::new());
        let device = pki.device(&Wish::client("sensor-7.a.example"));
        let roots = pki.root.pem() + &pki.stranger.pem();
        for (name, text) in [("roots.pem", roots), ("device.pem", device.chain_pem()), ("device.key", device.key_pem())]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        (folder, pki, device)
    }

    /// A blob as firmware finds it.
    fn blob(octets: &[u8], name: &str) -> Option<Vec<u8>> {
        let number = |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((&octets[..8], number(8)), (&MAGIC[..], 1));
        (0..number(12)).map(|entry| HEAD + ENTRY * entry).find_map(|entry| {
            let found = std::str::from_utf8(&octets[entry..entry + NAME]).unwrap().trim_end_matches('\0');
            let (offset, length) = (number(entry + NAME), number(entry + NAME + 4));
            assert_eq!(offset % 4, 0);
            (found == name).then(|| octets[offset..offset + length].to_vec())
        })
    }

    #[test]
    fn what_a_configuration_names_is_on_the_flash_in_der() {
        let (folder, pki, device) = folder();
        let flash = Flash::create(&folder.path().join("flash"), CONFIG_TEXT, folder.path()).unwrap();
        let octets = std::fs::read(flash.path()).unwrap();
        assert_eq!(octets.len() as u64, SIZE);
        assert_eq!(blob(&octets, CONFIG).as_deref(), Some(CONFIG_TEXT.as_bytes()));
        assert_eq!(blob(&octets, "roots.pem"), Some([pki.root.der, pki.stranger.der].concat()));
        assert_eq!(blob(&octets, "device.pem").as_ref(), device.chain.first());
        assert_eq!(blob(&octets, "device.key").as_deref(), Some(device.key.serialized_der()));
        assert_eq!(blob(&octets, "other"), None);
        let (before, digest) = octets[..PARTITION].split_at(PARTITION - DIGEST);
        assert_eq!(digest, &Sha256::digest(before)[..]);
        assert!(octets[PARTITION..].iter().all(|octet| *octet == 0xff), "the rest is erased");
    }

    #[test]
    fn what_cannot_be_a_devices_is_refused() {
        let (folder, ..) = folder();
        let path = folder.path().join("flash");
        let error = |config: &str| Flash::create(&path, config, folder.path()).unwrap_err();
        assert!(error("{").contains("config.json"), "{}", error("{"));
        assert!(error("{}").contains("device: not there"), "{}", error("{}"));
        let missing = CONFIG_TEXT.replace("roots.pem", "none.pem");
        assert!(error(&missing).contains("none.pem"), "{}", error(&missing));
        let swapped = CONFIG_TEXT.replace("device.key", "device.pem");
        assert!(error(&swapped).contains("found CERTIFICATE, expected PRIVATE KEY"), "{}", error(&swapped));
        let long = CONFIG_TEXT.replace("roots.pem", &"r".repeat(60));
        std::fs::copy(folder.path().join("roots.pem"), folder.path().join("r".repeat(60))).unwrap();
        assert!(error(&long).contains("longer than 48 octets"), "{}", error(&long));
        std::fs::write(folder.path().join("roots.pem"), Pki::new().root.pem().repeat(200)).unwrap();
        assert!(error(CONFIG_TEXT).contains("octets of blobs"), "{}", error(CONFIG_TEXT));
    }

    #[test]
    fn a_record_is_stored_as_firmware_does_it() {
        let (folder, _, device) = folder();
        let flash = Flash::create(&folder.path().join("flash"), CONFIG_TEXT, folder.path()).unwrap();
        let mut store = flash.store().unwrap();
        assert_eq!(store.survey().selected().active, None);
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (key, chain) = (device.key.serialized_der(), &device.chain[0]);
        let record = NewRecord { key, chain, not_before: at(1), not_after: at(2), time_seen: at(1) };
        store.write(Slot::A, &record).unwrap();
        store.confirm(Slot::A).unwrap();
        // Another look at the same file.
        let again = Flash::open(flash.path()).unwrap();
        assert_eq!(again.store().unwrap().survey().selected().active, Some(Slot::A));
        std::fs::write(folder.path().join("short"), "").unwrap();
        assert!(Flash::open(&folder.path().join("short")).is_err());
    }

    #[test]
    fn the_bench_tells_and_hears() {
        let (folder, ..) = folder();
        let flash = Flash::erased(&folder.path().join("flash")).unwrap();
        flash.set_rig(Rig { cut_at: 7, clock_rate: 60 }).unwrap();
        assert_eq!(flash.operations().unwrap(), Operations::default());
        let octets = std::fs::read(flash.path()).unwrap();
        assert_eq!(octets[RIG as usize..][..8], [0x31, 0x47, 0x49, 0x52, 7, 0, 0, 0]);
        // As the firmware does it.
        flash.file.write_all_at(&[7, 0, 0, 0, 0xad, 0xde, 0, 0], RIG + 8).unwrap();
        assert_eq!(flash.operations().unwrap(), Operations { count: 7, stopped: true });
    }
}
