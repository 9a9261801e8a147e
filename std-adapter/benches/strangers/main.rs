//! Measures the cost of unauthorized clients to a running gateway, as Markdown: the processor time of a refused
//! handshake for every known attack and of a wrong password, and the latency of authorized sessions and `/healthz` while one core makes
//! hostile handshakes.
//!
//! `cargo bench -p edgetrust --bench strangers [-- refusals|guesses|siege]`

#[path = "../../tests/program/peers.rs"]
#[allow(dead_code, reason = "shared with the tests of the program")]
mod peers;
#[path = "../../tests/program/pki.rs"]
#[allow(dead_code, reason = "shared with the tests of the program")]
mod pki;
#[path = "../../../tests/src/work/mod.rs"]
#[allow(dead_code, reason = "shared with the benchmarks of core")]
mod work;

mod guesses;
mod hostile;
mod refusals;
mod siege;
mod site;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            refusals::print();
            guesses::print();
            siege::print();
        }
        ["refusals"] => refusals::print(),
        ["guesses"] => guesses::print(),
        ["siege"] => siege::print(),
        ["attack", address, name] => siege::attack(address.parse().unwrap(), name),
        _ => panic!("usage: strangers [refusals | guesses | siege]"),
    }
}
