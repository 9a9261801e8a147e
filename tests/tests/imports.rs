//! Tests the dependency rules; `docs/ARCHITECTURE.md` has the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use edgetrust_tests::modules::{Edge, Modules, circles};
use edgetrust_tests::repository::{Source, root, rust};
use serde::Deserialize;

/// Modules of core, and the modules that each may name.
const CORE: &[(&str, &[&str])] = &[
    ("config", &["identity", "json", "path", "text", "time", "x509"]),
    ("crypto", &["x509"]),
    ("embedded_tls", &["crypto", "identity", "path", "possession", "time", "x509"]),
    ("identity", &["path", "text", "x509"]),
    ("json", &["text"]),
    // What bounds a text that another parser reads.
    ("message", &["json"]),
    ("mesh", &["crypto", "identity", "json", "path", "text", "time", "x509"]),
    ("path", &["revocation", "text", "time", "x509"]),
    ("possession", &["x509"]),
    ("request", &["x509"]),
    ("revocation", &["x509"]),
    // Slots and times as types; no medium, no clock.
    ("rotation", &["store", "time"]),
    ("store", &[]),
    ("text", &[]),
    ("time", &[]),
    ("x509", &[]),
];

/// Modules of std-adapter's library, and the modules that each may name.
const ADAPTER: &[(&str, &[&str])] = &[
    ("accept", &[]),
    ("acme", &["accept", "activation", "clock", "egress", "pem", "replica", "store", "tls", "token"]),
    ("activation", &[]),
    ("agent", &["acme", "clock", "gateway", "histogram", "pem", "replica", "store", "tls", "token"]),
    ("audit", &["clock"]),
    ("clock", &[]),
    ("config_file", &[]),
    ("egress", &[]),
    ("est", &["accept", "acme", "activation", "audit", "clock", "gateway", "store", "tls"]),
    ("federation", &["pem", "tls", "token", "units"]),
    (
        "gateway",
        &["accept", "activation", "audit", "clock", "egress", "histogram", "pem", "replica", "store", "tls", "token"],
    ),
    ("histogram", &[]),
    ("ops", &["accept", "agent", "audit", "clock", "est", "gateway", "histogram", "sandbox", "tls"]),
    ("pem", &[]),
    // The parts that the simulation of a mesh runs.
    ("rehearsal", &["clock", "config_file", "federation", "gateway", "pem", "store"]),
    ("replica", &["pem", "store", "tls", "token"]),
    ("sandbox", &["acme", "egress", "store", "token"]),
    // Records name a key in a token by its URI.
    ("store", &["token"]),
    ("tls", &["clock", "pem", "token"]),
    ("token", &["pem"]),
    ("units", &[]),
];

/// Packages of the workspace, and what each may depend on.
const PACKAGES: &[(&str, &[&str])] = &[
    (
        "edgetrust-core",
        &[
            "base64ct",
            "defmt",
            "der",
            "ed25519-dalek",
            "embedded-io-async",
            "embedded-storage",
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
    (
        "edgetrust-tls",
        &[
            "aes",
            "aes-gcm",
            "chacha20poly1305",
            "defmt",
            "edgetrust-core",
            "heapless",
            "hmac",
            "p256",
            "polyval",
            "rand_core",
            "sha2",
            "subtle",
            "zeroize",
        ],
    ),
    ("edgetrust-tests", &["edgetrust", "edgetrust-core", "edgetrust-verdicts"]),
    ("edgetrust-verdicts", &["edgetrust-core"]),
    // It runs the gateway and the firmware as programs.
    ("edgetrust-hil", &["edgetrust-core", "edgetrust-tls"]),
];

/// Names with the only places that may use them.
const CONFINED: &[(&str, &[&str])] = &[
    ("rustls::", &["std-adapter/src/tls/"]),
    ("rustls_native_certs", &["std-adapter/src/tls/"]),
    ("tokio_rustls", &["std-adapter/src/tls/"]),
    ("instant_acme", &["std-adapter/src/acme/"]),
    ("embedded_tls::", &["core/src/embedded_tls.rs", "core/src/embedded_tls/error.rs"]),
    ("clap", &["std-adapter/src/cli/"]),
    (
        "rcgen",
        &[
            "std-adapter/src/acme/",
            "std-adapter/src/cli/demo/",
            "std-adapter/src/federation/",
            "std-adapter/src/pem/tests.rs",
            "std-adapter/src/token/issuing.rs",
        ],
    ),
    ("cryptoki", &["std-adapter/src/token/module.rs"]),
    // The log is told to leave out what it says.
    ("async_nats", &["std-adapter/src/cli/log/mod.rs", "std-adapter/src/replica/nats.rs"]),
    ("chacha20poly1305", &["std-adapter/src/replica/sealing.rs"]),
    ("landlock::", &["std-adapter/src/sandbox/"]),
    ("seccompiler::", &["std-adapter/src/sandbox/"]),
    ("pkcs8::", &["std-adapter/src/federation/key.rs"]),
    ("SystemTime::now", &["std-adapter/src/clock.rs"]),
    ("UnixTime::now", &["std-adapter/src/clock.rs"]),
];

/// Words that core may not contain.
const NOT_IN_CORE: &[&str] =
    &["std::", "alloc::", "async ", "tokio", "log::", "tracing", "rustls::", "Box<", "Vec::new()", "String", "unsafe"];

/// Files that need each other, and why they may.
const CIRCLES: &[(&[&str], &str)] = &[];

/// The module of a file below `folder`.
fn module<'a>(folder: &str, path: &'a str) -> &'a str {
    let inside = path.strip_prefix(folder).unwrap().trim_start_matches('/');
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The modules of a crate, and those that each names.
fn edges(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for edge in Modules::read(folder).edges() {
        let (from, to) = (module(folder, &edge.from), module(folder, &edge.to));
        if !matches!(from, "lib" | "main" | "cli") && from != to {
            edges.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
    }
    edges
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
fn modules() {
    check_modules("core/src", CORE);
    check_modules("std-adapter/src", ADAPTER);
}

#[test]
fn no_file_depends_on_itself() {
    let mut known: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for (files, reason) in CIRCLES {
        assert!(!reason.is_empty(), "{files:?}: give the reason");
        known.insert(files.iter().map(|file| (*file).to_owned()).collect());
    }
    for folder in ["core/src", "core/tls/src", "std-adapter/src", "firmware-example/src", "hil/src", "tests/src"] {
        let edges = Modules::read(folder).edges();
        for circle in circles(&edges) {
            if known.remove(&circle) {
                continue;
            }
            let inside = edges.iter().filter(|edge| circle.contains(&edge.from) && circle.contains(&edge.to));
            let inside = inside.map(|Edge { from, to, path }| format!("\n  {from} -> {to}: {path}"));
            panic!("{folder}: these files need each other:{}", inside.collect::<String>());
        }
    }
    assert!(known.is_empty(), "no longer a circle: {known:?}");
}

/// Returns whether code uses a name: `rustls::`, but not as part of `tokio_rustls::`.
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
    // Each proof is made in one place.
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

/// Returns the parts of a version: 1.89.0 is 1.89.
fn release(version: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    while parts.last() == Some(&0) {
        parts.pop();
    }
    parts
}

/// Every dependency builds with the oldest supported Rust; clippy's `incompatible_msrv` checks our own code.
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
