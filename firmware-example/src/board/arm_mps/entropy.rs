//! Provides random octets from the machine that runs QEMU.

use semihosting::fs::File;
use semihosting::io::{Error, Read};

use crate::board::Entropy;

/// An entropy source for QEMU only: the board has no random number generator, and semihosting reaches the host's. A
/// board in the field needs hardware of its own.
pub struct HostEntropy(());

/// The reason for which there is no entropy.
#[derive(Debug)]
pub enum HostEntropyError {
    /// There is no semihosting, or the host has no such file.
    Host(Error),
    /// The file ended.
    Ended,
}

impl defmt::Format for HostEntropyError {
    fn format(&self, f: defmt::Formatter) {
        match self {
            Self::Host(_) => defmt::write!(f, "the host's /dev/urandom cannot be read over semihosting"),
            Self::Ended => defmt::write!(f, "the host's /dev/urandom ended"),
        }
    }
}

impl HostEntropy {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

impl Entropy for HostEntropy {
    type Error = HostEntropyError;

    fn fill(&mut self, out: &mut [u8]) -> Result<(), HostEntropyError> {
        let mut file = File::open(c"/dev/urandom").map_err(HostEntropyError::Host)?;
        let mut rest = out;
        while !rest.is_empty() {
            let octets = file.read(rest).map_err(HostEntropyError::Host)?;
            rest = match rest.get_mut(octets..) {
                Some(rest) if octets > 0 => rest,
                _ => return Err(HostEntropyError::Ended),
            };
        }
        Ok(())
    }
}
