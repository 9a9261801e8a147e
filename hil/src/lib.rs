//! Runs firmware against real servers, and judges its behaviour.

pub mod decode;
pub mod hostile;
pub mod image;
pub mod log;
pub mod pem;
pub mod pki;
pub mod probe;
pub mod qemu;
pub mod scenario;
pub mod self_test;
pub mod servers;
pub mod wire;
