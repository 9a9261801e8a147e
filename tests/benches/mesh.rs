//! Measures a mesh of a thousand sites and ten thousand links, and the texts of a mebibyte that are dearest to check.

#![allow(missing_docs, reason = "criterion makes functions that have none")]

use std::fmt::Write;
use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, criterion_group, criterion_main};
use edgetrust_core::mesh::{MAX_MESH, MAX_OF_ALL_SITES, MAX_SITES, Mesh};
use edgetrust_tests::chains::{Shape, issue};

/// Joins what `item` makes of each number.
fn joined(numbers: impl IntoIterator<Item = usize>, item: impl Fn(usize) -> String) -> String {
    numbers.into_iter().map(item).collect::<Vec<_>>().join(",")
}

/// Returns the certificate of a CA in base64, as small as rcgen makes one.
fn ca() -> String {
    STANDARD.encode(&issue(&[Shape::ca()], 1_800_000_000)[0])
}

fn mesh(sites: &str, links: &str) -> String {
    let service = r#"{"name":"feed","port":8443}"#;
    let text = format!(
        r#"{{"mesh":"M","sequence":1,"roots":["{}"],"sites":[{sites}],"services":[{service}],"links":[{links}]}}"#,
        ca()
    );
    assert!(text.len() <= MAX_MESH, "{} octets", text.len());
    text
}

fn hash(number: usize) -> String {
    format!("sha256:{number:016x}{number:048x}")
}

fn site(number: usize) -> String {
    let hash = hash(number);
    format!(
        r#"{{"name":"s{number}","domains":["s{number}.example"],"issuers":["{hash}"],"gateways":[{{"host":"g.s{number}.example"}}]}}"#
    )
}

fn of_a_thousand_sites() -> String {
    let link = |n: usize| format!(r#"{{"service":"feed","from":["s{}"],"to":["s{}"]}}"#, n % 1_000, n * 7 % 1_000);
    mesh(&joined(0..1_000, site), &joined(0..10_000, link))
}

/// Returns sites with names as short as names of so many can be, and nothing else but an issuer each.
fn bare_sites(issuers: impl Fn(usize) -> String) -> String {
    joined(0..usize::from(MAX_SITES), |n| {
        let issuers = issuers(n);
        format!(r#"{{"name":"{n:x}","domains":["{n:x}.a"],"issuers":[{issuers}],"gateways":[]}}"#)
    })
}

/// Each link is from all sites to all.
fn all_sites_in_each_link() -> String {
    let sites = bare_sites(|n| format!("\"{}\"", hash(n)));
    let every = joined(0..usize::from(MAX_SITES), |n| format!("\"{n:x}\""));
    let mut links = String::new();
    while links.len() + 2 * every.len() + sites.len() + 2_000 < MAX_MESH {
        let comma = if links.is_empty() { "" } else { "," };
        write!(links, r#"{comma}{{"service":"feed","from":[{every}],"to":[{every}]}}"#).expect("memory");
    }
    mesh(&sites, &links)
}

/// As many certificates as fit, of one key: found when all were parsed.
fn certificates() -> String {
    let ca = ca();
    let certificates = (MAX_MESH - 120_000) / ca.len();
    assert!(certificates < MAX_OF_ALL_SITES, "{certificates} certificates");
    let sites = usize::from(MAX_SITES);
    mesh(
        &bare_sites(|n| {
            let part = n * certificates / sites..(n + 1) * certificates / sites;
            joined(part.start..part.end.max(part.start + 1), |_| format!("\"{ca}\""))
        }),
        "",
    )
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("mesh");
    for (name, text, good) in [
        ("1000 sites, 10000 links", of_a_thousand_sites(), true),
        ("all sites in each link", all_sites_in_each_link(), true),
        ("certificates", certificates(), false),
    ] {
        println!("{name}: {} octets", text.len());
        assert_eq!(Mesh::parse(text.as_bytes()).is_ok(), good, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| black_box(Mesh::parse(text.as_bytes()).is_ok())));
    }
    let text = of_a_thousand_sites();
    let mesh = Mesh::parse(text.as_bytes()).expect("a mesh");
    group.bench_function("clients of 1000 sites", |bencher| {
        bencher.iter(|| black_box(mesh.clients("feed", "s7").expect("a site").count()));
    });
    group.bench_function("servers of 1000 sites", |bencher| {
        bencher.iter(|| black_box(mesh.servers("feed", "s999", "s993").map(Iterator::count)).is_ok());
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
