//! The program, end to end, with real openssl and curl as the other side.

mod admission;
mod check;
mod check_anchors;
mod components;
mod config;
mod constraints;
mod demo;
mod documents;
mod est;
mod keys;
mod limits;
mod log;
mod pages;
mod peers;
mod pins;
mod pki;
mod refusals;
mod reload;
mod run;
mod serve;
mod storage;
mod strangers;
mod targets;
mod traffic;
mod tunnel_pair;
mod verify;
