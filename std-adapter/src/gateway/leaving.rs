//! Closes the sides of a session: pending octets arrive, and a stream that was cut never looks like a complete one.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::socket::Socket;
use super::splice::Seen;
use crate::tls::{ClientStream, ServerStream, has_verdict};

/// One side of a session.
pub(super) trait SessionStream: AsyncRead + AsyncWrite + Unpin + Send {
    /// True if an end of the stream proves that nothing is missing (RFC 8446 section 6.1).
    const PROVES_ITS_END: bool;

    /// Returns the socket under the stream.
    fn socket(&self) -> &Socket;

    /// Returns the server name that a client requested.
    fn server_name(&self) -> Option<&str> {
        None
    }

    /// Returns the certificates that the side has shown in its handshake.
    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        None
    }

    /// Changes the traffic keys of both directions (RFC 8446 section 4.6.3), with the next octets that are sent.
    fn refresh_traffic_keys(&mut self) {}

    /// Returns whether the side has accepted us; true for a side that does not decide this.
    fn has_verdict(&self) -> bool {
        true
    }
}

impl SessionStream for Socket {
    const PROVES_ITS_END: bool = false;

    fn socket(&self) -> &Socket {
        self
    }
}

impl SessionStream for Box<ServerStream<Socket>> {
    const PROVES_ITS_END: bool = true;

    fn socket(&self) -> &Socket {
        self.get_ref().0
    }

    fn server_name(&self) -> Option<&str> {
        self.get_ref().1.server_name()
    }

    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.get_ref().1.peer_certificates()
    }
}

impl SessionStream for Box<ClientStream<Socket>> {
    const PROVES_ITS_END: bool = true;

    fn socket(&self) -> &Socket {
        self.get_ref().0
    }

    fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.get_ref().1.peer_certificates()
    }

    fn refresh_traffic_keys(&mut self) {
        // It fails below TLS 1.3 alone, where no session is continued.
        let _ = self.get_mut().1.refresh_traffic_keys();
    }

    fn has_verdict(&self) -> bool {
        has_verdict(self.get_ref().1)
    }
}

/// A side that is reset on drop, by the program's end too, unless the side has been sent an orderly end.
pub(super) struct OpenSide<S: SessionStream> {
    side: S,
    whole: bool,
}

impl<S: SessionStream> OpenSide<S> {
    pub(super) fn new(side: S) -> Self {
        Self { side, whole: false }
    }

    /// Decides how the side is closed on drop.
    pub(super) fn settle(&mut self, manner: Manner) {
        self.whole = matches!(manner, Manner::Whole | Manner::WholeWhileSending);
    }
}

impl<S: SessionStream> Deref for OpenSide<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.side
    }
}

impl<S: SessionStream> DerefMut for OpenSide<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.side
    }
}

impl<S: SessionStream> Drop for OpenSide<S> {
    fn drop(&mut self) {
        if !self.whole {
            self.side.socket().reset_on_close();
        }
    }
}

/// The manner of closing a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// The side has been sent an orderly end, and has ended.
    Whole,
    /// The side has been sent an orderly end, and still sends.
    WholeWhileSending,
    /// The side's stream was cut.
    Cut,
    /// The side's stream was cut after an answer, and the side still sends, for so long at most.
    CutWhileSending(Duration),
    /// The side is closed without waiting.
    AtOnce,
}

impl Manner {
    /// Returns the manner for a side that is not answered before all that it sends was taken.
    pub(super) fn of(seen: Seen) -> Self {
        match (seen.whole, seen.sends) {
            (true, false) => Self::Whole,
            (true, true) => Self::WholeWhileSending,
            (false, _) => Self::Cut,
        }
    }

    /// Returns the manner for a side that may be: it has time to read its answer. `behind_tls` says that the other side was
    /// TLS, whose server gives that time itself before it cuts the stream: what is sent after the cut is lost, and the
    /// sender is to know it.
    pub(super) fn of_answered(seen: Seen, behind_tls: bool) -> Self {
        match Self::of(seen) {
            Self::Cut if seen.sends && seen.answered => {
                Self::CutWhileSending(if behind_tls { LONGEST_BEHIND_TLS } else { LONGEST })
            }
            manner => manner,
        }
    }
}

/// The time of silence after which a sender has read its answer.
const SILENCE: Duration = Duration::from_secs(1);
/// The maximum time of reading from a sender, as in nginx's `lingering_time`.
const LONGEST: Duration = Duration::from_secs(30);
/// The same where the other side was TLS.
const LONGEST_BEHIND_TLS: Duration = Duration::from_secs(2);
/// The time after which a reader that takes nothing may be waiting to be read from.
const STUCK: Duration = Duration::from_millis(200);

/// Closes a side. A reset overtakes octets that wait to be sent, and closing a socket with unread octets causes a
/// reset. Therefore all octets are sent first, as long as the reader takes some within `patience`, and incoming octets
/// are read and dropped.
pub(super) async fn leave<S: SessionStream>(held: OpenSide<S>, manner: Manner, patience: Duration) {
    let socket = held.side.socket();
    let longest = match manner {
        Manner::WholeWhileSending => Some(LONGEST),
        // Unread octets make the close of a Unix socket a reset.
        Manner::CutWhileSending(longest) => (!socket.is_unix()).then_some(longest),
        Manner::Whole | Manner::Cut | Manner::AtOnce => None,
    };
    if let Some(longest) = longest {
        linger(socket, longest, usize::MAX).await;
    }
    if !matches!(manner, Manner::Whole | Manner::AtOnce) {
        drained(socket, patience).await;
    }
}

/// Limits the refused peers that have time to read their alert, at all doors together; others are closed at once.
static TOLD: Semaphore = Semaphore::const_new(256);
/// The maximum time of reading from a refused peer.
const LONGEST_TOLD: Duration = Duration::from_secs(2);
/// The maximum octets read from a refused peer and dropped: octets that were under way at its refusal.
const MOST_TOLD: usize = 1024 * 1024;

/// Closes a peer that was sent a fatal alert. Closing a socket with unread octets causes a reset, which may lose the
/// alert. Therefore incoming octets are read and dropped until the peer has ended too, or its time is over.
pub(crate) async fn leave_told(mut socket: Socket) {
    let Ok(_place) = TOLD.try_acquire() else { return };
    if socket.shutdown().await.is_ok() {
        linger(&socket, LONGEST_TOLD, MOST_TOLD).await;
    }
}

/// Reads and drops octets until the sender ends, is silent, has had its time, or has sent `most` octets.
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

/// Waits until the other end's kernel has all octets. The queue is polled: no event reports an empty queue.
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
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::tls::{ClientAuth, ClientSettings, Credential, MinVersion, ServerSettings, ServerTrust};
    use crate::tls::{TlsClient, TlsServer};

    #[test]
    fn a_side_is_left_by_what_it_has_seen() {
        let seen = |whole, sends, answered| Seen { whole, sends, answered };
        let (plain, tls) = (Manner::CutWhileSending(LONGEST), Manner::CutWhileSending(LONGEST_BEHIND_TLS));
        for (seen, manner, answered) in [
            (seen(true, false, true), Manner::Whole, [Manner::Whole; 2]),
            (seen(true, true, true), Manner::WholeWhileSending, [Manner::WholeWhileSending; 2]),
            (seen(false, true, true), Manner::Cut, [plain, tls]),
            (seen(false, true, false), Manner::Cut, [Manner::Cut; 2]),
            (seen(false, false, true), Manner::Cut, [Manner::Cut; 2]),
        ] {
            assert_eq!(Manner::of(seen), manner, "{seen:?}");
            assert_eq!([false, true].map(|tls| Manner::of_answered(seen, tls)), answered, "{seen:?}");
        }
    }

    /// Returns both sides of a TLS session.
    async fn session() -> (Box<ClientStream<Socket>>, ServerStream<tokio::net::TcpStream>) {
        let own = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap();
        let key = pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let server = TlsServer::new(ServerSettings {
            credential: Credential::new(vec![own.cert.der().clone()], key).unwrap(),
            client_auth: ClientAuth::Off,
            min_version: MinVersion::Tls13,
            alpn: Vec::new(),
        });
        let client = TlsClient::new(ClientSettings {
            trust: ServerTrust::DangerNobodyIsVerified,
            credential: None,
            min_version: MinVersion::Tls13,
            alpn: Vec::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = crate::gateway::Address::Tcp(listener.local_addr().unwrap());
        let target = crate::gateway::target::connect(&address, None, Duration::from_secs(9)).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let name = crate::tls::server_name("b.example").unwrap();
        let (client, server) = (client.unwrap(), server.unwrap());
        let (connected, accepted) = tokio::join!(client.connect(name, target), server.accept(accepted));
        (Box::new(connected.unwrap().0), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn octets_pass_under_other_traffic_keys() {
        let (mut dialler, mut listener) = session().await;
        for _ in 0..40 {
            dialler.refresh_traffic_keys();
            dialler.write_all(b"there").await.unwrap();
            let mut there = [0; 5];
            listener.read_exact(&mut there).await.unwrap();
            listener.write_all(b"back").await.unwrap();
            let mut back = [0; 4];
            dialler.read_exact(&mut back).await.unwrap();
            assert_eq!((&there, &back), (b"there", b"back"));
        }
    }
}
