//! Protects records (RFC 8446 section 5.2): a key and a nonce for each direction.

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInPlace, KeyInit};
#[cfg(feature = "chacha20")]
use chacha20poly1305::ChaCha20Poly1305;

use crate::error::{Error, Fault};
use crate::key_schedule::{expand, next};
use crate::limits::{HEADER, MAX_RECORDS, TAG, UPDATE_AFTER};
use crate::secret::Secret;

/// The cipher suites (RFC 8446 appendix B.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CipherSuite {
    /// TLS_AES_128_GCM_SHA256
    Aes128Gcm,
    /// TLS_CHACHA20_POLY1305_SHA256
    #[cfg(feature = "chacha20")]
    ChaCha20Poly1305,
}

impl CipherSuite {
    /// All suites, in the order of their speed without hardware for AES.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "chacha20")]
        Self::ChaCha20Poly1305,
        Self::Aes128Gcm,
    ];

    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Aes128Gcm => 0x1301,
            #[cfg(feature = "chacha20")]
            Self::ChaCha20Poly1305 => 0x1303,
        }
    }
}

#[cfg_attr(
    feature = "chacha20",
    expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one on")
)]
enum Aead {
    Aes128Gcm(Aes128Gcm),
    #[cfg(feature = "chacha20")]
    ChaCha20Poly1305(ChaCha20Poly1305),
}

/// The key of a direction.
pub(crate) struct TrafficKey {
    suite: CipherSuite,
    aead: Aead,
    iv: [u8; 12],
    sequence: u64,
    secret: Secret,
}

impl core::fmt::Debug for TrafficKey {
    /// Leaves out the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TrafficKey")
            .field("suite", &self.suite)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl TrafficKey {
    /// Makes the key and the nonce of a secret (RFC 8446 section 7.3).
    #[inline(never)]
    pub(crate) fn new(suite: CipherSuite, secret: Secret) -> Self {
        let aead = match suite {
            CipherSuite::Aes128Gcm => {
                let key = expand(&secret, b"key", &[], 16);
                let mut half = [0; 16];
                half.iter_mut().zip(&key.0).for_each(|(to, from)| *to = *from);
                let aead = Aes128Gcm::new(&half.into());
                zeroize::Zeroize::zeroize(&mut half);
                Aead::Aes128Gcm(aead)
            }
            #[cfg(feature = "chacha20")]
            CipherSuite::ChaCha20Poly1305 => {
                let key = expand(&secret, b"key", &[], 32);
                Aead::ChaCha20Poly1305(ChaCha20Poly1305::new((&key.0).into()))
            }
        };
        let mut iv = [0; 12];
        iv.iter_mut().zip(&expand(&secret, b"iv", &[], 12).0).for_each(|(to, from)| *to = *from);
        Self { suite, aead, iv, sequence: 0, secret }
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Takes the next key (RFC 8446 section 7.2).
    pub(crate) fn update(&mut self) {
        *self = Self::new(self.suite, next(&self.secret));
    }

    /// Returns whether the sender should take the next key.
    pub(crate) fn is_worn(&self) -> bool {
        self.sequence >= UPDATE_AFTER
    }

    /// Returns the nonce of the next record (RFC 8446 section 5.3).
    fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = self.iv;
        nonce.iter_mut().skip(4).zip(self.sequence.to_be_bytes()).for_each(|(octet, digit)| *octet ^= digit);
        // It ends far below 2^64: both directions count.
        self.sequence = self.sequence.saturating_add(1);
        nonce
    }

    /// Encrypts a record in place: header, inner plaintext, and room for the tag.
    #[inline(never)]
    pub(crate) fn seal(&mut self, record: &mut [u8]) -> Result<(), Error> {
        if self.sequence >= MAX_RECORDS {
            return Err(Error::Ended);
        }
        let nonce = self.nonce();
        let (header, body) = record.split_first_chunk_mut::<HEADER>().ok_or(Error::OutputFull)?;
        let (text, place) = body.split_last_chunk_mut::<TAG>().ok_or(Error::OutputFull)?;
        let tag = match &self.aead {
            Aead::Aes128Gcm(aead) => aead.encrypt_in_place_detached(&nonce.into(), header, text),
            #[cfg(feature = "chacha20")]
            Aead::ChaCha20Poly1305(aead) => aead.encrypt_in_place_detached(&nonce.into(), header, text),
        };
        *place = tag.map_err(|_| Error::OutputFull)?.into();
        Ok(())
    }

    /// Decrypts a record in place, and returns its inner plaintext.
    #[inline(never)]
    pub(crate) fn open<'r>(&mut self, header: &[u8; HEADER], body: &'r mut [u8]) -> Result<&'r mut [u8], Error> {
        if self.sequence >= MAX_RECORDS {
            return Err(Error::Peer(Fault::BadRecord));
        }
        let nonce = self.nonce();
        let (text, tag) = body.split_last_chunk_mut::<TAG>().ok_or(Error::Peer(Fault::BadRecord))?;
        let tag = (*tag).into();
        let opened = match &self.aead {
            Aead::Aes128Gcm(aead) => aead.decrypt_in_place_detached(&nonce.into(), header, text, &tag),
            #[cfg(feature = "chacha20")]
            Aead::ChaCha20Poly1305(aead) => aead.decrypt_in_place_detached(&nonce.into(), header, text, &tag),
        };
        opened.map_err(|_| Error::Peer(Fault::BadRecord))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_open_once_in_their_order_with_the_same_header() {
        for suite in CipherSuite::ALL {
            let (mut write, mut read) = (key(*suite), key(*suite));
            for text in [&b"one"[..], b"", b"three"] {
                let mut record = [0_u8; 40];
                let length = HEADER + text.len() + TAG;
                record[0] = 23;
                record[HEADER..HEADER + text.len()].copy_from_slice(text);
                write.seal(&mut record[..length]).unwrap();
                let (header, body) = record[..length].split_first_chunk_mut::<HEADER>().unwrap();
                assert_eq!(read.open(header, body).unwrap(), text);
            }
            assert_eq!(read.open(&[23, 3, 3, 0, 16], &mut [0; 16]), Err(Error::Peer(Fault::BadRecord)));
            assert_eq!(read.open(&[23, 3, 3, 0, 1], &mut [0; 1]), Err(Error::Peer(Fault::BadRecord)));
        }
    }

    #[test]
    fn a_key_wears_out() {
        let mut key = key(CipherSuite::Aes128Gcm);
        key.sequence = UPDATE_AFTER;
        assert!(key.is_worn());
        key.sequence = MAX_RECORDS;
        assert_eq!(key.seal(&mut [0; 30]), Err(Error::Ended));
        assert_eq!(key.open(&[0; HEADER], &mut [0; 30]), Err(Error::Peer(Fault::BadRecord)));
        key.update();
        assert_eq!(key.sequence, 0);
    }

    fn key(suite: CipherSuite) -> TrafficKey {
        TrafficKey::new(suite, Secret([7; 32]))
    }
}
