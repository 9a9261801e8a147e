//! Parses a PROXY protocol header, octet by octet and as a whole: both come to the same.

#![no_main]

#[allow(dead_code, reason = "a part of the gateway, which is no library")]
#[path = "../../../std-adapter/src/gateway/proxy_header.rs"]
mod proxy_header;

use libfuzzer_sys::fuzz_target;
use proxy_header::{ADDRESSES, HeaderStart, LONGEST, START};

fuzz_target!(|octets: &[u8]| {
    let whole = octets.get(..START).map(HeaderStart::parse);
    let parts = (0..=octets.len().min(START)).map(|end| HeaderStart::parse(octets.get(..end).unwrap_or_default()));
    let first = parts.clone().find(|part| !matches!(part, Ok(None)));
    match (whole, first) {
        // What is a fault in the end may be another one at first, and never a header.
        (Some(Err(_)), Some(Err(_))) | (None, None | Some(Err(_))) => {}
        (Some(Ok(Some(start))), Some(Ok(Some(found)))) => {
            assert_eq!(start, found);
            assert!(start.length() <= LONGEST.into());
            let rest = octets.get(START..).unwrap_or_default();
            let addresses = rest.get(..start.length().min(ADDRESSES)).unwrap_or(rest);
            if let Some(ends) = start.ends(addresses) {
                assert_eq!(ends.from.ip(), ends.from.ip().to_canonical());
            }
        }
        other => panic!("{other:?}"),
    }
});
