//! Who may import what. `docs/ARCHITECTURE.md` says why; this is the table.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use edgetrust_tests::repository::{Source, root, rust};
use serde::Deserialize;

/// Modules of core, and the modules that each may name.
const CORE: &[(&str, &[&str])] = &[
    ("config", &["identity", "path", "text"]),
    ("crypto", &["x509"]),
    ("embedded_tls", &["crypto", "identity", "path", "time", "x509"]),
    ("identity", &["path", "text", "x509"]),
    ("path", &["text", "time", "x509"]),
    ("request", &["x509"]),
    // The vocabulary of slots and time; no medium, no clock.
    ("rotation", &["store", "time"]),
    ("store", &[]),
    ("text", &[]),
    ("time", &[]),
    ("x509", &[]),
];

/// Modules of std-adapter's library, and the modules that each may name.
const ADAPTER: &[(&str, &[&str])] = &[
    ("accept", &[]),
    ("acme", &["accept", "clock", "pem", "store", "tls"]),
    ("agent", &["acme", "clock", "gateway", "store", "tls"]),
    ("clock", &[]),
    ("config_file", &[]),
    ("est", &["accept", "acme", "clock", "gateway", "store", "tls"]),
    ("gateway", &["accept", "clock", "pem", "tls"]),
    ("ops", &["accept", "agent", "clock", "est", "gateway", "tls"]),
    ("pem", &[]),
    ("store", &[]),
    ("tls", &["clock", "pem"]),
];

/// Packages of the workspace, and what each may depend on.
const PACKAGES: &[(&str, &[&str])] = &[
    (
        "edgetrust-core",
        &[
            "defmt",
            "der",
            "ed25519-dalek",
            "embedded-io-async",
            "embedded-tls",
            "heapless",
            "p256",
            "p384",
            "rand_core",
            "rustls-pki-types",
            "sha2",
            "signature",
        ],
    ),
    ("edgetrust", &["edgetrust-core"]),
    ("edgetrust-tests", &["edgetrust", "edgetrust-core", "edgetrust-verdicts"]),
    ("edgetrust-verdicts", &["edgetrust-core"]),
    // The gateway and the firmware are programs to it.
    ("edgetrust-hil", &["edgetrust-core"]),
];

/// Names, and the only places that may use them.
const CONFINED: &[(&str, &[&str])] = &[
    ("rustls::", &["std-adapter/src/tls/"]),
    ("rustls_native_certs", &["std-adapter/src/tls/"]),
    ("tokio_rustls", &["std-adapter/src/tls/"]),
    ("instant_acme", &["std-adapter/src/acme/"]),
    ("embedded_tls::", &["core/src/embedded_tls.rs", "core/src/embedded_tls/error.rs"]),
    ("clap", &["std-adapter/src/cli/"]),
    ("rcgen", &["std-adapter/src/acme/", "std-adapter/src/cli/demo/", "std-adapter/src/pem/tests.rs"]),
    ("SystemTime::now", &["std-adapter/src/clock.rs"]),
    ("UnixTime::now", &["std-adapter/src/clock.rs"]),
];

/// Words that core has no use for.
const NOT_IN_CORE: &[&str] =
    &["std::", "alloc::", "async ", "tokio", "log::", "tracing", "rustls::", "Box<", "Vec::new()", "String", "unsafe"];

/// The module of a file, and those that it names.
fn edges(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in rust(folder) {
        let inside = source.path.strip_prefix(folder).unwrap().trim_start_matches('/');
        let module = inside.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if matches!(module.as_str(), "lib" | "main" | "cli") {
            continue;
        }
        let code = source.code();
        let named = code.match_indices("crate::").map(|(place, prefix)| &code[place + prefix.len()..]);
        edges.entry(module.clone()).or_default().extend(named.flat_map(modules_named).filter(|name| *name != module));
    }
    edges
}

/// The modules that stand after `crate::`: one, or a group of them in braces.
fn modules_named(rest: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let mut named = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    for (place, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                named.push(word(group[from..place].trim_start()));
                from = place + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    named.retain(|name| !name.is_empty());
    named
}

fn check_modules(folder: &str, table: &[(&str, &[&str])]) {
    for (module, named) in edges(folder) {
        let (_, allowed) = table
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{folder}: the table has no module {module}"));
        for name in named {
            assert!(allowed.contains(&name.as_str()), "{folder}: {module} names {name}; it may name {allowed:?}");
        }
    }
}

#[test]
fn groups_of_modules_are_read() {
    assert_eq!(modules_named("tls::Peer;"), ["tls"]);
    assert_eq!(modules_named("{clock, pem};"), ["clock", "pem"]);
    assert_eq!(modules_named("{\n    acme::{a, b::{c}},\n    est,\n};"), ["acme", "est"]);
}

#[test]
fn modules() {
    check_modules("core/src", CORE);
    check_modules("std-adapter/src", ADAPTER);
}

/// `rustls::` but not `tokio_rustls::`.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(place, _)| !code[..place].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

#[test]
fn confined_names() {
    for source in ["core/src", "std-adapter/src"].iter().flat_map(|folder| rust(folder)) {
        for (word, places) in CONFINED {
            let allowed = places.iter().any(|place| source.path.starts_with(place));
            assert!(allowed || !names(&source.code(), word), "{}: only {places:?} may name {word}", source.path);
        }
    }
}

#[test]
fn core_stays_small() {
    for source in rust("core/src") {
        for word in NOT_IN_CORE {
            // embedded-tls is asynchronous, and behind a feature.
            if *word == "async " && source.path.starts_with("core/src/embedded_tls") {
                continue;
            }
            // heapless has a Vec and a String of its own.
            let code = source.code().replace("heapless::Vec::new()", "").replace("heapless::String", "");
            let code: String = code.lines().filter(|line| !line.starts_with("#![")).collect::<Vec<_>>().join("\n");
            assert!(!names(&code, word), "{}: names {word}", source.path);
        }
    }
}

#[test]
fn the_verdict_has_one_author() {
    for Source { path, text } in rust("std-adapter/src") {
        for word in ["WebPkiClientVerifier", "WebPkiServerVerifier", "with_root_certificates", "RootCertStore"] {
            assert!(!text.contains(word), "{path}: names {word}; edgetrust-core decides");
        }
    }
    // Proofs are made in one place each.
    for (proof, home) in [("VerifiedPath {", "core/src/path/"), ("AuthorizedPeer {", "core/src/identity/policy.rs")] {
        for source in rust("core/src").into_iter().chain(rust("std-adapter/src")) {
            assert!(source.path.starts_with(home) || !source.code().contains(proof), "{}: makes {proof}", source.path);
        }
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    rust_version: Option<String>,
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

fn metadata() -> Metadata {
    let version = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn packages() {
    let packages = metadata().packages;
    for (name, allowed) in PACKAGES {
        let package = packages.iter().find(|package| package.name == *name).expect(name);
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            // Core's dependencies are all listed; of the others only those inside the workspace are.
            let listed = allowed.contains(&dependency.name.as_str());
            assert!(
                listed || (dependency.path.is_none() && *name != "edgetrust-core"),
                "{name} depends on {}; it may depend on {allowed:?}",
                dependency.name
            );
        }
    }
}

fn release(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap()).collect()
}

/// Every dependency builds with the oldest Rust that we promise; clippy's `incompatible_msrv` looks after our own code.
#[test]
fn no_dependency_needs_a_newer_rust() {
    let packages = metadata().packages;
    let ours = packages.iter().find(|package| package.name == "edgetrust").and_then(|ours| ours.rust_version.clone());
    let ours = ours.expect("rust-version is stated");
    for package in packages.iter().filter(|package| package.source.is_some()) {
        if let Some(theirs) = &package.rust_version {
            let (name, version) = (&package.name, &package.version);
            assert!(release(theirs) <= release(&ours), "{name} {version} needs Rust {theirs}; we promise {ours}");
        }
    }
}
