//! A block of 32-bit registers at one address.

/// The registers of one peripheral.
#[derive(Clone, Copy)]
pub(super) struct Registers(usize);

impl Registers {
    /// # Safety
    /// `base` is a peripheral that stays mapped, at least up to the offsets that are used, and neither reading nor writing it touches the
    /// program's memory.
    pub(super) const unsafe fn at(base: usize) -> Self {
        Self(base)
    }

    #[inline]
    pub(super) fn read(self, offset: usize) -> u32 {
        // SAFETY: `at` was promised a peripheral here.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    #[inline]
    pub(super) fn write(self, offset: usize, value: u32) {
        // SAFETY: `at` was promised a peripheral here.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }
}
