//! Compares the public API of `edgetrust` and `edgetrust-core` with `tests/data/api`; with `--update` it writes the
//! files anew. rustdoc's JSON is not stable: Rust 1.95 writes what this program reads.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use edgetrust_tests::repository::root;

/// The crates by the names of their packages.
const CRATES: &[&str] = &["edgetrust-core", "edgetrust"];

/// The features of core that no package of the workspace turns on for others. `defmt` is left out: it adds one trait to
/// the types.
const FEATURES: &str = "edgetrust-core/embedded-tls,edgetrust-core/embedded-storage";

/// Set for cargo, which then calls this program as its rustdoc.
const AS_RUSTDOC: &str = "EDGETRUST_AS_RUSTDOC";

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if std::env::var_os(AS_RUSTDOC).is_some() {
        // For rustdoc alone: cargo builds much of the workspace again if its own environment has this variable.
        let error = Command::new("rustdoc").args(arguments).env("RUSTC_BOOTSTRAP", "1").exec();
        eprintln!("rustdoc: {error}");
        return ExitCode::from(2);
    }
    let update = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--update"] => true,
        _ => {
            eprintln!("usage: public-api [--update]");
            return ExitCode::from(2);
        }
    };
    match compare(update) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("If this is meant: cargo run --bin public-api -- --update");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("public-api: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether the API of every crate is as its file says.
fn compare(update: bool) -> Result<bool, Error> {
    // The whole workspace, with the features and the builds of its other commands.
    let status = Command::new(env!("CARGO"))
        .args(["doc", "--locked", "--quiet", "--workspace", "--no-deps", "--features", FEATURES])
        .current_dir(root())
        .env("RUSTDOC", std::env::current_exe()?)
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json")
        .env(AS_RUSTDOC, "1")
        .status()?;
    if !status.success() {
        return Err("cargo doc failed".into());
    }
    let mut same = true;
    for name in CRATES {
        let json = target().join("doc").join(format!("{}.json", name.replace('-', "_")));
        let found = api(&json)
            .map_err(|error| format!("{}: {error}: expected the format that Rust 1.95 writes", json.display()))?;
        let file = root().join("tests/data/api").join(format!("{name}.txt"));
        if update {
            fs::write(&file, found)?;
            continue;
        }
        let expected = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let [found, expected] = [&found, &expected].map(|text| text.lines().collect::<BTreeSet<_>>());
        for gone in expected.difference(&found) {
            println!("- {gone}");
        }
        for new in found.difference(&expected) {
            println!("+ {new}");
        }
        same &= found == expected;
    }
    Ok(same)
}

/// Returns the public items, one a line. Of a derived trait there is the line that names it, and not its functions.
fn api(json: &Path) -> Result<String, public_api::Error> {
    let builder = || public_api::Builder::from_rustdoc_json(json).omit_auto_trait_impls(true).omit_blanket_impls(true);
    let items = |api: public_api::PublicApi| api.items().map(ToString::to_string).collect::<Vec<_>>();
    let written: BTreeSet<_> = items(builder().omit_auto_derived_impls(true).build()?).into_iter().collect();
    let derived = |item: &str| item.starts_with("impl ") && !item.contains("StructuralPartialEq");
    let all = items(builder().build()?);
    Ok(all.into_iter().filter(|item| written.contains(item) || derived(item)).map(|item| item + "\n").collect())
}

/// Returns the folder of this program's build, in which cargo writes documentation too.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}
