//! Reads the partition: a table of named blobs, in place of files.
//!
//! | octets | |
//! |---|---|
//! | 8 | `EDGEBLOB` |
//! | 4, 4 | version 1; number of entries |
//! | 64 each | name (48, UTF-8, padded with NUL), offset, length (4 each), 8 of zero |
//! | … | the blobs, each at a multiple of four |
//! | last 32 | SHA-256 of all octets before |
//!
//! Numbers are little endian. Certificates are DER, those of one file one after the other; keys are PKCS #8 in DER.

use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"EDGEBLOB\x01\0\0\0";
const ENTRY: usize = 64;
const NAME: usize = 48;
const DIGEST: usize = 32;

/// The reason for which there are no blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum BlobsError {
    /// The partition does not begin with a table of version 1.
    Magic,
    /// The digest differs from the one that was written.
    Digest,
}

/// The table of blobs.
#[derive(Clone, Copy)]
pub struct Blobs(&'static [u8]);

fn number(octets: &[u8]) -> Option<usize> {
    let four = octets.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*four)).ok()
}

impl Blobs {
    /// Opens a partition, and checks its digest.
    ///
    /// # Errors
    /// Fails if the partition was never written, or not completely.
    pub fn open(partition: &'static [u8]) -> Result<Self, BlobsError> {
        let (content, digest) = partition.split_last_chunk::<DIGEST>().ok_or(BlobsError::Magic)?;
        if !content.starts_with(MAGIC) {
            return Err(BlobsError::Magic);
        }
        let found: [u8; DIGEST] = Sha256::digest(content).into();
        if found == *digest { Ok(Self(content)) } else { Err(BlobsError::Digest) }
    }

    /// Returns the blob of this name.
    pub fn get(&self, name: &str) -> Option<&'static [u8]> {
        let count = number(self.0.get(MAGIC.len()..)?)?;
        let table = self.0.get(MAGIC.len().checked_add(4)?..)?;
        let (entries, _) = table.as_chunks::<ENTRY>();
        let entry = entries.iter().take(count).find(|entry| {
            let written = entry.get(..NAME).unwrap_or_default();
            let end = written.iter().position(|octet| *octet == 0).unwrap_or(NAME);
            written.get(..end) == Some(name.as_bytes())
        })?;
        let (offset, length) = (number(entry.get(NAME..)?)?, number(entry.get(NAME.checked_add(4)?..)?)?);
        self.0.get(offset..offset.checked_add(length)?)
    }
}
