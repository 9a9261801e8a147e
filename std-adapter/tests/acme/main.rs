//! Certificates from real CAs: step-ca and pebble. `tests/run` builds both; without them: `cargo test --test acme` says what is ignored.

mod ca;
mod gateway;
#[path = "../program/peers.rs"]
mod peers;
#[path = "../program/pki.rs"]
mod pki;
mod step_ca;
