//! Several gateways with one credential: one of them orders, all of them show what it got.

mod bucket;
mod document;
mod lease;
mod sealing;
mod shared;
