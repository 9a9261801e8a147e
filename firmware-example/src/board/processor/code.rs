//! Knows where the program's code is.

unsafe extern "C" {
    static __stext: u32;
    static __etext: u32;
}

/// Returns whether the program has code at this address.
#[must_use]
pub fn is_code(address: u32) -> bool {
    (&raw const __stext as u32..&raw const __etext as u32).contains(&address)
}
