//! Runs three sites under random faults, which a seed replays, and watches over what must hold at all times.
//!
//! Gateways, certificates, the mesh and its changes are real: the program itself runs them. The sites have loopback
//! addresses, and a proxy of this process stands for each line between two of them: so a line is cut or stalled without
//! privileges, and this process sees both ends of each session.
//!
//! | fault | what it may do | what it may not do |
//! |---|---|---|
//! | a gateway is killed and restarted | cut sessions of that site | cut others |
//! | a line is cut, with or without a word | cut its sessions | cut others |
//! | a line is stalled for some seconds | delay | cut or lose anything |
//! | a link is taken out and put back | end its sessions | leave one after the bound, cut others |
//! | a gateway's key is denied and allowed | end its sessions | leave one after the bound, cut others |
//! | a certificate is renewed, with a new key or not | nothing | cut anything |
//! | as many connections as there may be | refuse new sessions | cut any, delay a denial |

mod gateway;
mod ledger;
mod plan;
mod proxy;
mod run;
mod sites;
mod traffic;

pub use gateway::PROGRAM;
pub use plan::{Fault, Planned, plan};
pub use run::{Options, Summary, run};

/// The sites, of which each reaches the next one, and the last one the first.
pub const SITES: [&str; 3] = ["a", "b", "c"];
/// The links: each leads from the site of its number to the next one.
pub const LINKS: usize = SITES.len();

/// Returns the number of the site where a link leads.
pub fn target(link: usize) -> usize {
    (link + 1) % LINKS
}

/// Returns whether a link begins or ends at a site.
pub fn touches(link: usize, site: usize) -> bool {
    link == site || target(link) == site
}
