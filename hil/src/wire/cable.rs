//! Carries frames over the cable: datagrams of a socket pair, one end of which is QEMU's.

use std::collections::VecDeque;
use std::io::ErrorKind;

use mio::net::UnixDatagram;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use super::capture::Capture;
use super::state::Fault;

/// The maximum size of an Ethernet frame, without the checksum.
const FRAME: usize = 1514;
/// The maximum number of frames queued for a guest that does not read; further frames are lost, as in a switch.
const WAITING: usize = 128;

/// The host's end of the cable.
#[derive(Debug)]
pub(super) struct Cable {
    socket: UnixDatagram,
    /// Frames that were received and not yet processed.
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    fault: Fault,
    /// The state of the random choice: the same frames are lost in each run.
    dice: u32,
    capture: Option<Capture>,
}

impl Cable {
    pub(super) fn new(socket: UnixDatagram, capture: Option<Capture>) -> Self {
        let (incoming, outgoing) = (VecDeque::new(), VecDeque::new());
        Self { socket, incoming, outgoing, fault: Fault::None, dice: 0x2545_f491, capture }
    }

    pub(super) fn set_fault(&mut self, fault: Fault) {
        self.fault = fault;
    }

    /// Returns whether this frame gets through.
    fn passes(&mut self) -> bool {
        match self.fault {
            Fault::None => true,
            Fault::Cut => false,
            // Losing every n-th frame could hit the same frame of each retransmission, for ever.
            Fault::LoseOneIn(count) => {
                self.dice ^= self.dice << 13;
                self.dice ^= self.dice >> 17;
                self.dice ^= self.dice << 5;
                !self.dice.is_multiple_of(count.max(1))
            }
        }
    }

    /// Receives all frames that have arrived.
    pub(super) fn receive_all(&mut self) {
        let mut frame = [0; 2048];
        loop {
            match self.socket.recv(&mut frame) {
                Ok(length) => {
                    if self.passes() {
                        let frame = &frame[..length];
                        if let Some(capture) = &mut self.capture {
                            capture.frame(frame);
                        }
                        self.incoming.push_back(frame.to_vec());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Sends the queued frames; returns false if the guest's side is full.
    pub(super) fn send_all(&mut self) -> bool {
        while let Some(frame) = self.outgoing.front() {
            match self.socket.send(frame) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Without a reader at the other end, the frame is lost.
                Ok(_) | Err(_) => {
                    self.outgoing.pop_front();
                }
            }
        }
        true
    }

    fn push(&mut self, frame: Vec<u8>) {
        if self.passes() && self.outgoing.len() < WAITING {
            if let Some(capture) = &mut self.capture {
                capture.frame(&frame);
            }
            self.outgoing.push_back(frame);
        }
    }
}

impl Device for Cable {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.incoming.pop_front()?;
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        (self.outgoing.len() < WAITING / 2).then_some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

/// A frame from the guest.
pub(super) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

/// A token for sending one frame to the guest.
pub(super) struct Sending<'a>(&'a mut Cable);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push(frame);
        result
    }
}

impl mio::event::Source for Cable {
    fn register(
        &mut self,
        registry: &mio::Registry,
        token: mio::Token,
        interests: mio::Interest,
    ) -> std::io::Result<()> {
        self.socket.register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &mio::Registry,
        token: mio::Token,
        interests: mio::Interest,
    ) -> std::io::Result<()> {
        self.socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &mio::Registry) -> std::io::Result<()> {
        self.socket.deregister(registry)
    }
}
