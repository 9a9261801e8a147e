//! Writes lines to the file, each by one call. A line that the disk refuses is lost, and the file says later how many were.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tracing::info;

use super::file::AuditFile;
use super::line;
use super::queue::{Item, Taken};
use super::shared::Shared;

/// The interval at which the thread looks while lines are folded, or the disk refuses lines.
const LOOK: Duration = Duration::from_secs(1);
/// The longest wait for a line.
const IDLE: Duration = Duration::from_secs(3600);

/// The part of the log that the thread owns.
pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Option<AuditFile>,
    /// True if the file ends with a part of a line.
    is_torn: bool,
    /// The number of lost lines that the file says.
    said: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, file: None, is_torn: false, said: 0 }
    }

    /// Writes for as long as the process lives.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            let patience = if shared.fault.load().is_some() || !self.shared.folds().is_empty() { LOOK } else { IDLE };
            let Taken { items, flushing } = shared.queue.take(patience);
            for item in items {
                match item {
                    Item::File(file) => self.turn_to(file),
                    Item::Line(line) => {
                        self.write(&line);
                        shared.queue.is_done(&line);
                    }
                }
            }
            let folded = self.shared.folds().due(Instant::now(), flushing);
            folded.iter().for_each(|line| self.write(line));
            // The disk may take lines again, even if nobody has one.
            self.say_lost();
            shared.queue.all_done();
        }
    }

    /// Takes another file. It may be the same one, or one that an earlier process has left with a part of a line.
    fn turn_to(&mut self, file: Option<AuditFile>) {
        let identity = |file: &Option<AuditFile>| file.as_ref().map(AuditFile::identity);
        let stays_torn = self.is_torn && identity(&self.file) == identity(&file);
        self.is_torn = stays_torn || file.as_ref().is_some_and(AuditFile::is_torn);
        self.file = file;
    }

    fn write(&mut self, line: &[u8]) {
        if self.file.is_none() {
            return;
        }
        if self.say_lost() {
            match self.put(line) {
                Ok(()) => {
                    self.shared.written.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.shared.lose(1, &error.to_string()),
            }
        } else {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes how many lines were lost since it was said last; returns whether the disk takes lines.
    fn say_lost(&mut self) -> bool {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost == self.said || self.file.is_none() {
            return true;
        }
        let lines = lost.saturating_sub(self.said);
        let fault = self.shared.fault.load_full();
        let reason = fault.as_deref().map(String::as_str).unwrap_or_default();
        let said = line::line("lines_lost", &json!({"lines": lines, "reason": reason}));
        match said.map_err(io::Error::from).and_then(|line| self.put(&line)) {
            Ok(()) => {
                self.said = lost;
                self.shared.written.fetch_add(1, Ordering::Relaxed);
                self.shared.fault.store(None);
                info!(lines, "the audit log is written again");
                true
            }
            Err(error) => {
                self.shared.fault.store(Some(Arc::new(error.to_string())));
                false
            }
        }
    }

    /// Writes a line; after a part of one, on a line of its own.
    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(AuditFile { file, .. }) = &self.file else { return Ok(()) };
        let mut octets = Vec::with_capacity(line.len().saturating_add(1));
        if self.is_torn {
            octets.push(b'\n');
        }
        octets.extend_from_slice(line);
        let (written, result) = write_all(file, &octets);
        if written > 0 {
            self.is_torn = written < octets.len();
        }
        result
    }
}

/// Records one event of a command, in the file to which the gateway may write meanwhile.
///
/// # Errors
/// Fails if the line cannot be written as a whole.
pub(crate) fn record_once(file: AuditFile, event: &str, fields: &impl Serialize) -> io::Result<()> {
    let line = line::line(event, fields)?;
    let mut writer = Writer::new(Arc::default());
    writer.turn_to(Some(file));
    writer.put(&line)
}

/// Writes octets by one call, or by more if the system takes a part of them; returns how many were written.
fn write_all(mut file: &File, octets: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0_usize;
    while let Some(rest) = octets.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written = written.saturating_add(more),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;

    use serde_json::Value;

    fn to_pipe(log: &Arc<Shared>) -> (Writer, io::PipeReader) {
        let (reader, pipe) = io::pipe().unwrap();
        rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::NONBLOCK).unwrap();
        let file = AuditFile::of(PathBuf::from("/audit.log"), File::from(OwnedFd::from(pipe)));
        (Writer { file: Some(file), ..Writer::new(log.clone()) }, reader)
    }

    #[test]
    fn a_part_of_a_line_that_was_left_ends_before_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut writer = Writer::new(Arc::default());
        for (left, expected) in [("{\"time\":", 2), ("{}\n", 2), ("", 1)] {
            std::fs::write(&path, left).unwrap();
            writer.turn_to(Some(AuditFile::open(&path).unwrap()));
            writer.write(&line::line("started", &json!({})).unwrap());
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), expected, "{text}");
            let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(last["event"], "started");
        }
        // A file that was made anew is another one.
        writer.is_torn = true;
        std::fs::remove_file(&path).unwrap();
        writer.turn_to(Some(AuditFile::open(&path).unwrap()));
        assert!(!writer.is_torn);
    }

    #[test]
    fn a_line_that_the_disk_cuts_stands_alone_and_the_file_says_what_was_lost() {
        let log = Arc::<Shared>::default();
        let (mut writer, mut reader) = to_pipe(&log);
        // Longer than what a pipe takes as a whole (pipe(7)), so that a part of one is written.
        let long = line::line("refused", &json!({"reason": "x".repeat(5_000)})).unwrap();
        let mut recorded = 0;
        while log.lost.load(Ordering::Relaxed) < 3 {
            writer.write(&long);
            recorded += 1;
        }
        assert!(log.fault.load().is_some() && !writer.say_lost());
        let mut first = vec![0; 256 * 1024];
        let length = reader.read(&mut first).unwrap();
        // The disk takes lines again.
        assert!(writer.say_lost());
        writer.write(&long);
        assert!(log.fault.load().is_none());
        drop(writer);
        first.truncate(length);
        reader.read_to_end(&mut first).unwrap();
        let text = String::from_utf8(first).unwrap();
        let (whole, cut): (Vec<_>, Vec<_>) = text.lines().partition(|line| serde_json::from_str::<Value>(line).is_ok());
        assert_eq!(cut.len(), 1, "{cut:?}");
        let said: Vec<Value> = whole.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let refused = said.iter().filter(|line| line["event"] == "refused").count();
        assert_eq!(refused + 3, recorded + 1);
        let lost = &said[said.len() - 2];
        assert_eq!((&lost["event"], &lost["lines"]), (&json!("lines_lost"), &json!(3)), "{lost}");
    }
}
