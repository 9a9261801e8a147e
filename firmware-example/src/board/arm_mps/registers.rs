//! Accesses a block of 32-bit registers at one address.

/// The registers of one peripheral.
#[derive(Clone, Copy)]
pub(super) struct Registers(usize);

impl Registers {
    /// # Safety
    /// `base` must be a peripheral that stays mapped, at least up to the used offsets, and neither reading nor writing
    /// it may touch the program's memory.
    pub(super) const unsafe fn at(base: usize) -> Self {
        Self(base)
    }

    #[inline]
    pub(super) fn read(self, offset: usize) -> u32 {
        // SAFETY: the caller of `at` guaranteed a peripheral here.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    #[inline]
    pub(super) fn write(self, offset: usize, value: u32) {
        // SAFETY: the caller of `at` guaranteed a peripheral here.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }
}
