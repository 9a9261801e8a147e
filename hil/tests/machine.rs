//! Tests QEMU as a machine: output and end of a guest, contents of its flash, and its network cable.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgetrust_hil::log::{Log, Waited};
use edgetrust_hil::qemu::{BOARDS, Machine, Network};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Writes a minimal guest that stores a word in flash, prints a line and ends with status 7, or with `spins` does not
/// end.
fn image(folder: &Path, spins: bool) -> PathBuf {
    // Stack and entry.
    let mut image = [0x2001_0000_u32, 9].map(u32::to_le_bytes).concat();
    let code: [u16; 10] = [
        0x4804,                              // ldr r0, =0x2100_0000
        0x4905,                              // ldr r1, =0x4554_4c48
        0x6001,                              // str r1, [r0]
        0x2004,                              // movs r0, #4: SYS_WRITE0
        0x4904,                              // ldr r1, =text
        0xbeab,                              // bkpt 0xab
        0x2020,                              // movs r0, #0x20: SYS_EXIT_EXTENDED
        0x4904,                              // ldr r1, =block
        if spins { 0xe7fe } else { 0xbeab }, // b . or bkpt 0xab
        0xe7fe,                              // b .
    ];
    image.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    let pool = [0x2100_0000_u32, 0x4554_4c48, 0x34, 0x2c, 0x0002_0026, 7];
    image.extend(pool.iter().flat_map(|word| word.to_le_bytes()));
    image.extend(b"boot: by hand\n\0");
    let file = folder.join(if spins { "spins.bin" } else { "ends.bin" });
    fs::write(&file, image).unwrap();
    file
}

fn machine(folder: &Path, spins: bool) -> Machine {
    // QEMU separates options by commas.
    let flash = folder.join("flash,1.bin");
    Machine {
        board: &BOARDS[0],
        firmware: image(folder, spins),
        flash,
        arguments: vec!["a,b".into()],
        by_instructions: false,
    }
}

#[test]
fn a_guest_speaks_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::new());
    for by_instructions in [false, true] {
        let machine = Machine { by_instructions, ..machine(folder.path(), false) };
        let from = log.len();
        let mut qemu = machine.start(Network::None, &log).unwrap();
        let status = qemu.wait(soon()).expect("it ends");
        assert_eq!(status.code(), Some(7), "{:?}", log.lines(0));
        let said = log.wait(from, soon(), |line| line.text == "boot: by hand");
        assert!(matches!(said, Waited::Found(_)), "{:?}", log.lines(0));
        let flash = fs::read(&machine.flash).unwrap();
        assert_eq!((flash.len() as u64, &flash[..4]), (BOARDS[0].memory, &b"HLTE"[..]));
    }
}

#[test]
fn a_guest_that_goes_on_is_ended_with_its_handle() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::new());
    let wire = edgetrust_hil::wire::Wire::start(Default::default()).unwrap();
    // The same cable, a second time.
    for _ in 0..2 {
        let from = log.len();
        let mut qemu = machine(folder.path(), true).start(Network::Wire(&wire), &log).unwrap();
        assert!(matches!(log.wait(from, soon(), |line| line.text == "boot: by hand"), Waited::Found(_)));
        assert_eq!(qemu.status(), None);
        qemu.stop();
        assert_eq!(log.wait(log.len(), soon(), |_| true), Waited::Ended);
    }
}

#[test]
fn what_cannot_be_started_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine { firmware: folder.path().join("missing.elf"), ..machine(folder.path(), false) };
    assert!(machine.start(Network::None, &Arc::new(Log::new())).is_err());
    let broken = folder.path().join("broken.elf");
    fs::write(&broken, b"\x7fELF and nothing behind it").unwrap();
    let error = Machine { firmware: broken, ..machine }.start(Network::None, &Arc::new(Log::new())).err().unwrap();
    assert!(error.to_string().contains("broken.elf: "), "{error}");
}
