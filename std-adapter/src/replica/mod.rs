//! Several gateways with one credential: one of them orders, all of them show what it got.

mod lease;
mod sealing;
