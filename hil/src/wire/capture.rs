//! Writes frames to a file that Wireshark reads.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::SystemTime;

/// A capture of the frames on the cable.
#[derive(Debug)]
pub struct Capture(BufWriter<File>);

impl Capture {
    /// Creates the file.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        // pcap 2.4, microseconds, 64 KiB a frame, link type Ethernet.
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_536, 1] {
            file.write_all(&word.to_le_bytes())?;
        }
        Ok(Self(file))
    }

    /// Writes a frame with the current time, if it can be written.
    pub fn frame(&mut self, frame: &[u8]) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let mut record = Vec::with_capacity(frame.len() + 16);
        for word in [seconds, now.subsec_micros(), length, length] {
            record.extend(word.to_le_bytes());
        }
        record.extend(frame);
        // A capture decides nothing, and is for people.
        let _ = self.0.write_all(&record).and_then(|()| self.0.flush());
    }
}
