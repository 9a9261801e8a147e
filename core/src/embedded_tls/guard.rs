//! Guards embedded-tls against the socket: stops, by their headers, records that embedded-tls would panic on, misread,
//! or accept against TLS 1.3.

use core::cell::Cell;

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};

/// TLS_AES_128_GCM_SHA256, the only cipher suite offered (RFC 8446 section 9.1).
pub(super) const CIPHER_SUITE: u16 = 0x1301;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const HEADER: usize = 5;
/// The largest number of octets of a ServerHello. With the two extensions that are possible here, one takes 90 octets.
const MAX_SERVER_HELLO: usize = 192;
/// The largest number of octets that a server may send before its Finished: a chain fits many times.
const MAX_HANDSHAKE: usize = 64 * 1024;
/// The largest number of octets of a record (RFC 8446 section 5.2).
const MAX_RECORD: usize = 16 * 1024 + 256;
/// The smallest number of octets of an encrypted record: the content type and the tag of AES-GCM.
const MIN_ENCRYPTED: usize = 17;
/// The largest number of records without contents in a row.
const MAX_EMPTY: u8 = 32;

/// Random of a HelloRetryRequest (RFC 8446 section 4.1.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A fault in the records that the server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RecordFault {
    /// A record of this type is not allowed here: unencrypted after the ServerHello, say (RFC 8446 section 5).
    UnexpectedRecord {
        /// The ContentType.
        content_type: u8,
    },
    /// The record is longer than allowed (RFC 8446 section 5.2), or than the receive buffer.
    Overflow {
        /// The length in octets.
        length: u16,
    },
    /// An encrypted record is too short for content type and tag: its inner plaintext is empty (RFC 8446 section 5.4).
    EmptyRecord,
    /// Too many records without contents came in a row.
    EmptyRecords,
    /// The server sent more octets than a handshake needs.
    LongHandshake,
    /// The server wants another key share (RFC 8446 section 4.1.4): only secp256r1 is offered.
    HelloRetryRequest,
    /// The server chose a cipher suite that was not offered (RFC 8446 section 4.1.3).
    CipherSuite(u16),
    /// The server's key share is of a group that was not offered (RFC 8446 section 4.2.8), which embedded-tls ignores.
    Group(u16),
    /// The server did not select TLS 1.3 in supported_versions (RFC 8446 section 4.2.1).
    Version,
    /// The first message is not a ServerHello as RFC 8446 section 4.1.3 defines it.
    ServerHello,
    /// The connection ended inside a record.
    Truncated,
}

/// The part of a connection that a record belongs to, which decides the records that are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Epoch {
    Hello,
    Handshake,
    Open,
}

/// The state that guard and connection share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) epoch: Cell<Epoch>,
    pub(super) fault: Cell<Option<RecordFault>>,
    /// Set while a read must not be dropped, since the received part of a record would be lost.
    pub(super) in_record: Cell<bool>,
}

impl Link {
    pub(super) const fn new() -> Self {
        Self { epoch: Cell::new(Epoch::Hello), fault: Cell::new(None), in_record: Cell::new(false) }
    }
}

/// A fault, or the socket's error.
#[derive(Debug)]
pub(super) enum GuardError<E> {
    Fault,
    Socket(E),
}

impl<E: Error> Error for GuardError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Fault => ErrorKind::InvalidData,
            Self::Socket(error) => error.kind(),
        }
    }
}

impl<E: Error> core::fmt::Display for GuardError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the record guard")
    }
}

impl<E: Error> core::error::Error for GuardError<E> {}

/// A socket that passes on only records that TLS 1.3 allows at that point.
#[derive(Debug)]
pub(super) struct Guard<'b, S> {
    socket: S,
    link: &'b Link,
    capacity: usize,
    header: [u8; HEADER],
    /// Octets of the header that are still to be handed out.
    header_left: usize,
    body_left: usize,
    hello: heapless::Vec<u8, MAX_SERVER_HELLO>,
    handshake: usize,
    change_cipher_spec: bool,
    empty: u8,
    /// Octets of the outgoing record that are still to come.
    outgoing: usize,
}

impl<'b, S: Read + Write> Guard<'b, S> {
    /// Wraps a socket; `capacity` is the number of octets of the receive buffer.
    pub(super) fn new(socket: S, link: &'b Link, capacity: usize) -> Self {
        Self {
            socket,
            link,
            capacity,
            header: [0; HEADER],
            header_left: 0,
            body_left: 0,
            hello: heapless::Vec::new(),
            handshake: 0,
            change_cipher_spec: false,
            empty: 0,
            outgoing: 0,
        }
    }

    pub(super) fn into_socket(self) -> S {
        self.socket
    }

    fn fault<T>(&self, fault: RecordFault) -> Result<T, GuardError<S::Error>> {
        self.link.fault.set(Some(fault));
        Err(GuardError::Fault)
    }

    async fn receive(&mut self, out: &mut [u8]) -> Result<usize, GuardError<S::Error>> {
        self.socket.read(out).await.map_err(GuardError::Socket)
    }

    /// Reads and checks a whole header; returns false at the end of the connection.
    async fn next_header(&mut self) -> Result<bool, GuardError<S::Error>> {
        let mut header = [0; HEADER];
        let mut have = 0_usize;
        while let Some(rest @ [_, ..]) = header.get_mut(have..) {
            self.link.in_record.set(have > 0);
            let received = self.receive(rest).await;
            self.link.in_record.set(true);
            match received? {
                0 if have == 0 => return Ok(false),
                0 => return self.fault(RecordFault::Truncated),
                count => have = have.saturating_add(count),
            }
        }
        let [content_type, _, _, high, low] = header;
        let length = u16::from_be_bytes([high, low]);
        if let Err(fault) = self.judge(content_type, length) {
            return self.fault(fault);
        }
        self.header = header;
        self.header_left = HEADER;
        self.body_left = usize::from(length);
        Ok(true)
    }

    fn judge(&mut self, content_type: u8, length: u16) -> Result<(), RecordFault> {
        let octets = usize::from(length);
        if octets > MAX_RECORD || octets > self.capacity {
            return Err(RecordFault::Overflow { length });
        }
        let epoch = self.link.epoch.get();
        if epoch != Epoch::Open {
            self.handshake = self.handshake.saturating_add(octets).saturating_add(HEADER);
            if self.handshake > MAX_HANDSHAKE {
                return Err(RecordFault::LongHandshake);
            }
        }
        match (epoch, content_type) {
            (Epoch::Hello, HANDSHAKE) if octets <= MAX_SERVER_HELLO => Ok(()),
            (Epoch::Hello, HANDSHAKE) => Err(RecordFault::ServerHello),
            (Epoch::Hello, ALERT) if octets == 2 => Ok(()),
            // RFC 8446 appendix D.4: a change_cipher_spec may come once, and has no meaning
            (Epoch::Handshake, CHANGE_CIPHER_SPEC) if octets == 1 && !self.change_cipher_spec => {
                self.change_cipher_spec = true;
                Ok(())
            }
            (Epoch::Handshake | Epoch::Open, APPLICATION_DATA) if octets < MIN_ENCRYPTED => {
                Err(RecordFault::EmptyRecord)
            }
            (Epoch::Handshake | Epoch::Open, APPLICATION_DATA) => {
                self.empty = if octets == MIN_ENCRYPTED { self.empty.saturating_add(1) } else { 0 };
                if self.empty > MAX_EMPTY { Err(RecordFault::EmptyRecords) } else { Ok(()) }
            }
            _ => Err(RecordFault::UnexpectedRecord { content_type }),
        }
    }

    /// Counts octets of a body that were passed on, and checks a ServerHello at its last octet.
    fn passed(&mut self, octets: &[u8]) -> Result<(), GuardError<S::Error>> {
        self.body_left = self.body_left.saturating_sub(octets.len());
        let [content_type, ..] = self.header;
        if self.link.epoch.get() != Epoch::Hello || content_type != HANDSHAKE {
            return Ok(());
        }
        if self.hello.extend_from_slice(octets).is_err() {
            return self.fault(RecordFault::ServerHello);
        }
        if self.body_left == 0 {
            if let Err(fault) = server_hello(&self.hello) {
                return self.fault(fault);
            }
            self.link.epoch.set(Epoch::Handshake);
        }
        Ok(())
    }
}

impl<S: ErrorType> ErrorType for Guard<'_, S> {
    type Error = GuardError<S::Error>;
}

impl<S: Read + Write> Read for Guard<'_, S> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        if self.link.fault.get().is_some() {
            return Err(GuardError::Fault);
        }
        if self.header_left == 0 && self.body_left == 0 && !self.next_header().await? {
            return Ok(0);
        }
        if self.header_left > 0 {
            let from = HEADER.saturating_sub(self.header_left);
            let header = self.header.get(from..).unwrap_or_default();
            let count = header.len().min(out.len());
            out.iter_mut().zip(header).for_each(|(to, from)| *to = *from);
            self.header_left = self.header_left.saturating_sub(count);
            return Ok(count);
        }
        let count = self.body_left.min(out.len());
        let Some(out) = out.get_mut(..count) else { return Ok(0) };
        let count = self.receive(out).await?;
        if count == 0 && !out.is_empty() {
            return self.fault(RecordFault::Truncated);
        }
        self.passed(out.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

impl<S: Read + Write> Write for Guard<'_, S> {
    async fn write(&mut self, octets: &[u8]) -> Result<usize, Self::Error> {
        if self.outgoing == 0 {
            match *octets {
                // embedded-tls sends all alerts, and nothing else, in change_cipher_spec records (RFC 8446 section 6).
                [CHANGE_CIPHER_SPEC, major, minor, 0, 2, level, description] => {
                    // After the server has closed, embedded-tls sends close_notify unencrypted, so none is passed on.
                    if self.link.epoch.get() == Epoch::Open {
                        return Ok(octets.len());
                    }
                    let alert = [ALERT, major, minor, 0, 2, level, description];
                    self.socket.write_all(&alert).await.map_err(GuardError::Socket)?;
                    return Ok(alert.len());
                }
                [_, _, _, high, low, ..] => {
                    self.outgoing = usize::from(u16::from_be_bytes([high, low])).saturating_add(HEADER);
                }
                _ => {}
            }
        }
        let count = self.socket.write(octets).await.map_err(GuardError::Socket)?;
        self.outgoing = self.outgoing.saturating_sub(count);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.socket.flush().await.map_err(GuardError::Socket)
    }
}

/// Checks the parts of a ServerHello that embedded-tls does not check (RFC 8446 section 4.1.3).
fn server_hello(message: &[u8]) -> Result<(), RecordFault> {
    let malformed = RecordFault::ServerHello;
    let (&[message_type, zero, high, low], body) = message.split_first_chunk::<4>().ok_or(malformed)?;
    if message_type != 2 || zero != 0 || usize::from(u16::from_be_bytes([high, low])) != body.len() {
        return Err(malformed);
    }
    let (&legacy_version, body) = body.split_first_chunk::<2>().ok_or(malformed)?;
    let (random, body) = body.split_first_chunk::<32>().ok_or(malformed)?;
    // An empty session identifier was sent, so an empty one comes back.
    let (&[session, suite_high, suite_low, compression, high, low], mut extensions) =
        body.split_first_chunk::<6>().ok_or(malformed)?;
    if *random == HELLO_RETRY_REQUEST {
        return Err(RecordFault::HelloRetryRequest);
    }
    if session != 0 || compression != 0 || usize::from(u16::from_be_bytes([high, low])) != extensions.len() {
        return Err(malformed);
    }
    let suite = u16::from_be_bytes([suite_high, suite_low]);
    if suite != CIPHER_SUITE {
        return Err(RecordFault::CipherSuite(suite));
    }
    let mut version = None;
    while let Some((&[type_high, type_low, high, low], rest)) = extensions.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (data, rest) = rest.split_at_checked(length).ok_or(malformed)?;
        match ([type_high, type_low], data) {
            // RFC 8446 section 4.2.1
            ([0, 43], data) => version = Some(data),
            // RFC 8446 section 4.2.8: only secp256r1 is offered
            ([0, 51], [high, low, ..]) if [*high, *low] != [0, 23] => {
                return Err(RecordFault::Group(u16::from_be_bytes([*high, *low])));
            }
            _ => {}
        }
        extensions = rest;
    }
    if legacy_version != [3, 3] || version != Some(&[3, 4]) {
        return Err(RecordFault::Version);
    }
    if extensions.is_empty() { Ok(()) } else { Err(malformed) }
}
