//! Makes TLS handshakes between two of ours over a wire that changes its records as the input says: both sides fail, or
//! both agree on their peers, keying material and protocol, and data that comes is what was sent.

#![no_main]

#[allow(dead_code, reason = "the other targets use the rest")]
#[path = "../../../core/tls/tests/tls/wire.rs"]
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    wire::run(script);
});
