//! Brings any octets to a TLS server and to a TLS client: there is no connection, and a refusal has its alert.

#![no_main]

#[allow(dead_code, reason = "the other targets use the rest")]
#[path = "../../../core/tls/tests/tls/wire.rs"]
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| wire::feed(octets));
