//! AES-GCM without a cipher: it takes and gives what the compiler cannot predict.

#![no_std]

pub use aead;
use aead::consts::{U0, U12, U16};
use aead::generic_array::GenericArray;
use aead::{AeadCore, AeadInPlace, Error, KeyInit, KeySizeUser};
use core::hint::black_box;

/// A key.
pub struct Aes128Gcm([u8; 16]);

impl KeySizeUser for Aes128Gcm {
    type KeySize = U16;
}

impl KeyInit for Aes128Gcm {
    fn new(key: &GenericArray<u8, U16>) -> Self {
        Self((*key).into())
    }
}

impl AeadCore for Aes128Gcm {
    type NonceSize = U12;
    type TagSize = U16;
    type CiphertextOverhead = U0;
}

impl AeadInPlace for Aes128Gcm {
    fn encrypt_in_place_detached(
        &self,
        nonce: &GenericArray<u8, U12>,
        header: &[u8],
        text: &mut [u8],
    ) -> Result<GenericArray<u8, U16>, Error> {
        black_box((self.0, nonce, header, text));
        if black_box(true) { Ok(black_box([0; 16]).into()) } else { Err(Error) }
    }

    fn decrypt_in_place_detached(
        &self,
        nonce: &GenericArray<u8, U12>,
        header: &[u8],
        text: &mut [u8],
        tag: &GenericArray<u8, U16>,
    ) -> Result<(), Error> {
        black_box((self.0, nonce, header, text, tag));
        if black_box(true) { Ok(()) } else { Err(Error) }
    }
}
