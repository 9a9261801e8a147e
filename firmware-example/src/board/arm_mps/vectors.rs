//! Defines the vector table.

use super::interrupts::Interrupt;

extern "C" fn unexpected() {
    panic!("an interrupt that nobody enabled");
}

// SAFETY: cortex-m-rt's linker script places this section after the exceptions; its feature `device` requires name and
// type.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [extern "C" fn(); 32] = {
    let mut table: [extern "C" fn(); 32] = [unexpected; 32];
    table[Interrupt::Timer0 as usize] = super::clock::wrapped;
    table[Interrupt::Timer1 as usize] = super::clock::alarm;
    table[Interrupt::Ethernet as usize] = super::ethernet::interrupt;
    table
};
