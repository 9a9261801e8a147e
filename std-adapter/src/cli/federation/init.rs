//! Implements `edgetrust federation init`.

use std::path::PathBuf;
use std::process::ExitCode;

use edgetrust_core::time::Utc;
use serde_json::json;

use super::options::{Place, named, pair, service, sites};
use crate::cli::Outcome;
use crate::clock;
use crate::federation::{self, Init, Made, Pair, Password, RootKey};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Name of the mesh
    #[arg(long)]
    name: String,
    /// Site and its domain
    #[arg(long, value_name = "SITE=DOMAIN", value_parser = named, required_unless_present = "root_only")]
    site: Vec<(String, String)>,
    /// Service and its port at the gateways [default: feed=8443]
    #[arg(long, value_name = "SERVICE=PORT", value_parser = service)]
    service: Vec<(String, u16)>,
    /// Site that reaches another for a service; by default every site every other for the first service
    #[arg(long, value_name = "FROM:TO:SERVICE", value_parser = pair)]
    link: Vec<Pair>,
    /// Address of a site's gateway, if its name does not resolve at the other sites
    #[arg(long, value_name = "SITE=ADDRESS", value_parser = named)]
    address: Vec<(String, String)>,
    /// Site whose CA may issue URIs of its domain (SPIFFE)
    #[arg(long, value_name = "SITE")]
    spiffe: Vec<String>,
    /// Make the root and the signer alone: keys of sites are made at the sites, with `request`
    #[arg(long, conflicts_with_all = ["site", "link", "address", "spiffe"])]
    root_only: bool,
    /// URI of a key in a token for the root (RFC 7512); by default one is made
    #[arg(long, value_name = "URI", conflicts_with = "passphrase_file")]
    root_key: Option<String>,
    /// File with the password for the root's key, on its first line; by default one is generated
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Outcome {
    let password = args.passphrase_file.as_deref().map(Password::read).transpose()?;
    let root_key = args.root_key.as_deref().map(RootKey::in_token).transpose();
    let root_key = root_key.map_err(|error| format!("--root-key: {error}"))?;
    let generated = password.is_none() && root_key.is_none();
    let in_token = root_key.is_some();
    let sites = sites(args.site, &args.address, &args.spiffe)?;
    let root_only = args.root_only;
    let init = Init { name: args.name, root_only, sites, services: args.service, links: args.link, root_key, password };
    let folder = &args.place.folder;
    let made = federation::init(folder, init, clock::now())?;
    if args.place.json {
        outln!("{:#}", shown(folder, &made, generated));
    } else {
        print(folder, &made, (generated, in_token));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(folder: &std::path::Path, made: &Made, generated: bool) -> serde_json::Value {
    let links = made.links.iter().map(|pair| json!({"from": pair.from, "to": pair.to, "service": pair.service}));
    json!({
        "folder": folder.display().to_string(),
        "mesh": made.mesh.mesh,
        "sites": made.mesh.sites.iter().map(|site| &site.name).collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        "linked_by_default": made.linked_by_default,
        "root_not_after": Utc(made.root_not_after).to_string(),
        "root_password_generated": generated,
    })
}

fn print(folder: &std::path::Path, made: &Made, (generated, in_token): (bool, bool)) {
    let mesh = &made.mesh;
    outln!("{}: {} sites under one root, in {}", mesh.mesh, mesh.sites.len(), folder.display());
    outln!("  the root ends {}", Utc(made.root_not_after));
    for site in &mesh.sites {
        let all = folder.join("sites").join(&site.name);
        outln!("  {}: {}, all that it needs is in {}", site.name, site.domains.join(", "), all.display());
    }
    match made.linked_by_default {
        true => outln!("No --link was given, so every site reaches every other:"),
        false if made.links.is_empty() => outln!("No links yet."),
        false => outln!("Links:"),
    }
    for Pair { from, to, service } in &made.links {
        outln!("  {from} reaches {to} for {service}");
    }
    let [key, passwords] = ["root/root.key", "passwords"].map(|name| folder.join(name).display().to_string());
    outln!("Next:");
    let password = if generated { format!(", and root of {passwords} to another") } else { String::new() };
    match in_token {
        true => outln!("  {key} names the root's key, which stays in its token"),
        false => outln!("  move {key} to a safe place{password}"),
    }
    if mesh.sites.is_empty() {
        outln!("  at each site: edgetrust federation request; here, with what it makes: edgetrust federation sign");
        return;
    }
    outln!("  bring each site its folder, and by another way its password of {passwords}");
    outln!("  each folder's README.txt says what goes where");
}
