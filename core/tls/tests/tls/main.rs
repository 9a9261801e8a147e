//! Tests the engine with peers of several makes, in both roles.

mod bent;
mod cost;
mod drive;
mod foreign;
mod gnutls;
mod go;
mod mutations;
mod nss;
mod openssl;
mod ours;
mod pki;
mod programs;
mod rustls;
mod tlslite;
mod wire;
