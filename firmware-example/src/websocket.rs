//! Implements a WebSocket (RFC 6455) over a connection, for texts of a few hundred octets either way.

use base64ct::{Base64, Encoding};
use edge_ws::{Error as FrameError, FrameHeader, FrameType};
use edgetrust_core::embedded_tls::ConnectionError;
use edgetrust_firmware::random::ChaCha20Rng;
use embassy_time::{Duration, Instant, Timer, with_deadline, with_timeout};
use embedded_io_async::Read;
use rand_core::RngCore;

use crate::dial::{Link, SILENCE, say};
use crate::sha1::{MESSAGE, sha1};

/// The maximum size of a message in octets, either way.
pub const MAX_MESSAGE: usize = 512;
/// The buffer size: a whole frame, or the head of the answer.
const BUFFER: usize = MAX_MESSAGE + FrameHeader::MAX_LEN;
/// The GUID of the opening handshake (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MAX_FIELDS: usize = 24;
/// The maximum payload of a control frame in octets (RFC 6455 section 5.5).
const MAX_CONTROL: usize = 125;
/// 1000: the purpose is fulfilled (RFC 6455 section 7.4.1).
const NORMAL: [u8; 2] = [0x03, 0xe8];

/// Memory for a text, either way.
pub type Octets = heapless::Vec<u8, MAX_MESSAGE>;

/// The message that a continuation belongs to (RFC 6455 section 5.4).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Text,
    /// A binary message, which is skipped: commands are texts.
    Binary,
}

/// The reason for which a WebSocket ended.
#[derive(Clone, Copy, defmt::Format)]
pub enum WebSocketError {
    /// The connection failed.
    Connection(ConnectionError),
    /// The connection ended without a Close frame.
    Ended,
    /// The server sent a Close frame.
    Closed,
    /// The server does not switch protocols (RFC 6455 section 4.1); with its status.
    Refused(u16),
    /// The received octets violate RFC 6455.
    Malformed,
    /// A message is longer than [`MAX_MESSAGE`].
    TooLong,
    /// The answer did not come in time.
    Silent,
}

impl From<ConnectionError> for WebSocketError {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

/// An open WebSocket.
pub struct WebSocket<'l, 'm> {
    link: &'l mut Link<'m>,
    rng: &'l mut ChaCha20Rng,
    /// Octets that were received and not yet processed.
    input: [u8; BUFFER],
    have: usize,
}

impl<'l, 'm> WebSocket<'l, 'm> {
    /// Asks the server to switch protocols (RFC 6455 section 4.1).
    pub async fn open(
        link: &'l mut Link<'m>,
        rng: &'l mut ChaCha20Rng,
        host: &str,
        path: &str,
    ) -> Result<Self, WebSocketError> {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let mut hashed = [0; MESSAGE];
        let (key, guid) = hashed.split_at_mut(MESSAGE - GUID.len());
        guid.copy_from_slice(GUID);
        let key = Base64::encode(&nonce, key).map_err(|_| WebSocketError::Malformed)?;
        let upgrade =
            "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ";
        let parts = ["GET ", path, " HTTP/1.1\r\nHost: ", host, upgrade, key, "\r\n\r\n"];
        say(link, &parts.map(str::as_bytes)).await?;
        let mut accept = [0; 28];
        let accept = Base64::encode(&sha1(&hashed), &mut accept).map_err(|_| WebSocketError::Malformed)?;
        let mut this = Self { link, rng, input: [0; BUFFER], have: 0 };
        match with_timeout(SILENCE, this.accepted(accept)).await {
            Ok(outcome) => outcome.map(|()| this),
            Err(_) => Err(WebSocketError::Silent),
        }
    }

    async fn accepted(&mut self, accept: &str) -> Result<(), WebSocketError> {
        loop {
            self.more().await?;
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut response = httparse::Response::new(&mut fields);
            let octets = self.input.get(..self.have).unwrap_or_default();
            let head = match response.parse(octets).map_err(|_| WebSocketError::Malformed)? {
                httparse::Status::Partial => continue,
                httparse::Status::Complete(head) => head,
            };
            match response.code {
                Some(101) => {}
                code => return Err(WebSocketError::Refused(code.unwrap_or_default())),
            }
            let mut fields = response.headers.iter();
            let found = fields.find(|field| field.name.eq_ignore_ascii_case("sec-websocket-accept"));
            if found.is_none_or(|field| field.value != accept.as_bytes()) {
                return Err(WebSocketError::Malformed);
            }
            self.used(head);
            return Ok(());
        }
    }

    /// Reads the available octets, at least one.
    async fn more(&mut self) -> Result<(), WebSocketError> {
        let rest = self.input.get_mut(self.have..).filter(|rest| !rest.is_empty()).ok_or(WebSocketError::TooLong)?;
        match self.link.read(rest).await? {
            0 => Err(WebSocketError::Ended),
            count => {
                self.have = self.have.saturating_add(count);
                Ok(())
            }
        }
    }

    fn used(&mut self, count: usize) {
        let count = count.min(self.have);
        self.input.copy_within(count..self.have, 0);
        self.have = self.have.saturating_sub(count);
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &[u8]) -> Result<(), WebSocketError> {
        self.frame(FrameType::Text(false), text).await
    }

    /// Sends a frame, masked as a client's frames must be (RFC 6455 section 5.3).
    async fn frame(&mut self, frame_type: FrameType, payload: &[u8]) -> Result<(), WebSocketError> {
        let mut out = [0; BUFFER];
        let payload_len = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let header = FrameHeader { frame_type, payload_len, mask_key: Some(self.rng.next_u32()) };
        let from = header.serialize(&mut out).map_err(|_| WebSocketError::TooLong)?;
        let to = from.saturating_add(payload.len());
        let masked = out.get_mut(from..to).ok_or(WebSocketError::TooLong)?;
        masked.copy_from_slice(payload);
        header.mask(masked, 0);
        say(self.link, &[out.get(..to).unwrap_or_default()]).await?;
        Ok(())
    }

    /// Returns the type and payload range of the first received frame, if the frame is whole.
    fn whole_frame(&self) -> Result<Option<(FrameType, usize, usize)>, WebSocketError> {
        let octets = self.input.get(..self.have).unwrap_or_default();
        let (header, from) = match FrameHeader::deserialize(octets) {
            Ok(found) => found,
            Err(FrameError::Incomplete(_)) => return Ok(None),
            Err(_) => return Err(WebSocketError::Malformed),
        };
        // RFC 6455 section 5.1
        if header.mask_key.is_some() {
            return Err(WebSocketError::Malformed);
        }
        let length = usize::try_from(header.payload_len).ok().filter(|length| *length <= MAX_MESSAGE);
        let length = length.ok_or(WebSocketError::TooLong)?;
        // RFC 6455 section 5.5
        let control = matches!(header.frame_type, FrameType::Ping | FrameType::Pong | FrameType::Close);
        if control && length > MAX_CONTROL {
            return Err(WebSocketError::Malformed);
        }
        let to = from.saturating_add(length);
        Ok((self.have >= to).then_some((header.frame_type, from, to)))
    }

    /// Waits for a text until this time, and returns it in `memory`; `None` when the time has come. Pings are
    /// answered.
    ///
    /// Once a message has begun, [`SILENCE`] is the limit for each read.
    pub async fn receive<'t>(
        &mut self,
        until: Instant,
        memory: &'t mut Octets,
    ) -> Result<Option<&'t str>, WebSocketError> {
        memory.clear();
        let mut begun = None;
        loop {
            let Some((frame_type, from, to)) = self.whole_frame()? else {
                if self.have > 0 || begun.is_some() {
                    with_timeout(SILENCE, self.more()).await.unwrap_or(Err(WebSocketError::Silent))?;
                } else {
                    // A record that has begun is read on, for up to [`SILENCE`].
                    let reading = self.link.read_until(&mut self.input, Timer::at(until));
                    match with_deadline(until + SILENCE, reading).await.map_err(|_| WebSocketError::Silent)?? {
                        None => return Ok(None),
                        Some(0) => return Err(WebSocketError::Ended),
                        Some(count) => self.have = count,
                    }
                }
                continue;
            };
            begun = match (frame_type, begun) {
                (FrameType::Text(_), None) => Some(Begun::Text),
                (FrameType::Binary(_), None) => Some(Begun::Binary),
                (FrameType::Text(_) | FrameType::Binary(_), Some(_)) | (FrameType::Continue(_), None) => {
                    return Err(WebSocketError::Malformed);
                }
                (_, begun) => begun,
            };
            let payload = self.input.get(from..to).unwrap_or_default();
            match frame_type {
                FrameType::Ping | FrameType::Close => {
                    let payload = heapless::Vec::<u8, MAX_CONTROL>::from_slice(payload);
                    let payload = payload.map_err(|_| WebSocketError::Malformed)?;
                    self.used(to);
                    if frame_type == FrameType::Ping {
                        self.frame(FrameType::Pong, &payload).await?;
                        continue;
                    }
                    // The connection is over, whether the answer arrives or not.
                    let _ = self.frame(FrameType::Close, payload.get(..2).unwrap_or_default()).await;
                    return Err(WebSocketError::Closed);
                }
                FrameType::Pong => self.used(to),
                FrameType::Text(_) | FrameType::Binary(_) | FrameType::Continue(_) => {
                    if begun == Some(Begun::Text) {
                        memory.extend_from_slice(payload).map_err(|_| WebSocketError::TooLong)?;
                    }
                    self.used(to);
                    if frame_type.is_final() && begun.take() == Some(Begun::Text) {
                        return core::str::from_utf8(memory).map(Some).map_err(|_| WebSocketError::Malformed);
                    }
                }
            }
        }
    }

    /// Sends a Close frame (RFC 6455 section 7.1.2).
    pub async fn close(mut self) {
        // The connection is over, whether the frame arrives or not.
        let _ = with_timeout(Duration::from_secs(5), self.frame(FrameType::Close, &NORMAL)).await;
    }
}
