//! Runs the short form of `cargo run --release -p edgetrust-tests --bin mesh-simulate`.

use edgetrust::program::mesh::Listed;
use edgetrust_tests::mesh_simulation::{Links, Options, Report, simulate};

fn run(sites: usize, links: Links, seed: u64) -> Report {
    run_listed(sites, links, Listed::Certificates, seed)
}

fn run_listed(sites: usize, links: Links, listed: Listed, seed: u64) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { sites, links, listed, mbit: 100, seed };
    simulate(&options, &folder.path().join("run")).unwrap()
}

fn missed(report: &Report) -> Vec<String> {
    // Times of the machine are judged by the program, not here.
    let goals = report.goals().into_iter().filter(|goal| !goal.met && !goal.what.starts_with("check"));
    goals.map(|goal| format!("{}: {}", goal.what, goal.found)).collect()
}

#[test]
fn news_reaches_a_hundred_sites_in_time() {
    let report = run(100, Links::Random, 1);
    assert!(missed(&report).is_empty(), "{report}");
    assert_eq!((report.wanted, report.hold), (1_000, 1_000), "{report}");
    // A gateway of ten tunnels asks every 45 seconds in each, and answers ten others.
    let most = *report.messages.last().unwrap();
    assert!(report.messages[0] > 800 && most < 3_200, "{report}");
    assert!(report.outages.down > 0 && report.calm.down == 0, "{report}");
}

#[test]
fn a_run_is_replayed_by_its_seed() {
    let figures = |report: &Report| {
        let Report { messages, octets, calm, .. } = report;
        format!("{messages:?} {calm:?} {}", octets.len())
    };
    // Certificates are a few octets longer or shorter in each run, and hashes are not.
    let run = |seed| run_listed(12, Links::Random, Listed::Keys, seed);
    let (one, other) = (run(7), run(7));
    assert_eq!(figures(&one), figures(&other));
    assert_ne!(figures(&one), figures(&run(8)));
}

#[test]
fn all_shapes_end_on_one_edition() {
    for links in [Links::Star, Links::Full] {
        let report = run(12, links, 3);
        assert!(missed(&report).is_empty(), "{links:?}\n{report}");
    }
}

/// Shows that a goal can be missed: news takes more than ten seconds around a long ring.
#[test]
fn a_ring_is_too_slow() {
    let report = run(40, Links::Ring, 1);
    assert!(missed(&report).iter().any(|goal| goal.starts_with("news everywhere within 10 s")), "{report}");
    assert_eq!((report.editions, report.refused), (1, 0), "{report}");
}
