//! SHA-1 (RFC 3174) for the opening handshake of a WebSocket, where it shows that the server speaks the protocol and
//! protects nothing. `sha1_smol` would take 3.2 KB more of the image: its rounds are unrolled.

/// The size in octets of the hashed message: a key of 24 and a GUID of 36 (RFC 6455 section 4.2.2).
pub const MESSAGE: usize = 60;

/// Returns the digest of a message.
pub const fn sha1(message: &[u8; MESSAGE]) -> [u8; 20] {
    // RFC 3174 section 4: the octet 0x80 follows the message, and the second block ends with its size in bits.
    let mut first = [0; 16];
    let mut index = 0;
    while index < MESSAGE {
        first[index / 4] |= (message[index] as u32) << (24 - index % 4 * 8);
        index += 1;
    }
    first[15] = 0x80 << 24;
    let mut second = [0; 16];
    second[15] = 8 * MESSAGE as u32;
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    compress(&mut state, first);
    compress(&mut state, second);
    let mut digest = [0; 20];
    let mut index = 0;
    while index < digest.len() {
        digest[index] = state[index / 4].to_be_bytes()[index % 4];
        index += 1;
    }
    digest
}

/// Adds a block to the state (RFC 3174 section 6.2, with a schedule of 16 words).
const fn compress(state: &mut [u32; 5], mut words: [u32; 16]) {
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    let mut round = 0;
    while round < 80 {
        let (mixed, constant) = match round / 20 {
            0 => ((b & c) | (!b & d), 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6),
        };
        let word = round % 16;
        if round >= 16 {
            let others = words[(round + 13) % 16] ^ words[(round + 8) % 16] ^ words[(round + 2) % 16];
            words[word] = (words[word] ^ others).rotate_left(1);
        }
        let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(words[word]);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next.wrapping_add(constant));
        round += 1;
    }
    let added = [a, b, c, d, e];
    let mut index = 0;
    while index < added.len() {
        state[index] = state[index].wrapping_add(added[index]);
        index += 1;
    }
}

/// The example of RFC 6455 section 1.3.
const _: () = assert!(matches!(
    sha1(b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"),
    [
        0xb3, 0x7a, 0x4f, 0x2c, 0xc0, 0x62, 0x4f, 0x16, 0x90, 0xf6, 0x46, 0x06, 0xcf, 0x38, 0x59, 0x45, 0xb2, 0xbe,
        0xc4, 0xea
    ]
));
