//! Guards the end of the stack on Armv7-M by a region of the MPU. Armv8-M has a stack limit (`set-msplim` of
//! cortex-m-rt).

use cortex_m::peripheral::MPU;

unsafe extern "C" {
    static _stack_end: u32;
}

/// The size in octets of the guarded region below the stack, as large as any frame.
const GUARD: u32 = 1 << 20;

/// Makes accesses below the stack fault. There is no memory, but QEMU reads zeros there and continues.
pub(in crate::board) fn guard_stack(mpu: &MPU) {
    let base = (&raw const _stack_end as u32).wrapping_sub(GUARD);
    let size = GUARD.trailing_zeros() - 1;
    // SAFETY: no used memory becomes inaccessible: the region ends where memory begins, and the rest keeps the default
    // map.
    unsafe {
        // Region 0.
        mpu.rbar.write(base | 1 << 4);
        // No execution and no access.
        mpu.rasr.write(1 << 28 | size << 1 | 1);
        // Enabled, with the default map for the rest; disabled in HardFault and NMI, which must always run.
        mpu.ctrl.write(1 << 2 | 1);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}
