//! Tests revocation lists: what is refused when it is parsed, what is found, and verdicts by lists.

mod parse;
mod pki;
mod verdicts;
