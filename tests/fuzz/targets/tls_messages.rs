//! Reads any octets as each TLS message.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    edgetrust_tls::read_as_each(octets);
});
