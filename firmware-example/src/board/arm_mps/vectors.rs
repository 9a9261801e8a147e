//! Defines the vector table.

use super::interrupts::{ALARM, ETHERNET, INTERRUPTS, WRAPPED};

extern "C" fn unexpected() {
    panic!("an interrupt that nobody enabled");
}

// SAFETY: cortex-m-rt's linker script places this section after the exceptions; its feature `device` requires name and
// type.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [extern "C" fn(); INTERRUPTS] = {
    let mut table: [extern "C" fn(); INTERRUPTS] = [unexpected; INTERRUPTS];
    table[WRAPPED.place()] = super::clock::wrapped;
    table[ALARM.place()] = super::clock::alarm;
    table[ETHERNET.place()] = super::lan9118::interrupt;
    table
};
