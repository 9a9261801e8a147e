//! Tests the engine with peers of several makes, in both roles.

mod drive;
mod gnutls;
mod go;
mod mutations;
mod openssl;
mod ours;
mod pki;
mod programs;
mod rustls;
mod wire;
