//! A secret of 32 octets: no output, and nothing of it is left in memory.

use core::fmt;

use zeroize::Zeroize;

#[derive(Clone)]
pub(crate) struct Secret(pub(crate) [u8; 32]);

impl fmt::Debug for Secret {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::ZeroizeOnDrop;

    const fn is_wiped<T: ZeroizeOnDrop>() {}

    /// What holds a key beside [`Secret`] wipes it. GHASH says so by having something to drop.
    #[test]
    fn keys_in_ciphers_are_wiped() {
        is_wiped::<aes::Aes128>();
        is_wiped::<p256::ecdh::EphemeralSecret>();
        is_wiped::<p256::ecdh::SharedSecret>();
        #[cfg(feature = "chacha20")]
        is_wiped::<chacha20poly1305::ChaCha20Poly1305>();
        assert!(core::mem::needs_drop::<Secret>());
        assert!(core::mem::needs_drop::<crate::protection::TrafficKey>());
    }
}
