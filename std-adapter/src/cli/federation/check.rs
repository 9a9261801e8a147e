//! Implements `edgetrust federation check`: who reaches whom in a mesh, and until when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::matrix::matrices;
use super::show::print_change;
use crate::cli::{Outcome, arguments, check_devices};
use crate::clock;
use crate::federation::{self, Link, Report, Unverifiable};

const DAY: u64 = 24 * 3600;

/// The most links that are listed beside the table, and the most ends.
const MOST_LISTED: usize = 60;
const MOST_ENDS: usize = 12;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the mesh; or one file of it, mesh.json or mesh.signed.json, of which less can be judged
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Warn of certificates, and of a mesh, that end within this time: days as 60d, or a duration as 36h
    #[arg(long, value_name = "TIME", default_value = "60d", value_parser = time_left)]
    min_left: Duration,
}

/// Parses a number of days, or a duration in Go's syntax.
fn time_left(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a number of days or a duration, as 60d or 36h";
    match text.strip_suffix('d') {
        Some(days) if days.bytes().all(|octet| octet.is_ascii_digit()) => {
            let seconds = days.parse::<u64>().ok().and_then(|days| days.checked_mul(DAY));
            seconds.map(Duration::from_secs).ok_or(EXPECTED)
        }
        _ => arguments::duration(text).map_err(|_| EXPECTED),
    }
}

pub(super) fn run(args: Args) -> Outcome {
    let mut report = federation::check(&args.path, args.min_left, clock::now())?;
    let for_devices: Vec<_> = report.unverifiable.iter().map(for_devices).collect();
    report.notes.extend(for_devices);
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    let fails = report.links.iter().any(|link| link.wanted && link.holds == Some(false));
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn for_devices(found: &Unverifiable) -> String {
    let Unverifiable { certificate, part, algorithm } = found;
    let algorithm = check_devices::name(*algorithm);
    format!(
        "the {part} of {certificate} is {algorithm}, which devices may not be able to verify: in a mesh with devices \
         expected ECDSA with P-256 and SHA-256"
    )
}

fn print(report: &Report) {
    let count = |holds: Option<bool>| report.links.iter().filter(|link| link.wanted && link.holds == holds).count();
    let (hold, fail, open) = (count(Some(true)), count(Some(false)), count(None));
    let Report { mesh, sequence, sites, .. } = report;
    let judged = if open == 0 { String::new() } else { format!(", {open} were not judged") };
    outln!(
        "{mesh}: sequence {sequence}, {} sites; of the wanted links {hold} hold, {fail} do not{judged}",
        sites.len()
    );
    matrices(sites, &report.links).iter().for_each(|line| outln!("{line}"));
    list_links(&report.links);
    group("does not hold", report, |link| link.wanted && link.holds == Some(false));
    group("not judged", report, |link| link.holds.is_none());
    group("holds and is not wanted", report, |link| !link.wanted && link.holds == Some(true));
    outln!("who could pass for a site, beside its own CA");
    for found in &report.impersonations {
        let site = if found.r#as == "*" { "any site".to_owned() } else { format!("site {}", found.r#as) };
        let service = if found.service == "*" { String::new() } else { format!(" for {}", found.service) };
        outln!("  {} for {site}{service}: {}", found.by, found.how);
    }
    outln!("what ends first");
    for expiry in report.expiries.iter().take(MOST_ENDS) {
        outln!("  {} {}", expiry.until, expiry.what);
    }
    if let Some(more) = report.expiries.len().checked_sub(MOST_ENDS).filter(|more| *more > 0) {
        outln!("  and {more} more, which --json has");
    }
    // A fault of a CA that breaks links stands beside these already.
    let reasons: BTreeSet<&str> =
        report.links.iter().filter(|link| link.wanted).filter_map(|link| link.reason.as_deref()).collect();
    let is_new = |warning: &&String| !reasons.iter().any(|reason| reason.contains(warning.as_str()));
    report.warnings.iter().filter(is_new).for_each(|warning| outln!("warning: {warning}"));
    report.changes.iter().for_each(print_change);
    report.notes.iter().for_each(|note| outln!("note: {note}"));
}

/// Lists the links that hold, each with its rule and its end; of many the earliest end alone.
fn list_links(links: &[Link]) {
    let holding: Vec<_> = links.iter().filter(|link| link.wanted && link.holds == Some(true)).collect();
    if holding.len() > MOST_LISTED {
        let ends = holding.iter().filter_map(|link| link.until.as_ref()).min();
        ends.iter()
            .for_each(|end| outln!("all that hold do so until {end}; --json has each with its end and its rule"));
        return;
    }
    for Link { from, to, service, rule, until, .. } in holding {
        let until = until.as_deref().unwrap_or_default();
        let rule = rule.as_ref().map(|rule| format!(", let in as {} by the CA of site {from}", rule.dns));
        let rule = rule.unwrap_or_default();
        outln!("  {from} reaches {to} for {service} until {until}{rule}");
    }
}

/// Lists links by what is wrong with them.
fn group(title: &str, report: &Report, which: impl Fn(&Link) -> bool) {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for link in report.links.iter().filter(|link| which(link)) {
        let named = format!("{} to {} for {}", link.from, link.to, link.service);
        reasons.entry(link.reason.as_deref().unwrap_or_default()).or_default().push(named);
    }
    if !reasons.is_empty() {
        outln!("{title}");
    }
    for (reason, links) in reasons {
        outln!("  {}", links.join(", "));
        outln!("    {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_or_durations() {
        for (text, expected) in
            [("60d", Some(60 * DAY)), ("0d", Some(0)), ("36h", Some(36 * 3600)), ("1h30m", Some(5400))]
        {
            assert_eq!(time_left(text).ok(), expected.map(Duration::from_secs), "{text}");
        }
        for text in ["", "d", "soon", "60", "-1d", "1.5d", "+1d", "99999999999999999999d", "999999999999999999d"] {
            assert!(time_left(text).is_err(), "{text}");
        }
    }
}
