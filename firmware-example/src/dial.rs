//! Opens a connection to an authenticated server from a name, each step with a deadline.

use core::pin::{Pin, pin};

use edgetrust_core::config::{DEVICE_FRAGMENT_SIZE, parse_ip_address};
use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_core::embedded_tls::{
    Buffers, Connection, ConnectionError, Demand, HandshakeError, Shared, SoftwareCredential, connect,
};
use edgetrust_core::identity::{Issuers, ServerName, ServerPolicy};
use edgetrust_core::path::{Limits, Trust};
use edgetrust_core::pki_types::SignatureVerificationAlgorithm;
use edgetrust_core::time::TrustedTime;
#[cfg(feature = "rig")]
use edgetrust_firmware::board;
use edgetrust_firmware::random::KeyErasingRng;
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::TcpSocket;
use embassy_net::{DNS_MAX_SERVER_COUNT, IpAddress, Stack};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorKind, Read, Write};
use smoltcp::config::DNS_MAX_RESULT_COUNT;

use crate::settings::Settings;

/// The time that smoltcp waits for a name server before it asks the next one.
const RESOLVE: Duration = Duration::from_secs(10);
/// The time for what else there is to a resolution.
const RESOLVE_MORE: Duration = Duration::from_secs(1);
/// The time limits for a connection to one address, and for the handshake. A handshake is 5 million instructions on a
/// core with UMAAL, and ten times as many with portable P-256, in addition to the server's time.
const CONNECT: Duration = Duration::from_secs(10);
const HANDSHAKE: Duration = Duration::from_secs(20);
/// The time that a peer may leave octets unacknowledged.
pub const SILENCE: Duration = Duration::from_secs(30);
/// The interval of keep-alive probes.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 1] = [ECDSA_P256_SHA256];

/// The size in octets of the largest accepted record. RFC 8446 section 5.2 allows 16,640; a gateway bounds its
/// records for devices, and a longer record is refused as such.
const RECORD: usize = DEVICE_FRAGMENT_SIZE as usize + 256;

/// The memory of one connection. There is one connection at a time.
pub struct Memory {
    tcp_receive: [u8; 1536],
    tcp_send: [u8; 1024],
    tls_receive: [u8; RECORD],
    tls_send: [u8; 1536],
}

impl Memory {
    /// Creates zeroed memory.
    pub const fn new() -> Self {
        Self { tcp_receive: [0; _], tcp_send: [0; _], tls_receive: [0; _], tls_send: [0; _] }
    }
}

/// A connection to an authenticated server.
pub type Link<'m> = Connection<'m, TcpSocket<'m>>;

/// The reason for which there is no connection.
#[derive(Clone, Copy, defmt::Format)]
pub enum DialError {
    /// The name has no address, or no name server answers.
    Resolve,
    /// No address of the name accepted the connection in time.
    Connect,
    /// The server was refused, or ended the handshake.
    Refused(HandshakeError),
    /// The handshake took too long.
    Timeout,
}

/// The address of a server, and the name that authenticates it.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The DNS name or address to connect to.
    pub host: &'a str,
    /// The TCP port.
    pub port: u16,
    /// The DNS name or address that the server's certificate must have.
    pub name: &'a str,
}

/// The addresses of a host.
pub type Addresses = heapless::Vec<IpAddress, DNS_MAX_RESULT_COUNT>;

/// Resolves the addresses of a host; empty if there are none, or no name server answers.
pub async fn resolve(net: Stack<'_>, host: &str) -> Addresses {
    let servers = net.config_v4().map_or(0, |config| config.dns_servers.len().min(DNS_MAX_SERVER_COUNT));
    let limit = RESOLVE * u32::try_from(servers).unwrap_or(1) + RESOLVE_MORE;
    match with_timeout(limit, net.dns_query(host, DnsQueryType::A)).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => Addresses::new(),
    }
}

/// Connects to the first address that accepts the connection.
async fn reach(socket: &mut TcpSocket<'_>, addresses: &Addresses, port: u16) -> Result<(), DialError> {
    let mut failure = DialError::Resolve;
    for address in addresses {
        if let Ok(Ok(())) = with_timeout(CONNECT, socket.connect((*address, port))).await {
            return Ok(());
        }
        socket.abort();
        failure = DialError::Connect;
    }
    Err(failure)
}

/// Returns the device's trust anchors, denied keys and algorithms.
pub fn trust(settings: &Settings) -> Trust<'_> {
    let (anchors, denied_keys) = (&settings.anchors, &settings.device.denied_keys);
    Trust { anchors, known_intermediates: &[], denied_keys, algorithms: &ALGORITHMS }
}

/// Keeps a part of the work in a function of its own, so that the part's stack is released when the part ends.
pub fn apart<'a, T>(part: Pin<&'a mut (dyn Future<Output = T> + 'a)>) -> Pin<&'a mut (dyn Future<Output = T> + 'a)> {
    part
}

/// Opens a connection.
pub async fn dial<'m>(
    net: Stack<'m>,
    (memory, shared): (&'m mut Memory, &'m mut Shared),
    settings: &Settings,
    target: Target<'_>,
    now: TrustedTime,
    credential: Option<&mut SoftwareCredential<'_>>,
    rng: &mut KeyErasingRng,
) -> Result<Link<'m>, DialError> {
    let addresses = resolve(net, target.host).await;
    let mut socket = TcpSocket::new(net, &mut memory.tcp_receive, &mut memory.tcp_send);
    socket.set_timeout(Some(SILENCE));
    // Without keep-alive, a quiet connection would be taken for dead after [`SILENCE`] (RFC 9293 section 3.8.4).
    socket.set_keep_alive(Some(KEEP_ALIVE));
    reach(&mut socket, &addresses, target.port).await?;
    let name = match parse_ip_address(target.name) {
        Some(address) => ServerName::Ip(address),
        None => ServerName::Dns(target.name),
    };
    let issuers = match settings.server_issuers.as_slice() {
        [] => Issuers::Any,
        keys => Issuers::OneOf(keys),
    };
    let server = ServerPolicy { name, issuers };
    let demand = Demand { trust: trust(settings), server, now, limits: Limits::DEVICE };
    let buffers = Buffers { receive: &mut memory.tls_receive, send: &mut memory.tls_send, shared };
    #[cfg(feature = "rig")]
    let before = board::ticks() - board::idle_ticks();
    let connecting = pin!(connect(socket, &demand, credential, rng, buffers));
    let outcome = with_timeout(HANDSHAKE, apart(connecting)).await;
    // With QEMU's `-icount shift=0` a tick is 40 instructions.
    #[cfg(feature = "rig")]
    defmt::info!("handshake: {=u64} ticks", board::ticks() - board::idle_ticks() - before);
    match outcome {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(error)) => Err(DialError::Refused(error)),
        Err(_) => Err(DialError::Timeout),
    }
}

/// Sends all octets: in one place, since each copy has some kilobytes of the image. A peer that acknowledges and reads
/// nothing more is given up.
pub async fn say(link: &mut Link<'_>, parts: &[&[u8]]) -> Result<(), ConnectionError> {
    let said = async {
        for part in parts {
            link.write_all(part).await?;
        }
        link.flush().await
    };
    match with_timeout(SILENCE, said).await {
        Ok(Err(error @ ConnectionError::Io(_))) => Err(last_words(link).await.unwrap_or(error)),
        Ok(said) => said,
        Err(_) => Err(ConnectionError::Io(ErrorKind::TimedOut)),
    }
}

/// Returns the alert with which a server ended a connection that was still written to: octets that the server did not
/// read turned its end into a reset.
async fn last_words(link: &mut Link<'_>) -> Option<ConnectionError> {
    let mut octet = [0];
    match with_timeout(Duration::from_secs(1), link.read(&mut octet)).await {
        Ok(Err(error @ ConnectionError::Alert)) => Some(error),
        _ => None,
    }
}

/// Closes the connection in good order within a few seconds. A macro: each function that takes a connection stores it
/// once more.
macro_rules! hang_up {
    ($link:expr) => {
        if let Ok(Ok(mut socket)) = with_timeout(Duration::from_secs(5), $link.close()).await {
            socket.close();
            // The gateway may be gone: then nobody waits for the rest.
            let _ = with_timeout(Duration::from_secs(5), socket.flush()).await;
        }
    };
}
pub(crate) use hang_up;
