//! Moves bytes both ways until both sides have ended.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::has_budget_remaining;

use super::buffers::Buffer;
use super::counters::Counters;
use crate::tls::is_alert;

/// The progress of a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The reader has ended, and the writer is being told.
    Ended,
    /// The reader failed; the bytes from before are being flushed.
    Cut,
    /// The writer takes no more. Bytes that still come are dropped, so that the sender comes to read its answer.
    Refused,
    /// The writer was sent an orderly end.
    Done,
    /// Nothing more comes, and the writer was sent no orderly end.
    Broken,
}

/// One direction. A buffer is held only while there are bytes that the writer has not taken.
#[derive(Debug, Default)]
struct Direction {
    buffer: Option<Buffer>,
    from: usize,
    to: usize,
    unflushed: bool,
    stage: Stage,
    /// Nothing could be read at the last poll, and the writer has all bytes read before.
    starved: bool,
    failed: Option<Failed>,
    bytes: u64,
}

/// Both directions of a connection: `up` from client to target, `down` back.
#[derive(Debug, Default)]
pub(super) struct Splice {
    up: Direction,
    down: Direction,
    half: bool,
    /// For the client and for the target: true if its end proves that nothing is missing (TLS).
    proven: (bool, bool),
}

/// The result of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// One direction moves nothing more; the other continues.
    Half,
    /// Neither direction moves anything more.
    Over,
}

/// The side that failed.
#[derive(Debug)]
pub(super) enum SpliceError {
    Client(io::Error),
    Target(io::Error),
}

#[derive(Debug)]
enum Failed {
    Reading(io::Error),
    Writing(io::Error),
}

/// The events of a session that one side has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The side was sent an orderly end.
    pub(super) whole: bool,
    /// The side's own end has not been read.
    pub(super) sends: bool,
    /// The side was sent something.
    pub(super) answered: bool,
}

impl Splice {
    /// Creates a splice between sides whose ends prove, or do not prove, that nothing is missing.
    pub(super) fn new(client_proves: bool, target_proves: bool) -> Self {
        Self { proven: (client_proves, target_proves), ..Self::default() }
    }

    /// Returns whether an end of the target proves that nothing is missing.
    pub(super) fn target_proves(&self) -> bool {
        self.proven.1
    }

    /// Returns the bytes moved, up and down.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.up.bytes, self.down.bytes)
    }

    /// Returns values that change with every byte that is taken from a sender or given to a reader.
    pub(super) fn progress(&self) -> [u64; 4] {
        let given = |direction: &Direction| u64::try_from(direction.from).unwrap_or(u64::MAX);
        [self.up.bytes, self.down.bytes, given(&self.up), given(&self.down)]
    }

    /// Returns whether exactly one direction moves nothing more.
    pub(super) fn is_half(&self) -> bool {
        self.up.is_through() != self.down.is_through()
    }

    /// Returns what the client and the target have seen.
    pub(super) fn seen(&self) -> (Seen, Seen) {
        let seen = |to: &Direction, from: &Direction| Seen {
            whole: to.stage == Stage::Done,
            sends: matches!(from.stage, Stage::Open | Stage::Refused),
            answered: to.bytes > 0,
        };
        (seen(&self.down, &self.up), seen(&self.up, &self.down))
    }

    /// Returns the failure, if there was one.
    pub(super) fn error(&mut self) -> Option<SpliceError> {
        let up = self.up.failed.take().map(|failed| match failed {
            Failed::Reading(error) => SpliceError::Client(error),
            Failed::Writing(error) => SpliceError::Target(error),
        });
        let down = self.down.failed.take().map(|failed| match failed {
            Failed::Reading(error) => SpliceError::Target(error),
            Failed::Writing(error) => SpliceError::Client(error),
        });
        // A server that refuses us sends one alert; later write errors only follow from the refusal.
        match (up, down) {
            (_, Some(SpliceError::Target(error))) if is_alert(&error) => Some(SpliceError::Target(error)),
            (up, down) => up.or(down),
        }
    }

    /// Moves the bytes that are ready. An end is passed on (half-close), and the other direction continues. After a
    /// failed read, the other direction moves what can be read now; after a failed write, all that still comes.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncRead + AsyncWrite + Unpin),
        target: &mut (impl AsyncRead + AsyncWrite + Unpin),
        counters: &Counters,
    ) -> Poll<Turn> {
        let (up, down) = (&mut self.up, &mut self.down);
        up.poll(cx, client, target, !self.proven.0 && down.was_reset(), counters.up());
        down.poll(cx, target, client, !self.proven.1 && up.was_reset(), counters.down());
        let over = up.is_through() && down.is_through() || up.is_cut() && down.starved || down.is_cut() && up.starved;
        if over {
            return Poll::Ready(Turn::Over);
        }
        if !self.half && self.is_half() {
            self.half = true;
            return Poll::Ready(Turn::Half);
        }
        Poll::Pending
    }
}

impl Direction {
    /// Returns whether the direction gives its writer nothing more.
    fn is_through(&self) -> bool {
        matches!(self.stage, Stage::Refused | Stage::Done | Stage::Broken)
    }

    /// Returns whether the reader failed, and the writer has the bytes from before.
    fn is_cut(&self) -> bool {
        self.stage == Stage::Broken && matches!(self.failed, Some(Failed::Reading(_)))
    }

    /// Returns whether the writer was reset. A write reports a reset, and a read of the same socket then reports an
    /// end; a broken pipe means that the end came before.
    fn was_reset(&self) -> bool {
        matches!(&self.failed, Some(Failed::Writing(error)) if error.kind() != io::ErrorKind::BrokenPipe)
    }

    fn fail(&mut self, stage: Stage, failed: Failed) {
        self.buffer = None;
        self.stage = stage;
        self.failed.get_or_insert(failed);
    }

    /// Moves the bytes that are ready; `reset` says that the reader was reset, so that its end is not orderly.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        reset: bool,
        counter: &AtomicU64,
    ) {
        self.starved = false;
        loop {
            // `Ready` means that the stage has changed.
            let moved = match self.stage {
                Stage::Open => self.poll_open(cx, reader, writer, reset, counter),
                Stage::Ended => self.poll_end(cx, writer),
                // The direction ends here, whether the writer took the bytes or not.
                Stage::Cut => Pin::new(&mut *writer).poll_flush(cx).map(|_| self.stage = Stage::Broken),
                Stage::Refused => self.poll_drop(cx, reader),
                Stage::Done | Stage::Broken => return,
            };
            if moved.is_pending() {
                return;
            }
        }
    }

    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        reset: bool,
        counter: &AtomicU64,
    ) -> Poll<()> {
        loop {
            if let Err(error) = ready!(self.poll_write(cx, writer)) {
                self.fail(Stage::Refused, Failed::Writing(error));
                return Poll::Ready(());
            }
            let mut buffer = self.buffer.take().unwrap_or_else(Buffer::take);
            let mut read = ReadBuf::new(buffer.octets());
            match Pin::new(&mut *reader).poll_read(cx, &mut read) {
                Poll::Pending => {
                    if self.unflushed {
                        if let Err(error) = ready!(Pin::new(&mut *writer).poll_flush(cx)) {
                            self.fail(Stage::Refused, Failed::Writing(error));
                            return Poll::Ready(());
                        }
                        self.unflushed = false;
                    }
                    // If the task's budget is used up, the task is woken again, and nothing is known of the reader.
                    self.starved = has_budget_remaining();
                    if self.starved && self.failed.is_some() {
                        self.stage = Stage::Cut;
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => {
                    let count = read.filled().len();
                    if count == 0 {
                        if reset {
                            self.failed.get_or_insert(Failed::Reading(io::ErrorKind::ConnectionReset.into()));
                        }
                        self.stage = if self.failed.is_some() { Stage::Cut } else { Stage::Ended };
                        return Poll::Ready(());
                    }
                    (self.from, self.to) = (0, count);
                    let octets = u64::try_from(count).unwrap_or(u64::MAX);
                    self.bytes = self.bytes.saturating_add(octets);
                    counter.fetch_add(octets, Ordering::Relaxed);
                    self.buffer = Some(buffer);
                }
                // Bytes that TLS read before its failure can still be read.
                Poll::Ready(Err(error)) if self.failed.is_none() => self.failed = Some(Failed::Reading(error)),
                Poll::Ready(Err(_)) => {
                    self.stage = Stage::Cut;
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Gives the writer the bytes in the buffer.
    fn poll_write(&mut self, cx: &mut Context<'_>, writer: &mut (impl AsyncWrite + Unpin)) -> Poll<io::Result<()>> {
        while let Some(buffer) = self.buffer.as_ref().filter(|_| self.from < self.to) {
            match ready!(Pin::new(&mut *writer).poll_write(cx, buffer.filled(self.from, self.to)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.from = self.from.saturating_add(count),
            }
            self.unflushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, writer: &mut (impl AsyncWrite + Unpin)) -> Poll<()> {
        match ready!(Pin::new(&mut *writer).poll_shutdown(cx)) {
            Ok(()) => self.stage = Stage::Done,
            Err(error) => self.fail(Stage::Broken, Failed::Writing(error)),
        }
        Poll::Ready(())
    }

    fn poll_drop(&mut self, cx: &mut Context<'_>, reader: &mut (impl AsyncRead + Unpin)) -> Poll<()> {
        let mut buffer = Buffer::take();
        loop {
            let mut read = ReadBuf::new(buffer.octets());
            let ended = ready!(Pin::new(&mut *reader).poll_read(cx, &mut read)).is_err() || read.filled().is_empty();
            if ended {
                self.stage = Stage::Broken;
                return Poll::Ready(());
            }
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    async fn run(splice: &mut Splice, client: &mut DuplexStream, target: &mut DuplexStream) -> Turn {
        std::future::poll_fn(|cx| splice.poll(cx, client, target, &Counters::default())).await
    }

    #[tokio::test]
    async fn an_end_is_passed_on_and_the_other_direction_goes_on() {
        let (mut client, mut near) = duplex(64);
        let (mut far, mut target) = duplex(64);
        let moved = tokio::spawn(async move {
            let mut splice = Splice::default();
            while run(&mut splice, &mut near, &mut far).await != Turn::Over {}
            splice.bytes()
        });
        client.write_all(b"ask").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = Vec::new();
        target.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"ask");
        target.write_all(b"answer").await.unwrap();
        drop(target);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        assert_eq!(moved.await.unwrap(), (3, 6));
    }

    #[tokio::test]
    async fn a_slow_reader_holds_the_writer_back() {
        let (mut client, mut near) = duplex(1024);
        let (mut far, mut target) = duplex(1024);
        tokio::spawn(async move {
            let mut splice = Splice::default();
            run(&mut splice, &mut near, &mut far).await
        });
        let block = vec![7_u8; 1 << 20];
        let sent = tokio::time::timeout(std::time::Duration::from_millis(200), client.write_all(&block)).await;
        assert!(sent.is_err(), "a megabyte went nowhere");
        let mut received = vec![0; 1024];
        target.read_exact(&mut received).await.unwrap();
        assert!(received.iter().all(|octet| *octet == 7));
    }
}
