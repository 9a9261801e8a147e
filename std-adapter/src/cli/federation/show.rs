//! Implements `edgetrust federation show`.

use std::process::ExitCode;

use super::options::Place;
use crate::cli::Outcome;
use crate::clock;
use crate::federation::{self, Progress, Tree};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: Args) -> Outcome {
    let tree = federation::tree(&args.place.folder, clock::now())?;
    if args.place.json {
        outln!("{}", serde_json::to_string_pretty(&tree)?);
    } else {
        print(&tree);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(tree: &Tree) {
    let signed = match tree.signed {
        "yes" => "signed",
        "outdated" => "NOT SIGNED as it is",
        "refused" => "NOT SIGNED by a signer that counts",
        _ => "NOT SIGNED",
    };
    outln!("{}: sequence {}, {signed}, can be taken until {}", tree.mesh, tree.sequence, tree.not_after);
    for root in &tree.roots {
        let by = root.issuer.as_ref().map(|issuer| format!(", certified by {issuer}")).unwrap_or_default();
        outln!("root {}{by}", authority(root));
    }
    if let Some(signer) = &tree.signer {
        outln!("  signer of generation {}, ends {}, {}", signer.generation, signer.not_after, signer.key);
    }
    for site in &tree.sites {
        outln!("  site {}: {}", site.name, site.domains.join(", "));
        for issuer in &site.issuers {
            outln!("    CA {}", authority(issuer));
        }
        for gateway in &site.gateways {
            let address = gateway.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
            outln!("    gateway {}{address}", gateway.host);
        }
    }
    tree.changes.iter().for_each(print_change);
    outln!("links");
    for link in &tree.links {
        outln!("  {} reaches {} for {}", link.from, link.to, link.service);
    }
    if !tree.denied_keys.is_empty() {
        outln!("denied");
    }
    for denied in &tree.denied_keys {
        let until = denied.until.as_ref().map(|until| format!(", until {until}")).unwrap_or_default();
        let reason = denied.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        outln!("  {}{until}{reason}", denied.key);
    }
    for warning in &tree.warnings {
        outln!("warning: {warning}");
    }
}

/// Prints a change that is under way, and its next step.
pub(super) fn print_change(change: &Progress) {
    outln!("under way: {}", change.words());
    change.next_step.iter().for_each(|step| outln!("  next step: {step}"));
}

fn authority(authority: &federation::Authority) -> String {
    let role = authority.role.map(|role| format!("{role}: ")).unwrap_or_default();
    match (&authority.subject, &authority.not_after) {
        (Some(subject), Some(not_after)) => format!("{role}{subject}, ends {not_after}, {}", authority.key),
        _ => format!("{role}{}", authority.key),
    }
}
