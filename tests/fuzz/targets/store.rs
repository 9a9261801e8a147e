//! Reads two slots of any octets: the result is a whole record or none.

#![no_main]

use edgetrust_core::store::{Slot, SlotMedium, Store, certificates};
use libfuzzer_sys::fuzz_target;

const CAPACITY: usize = 4096;

struct Slots<'a>([&'a [u8]; 2]);

impl SlotMedium for Slots<'_> {
    type Error = ();

    const WRITE_SIZE: u32 = 4;

    fn capacity(&self) -> u32 {
        CAPACITY as u32
    }

    fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> Result<(), ()> {
        let octets = self.0[usize::from(slot == Slot::B)];
        out.fill(0xff);
        for (to, from) in out.iter_mut().zip(octets.iter().skip(offset as usize)) {
            *to = *from;
        }
        Ok(())
    }

    fn erase(&mut self, _: Slot) -> Result<(), ()> {
        Err(())
    }

    fn program(&mut self, _: Slot, _: u32, _: &[u8]) -> Result<(), ()> {
        Err(())
    }

    fn barrier(&mut self) -> Result<(), ()> {
        Err(())
    }
}

fuzz_target!(|input: &[u8]| {
    let (a, b) = input.split_at(input.len() / 2);
    let Ok(mut store) = Store::new(Slots([a, b])) else { return };
    let selected = store.survey().selected();
    let (mut key, mut chain) = ([0; CAPACITY], [0; CAPACITY]);
    for slot in [selected.active, selected.trial].into_iter().flatten() {
        let stored = store.read(slot, &mut key, &mut chain).expect("what is selected can be read");
        assert!(!stored.key.is_empty());
    }
    let all: usize = certificates(input).map(<[u8]>::len).sum();
    assert!(all <= input.len());
});
