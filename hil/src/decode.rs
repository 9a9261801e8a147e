//! Decodes the log output of firmware: defmt frames by the firmware's own table, or plain text if there is no table.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use defmt_decoder::{DecodeError, Location, Table};

use crate::log::Log;

/// A decoder for the output of one firmware.
pub struct Decoder {
    firmware: PathBuf,
    table: Option<Table>,
    locations: std::collections::BTreeMap<u64, Location>,
}

impl Decoder {
    /// Creates a decoder for an ELF file; any other file is taken for an image that logs text.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or its table has an unknown version.
    pub fn of(firmware: &Path) -> io::Result<Self> {
        let file = fs::read(firmware)?;
        if !file.starts_with(b"\x7fELF") {
            return Ok(Self { firmware: firmware.to_owned(), table: None, locations: Default::default() });
        }
        let bad = |error| io::Error::other(format!("{}: {error:#}", firmware.display()));
        let table = Table::parse(&file).map_err(bad)?;
        let locations = match &table {
            // A stripped file has a table and no locations.
            Some(table) => table.get_locations(&file).unwrap_or_default(),
            None => Default::default(),
        };
        Ok(Self { firmware: firmware.to_owned(), table, locations })
    }

    /// Reads the output to its end into the log.
    pub fn read(&self, output: impl Read, log: &Log) {
        match &self.table {
            Some(table) => self.frames(table, output, log),
            None => text(output, log),
        }
    }

    fn frames(&self, table: &Table, mut output: impl Read, log: &Log) {
        let mut decoder = table.new_stream_decoder();
        let mut octets = [0; 4096];
        loop {
            match output.read(&mut octets) {
                Ok(0) => return,
                Ok(count) => decoder.received(&octets[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            loop {
                match decoder.decode() {
                    Ok(frame) => {
                        let place = self.locations.get(&frame.index());
                        let place = place.map(|place| format!("{}:{}", place.file.display(), place.line));
                        let timestamp = frame.display_timestamp().map(|time| time.to_string());
                        let level = frame.level().map(|level| match level.as_str() {
                            "trace" => "TRACE",
                            "debug" => "DEBUG",
                            "info" => "INFO",
                            "warn" => "WARN",
                            _ => "ERROR",
                        });
                        let mut text = frame.display_message().to_string();
                        if let Some(source) = fault(&text).and_then(|address| source_of(&self.firmware, address)) {
                            text = format!("{text}, {source}");
                        }
                        log.push(level, timestamp, text, place);
                    }
                    Err(DecodeError::UnexpectedEof) => break,
                    Err(DecodeError::Malformed) => {
                        log.note("a frame that cannot be decoded");
                        if !table.encoding().can_recover() {
                            return;
                        }
                    }
                }
            }
        }
    }
}

/// Returns the address of a fault that the firmware logs.
fn fault(text: &str) -> Option<&str> {
    let (_, address) = text.rsplit_once("fault at ")?;
    address.strip_prefix("0x")?.chars().all(|digit| digit.is_ascii_hexdigit()).then_some(address)
}

/// Returns the source of an instruction, with the places that it was inlined into; none without binutils. A panic of the
/// profile `small` is a fault whose place only the ELF file knows.
fn source_of(firmware: &Path, address: &str) -> Option<String> {
    let mut addr2line = Command::new("addr2line");
    addr2line.args(["-i", "-e"]).arg(firmware).arg(address).stdin(Stdio::null());
    let places = addr2line.output().ok().filter(|output| output.status.success())?;
    let places = String::from_utf8_lossy(&places.stdout).lines().collect::<Vec<_>>().join(", in ");
    Some(places).filter(|places| !places.is_empty())
}

/// Reads lines of text into the log.
pub(crate) fn text(output: impl Read, log: &Log) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        log.push(None, None, String::from_utf8_lossy(&line).trim_end().to_owned(), None);
        line.clear();
    }
}

/// Runs `read` in a thread, which ends with the output.
pub(crate) fn in_thread(
    name: &str,
    log: &Arc<Log>,
    read: impl FnOnce(&Log) + Send + 'static,
) -> io::Result<std::thread::JoinHandle<()>> {
    let log = Arc::clone(log);
    std::thread::Builder::new().name(name.into()).spawn(move || read(&log))
}
