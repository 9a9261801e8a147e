//! Tests how people come to a configuration: the schema for editors, the first file, the files that are found, what a
//! server shows, the help, and the way from other programs.

#[path = "../program/addresses.rs"]
mod addresses;
mod found;
mod init;
mod inspect;
mod manual;
mod migration;
mod migration_peers;
mod newcomer;
#[path = "../program/peers.rs"]
#[allow(dead_code, reason = "shared with the tests of the program")]
mod peers;
#[path = "../program/pki.rs"]
#[allow(dead_code, reason = "shared with the tests of the program")]
mod pki;
mod schema;
