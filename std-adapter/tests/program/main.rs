//! The program with real `openssl` on the other side; one behaviour a test.

mod peers;
mod pki;
mod serve;
mod verify;
