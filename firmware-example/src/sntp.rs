//! Requests the time from a server (RFC 4330 section 5). The answer is a proposal: see `clock.rs`. `sntpc` would take
//! 1.5 KB more of the image, and gives its requests no random nonce.

use edgetrust_core::pki_types::UnixTime;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpEndpoint, Stack};
use embassy_time::{Duration, Instant, with_timeout};

use crate::dial::resolve;

const PORT: u16 = 123;
const PATIENCE: Duration = Duration::from_secs(5);

/// The seconds from 1900, where the protocol's time starts, to 1970, modulo their 32 bits.
const UNIX: u32 = 2_208_988_800;
/// The first octet of a request: no leap indicator, version 4, mode 3 (client).
const REQUEST: u8 = 4 << 3 | 3;
/// The mode of a server's answer.
const SERVER: u8 = 4;
/// The leap indicator of a server that does not know the time.
const UNSYNCHRONISED: u8 = 3;
/// The distance from the primary clock beyond which an answer is not used: 16 seconds, in units of 2^-16 seconds
/// (RFC 5905 section 7.3, MAXDISP).
const FARTHEST: u32 = 16 << 16;

/// A message without the fields for authentication (RFC 4330 section 4).
#[derive(Clone, Copy)]
struct Message([u8; 48]);

impl Message {
    /// Creates a request. Its transmit timestamp is the nonce: a server repeats it and has no other use for it.
    fn request(nonce: u64) -> Self {
        let mut octets = [0; 48];
        octets[0] = REQUEST;
        octets[40..].copy_from_slice(&nonce.to_be_bytes());
        Self(octets)
    }

    fn word(&self, at: usize) -> u32 {
        let octets = self.0.get(at..).and_then(<[u8]>::first_chunk);
        octets.copied().map_or(0, u32::from_be_bytes)
    }

    fn timestamp(&self, at: usize) -> u64 {
        u64::from(self.word(at)) << 32 | u64::from(self.word(at + 4))
    }

    /// Returns the seconds since 1970 from the answer to the request with this nonce; `None` if it is another's answer
    /// or of no use. Of the times that 32 bits of seconds can mean, the nearest to `near` is taken (section 3).
    fn time(&self, nonce: u64, near: u64) -> Option<u64> {
        let [head, stratum, ..] = self.0;
        let (leap, version, mode) = (head >> 6, head >> 3 & 7, head & 7);
        let (reference, originate, transmit) = (self.timestamp(16), self.timestamp(24), self.timestamp(40));
        let distance = (self.word(4) / 2).saturating_add(self.word(8));
        let usable = originate == nonce
            && mode == SERVER
            && leap != UNSYNCHRONISED
            && (1..=4).contains(&version)
            // 0 is a kiss-o'-death, 16 a server without a source.
            && (1..=15).contains(&stratum)
            && distance < FARTHEST
            && transmit != 0
            && (reference == 0 || reference.wrapping_sub(transmit).cast_signed() <= 0);
        let ahead = self.word(40).wrapping_sub(UNIX).wrapping_sub(near as u32).cast_signed();
        near.checked_add_signed(ahead.into()).filter(|_| usable)
    }
}

/// Returns the seconds since 1970; `None` if no address of the time server gives a valid answer in time. The nonce is
/// random: whoever does not see the request cannot answer it.
pub async fn ask(net: Stack<'_>, host: &str, floor: UnixTime, nonce: u64) -> Option<u64> {
    let (mut in_metadata, mut out_metadata) = ([PacketMetadata::EMPTY; 1], [PacketMetadata::EMPTY; 1]);
    let (mut in_octets, mut out_octets) = ([0; 64], [0; 64]);
    for address in &resolve(net, host).await {
        // A socket of its own: a datagram to an address that nobody has stays in the socket, before the next one.
        let mut socket = UdpSocket::new(net, &mut in_metadata, &mut in_octets, &mut out_metadata, &mut out_octets);
        socket.bind(0).ok()?;
        let server = IpEndpoint::new(*address, PORT);
        let mut message = Message::request(nonce);
        let exchange = async {
            socket.send_to(&message.0, server).await.ok()?;
            loop {
                // What others send to this port is no answer, and does not end the wait for one.
                let (count, from) = socket.recv_from(&mut message.0).await.ok()?;
                if from.endpoint == server {
                    return (count == message.0.len()).then_some(());
                }
            }
        };
        let Ok(answer) = with_timeout(PATIENCE, exchange).await else {
            defmt::warn!("time: sntp does not answer");
            continue;
        };
        let near = floor.as_secs().saturating_add(Instant::now().as_secs());
        if let Some(time) = answer.and_then(|()| message.time(nonce, near)) {
            return Some(time);
        }
        defmt::warn!("time: what sntp answers cannot be used");
    }
    None
}
