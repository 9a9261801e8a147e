//! An SNTP server (RFC 5905 section 14).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Sntp;

const LENGTH: usize = 48;
/// Seconds from 1900 to 1970.
const TO_1900: i64 = 2_208_988_800;

/// The answer to a request; none where there is to be none.
pub(super) fn answer(request: &[u8], mode: Sntp, now: SystemTime) -> Option<Vec<u8>> {
    let request = request.first_chunk::<LENGTH>()?;
    // Mode 3 is a client.
    if request[0] & 7 != 3 {
        return None;
    }
    let version = request[0] & 0x38;
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let offset = if let Sntp::Offset(offset) = mode { offset } else { 0 };
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX).saturating_add(TO_1900).saturating_add(offset);
    // The era is not sent (RFC 5905 section 6): what is cut off is what a client has to guess.
    let [.., a, b, c, d] = seconds.to_be_bytes();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    let [.., e, f, g, h] = fraction.to_be_bytes();
    let time = [a, b, c, d, e, f, g, h];

    let mut reply = [0; LENGTH];
    reply[0] = version | 4;
    reply[1] = 2;
    reply[3] = 0xec;
    reply[16..24].copy_from_slice(&time);
    reply[24..32].copy_from_slice(&request[40..48]);
    reply[32..40].copy_from_slice(&time);
    reply[40..48].copy_from_slice(&time);
    match mode {
        Sntp::Silent => return None,
        Sntp::Malformed => return Some(reply[..17].to_vec()),
        Sntp::KissOfDeath => {
            reply[0] |= 0xc0;
            reply[1] = 0;
            reply[12..16].copy_from_slice(b"RATE");
        }
        Sntp::OtherOrigin => reply[24..32].iter_mut().for_each(|octet| *octet ^= 0xff),
        Sntp::Unsynchronized => reply[0] |= 0xc0,
        Sntp::Offset(_) => {}
    }
    Some(reply.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_and_is_of_this_request() {
        let mut request = [0; LENGTH];
        request[0] = 0x23;
        request[40..48].copy_from_slice(b"whenever");
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let told = |mode| {
            let reply = answer(&request, mode, now).unwrap();
            (u32::from_be_bytes(reply[40..44].try_into().unwrap()), reply[24..32].to_vec(), reply[1], reply[0] >> 6)
        };
        assert_eq!(told(Sntp::Offset(0)), (3_208_988_800, b"whenever".to_vec(), 2, 0));
        assert_eq!(told(Sntp::Offset(-10)).0, 3_208_988_790);
        assert_ne!(told(Sntp::OtherOrigin).1, b"whenever");
        assert_eq!(told(Sntp::KissOfDeath).2, 0);
        assert_eq!(told(Sntp::Unsynchronized).3, 3);
        assert!(answer(&request, Sntp::Malformed, now).unwrap().len() < LENGTH);
        assert_eq!(answer(&request, Sntp::Silent, now), None);
        assert_eq!(answer(&request[..47], Sntp::Offset(0), now), None);
    }
}
