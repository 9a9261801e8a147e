//! Draws the faults of a run: the same for the same seed and length.

use std::fmt;
use std::time::Duration;

use super::{LINKS, SITES, target};
use crate::random::Random;

/// The time before the first fault, and that after the last one in which everything comes back.
const BEFORE: u64 = 2_000;
const QUIET: u64 = 12_000;
/// The time within which a change of the mesh is in force everywhere, with all lines up and after trouble.
const BOUND: u64 = 10_000;
const BOUND_AFTER_TROUBLE: u64 = 75_000;
/// The time for which a change stays after it must be in force.
const STAYS: u64 = 3_000;
/// The time between changes, in which lines are cut and gateways killed.
const BETWEEN: u64 = 25_000;

/// Something that goes wrong, or is done. Sites and links are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill {
        site: usize,
    },
    /// With a word (a reset) or without one.
    Cut {
        link: usize,
        word: bool,
    },
    Stall {
        link: usize,
    },
    /// The change is brought to one site, and comes to the others by the control channel.
    Unlink {
        link: usize,
        at: usize,
    },
    Deny {
        site: usize,
        at: usize,
    },
    Renew {
        site: usize,
        new_key: bool,
    },
    Crowd {
        link: usize,
    },
}

/// A fault with its time, from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub fault: Fault,
    pub at: Duration,
    pub lasts: Duration,
    /// The time within which a change of the mesh is in force everywhere.
    pub bound: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |link: &usize| format!("{} to {}", SITES[*link], SITES[target(*link)]);
        match self {
            Self::Kill { site } => write!(f, "the gateway of {} is killed", SITES[*site]),
            Self::Cut { link, word: true } => write!(f, "the line from {} is cut with a reset", line(link)),
            Self::Cut { link, word: false } => write!(f, "the line from {} is cut without a word", line(link)),
            Self::Stall { link } => write!(f, "the line from {} is stalled", line(link)),
            Self::Unlink { link, at } => write!(f, "the link from {} is taken out, said at {}", line(link), SITES[*at]),
            Self::Deny { site, at } => write!(f, "the key of {} is denied, said at {}", SITES[*site], SITES[*at]),
            Self::Renew { site, new_key: true } => write!(f, "the certificate of {} is renewed, new key", SITES[*site]),
            Self::Renew { site, new_key: false } => write!(f, "the certificate of {} is renewed", SITES[*site]),
            Self::Crowd { link } => write!(f, "as many connections as there may be from {}", line(link)),
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7.1} s for {:5.1} s  {}", self.at.as_secs_f64(), self.lasts.as_secs_f64(), self.fault)
    }
}

/// Draws the faults of a run of this length, in the order of their times.
///
/// Changes of the mesh follow each other, and so do all other faults, so that one of each kind goes on at a time at most.
/// While half of the changes spread, all lines are up, so that they must be in force soon; during the others anything may
/// happen.
pub fn plan(seed: u64, length: Duration) -> Vec<Planned> {
    let mut random = Random(seed);
    let end = (length.as_millis() as u64).saturating_sub(QUIET);
    let edits = edits(&mut random, end);
    let mut all = others(&mut random, end, &edits);
    all.extend(edits);
    all.sort_by_key(|planned| planned.at);
    all
}

fn seconds(random: &mut Random, from: u64, to: u64) -> u64 {
    1_000 * from + random.below(1_000 * (to - from))
}

fn planned(fault: Fault, at: u64, lasts: u64, bound: u64) -> Planned {
    let [at, lasts, bound] = [at, lasts, bound].map(Duration::from_millis);
    Planned { fault, at, lasts, bound }
}

fn drawn(random: &mut Random) -> (usize, usize) {
    (random.below(SITES.len() as u64) as usize, random.below(LINKS as u64) as usize)
}

/// Draws changes of the mesh, each with the bound that holds for it.
fn edits(random: &mut Random, end: u64) -> Vec<Planned> {
    let (mut all, mut at, mut denies) = (Vec::new(), BEFORE + 1_000, random.one_in(2));
    loop {
        let (site, link) = drawn(random);
        let fault = match denies {
            // Whoever is denied hears of nothing.
            true => Fault::Deny { site, at: (site + 1 + random.below(2) as usize) % SITES.len() },
            false => Fault::Unlink { link, at: site },
        };
        let bound = if end < 300_000 || random.one_in(2) { BOUND } else { BOUND_AFTER_TROUBLE };
        let over = at + bound + STAYS + bound;
        if over > end {
            return all;
        }
        all.push(planned(fault, at, bound + STAYS, bound));
        denies = !denies;
        at = over + BETWEEN + random.below(BETWEEN);
    }
}

/// Draws all other faults. Kinds come in an order that is shuffled again and again; what may not be at a time comes later.
fn others(random: &mut Random, end: u64, edits: &[Planned]) -> Vec<Planned> {
    let (mut all, mut at, mut kinds) = (Vec::new(), BEFORE, Vec::new());
    while at < end {
        if kinds.len() < 3 {
            kinds.extend([0, 1, 2, 3, 4]);
        }
        let first = random.below(kinds.len() as u64) as usize;
        let place = (0..kinds.len()).map(|more| (first + more) % kinds.len()).find_map(|place| {
            let fault = other(random, kinds[place], at);
            (is_allowed(&fault, edits) && fault.at.as_millis() as u64 + fault.lasts.as_millis() as u64 <= end)
                .then_some((place, fault))
        });
        let mut lasts = 0;
        if let Some((place, fault)) = place {
            kinds.swap_remove(place);
            lasts = fault.lasts.as_millis() as u64;
            all.push(fault);
        }
        at += lasts + if end < 300_000 { seconds(random, 1, 4) } else { seconds(random, 1, 12) };
    }
    all
}

fn other(random: &mut Random, kind: u8, at: u64) -> Planned {
    let (site, link) = drawn(random);
    let (fault, lasts) = match kind {
        0 => (Fault::Kill { site }, random.below(3_000)),
        1 => (
            Fault::Cut { link, word: random.one_in(2) },
            if at < 120_000 { seconds(random, 1, 3) } else { seconds(random, 1, 20) },
        ),
        2 => (Fault::Stall { link }, seconds(random, 1, 4)),
        3 => (Fault::Renew { site, new_key: random.one_in(2) }, 0),
        _ => (Fault::Crowd { link }, seconds(random, 2, 5)),
    };
    planned(fault, at, lasts, 0)
}

/// Returns whether a fault may be, where changes of the mesh go on. A line that was down is dialled again after twice that
/// time, so it is up long enough before a change that must be in force soon; and nobody gets a new key while the old one is
/// denied.
fn is_allowed(other: &Planned, edits: &[Planned]) -> bool {
    edits.iter().all(|edit| {
        let over = edit.at + edit.lasts + edit.bound;
        let meets = |after: Duration| other.at < over && other.at + other.lasts + after > edit.at;
        let is_soon = edit.bound == Duration::from_millis(BOUND);
        let disturbs = matches!(other.fault, Fault::Kill { .. } | Fault::Cut { .. });
        let of_denied = match (edit.fault, other.fault) {
            (Fault::Deny { site, .. }, Fault::Renew { site: renewed, .. }) => site == renewed,
            _ => false,
        };
        let after = Duration::from_secs(4);
        !(disturbs && is_soon && meets(2 * other.lasts + after) || of_denied && meets(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_seed_replays_its_faults() {
        assert_eq!(plan(7, 60 * MINUTE), plan(7, 60 * MINUTE));
        assert_ne!(plan(7, 60 * MINUTE), plan(8, 60 * MINUTE));
    }

    #[test]
    fn two_minutes_have_a_fault_of_each_kind() {
        for seed in 0..200 {
            let all = plan(seed, 2 * MINUTE);
            let has = |is: fn(&Fault) -> bool| assert!(all.iter().any(|planned| is(&planned.fault)), "{seed}: {all:?}");
            has(|fault| matches!(fault, Fault::Kill { .. }));
            has(|fault| matches!(fault, Fault::Cut { .. }));
            has(|fault| matches!(fault, Fault::Stall { .. }));
            has(|fault| matches!(fault, Fault::Renew { .. }));
            has(|fault| matches!(fault, Fault::Crowd { .. }));
            has(|fault| matches!(fault, Fault::Deny { .. }));
            has(|fault| matches!(fault, Fault::Unlink { .. }));
        }
    }

    #[test]
    fn faults_are_over_before_the_end_and_changes_follow_each_other() {
        for seed in 0..50 {
            let all = plan(seed, 10 * MINUTE);
            assert!(all.iter().all(|planned| planned.at + planned.lasts < 10 * MINUTE), "{seed}: {all:?}");
            let edits: Vec<_> = all.iter().filter(|planned| planned.bound > Duration::ZERO).collect();
            assert!(edits.windows(2).all(|two| two[0].at + two[0].lasts + two[0].bound < two[1].at), "{seed}: {all:?}");
            assert!(all.iter().all(|planned| is_allowed(planned, &all)), "{seed}: {all:?}");
        }
    }
}
