//! Composes the version that `--version` and the first line of the log tell: the package's, and the commit where it is known.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match packaged().or_else(checked_out) {
        Some(commit) => println!("cargo::rustc-env=EDGETRUST_VERSION={version} ({commit})"),
        None => println!("cargo::rustc-env=EDGETRUST_VERSION={version}"),
    }
}

/// A package from a registry: cargo writes the commit beside its manifest.
fn packaged() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\": \"")?;
    short(rest.split('"').next()?)
}

/// A clone of the repository: built again when its HEAD moves.
fn checked_out() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    // A folder above may be a repository of something else.
    if !Path::new("../.git").exists() {
        return None;
    }
    let logged = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&logged).exists() {
        println!("cargo::rerun-if-changed={logged}");
    }
    short(&git(&["rev-parse", "HEAD"])?)
}

fn short(commit: &str) -> Option<String> {
    let commit = commit.get(..12)?;
    commit.chars().all(|c| c.is_ascii_hexdigit()).then(|| commit.to_owned())
}
