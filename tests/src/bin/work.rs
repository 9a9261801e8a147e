//! Judges chains that are hostile in shape, with signatures that cost nothing: `work attacks`, `work lists`, `work seeds FROM TO`,
//! or `work inputs FOLDER...` with the inputs that the fuzz target `work` has kept. Prints a line for each chain: its
//! name, the units of work charged, and the verdict. `tests/work` runs it in callgrind, which counts the instructions
//! of each verdict.

use std::hint::black_box;
use std::time::Duration;

use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, RequiredLists, Revocation, Trust};
use edgetrust_core::revocation::RevocationList;
use edgetrust_core::x509::Certificate;
use edgetrust_tests::random::Random;
use edgetrust_tests::work::attacks;
use edgetrust_tests::work::generated::{Choices, Free, Octets, chain};
use edgetrust_tests::work::lists::{Listed, listed};
use pki_types::UnixTime;

struct Seeded(Random);

impl Choices for Seeded {
    fn below(&mut self, below: usize) -> usize {
        usize::try_from(self.0.below(u64::try_from(below).unwrap_or(u64::MAX))).unwrap_or(0)
    }
}

/// Verifies a chain; callgrind counts the instructions of this function by its name.
#[inline(never)]
fn counted_by_callgrind(
    trust: &Trust<'_>,
    leaf: &Certificate<'_>,
    sent: &[Certificate<'_>],
    lists: &[RevocationList<'_>],
    budget: &mut Budget,
) -> &'static str {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let revocation = Revocation { lists, required: RequiredLists::None, now };
    let verdict = trust.verify_unrevoked(leaf, sent, Purpose::ServerAuth, now, &revocation, budget);
    black_box(verdict).map_or("refused", |_| "accepted")
}

/// Judges a leaf by lists that its CA is known to have signed.
fn judge_listed(listed: &Listed) {
    let parse = |der| Certificate::from_der(der).unwrap_or_else(|error| panic!("{}: {error}", listed.name));
    let read = |der| RevocationList::from_der(der).unwrap_or_else(|error| panic!("{}: {error}", listed.name));
    let (leaf, ca) = (parse(&listed.leaf), parse(&listed.ca));
    let mut lists: Vec<_> = listed.lists.iter().map(|der| read(der)).collect();
    for list in &mut lists {
        let proof = if list.is_named_after(&ca) { list.verify(&ca, &[&Free]) } else { None };
        *list = proof.and_then(|proof| list.with_signer(&proof)).unwrap_or(*list);
    }
    let anchors = [Anchor::ca(ca)];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[&Free] };
    let limits = Limits { p256_check: 0, ..Limits::SERVER };
    let mut budget = Budget::new(limits);
    let verdict = counted_by_callgrind(&trust, &leaf, &[], &lists, &mut budget);
    println!("{}\t{}\t{verdict}", listed.name, limits.work - budget.left().work);
}

fn judge(name: &str, ders: &[Vec<u8>]) {
    let parsed: Vec<_> = ders.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let Some((leaf, sent)) = parsed.split_first() else { return };
    let trust = Trust { anchors: &[], known_intermediates: &[], denied_keys: &[], algorithms: &[&Free] };
    let limits = Limits { p256_check: 0, ..Limits::SERVER };
    let mut budget = Budget::new(limits);
    let verdict = counted_by_callgrind(&trust, leaf, sent, &[], &mut budget);
    println!("{name}\t{}\t{verdict}", limits.work - budget.left().work);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["attacks"] => attacks().iter().for_each(|attack| judge(attack.name, &attack.chain)),
        ["lists"] => listed().iter().for_each(judge_listed),
        ["seeds", from, to] => {
            let (Ok(from), Ok(to)) = (from.parse::<u64>(), to.parse::<u64>()) else { return usage() };
            for seed in from..to {
                judge(&format!("seed {seed}"), &chain(&mut Seeded(Random(seed))));
            }
        }
        ["inputs", folders @ ..] => {
            for (name, octets) in folders.iter().flat_map(|folder| inputs(folder)) {
                judge(&name, &chain(&mut Octets(&octets)));
            }
        }
        _ => usage(),
    }
}

/// Returns the files of a folder, by name.
fn inputs(folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let octets = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.display().to_string(), octets)
    };
    paths.into_iter().map(read).collect()
}

fn usage() {
    eprintln!("usage: work attacks | work lists | work seeds FROM TO | work inputs FOLDER...");
    std::process::exit(2);
}
