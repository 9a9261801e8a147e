//! Serves the pages over HTTP/1.1, at a TCP address in plaintext or over mutual TLS, or at a Unix socket.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::askers::{Asker, Askers};
use super::desk::Desk;
use super::events;
use crate::accept::{Accepting, AddressPhase, Reception};
use crate::audit::AuditLog;
use crate::gateway::{Address, Limits, Listener, Refusal, Remote, Socket};
use crate::tls::{AcceptError, TlsServer};

/// The maximum number of connections that wait for an answer; a newer one displaces the oldest.
const ASKERS: usize = 32;
/// The time limit for a handshake, a request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time limit for the end of a stream of events.
const CLOSING: Duration = Duration::from_secs(1);

/// The pages, which are served until this value is dropped.
#[derive(Debug)]
pub(crate) struct Pages {
    asked: Address,
    desk: watch::Sender<Arc<Desk>>,
    accepting: Accepting,
}

impl Pages {
    /// Listens at an address.
    ///
    /// # Errors
    /// Fails if the address cannot be bound.
    pub(crate) async fn bind(address: &Address) -> io::Result<Listener> {
        Listener::bind(address, false, &Limits::default()).await
    }

    /// Serves pages at a listener.
    pub(crate) fn serve(asked: &Address, listener: Listener, desk: Desk) -> Self {
        let bound = listener.local_address(asked);
        match &bound {
            Address::Tcp(address) if !address.ip().is_loopback() && desk.tls().is_none() => {
                warn!(address = %bound, "the pages are for everybody who can reach this address");
            }
            _ => {}
        }
        info!(address = %bound, "pages");
        let (desk, shown) = watch::channel(Arc::new(desk));
        let pages = Counter { listener, desk: shown, askers: Askers::new(ASKERS) };
        Self { asked: asked.clone(), desk, accepting: Accepting::begin(pages) }
    }

    /// Replaces what answers are made of. Listeners to events begin anew, since they may no longer be admitted.
    pub(crate) fn replace(&self, desk: Desk) {
        self.desk.send_replace(Arc::new(desk));
    }

    /// Ends all answers as a whole, at most after a while.
    pub(crate) async fn end(self) {
        let Self { desk, accepting, asked: _ } = self;
        drop(desk);
        accepting.enter(AddressPhase::Drain(CLOSING));
        accepting.over().await;
    }

    /// Returns the address that was configured.
    pub(crate) fn asked(&self) -> &Address {
        &self.asked
    }
}

/// The place where askers are received.
struct Counter {
    listener: Listener,
    desk: watch::Receiver<Arc<Desk>>,
    askers: Arc<Askers>,
}

impl Reception for Counter {
    type Visitor = (Socket, Remote, Asker);

    async fn accept(&self) -> io::Result<Option<Self::Visitor>> {
        let (socket, remote) = self.listener.accept().await?;
        Ok(Some((socket, remote, self.askers.enter())))
    }

    fn failed(&self, error: &io::Error) {
        warn!("pages: accept: {error}");
    }

    /// Does nothing: such an address is closed at once, and never drained.
    fn cut(_connections: usize) {}

    /// Returns at once: a newer asker displaces the oldest instead of waiting.
    async fn turn(&self, _visitor: &mut Self::Visitor) {}

    fn serve(
        &self,
        (socket, remote, asker): Self::Visitor,
        _phase: &watch::Receiver<AddressPhase>,
    ) -> impl Future<Output = ()> + Send + 'static {
        serve(socket, remote, self.desk.clone(), asker)
    }
}

/// Serves one connection, until it has its answer, its time is over, or a newer one displaces it.
async fn serve(socket: Socket, remote: Remote, mut shown: watch::Receiver<Arc<Desk>>, asker: Asker) {
    let began = Instant::now();
    let until = |patience| began.checked_add(patience).unwrap_or(began);
    let desk = shown.borrow_and_update().clone();
    let (listens, mut listening) = watch::channel(false);
    let (end, ended) = watch::channel(false);
    let mut serving = pin!(async {
        match desk.tls() {
            None => answer(socket, &desk, &listens, &ended).await,
            Some(tls) => {
                if let Some(stream) = admitted(tls, socket, &remote, desk.audit()).await {
                    answer(stream, &desk, &listens, &ended).await;
                }
            }
        }
    });
    tokio::select! {
        biased;
        () = serving.as_mut() => return,
        _ = listening.wait_for(|listens| *listens) => {}
        () = asker.displaced() => return,
        () = sleep_until(until(PATIENCE)) => return,
    }
    // Listeners have places of their own.
    drop(asker);
    tokio::select! {
        () = serving.as_mut() => return,
        _ = shown.changed() => {}
        () = sleep_until(until(events::LIFETIME)) => {}
    }
    // A stream that does not end by its last chunk is an error to a browser (RFC 9112 section 7.1).
    end.send_replace(true);
    // Whoever reads nothing is cut.
    let _ = timeout(CLOSING, serving).await;
}

/// Runs the handshake, and judges the reader.
async fn admitted(
    tls: &TlsServer,
    socket: Socket,
    remote: &Remote,
    audit: &AuditLog,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    match Box::pin(tls.accept(socket)).await {
        Ok((stream, _)) => Some(stream),
        Err(AcceptError::LeftSilently) => None,
        Err(error) => {
            warn!(%remote, "pages: refused: {error}");
            let mut refusal = Refusal::new(remote.0, "peer", &error, error.shown());
            refusal.verified = error.is_of_verified();
            refusal.record(audit, "pages").taken().await;
            None
        }
    }
}

/// Answers one request.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    desk: &Desk,
    listens: &watch::Sender<bool>,
    ended: &watch::Receiver<bool>,
) {
    let answer = service_fn(|request: Request<Incoming>| async move {
        let (answer, has_no_end) = desk.answer(&request, ended).await;
        if has_no_end {
            listens.send_replace(true);
        }
        Ok::<_, Infallible>(answer)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
    // A client that has gone away needs no answer.
    let _ = http.serve_connection(TokioIo::new(stream), answer).await;
}
