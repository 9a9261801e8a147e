//! A generator of random numbers: ChaCha20 (RFC 8439 section 2.3) with its key replaced at each block, so that nobody who
//! reads the memory later learns the numbers before ("fast key erasure", Bernstein 2017). Its rounds are a loop:
//! `rand_chacha` would take 2 KB more of the image.

use rand_core::{CryptoRng, Error, RngCore, impls};

type Key = [u32; 8];

/// A generator, as good as its seed.
pub struct ChaCha20Rng(Key);

impl ChaCha20Rng {
    /// Creates a generator from 256 random bits.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let mut key = [0; 8];
        let (words, _) = seed.as_chunks::<4>();
        key.iter_mut().zip(words).for_each(|(to, word)| *to = u32::from_le_bytes(*word));
        Self(key)
    }

    /// Returns 32 random octets: half of a block, of which the other half is the next key.
    fn next_half(&mut self) -> [u8; 32] {
        let (next, numbers) = halves(block(&self.0, 0, [0; 3]));
        self.0 = next;
        let mut octets = [0; 32];
        let (words, _) = octets.as_chunks_mut::<4>();
        words.iter_mut().zip(numbers).for_each(|(to, word)| *to = word.to_le_bytes());
        octets
    }
}

impl RngCore for ChaCha20Rng {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for part in dest.chunks_mut(32) {
            part.iter_mut().zip(self.next_half()).for_each(|(to, octet)| *to = octet);
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for ChaCha20Rng {}

const fn halves(block: [u32; 16]) -> (Key, Key) {
    let (mut first, mut second) = ([0; 8], [0; 8]);
    let mut index = 0;
    while index < 8 {
        (first[index], second[index]) = (block[index], block[index + 8]);
        index += 1;
    }
    (first, second)
}

/// Returns the block of a key, a counter and a nonce (RFC 8439 section 2.3).
const fn block(key: &Key, counter: u32, nonce: [u32; 3]) -> [u32; 16] {
    let mut start = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574, 0, 0, 0, 0, 0, 0, 0, 0, counter, 0, 0, 0];
    let mut index = 0;
    while index < 8 {
        start[index + 4] = key[index];
        index += 1;
    }
    [start[13], start[14], start[15]] = nonce;
    let mut state = start;
    let mut quarter = 0;
    while quarter < 80 {
        // Four columns, then four diagonals.
        let (column, shift) = (quarter % 4, quarter / 4 % 2);
        let (a, b) = (column, 4 + (column + shift) % 4);
        let (c, d) = (8 + (column + 2 * shift) % 4, 12 + (column + 3 * shift) % 4);
        let turns = [16, 12, 8, 7];
        let mut turn = 0;
        while turn < 4 {
            let (to, from, turned) = if turn % 2 == 0 { (a, b, d) } else { (c, d, b) };
            state[to] = state[to].wrapping_add(state[from]);
            state[turned] = (state[turned] ^ state[to]).rotate_left(turns[turn]);
            turn += 1;
        }
        quarter += 1;
    }
    let mut index = 0;
    while index < 16 {
        state[index] = state[index].wrapping_add(start[index]);
        index += 1;
    }
    state
}

/// The example of RFC 8439 section 2.3.2.
const _: () = assert!(matches!(
    block(
        &[0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c, 0x1312_1110, 0x1716_1514, 0x1b1a_1918, 0x1f1e_1d1c],
        1,
        [0x0900_0000, 0x4a00_0000, 0],
    ),
    [
        0xe4e7_f110,
        0x1559_3bd1,
        0x1fdd_0f50,
        0xc471_20a3,
        0xc7f4_d1c7,
        0x0368_c033,
        0x9aaa_2204,
        0x4e6c_d4c3,
        0x4664_82d2,
        0x09aa_9f07,
        0x05d7_c214,
        0xa202_8bd9,
        0xd19c_12b5,
        0xb94e_16de,
        0xe883_d0cb,
        0x4e3c_50a2
    ]
));
