//! Tests the page for people in Chromium. `tests/run` installs it; `cargo test --test browser` lists the tests that are
//! ignored without it.

mod accessibility;
#[path = "../program/addresses.rs"]
mod addresses;
mod chromium;
mod gateways;
mod night;
#[allow(dead_code, reason = "shared with the program's other tests, which use more of it")]
#[path = "../program/peers.rs"]
mod peers;
mod pictures;
#[allow(dead_code, reason = "shared with the program's other tests, which use more of it")]
#[path = "../program/pki.rs"]
mod pki;
mod seen;
mod sites;
