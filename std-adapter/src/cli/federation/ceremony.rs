//! Implements the subcommands of `edgetrust federation` for sites whose keys never travel.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::options::Place;
use crate::cli::Outcome;
use crate::clock;
use crate::federation::{self, Installed, Requested};

#[derive(clap::Args)]
pub(crate) struct Request {
    #[command(flatten)]
    place: Place,
    /// Name of the site
    site: String,
}

#[derive(clap::Args)]
pub(crate) struct Install {
    #[command(flatten)]
    place: Place,
    /// Certificate that came back, in its folder: the files beside it are taken too
    #[arg(value_name = "CERT")]
    certificate: PathBuf,
}

pub(super) fn request(args: Request) -> Outcome {
    let Requested { request, key } = federation::request(&args.place.folder, &args.site)?;
    if args.place.json {
        outln!("{:#}", json!({"request": request.display().to_string(), "key": key.to_string()}));
    } else {
        outln!("{}: the request for the site's CA, with key {key}", request.display());
        let (request, site) = (request.display(), &args.site);
        outln!("Next, where the root is, for a new site:");
        outln!("  edgetrust federation sign DIR {request} --site {site}=DOMAIN");
        outln!("or for the next key of a site that is there:");
        outln!("  edgetrust federation renew DIR {site} start --request {request}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn install(args: Install) -> Outcome {
    let Installed { folder, roots } = federation::install(&args.place.folder, &args.certificate, clock::now())?;
    let roots: Vec<String> = roots.iter().map(ToString::to_string).collect();
    if args.place.json {
        outln!("{:#}", json!({"folder": folder.display().to_string(), "roots": roots}));
    } else {
        outln!("{}: all that the site needs; its README.txt says what goes where", folder.display());
        for root in roots {
            outln!("Ask the root's holder whether this is the root's key: {root}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
