//! Ethernet frames in Unix datagrams.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use mio::net::UnixDatagram;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Octets of a frame: 1,500 and its header.
const FRAME: usize = 1514;

/// Our end of the wire, with what came and what is to go.
pub(super) struct Link {
    pub(super) socket: UnixDatagram,
    guest: PathBuf,
    received: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Link {
    pub(super) fn new(own: &Path, guest: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(own)?;
        Ok(Self { socket, guest: guest.to_owned(), received: None, outgoing: VecDeque::new() })
    }

    /// The next frame of the guest, if there is one.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 2 * FRAME];
        let octets = self.socket.recv(&mut frame).ok()?;
        frame.truncate(octets);
        Some(frame)
    }

    /// Hands a frame to the stack.
    pub(super) fn hand_in(&mut self, frame: Vec<u8>) {
        self.received = Some(frame);
    }

    /// The next frame of the stack.
    pub(super) fn take_out(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Sends; where the guest is not there, or does not keep up, the frame is lost as on any wire.
    pub(super) fn send(&mut self, frame: &[u8]) -> bool {
        self.socket.send_to(frame, &self.guest).is_ok()
    }
}

/// A frame that came.
pub(super) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// Room for a frame that goes.
pub(super) struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Link {
    type RxToken<'a> = Received;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Outgoing<'_>)> {
        let frame = self.received.take()?;
        Some((Received(frame), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        // What the guest has not taken yet is not added to without end.
        (self.outgoing.len() < 64).then(|| Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}
