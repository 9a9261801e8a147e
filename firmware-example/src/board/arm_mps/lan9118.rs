//! Drives the LAN9118 (as QEMU emulates it) for embassy-net: one frame each way, copied by the processor.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;
use embassy_time::{Duration, Timer};
use static_cell::ConstStaticCell;

use super::interrupts::{self, enable};
use super::registers::Registers;
use crate::board::MAP;

// SAFETY: the LAN9118 of the board, used by this file alone; it has no access to memory.
const CHIP: Registers = unsafe { Registers::at(MAP.ethernet) };
const RX_DATA: usize = 0x00;
const TX_DATA: usize = 0x20;
const RX_STATUS: usize = 0x40;
const TX_STATUS: usize = 0x48;
const IRQ_CFG: usize = 0x54;
const INT_STS: usize = 0x58;
const INT_EN: usize = 0x5c;
const BYTE_TEST: usize = 0x64;
const FIFO_INT: usize = 0x68;
const RX_CFG: usize = 0x6c;
const TX_CFG: usize = 0x70;
const HW_CFG: usize = 0x74;
const RX_FIFO_INF: usize = 0x7c;
const TX_FIFO_INF: usize = 0x80;
const MAC_CSR_CMD: usize = 0xa4;
const MAC_CSR_DATA: usize = 0xa8;

const MAC_CR: u32 = 1;
const ADDRH: u32 = 2;
const ADDRL: u32 = 3;
const MII_ACC: u32 = 6;
const MII_DATA: u32 = 7;

/// Address 1 (the chip's own PHY), register 1 (its status), busy.
const READ_PHY_STATUS: u32 = 1 << 11 | 1 << 6 | 1;
/// PHY status: the link is up.
const LINK: u32 = 1 << 2;

/// RX status level: a frame has arrived.
const RSFL: u32 = 1 << 3;

/// The maximum size of an Ethernet frame without its check sequence.
const MTU: usize = 1514;
const FCS: usize = 4;
/// The size of destination, source and type: a shorter frame is invalid.
const HEADER: usize = 14;
/// The buffer size in whole words, as the FIFOs are read and filled.
const BUFFER: usize = MTU.next_multiple_of(4);

/// The maximum number of polls for a bit that the chip changes by itself within microseconds.
const TRIES: u32 = 100_000;
/// The maximum number of waits of [`READY`] until the chip is ready after its reset.
const WAITS: u32 = 100;
const READY: Duration = Duration::from_millis(1);
/// The interval between two looks at the link.
const LOOK: Duration = Duration::from_millis(500);

static WAKER: AtomicWaker = AtomicWaker::new();
static LINK_IS_UP: AtomicBool = AtomicBool::new(false);

/// Masks the interrupt: the line stays up until the FIFO is empty, and the driver unmasks it when no frame is left to
/// read.
pub(super) extern "C" fn interrupt() {
    CHIP.write(INT_EN, 0);
    WAKER.wake();
}

/// The network controller.
pub struct Lan9118 {
    address: [u8; 6],
    frames: &'static mut Frames,
}

/// The memory for one frame each way. It is static, so that moving the driver does not copy it over the stack.
struct Frames {
    received: [u8; BUFFER],
    to_send: [u8; BUFFER],
}

static FRAMES: ConstStaticCell<Frames> = ConstStaticCell::new(Frames { received: [0; BUFFER], to_send: [0; BUFFER] });

fn wait_clear(register: usize, bits: u32) -> Option<()> {
    (0..TRIES).any(|_| CHIP.read(register) & bits == 0).then_some(())
}

fn read_mac(register: u32) -> Option<u32> {
    CHIP.write(MAC_CSR_CMD, 1 << 31 | 1 << 30 | register);
    wait_clear(MAC_CSR_CMD, 1 << 31)?;
    Some(CHIP.read(MAC_CSR_DATA))
}

fn write_mac(register: u32, value: u32) -> Option<()> {
    CHIP.write(MAC_CSR_DATA, value);
    CHIP.write(MAC_CSR_CMD, 1 << 31 | register);
    wait_clear(MAC_CSR_CMD, 1 << 31)
}

/// Returns whether the PHY has a link, if it answers.
fn read_link() -> Option<bool> {
    write_mac(MII_ACC, READ_PHY_STATUS)?;
    (0..TRIES).find_map(|_| read_mac(MII_ACC).filter(|access| access & 1 == 0))?;
    Some(read_mac(MII_DATA)? & LINK != 0)
}

/// The task that looks at the link: the chip's interrupt for it needs the PHY's registers too, which are slow.
pub struct LinkRunner(());

impl LinkRunner {
    /// Tells the driver of each change of the link, for ever.
    pub(super) async fn run(self) -> ! {
        loop {
            if let Some(up) = read_link()
                && LINK_IS_UP.swap(up, Ordering::Relaxed) != up
            {
                WAKER.wake();
            }
            Timer::after(LOOK).await;
        }
    }
}

impl Lan9118 {
    /// Initialises the chip; returns `None` if there is no such chip, or it does not get ready. The runner must be
    /// spawned: until it has looked, there is no link.
    pub(super) async fn new() -> Option<(Self, LinkRunner)> {
        if CHIP.read(BYTE_TEST) != 0x8765_4321 {
            return None;
        }
        CHIP.write(HW_CFG, 1);
        for wait in 0.. {
            Timer::after(READY).await;
            if CHIP.read(HW_CFG) & 1 == 0 {
                break;
            }
            if wait == WAITS {
                return None;
            }
        }
        // 5 KiB for sending, and a bit that must be one.
        CHIP.write(HW_CFG, 5 << 16 | 1 << 20);
        let [a, b, c, d] = read_mac(ADDRL)?.to_le_bytes();
        let [e, f, ..] = read_mac(ADDRH)?.to_le_bytes();
        CHIP.write(INT_EN, 0);
        CHIP.write(INT_STS, u32::MAX);
        // RX status level 0: the first frame interrupts.
        CHIP.write(FIFO_INT, 0x48 << 24);
        CHIP.write(RX_CFG, 0);
        // Send; whether the status FIFO is full or not.
        CHIP.write(TX_CFG, 1 << 2 | 1 << 1);
        // Receive, send, full duplex; only frames addressed to this device or to all.
        write_mac(MAC_CR, 1 << 20 | 1 << 3 | 1 << 2)?;
        // On, active high, push-pull: with anything else QEMU's line is inverted.
        CHIP.write(IRQ_CFG, 1 << 8 | 1 << 4 | 1);
        enable(interrupts::ETHERNET);
        Some((Self { address: [a, b, c, d, e, f], frames: FRAMES.take() }, LinkRunner(())))
    }

    /// Reads a frame from the FIFO; returns its length, or `None` if the frame is unusable.
    fn take_frame(&mut self) -> Option<usize> {
        let status = CHIP.read(RX_STATUS);
        let length = (status >> 16 & 0x3fff) as usize;
        // All words are read in any case: the next frame begins after them.
        let mut room = self.frames.received.chunks_exact_mut(4);
        for _ in 0..length.div_ceil(4) {
            let word = CHIP.read(RX_DATA);
            if let Some(four) = room.next() {
                four.copy_from_slice(&word.to_le_bytes());
            }
        }
        let failed = status >> 15 & 1 != 0;
        length.checked_sub(FCS).filter(|length| !failed && (HEADER..=MTU).contains(length))
    }
}

fn frames_waiting() -> bool {
    CHIP.read(RX_FIFO_INF) >> 16 & 0xff != 0
}

/// Returns whether a whole frame fits into the TX FIFO. Discards the transmit reports: they are not used, and their
/// FIFO is small.
fn can_send() -> bool {
    for _ in 0..CHIP.read(TX_FIFO_INF) >> 16 & 0xff {
        CHIP.read(TX_STATUS);
    }
    CHIP.read(TX_FIFO_INF) & 0xffff >= (BUFFER + 8) as u32
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, context: &mut Context) -> Option<(Received<'_>, ToSend<'_>)> {
        loop {
            if !frames_waiting() {
                WAKER.register(context.waker());
                CHIP.write(INT_STS, RSFL);
                // A frame that came before the status was cleared has left no interrupt.
                if !frames_waiting() {
                    CHIP.write(INT_EN, RSFL);
                    return None;
                }
            }
            // A received frame may need an immediate answer. Sending takes microseconds: polling again costs less than
            // another interrupt.
            if !can_send() {
                context.waker().wake_by_ref();
                return None;
            }
            if let Some(length) = self.take_frame() {
                let frame = self.frames.received.get_mut(..length).unwrap_or_default();
                return Some((Received(frame), ToSend(&mut self.frames.to_send)));
            }
        }
    }

    fn transmit(&mut self, context: &mut Context) -> Option<ToSend<'_>> {
        if !can_send() {
            context.waker().wake_by_ref();
            return None;
        }
        Some(ToSend(&mut self.frames.to_send))
    }

    fn link_state(&mut self, context: &mut Context) -> LinkState {
        WAKER.register(context.waker());
        if LINK_IS_UP.load(Ordering::Relaxed) { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A received frame.
pub struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, look: F) -> R {
        look(self.0)
    }
}

/// Room for a frame to send.
pub struct ToSend<'a>(&'a mut [u8; BUFFER]);

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        // smoltcp respects the MTU; a longer frame would not fit.
        let frame = self.0.get_mut(..length.min(MTU)).unwrap_or_default();
        let result = fill(frame);
        let length = frame.len() as u32;
        // First and last segment in one.
        CHIP.write(TX_DATA, 1 << 13 | 1 << 12 | length);
        CHIP.write(TX_DATA, length);
        for word in self.0.chunks_exact(4).take(length.div_ceil(4) as usize) {
            let mut four = [0; 4];
            four.copy_from_slice(word);
            CHIP.write(TX_DATA, u32::from_le_bytes(four));
        }
        result
    }
}
