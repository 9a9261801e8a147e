//! Tests certificates from real CAs, step-ca and pebble. `tests/run` builds both; `cargo test --test acme` lists the
//! tests that are ignored without them.

mod ca;
mod cluster;
mod crls;
mod denials;
mod documents;
mod est;
mod est_clients;
mod fault_proxy;
mod faults;
mod federation;
mod first_enrollment;
mod gateway;
mod impostors;
mod jetstream;
mod live;
mod namespaces;
mod nats;
mod new_keys;
mod pebble;
#[allow(dead_code, reason = "shared with the program's other tests, which use more of it")]
#[path = "../program/peers.rs"]
mod peers;
mod replica_address;
mod replica_commands;
mod replica_door;
mod replica_est;
mod replica_faults;
mod replica_guide;
mod replica_mesh;
mod replica_random;
mod replica_steps;
mod replica_store;
mod replicas;
mod second_gateway;
mod short_lives;
mod sites;
#[path = "../program/softhsm.rs"]
mod softhsm;
mod step_ca;
mod three_sites;
mod tokens;
mod traffic;
