//! Tests the board by itself: clock, entropy, flash, each kind of reset, Ethernet. One run of QEMU covers everything,
//! with each reset leading to the next part, and ends with exit status 0, or 1 and a line that states the fault.
//!
//! Arguments: `tcp=PORT` and `udp=PORT` of the host's echo services (10.0.2.2); `kept`: an earlier run with the same
//! flash has passed.

#![no_std]
#![no_main]

use core::hint::black_box;

use edgetrust_core::store::{Slot, SlotMedium};
use edgetrust_firmware::board::{self, Addresses, Board, Entropy, Flash, Port, ResetReason, Selected, Watchdog};
use edgetrust_firmware::stack;
use embassy_executor::Spawner;
use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpEndpoint, Ipv4Address, Runner, Stack, StackResources};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_io_async::{Read, Write};
use semihosting::experimental::env;
use semihosting::process::exit;
use static_cell::StaticCell;

type Slots = <<Selected as Port>::Flash as Flash>::Slots;
type Network = <Selected as Port>::Network;

/// The size of the unit of programming.
const WORD: u32 = <Slots as SlotMedium>::WRITE_SIZE;
/// What a mark in a slot is made of: twice the largest unit of programming.
const MARK: [u8; 512] = [0x5e; 512];
const HOST: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);

/// Ends the run if a check fails: the later checks depend on it.
macro_rules! check {
    ($holds:expr, $what:literal $(, $value:expr)*) => {
        if !$holds {
            defmt::error!($what $(, $value)*);
            exit(1);
        }
    };
}

#[cortex_m_rt::entry]
fn main() -> ! {
    match board::take() {
        Ok(taken) => board::run(|spawner| match test(spawner, taken) {
            Ok(task) => spawner.spawn(task),
            Err(_) => exit(1),
        }),
        Err(error) => {
            defmt::error!("no board: {}", error);
            exit(1)
        }
    }
}

#[embassy_executor::task]
async fn test(spawner: Spawner, taken: Selected) {
    check!(board::take().is_err(), "the board was handed out twice");
    let Ok(made) = with_timeout(Selected::READY_WITHIN, taken.parts(spawner)).await else {
        defmt::error!("the parts are not ready in {=u64} s", Selected::READY_WITHIN.as_secs());
        exit(1)
    };
    let Board { mut entropy, mut flash, network, addresses, mut watchdog, reset_reason } =
        made.unwrap_or_else(|error| {
            defmt::error!("no parts: {}", error);
            exit(1)
        });
    defmt::info!("{=str}: {}", Selected::NAME, reset_reason);
    if reset_reason == ResetReason::PowerOn {
        test_partition(&mut flash);
    }
    let mut slots = flash.into_slots();
    match reset_reason {
        ResetReason::PowerOn => {
            test_clock().await;
            test_entropy(&mut entropy);
            test_flash(&mut slots, argument("kept").is_some());
            begin(&mut slots, Step::Panic);
            panic_on_purpose()
        }
        ResetReason::Panic(place) => {
            check!(place.file().ends_with("src/bin/board.rs"), "panic in {=str}", place.file());
            match place.line {
                PANIC_LINE => {
                    expect(&mut slots, Step::Panic);
                    begin(&mut slots, Step::PanicOfLog);
                    defmt::info!("{}", PanicsWhileLogged);
                }
                PANIC_LINE_OF_LOG => expect(&mut slots, Step::PanicOfLog),
                line => check!(false, "panic in line {=u32}", line),
            }
            begin(&mut slots, Step::Fault);
            cortex_m::asm::udf()
        }
        ResetReason::Fault { pc } => {
            check!(board::is_code(pc), "fault at {=u32:#x}", pc);
            expect(&mut slots, Step::Fault);
            begin(&mut slots, Step::Overflow);
            defmt::info!("{=u32}", overflow(0))
        }
        ResetReason::StackOverflow => {
            expect(&mut slots, Step::Overflow);
            watchdog.start(Duration::from_millis(500));
            for _ in 0..10 {
                Timer::after_millis(100).await;
                watchdog.feed();
            }
            begin(&mut slots, Step::Hang);
            cortex_m::interrupt::disable();
            hang()
        }
        ResetReason::Watchdog { pc } => {
            check!(board::is_code(pc), "watchdog at {=u32:#x}", pc);
            expect(&mut slots, Step::Hang);
            begin(&mut slots, Step::Reset);
            board::reset()
        }
        ResetReason::Requested => {
            expect(&mut slots, Step::Reset);
            let mut seed = [0; 8];
            check!(entropy.fill(&mut seed).is_ok(), "no entropy");
            test_network(spawner, network, addresses, u64::from_le_bytes(seed)).await;
            let stack = stack::usage();
            check!(stack.peak > 0 && stack.peak < stack.size, "stack: {}", stack);
            let awake = board::ticks() - board::idle_ticks();
            defmt::info!("passed; {}, awake {=u64} of {=u64} ticks", stack, awake, board::ticks());
            exit(0)
        }
    }
}

/// Returns the value of `name=value`, or an empty value for `name`.
fn argument(name: &str) -> Option<heapless::String<16>> {
    let arguments = env::args::<128>().ok()?;
    let found = (&arguments).filter_map(Result::ok).find_map(|argument| argument.strip_prefix(name));
    heapless::String::try_from(found?.trim_start_matches('=')).ok()
}

fn port(name: &str) -> Option<u16> {
    argument(name)?.parse().ok()
}

/// Tests the clock across the counter's first wrap.
async fn test_clock() {
    let mut last = (Instant::now(), board::ticks());
    for step in 1..=50 {
        let due = Instant::from_millis(50 * step);
        Timer::at(due).await;
        let now = (Instant::now(), board::ticks());
        check!(now.0 >= due, "woken at {=u64} us, due at {=u64}", now.0.as_micros(), due.as_micros());
        check!(now.0 >= last.0 && now.1 > last.1, "the clock went back to {=u64}", now.1);
        let ticks = now.0.as_micros() * (Selected::TICKS_PER_SECOND / 1_000_000);
        check!(now.1.abs_diff(ticks) < Selected::TICKS_PER_SECOND, "{=u64} ticks, expected {=u64}", now.1, ticks);
        last = now;
    }
    check!(board::idle_ticks() > 0, "it never slept");
    defmt::info!("clock");
}

fn test_entropy(entropy: &mut impl Entropy) {
    let (mut one, mut other) = ([0; 32], [0; 32]);
    check!(entropy.fill(&mut one).is_ok() && entropy.fill(&mut other).is_ok(), "no entropy");
    check!(one != other && one != [0; 32] && other != [0; 32], "the same octets twice: {=[u8]}", one);
    defmt::info!("entropy");
}

/// The ends of a run, in their order. Each leaves a mark in slot A, so that an end before its time does not pass for the
/// one that is expected.
#[derive(Clone, Copy, PartialEq, Eq, defmt::Format)]
enum Step {
    Panic,
    PanicOfLog,
    Fault,
    Overflow,
    Hang,
    Reset,
}

impl Step {
    const fn offset(self) -> u32 {
        256 * (8 + self as u32)
    }
}

fn begin(slots: &mut Slots, step: Step) {
    check!(slots.program(Slot::A, step.offset(), word()).is_ok(), "the flash refuses the mark of {}", step);
}

/// Checks that this step has begun, and no later one.
fn expect(slots: &mut Slots, step: Step) {
    for other in [Step::Panic, Step::PanicOfLog, Step::Fault, Step::Overflow, Step::Hang, Step::Reset] {
        let begun = holds(slots, Slot::A, other.offset(), word());
        check!(begun == (other as u32 <= step as u32), "after {}, the mark of {} is {=bool}", step, other, begun);
    }
}

/// Returns a word of the flash.
fn word() -> &'static [u8] {
    &MARK[..WORD as usize]
}

/// Tests that octets of the partition are the same read and kept, at any place.
fn test_partition(flash: &mut impl Flash) {
    let size = flash.partition_size();
    let mut octets = [0; 100];
    for (offset, length) in [(0, 1), (1, 31), (33, 100), (4095, 2), (size - 1, 1), (size, 0)] {
        let out = &mut octets[..length];
        check!(
            flash.read(offset, out).is_ok(),
            "cannot read {=usize} octets of the partition at {=usize}",
            length,
            offset
        );
        let kept = flash.keep(offset, length);
        check!(kept.is_ok_and(|kept| kept == out), "other octets were kept than read at {=usize}", offset);
    }
    for (offset, length) in [(size, 1), (size - 1, 2), (usize::MAX, 2)] {
        check!(flash.read(offset, &mut octets[..length]).is_err(), "read behind the partition, at {=usize}", offset);
        check!(flash.keep(offset, length).is_err(), "kept what is behind the partition, at {=usize}", offset);
    }
    check!(flash.keep(0, size + 1).is_err(), "kept more than there is");
    defmt::info!("partition");
}

fn holds(slots: &mut Slots, slot: Slot, offset: u32, expected: &[u8]) -> bool {
    let mut octets = [0; 256];
    let octets = &mut octets[..expected.len()];
    slots.read(slot, offset, octets).is_ok() && octets == expected
}

fn test_flash(slots: &mut Slots, kept: bool) {
    const ERASED: [u8; 256] = [0xff; 256];
    check!(!kept || holds(slots, Slot::B, 0, word()), "the mark of the run before is gone");
    let (end, erased) = (slots.capacity(), &ERASED[..WORD as usize]);
    for slot in Slot::BOTH {
        check!(slots.erase(slot).is_ok(), "cannot erase");
        check!(holds(slots, slot, 0, erased) && holds(slots, slot, end - WORD, erased), "not erased");
    }
    check!(slots.program(Slot::A, WORD, word()).is_ok() && slots.program(Slot::B, 0, word()).is_ok(), "cannot program");
    check!(slots.barrier().is_ok(), "no barrier");
    check!(holds(slots, Slot::A, WORD, word()) && holds(slots, Slot::A, 0, erased), "not what was programmed");
    check!(holds(slots, Slot::A, 2 * WORD - 1, &word()[..1]), "the last octet of a word cannot be read by itself");
    // Refused before the flash sees it: a part that programs a word twice may fault when it is read, at each start.
    check!(slots.program(Slot::A, WORD, word()).is_err(), "a word was programmed twice");
    check!(slots.program(Slot::A, 0, &MARK[..2 * WORD as usize]).is_err(), "programmed over what was programmed");
    check!(holds(slots, Slot::A, 0, erased), "half of what was refused is there");
    check!(slots.program(Slot::A, 2 * WORD + WORD / 2, word()).is_err(), "programmed across two words");
    check!(slots.program(Slot::A, 2 * WORD, &word()[1..]).is_err(), "programmed part of a word");
    check!(slots.program(Slot::A, end, word()).is_err(), "programmed behind the slot");
    check!(slots.program(Slot::A, u32::MAX - WORD + 1, word()).is_err(), "programmed around the end of memory");
    check!(slots.read(Slot::B, end - 4, &mut [0; 8]).is_err(), "read behind the slot");
    defmt::info!("flash");
}

const PANIC_LINE: u32 = line!() + 2;
fn panic_on_purpose() -> ! {
    panic!("on purpose")
}

/// A value whose formatting panics while the logger is in use, so that the panic cannot be logged.
struct PanicsWhileLogged;

const PANIC_LINE_OF_LOG: u32 = line!() + 3;
impl defmt::Format for PanicsWhileLogged {
    fn format(&self, _: defmt::Formatter) {
        panic!("on purpose, while the logger is busy")
    }
}

#[expect(unconditional_recursion, reason = "that is what overflows")]
fn overflow(depth: u32) -> u32 {
    // No octet is zero: written over other memory, it is not taken for that memory as it was.
    let frame = black_box([!depth; 64]);
    overflow(depth.wrapping_add(1)).wrapping_add(black_box(frame)[0])
}

fn hang() -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Network>) -> ! {
    runner.run().await
}

async fn test_network(spawner: Spawner, driver: Network, addresses: Addresses, seed: u64) {
    static RESOURCES: StaticCell<StackResources<3>> = StaticCell::new();
    let (stack, runner) = embassy_net::new(driver, addresses.into(), RESOURCES.init(StackResources::new()), seed);
    match network(runner) {
        Ok(task) => spawner.spawn(task),
        Err(_) => exit(1),
    }
    stack.wait_config_up().await;
    if let Some(config) = stack.config_v4() {
        defmt::info!("address: {=[u8]}", config.address.address().octets());
    }
    if let Some(port) = port("udp") {
        echo_udp(stack, IpEndpoint::new(HOST.into(), port)).await;
    }
    if let Some(port) = port("tcp") {
        echo_tcp(stack, IpEndpoint::new(HOST.into(), port)).await;
    }
}

async fn echo_udp(stack: Stack<'_>, host: IpEndpoint) {
    let (mut metadata, mut metadata_out) = ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 2]);
    let (mut received, mut sent) = ([0; 1536], [0; 1536]);
    let mut socket = UdpSocket::new(stack, &mut metadata, &mut received, &mut metadata_out, &mut sent);
    check!(socket.bind(0).is_ok(), "cannot bind");
    // The least and the most that a frame carries, and lengths that are not whole words.
    for length in [1, 2, 3, 18, 555, 1471, 1472] {
        let out = [length as u8; 1472];
        let mut back = [0; 1472];
        check!(socket.send_to(&out[..length], host).await.is_ok(), "cannot send");
        let got = socket.recv_from(&mut back).await.map_or(0, |(got, _)| got);
        check!(got == length && back[..got] == out[..length], "{=usize} octets came back of {=usize}", got, length);
    }
    defmt::info!("udp");
}

async fn echo_tcp(stack: Stack<'_>, host: IpEndpoint) {
    let (mut received, mut sent) = ([0; 4096], [0; 4096]);
    let mut socket = TcpSocket::new(stack, &mut received, &mut sent);
    check!(socket.connect(host).await.is_ok(), "cannot connect");
    let started = Instant::now();
    let mut back = [0; 2048];
    for round in 0..100u8 {
        let out = [round; 2048];
        check!(socket.write_all(&out).await.is_ok(), "cannot write");
        check!(socket.read_exact(&mut back).await.is_ok(), "cannot read");
        check!(back == out, "other octets came back");
    }
    defmt::info!("tcp: 200 KiB there and back in {=u64} ms", started.elapsed().as_millis());
    socket.close();
}
