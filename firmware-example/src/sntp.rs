//! Requests the time from a server (RFC 4330 section 5). The answer is a proposal: see `clock.rs`.

use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};

use edgetrust_core::pki_types::UnixTime;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_time::{Duration, Instant, with_timeout};
use sntpc::{NtpContext, NtpTimestampGenerator, NtpUdpSocket, get_time};

use crate::dial::resolve;

const PORT: u16 = 123;
const PATIENCE: Duration = Duration::from_secs(5);

/// The device's own time, the basis of sntpc, in microseconds since 1970: the floor plus the time since the start. Of
/// the times that SNTP's 32 bits of seconds can mean, the nearest to this time is taken (RFC 4330 section 3).
#[derive(Clone, Copy)]
struct Uptime {
    floor: u64,
    now: u64,
}

impl NtpTimestampGenerator for Uptime {
    fn init(&mut self) {
        self.now = self.floor.saturating_add(Instant::now().as_micros());
    }

    fn timestamp_sec(&self) -> u64 {
        self.now / 1_000_000
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        u32::try_from(self.now % 1_000_000).unwrap_or_default()
    }
}

struct Socket<'a>(RefCell<UdpSocket<'a>>);

impl NtpUdpSocket for Socket<'_> {
    #[expect(clippy::await_holding_refcell_ref, reason = "one task, one call at a time")]
    async fn send_to(&self, octets: &[u8], to: SocketAddr) -> sntpc::Result<usize> {
        let IpAddr::V4(address) = to.ip() else { return Err(sntpc::Error::Network) };
        let sent = self.0.borrow_mut().send_to(octets, IpEndpoint::new(IpAddress::Ipv4(address), to.port())).await;
        sent.map(|()| octets.len()).map_err(|_| sntpc::Error::Network)
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "one task, one call at a time")]
    async fn recv_from(&self, octets: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        let (count, from) = self.0.borrow_mut().recv_from(octets).await.map_err(|_| sntpc::Error::Network)?;
        let IpAddress::Ipv4(address) = from.endpoint.addr;
        Ok((count, SocketAddr::new(IpAddr::V4(address), from.endpoint.port)))
    }
}

/// Returns the seconds since 1970; `None` if no valid answer of a time server comes in time.
pub async fn ask(net: Stack<'_>, host: &str, floor: UnixTime) -> Option<u64> {
    let floor = floor.as_secs().saturating_mul(1_000_000);
    let IpAddress::Ipv4(address) = resolve(net, host).await?;
    let (mut in_metadata, mut out_metadata) = ([PacketMetadata::EMPTY; 1], [PacketMetadata::EMPTY; 1]);
    let (mut in_octets, mut out_octets) = ([0; 64], [0; 64]);
    let mut socket = UdpSocket::new(net, &mut in_metadata, &mut in_octets, &mut out_metadata, &mut out_octets);
    socket.bind(0).ok()?;
    let socket = Socket(RefCell::new(socket));
    let server = SocketAddr::new(IpAddr::V4(address), PORT);
    let answer = with_timeout(PATIENCE, get_time(server, &socket, NtpContext::new(Uptime { floor, now: floor }))).await;
    match answer {
        Ok(Ok(time)) => Some(time.sec()),
        Ok(Err(_)) => {
            defmt::warn!("time: what sntp answers cannot be used");
            None
        }
        Err(_) => {
            defmt::warn!("time: sntp does not answer");
            None
        }
    }
}
