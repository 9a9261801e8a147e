//! Simulates the control channel of a mesh, and fails where a goal is missed.
//! `cargo run --release -p edgetrust-tests --bin mesh-simulate -- --sites 1000 --links random --seed 1`
//!
//! `--links random|star|ring|full` draws who reaches whom; `--issuers certificates|keys` is how the mesh names the CAs of
//! its sites; `--mbit N` is the bandwidth from each site.

use std::process::ExitCode;
use std::time::Instant;

use edgetrust::program::mesh::Listed;
use edgetrust_tests::mesh_simulation::{Failure, Links, Options, simulate};

const USAGE: &str =
    "expected --sites N, --links random|star|ring|full, --issuers certificates|keys, --mbit N or --seed N";

fn options() -> Result<Options, String> {
    let mut options = Options { sites: 1000, links: Links::Random, listed: Listed::Certificates, mbit: 100, seed: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let bad = || format!("found {flag} {value:?}, {USAGE}");
        let number = || value.parse::<u64>().map_err(|_| bad());
        match flag.as_str() {
            "--sites" => options.sites = number()? as usize,
            "--links" => options.links = Links::named(&value).ok_or_else(bad)?,
            "--issuers" if value == "certificates" => options.listed = Listed::Certificates,
            "--issuers" if value == "keys" => options.listed = Listed::Keys,
            "--mbit" => options.mbit = number()?,
            "--seed" => options.seed = number()?,
            _ => return Err(bad()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let since = Instant::now();
    let run = || {
        let options = options()?;
        let folder = tempfile::tempdir()?;
        Ok::<_, Failure>((options, simulate(&options, &folder.path().join("run"))?))
    };
    match run() {
        Err(error) => {
            eprintln!("mesh-simulate: {error}");
            ExitCode::from(2)
        }
        Ok((Options { sites, links, listed, mbit, seed }, report)) => {
            println!("{sites} sites, links {links:?}, CAs by {listed:?}, {mbit} Mbit/s from each site, seed {seed}");
            println!(
                "models: latency 5 to 100 ms, bandwidth, outages, the times to judge and to load a mesh, handshakes"
            );
            println!("{report}");
            println!("took                    {:.1} s", since.elapsed().as_secs_f64());
            if report.goals().iter().all(|goal| goal.met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
