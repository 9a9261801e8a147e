//! How the sides of a session are left: what is on its way arrives, and a stream that was cut never looks like a whole one.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::socket::Socket;
use super::splice::Seen;
use crate::tls::{ClientStream, ServerStream, has_verdict};

/// One side of a session.
pub(super) trait Side: AsyncRead + AsyncWrite + Unpin + Send {
    /// An end of it is proof that nothing is missing (RFC 8446 section 6.1).
    const PROVES_ITS_END: bool;

    /// What it goes over.
    fn socket(&self) -> &Socket;

    /// The server name that a client asked for.
    fn server_name(&self) -> Option<&str> {
        None
    }

    /// Whether it has let us in, as far as it is its place to.
    fn has_verdict(&self) -> bool {
        true
    }
}

impl Side for Socket {
    const PROVES_ITS_END: bool = false;

    fn socket(&self) -> &Socket {
        self
    }
}

impl Side for Box<ServerStream<Socket>> {
    const PROVES_ITS_END: bool = true;

    fn socket(&self) -> &Socket {
        self.get_ref().0
    }

    fn server_name(&self) -> Option<&str> {
        self.get_ref().1.server_name()
    }
}

impl Side for Box<ClientStream<Socket>> {
    const PROVES_ITS_END: bool = true;

    fn socket(&self) -> &Socket {
        self.get_ref().0
    }

    fn has_verdict(&self) -> bool {
        has_verdict(self.get_ref().1)
    }
}

/// A side that is reset when it is dropped, by the program's end too, unless it has been told an orderly end.
pub(super) struct Held<S: Side> {
    side: S,
    whole: bool,
}

impl<S: Side> Held<S> {
    pub(super) fn new(side: S) -> Self {
        Self { side, whole: false }
    }

    /// Decides how it is closed.
    pub(super) fn settle(&mut self, manner: Manner) {
        self.whole = matches!(manner, Manner::Whole | Manner::WholeWhileSending);
    }
}

impl<S: Side> Deref for Held<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.side
    }
}

impl<S: Side> DerefMut for Held<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.side
    }
}

impl<S: Side> Drop for Held<S> {
    fn drop(&mut self) {
        if !self.whole {
            self.side.socket().reset_on_close();
        }
    }
}

/// How a side is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It has been told an orderly end, and has ended.
    Whole,
    /// It has been told an orderly end, and still sends.
    WholeWhileSending,
    /// Its stream was cut.
    Cut,
    /// Its stream was cut after an answer, and it still sends.
    CutWhileSending,
    /// Nothing more is owed to it.
    AtOnce,
}

impl Manner {
    /// By what it has seen; `answers` says that it may have been answered before all that it sends was taken.
    pub(super) fn of(seen: Seen, answers: bool) -> Self {
        match (seen.whole, seen.sends) {
            (true, false) => Self::Whole,
            (true, true) => Self::WholeWhileSending,
            (false, true) if answers && seen.answered => Self::CutWhileSending,
            (false, _) => Self::Cut,
        }
    }
}

/// A sender that is silent for so long has read what it was answered.
const SILENCE: Duration = Duration::from_secs(1);
/// A sender is listened to for so long, as nginx' `lingering_time` has it.
const LONGEST: Duration = Duration::from_secs(30);
/// A reader that takes nothing for so long may be waiting to be read from.
const STUCK: Duration = Duration::from_millis(200);

/// Leaves a side. A reset overtakes what still waits to be sent, and a socket that is closed with something unread resets by itself: so first
/// all is sent, as long as the reader goes on taking within `patience`, and what a sender still sends is read and dropped.
pub(super) async fn leave<S: Side>(held: Held<S>, manner: Manner, patience: Duration) {
    let socket = held.side.socket();
    let lingers = match manner {
        Manner::WholeWhileSending => true,
        // Something unread is what tells a Unix socket's other end of a reset.
        Manner::CutWhileSending => !socket.is_unix(),
        Manner::Whole | Manner::Cut | Manner::AtOnce => false,
    };
    if lingers {
        linger(socket, LONGEST, usize::MAX).await;
    }
    if !matches!(manner, Manner::Whole | Manner::AtOnce) {
        drained(socket, patience).await;
    }
}

/// Peers that were refused and have time to read why, all doors together. While there are more, the next are closed at once.
static TOLD: Semaphore = Semaphore::const_new(256);
/// A peer that was refused is listened to for so long.
const LONGEST_TOLD: Duration = Duration::from_secs(2);
/// So much of it is dropped: what was on its way when it was refused.
const MOST_TOLD: usize = 1024 * 1024;

/// Leaves a peer that was sent a fatal alert. A socket that is closed with something unread resets, and the alert may be lost by that: so what
/// the peer still sends is read and dropped, until it has ended too or had its time.
pub(crate) async fn leave_told(mut socket: Socket) {
    let Ok(_place) = TOLD.try_acquire() else { return };
    if socket.shutdown().await.is_ok() {
        linger(&socket, LONGEST_TOLD, MOST_TOLD).await;
    }
}

/// Reads and drops until the sender ends, is silent, or has had its time or sent `most`.
async fn linger(socket: &Socket, longest: Duration, mut most: usize) {
    let now = Instant::now();
    let until = now.checked_add(longest).unwrap_or(now);
    loop {
        let silence = Instant::now().checked_add(SILENCE).unwrap_or(until).min(until);
        let Ok(Ok(())) = timeout_at(silence, socket.readable()).await else { return };
        let (octets, ended) = socket.discard();
        most = most.saturating_sub(octets);
        if ended || most == 0 || Instant::now() >= until {
            return;
        }
    }
}

/// Waits until the other end's kernel has all that was sent. It is asked at intervals: no event tells of an empty queue.
async fn drained(socket: &Socket, patience: Duration) {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(50);
    let (mut last, mut since, mut pause) = (socket.unsent(), Instant::now(), SHORTEST);
    while last > 0 && !socket.is_gone() {
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST);
        let unsent = socket.unsent();
        if unsent != last {
            (last, since) = (unsent, Instant::now());
        } else if since.elapsed() >= patience {
            return;
        } else if since.elapsed() >= STUCK {
            socket.discard();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_left_by_what_it_has_seen() {
        let seen = |whole, sends, answered| Seen { whole, sends, answered };
        for (seen, answers, manner) in [
            (seen(true, false, true), true, Manner::Whole),
            (seen(true, true, true), false, Manner::WholeWhileSending),
            (seen(false, true, true), true, Manner::CutWhileSending),
            (seen(false, true, false), true, Manner::Cut),
            (seen(false, true, true), false, Manner::Cut),
            (seen(false, false, true), true, Manner::Cut),
        ] {
            assert_eq!(Manner::of(seen, answers), manner, "{seen:?}");
        }
    }
}
