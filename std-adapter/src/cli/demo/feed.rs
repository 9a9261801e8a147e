//! Runs the locations' services: a producer at a, a relay at b, a consumer at c, in plain WebSocket on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::cli::Failure;
use crate::gateway::Address;

/// The interval between two messages.
const PACE: Duration = Duration::from_millis(2);

/// The number of messages that passed each location.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) relayed: AtomicU64,
    pub(super) received: AtomicU64,
}

/// The consumer's measurements.
pub(super) struct Received {
    /// The number of messages that did not have the next number.
    pub(super) gaps: u64,
    /// The latencies from producer to consumer, in microseconds, sorted.
    pub(super) latencies: Vec<u64>,
}

pub(super) async fn listen() -> Result<(TcpListener, Address), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = Address::Tcp(listener.local_addr()?);
    Ok((listener, address))
}

async fn connect(tunnel: &Address) -> Result<WebSocketStream<TcpStream>, Failure> {
    let Address::Tcp(address) = tunnel else { return Err(format!("{tunnel}: no TCP address").into()) };
    let stream = TcpStream::connect(address).await?;
    let (socket, _) = client_async(format!("ws://{address}/feed"), stream).await?;
    Ok(socket)
}

async fn accept(listener: TcpListener) -> Result<WebSocketStream<TcpStream>, Failure> {
    let (stream, _) = listener.accept().await?;
    Ok(accept_async(stream).await?)
}

/// Sends numbered messages until told to stop.
pub(super) async fn produce(
    tunnel: Address,
    started: Instant,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    let mut socket = connect(&tunnel).await?;
    let mut pace = tokio::time::interval(PACE);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let number = counters.sent.load(Ordering::Relaxed);
        let sent_at = started.elapsed().as_micros();
        socket.send(Message::text(format!("{number} {sent_at} from location-a"))).await?;
        counters.sent.fetch_add(1, Ordering::Relaxed);
    }
    socket.close(None).await?;
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    Ok(())
}

/// Forwards messages in order.
pub(super) async fn relay(listener: TcpListener, tunnel: Address, counters: Arc<Counters>) -> Result<(), Failure> {
    let mut from = accept(listener).await?;
    let mut to = connect(&tunnel).await?;
    while let Some(message) = from.next().await {
        match message? {
            Message::Text(message) => {
                to.send(Message::text(format!("{message} by location-b"))).await?;
                counters.relayed.fetch_add(1, Ordering::Relaxed);
            }
            _ => continue,
        }
    }
    to.close(None).await?;
    while to.next().await.is_some_and(|message| message.is_ok()) {}
    Ok(())
}

/// Receives messages and counts gaps.
pub(super) async fn consume(
    listener: TcpListener,
    started: Instant,
    counters: Arc<Counters>,
) -> Result<Received, Failure> {
    let mut from = accept(listener).await?;
    let mut received = Received { gaps: 0, latencies: Vec::new() };
    while let Some(message) = from.next().await {
        let Message::Text(message) = message? else { continue };
        let mut words = message.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(number), Some(sent_at)) = (number(), number()) else {
            return Err(format!("found the message {message:?}, expected a number and a time").into());
        };
        if number != counters.received.fetch_add(1, Ordering::Relaxed) {
            received.gaps = received.gaps.saturating_add(1);
        }
        let now = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        received.latencies.push(now.saturating_sub(sent_at));
    }
    received.latencies.sort_unstable();
    Ok(received)
}
