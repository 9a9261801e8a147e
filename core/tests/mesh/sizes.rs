//! Tests the bounds of a mesh.

use edgetrust_core::mesh::{
    MAX_DENIED_KEYS, MAX_DOMAINS, MAX_GATEWAYS, MAX_ISSUERS, MAX_LINKS, MAX_MESH, MAX_OF_ALL_SITES, MAX_REASON,
    MAX_ROOTS, MAX_SERVICES, MAX_SITES, Mesh,
};

use crate::pki::{Ca, base64, ca_params, filled, hash, text};

/// Joins what `item` makes of each number.
fn joined(numbers: impl IntoIterator<Item = u32>, item: impl Fn(u32) -> String) -> String {
    numbers.into_iter().map(item).collect::<Vec<_>>().join(",")
}

/// Returns the text of a mesh with these sites, services and links.
fn mesh(sites: &str, services: &str, links: &str) -> String {
    filled(&format!(
        r#"{{"mesh":"M","sequence":1,"roots":["@root"],"sites":[{sites}],"services":[{services}],"links":[{links}]}}"#
    ))
}

fn site(number: u32) -> String {
    let hash = hash(number);
    format!(
        r#"{{"name":"s{number}","domains":["s{number}.example"],"issuers":["{hash}"],"gateways":[{{"host":"g.s{number}.example"}}]}}"#
    )
}

const FEED: &str = r#"{"name":"feed","port":8443}"#;

#[track_caller]
fn full(text: &str, expected: &str) {
    let error = Mesh::parse(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
    assert!(error.ends_with(expected), "{error}");
}

#[track_caller]
fn whole(text: &str) {
    if let Err(error) = Mesh::parse(text.as_bytes()) {
        panic!("{error}");
    }
}

#[test]
fn lists_are_as_long_as_their_bounds_and_no_longer() {
    let sites = |count: u16| mesh(&joined(0..count.into(), site), FEED, "");
    whole(&sites(MAX_SITES));
    full(&sites(MAX_SITES + 1), "sites[1024]: found more, expected at most 1024 sites");
    let services = |count: u16| joined(0..count.into(), |n| format!(r#"{{"name":"s{n}","port":1}}"#));
    whole(&mesh("", &services(MAX_SERVICES), ""));
    full(&mesh("", &services(MAX_SERVICES + 1), ""), "expected at most 64 services");
    let link = |_| r#"{"service":"feed","from":["s0"],"to":["*"]}"#.to_owned();
    let links = |count: u16| mesh(&site(0), FEED, &joined(0..count.into(), link));
    whole(&links(MAX_LINKS));
    full(&links(MAX_LINKS + 1), "expected at most 16384 links");
    let roots = |count: u16| {
        joined(0..count.into(), |n| format!("\"{}\"", base64(&Ca::root(ca_params(&format!("{n}"), None)).der)))
    };
    whole(&text(&[(r#""roots": ["@root"]"#, &format!(r#""roots": [{}]"#, roots(MAX_ROOTS)))]));
    full(&text(&[(r#""roots": ["@root"]"#, &format!(r#""roots": [{}]"#, roots(MAX_ROOTS + 1)))]), "at most 8 roots");
    let denied = |count: u16| {
        let keys = joined(100..100 + u32::from(count), |n| format!(r#"{{"key":"{}"}}"#, hash(n)));
        text(&[(r#""denied_keys": ["#, &format!(r#""denied_keys": [{keys},"#))])
    };
    whole(&denied(MAX_DENIED_KEYS - 1));
    full(&denied(MAX_DENIED_KEYS), "expected at most 1024 denied keys");
    let reason = |count| text(&[("laptop stolen", &"a".repeat(count))]);
    whole(&reason(MAX_REASON));
    full(&reason(MAX_REASON + 1), "expected text of at most 256 octets without control characters");
}

#[test]
fn lists_of_sites_are_bounded_each_and_together() {
    let of_a = |from: &str, more: &str| text(&[(from, &format!("{from}{more},"))]);
    let domains =
        |count: u16| of_a(r#""domains": ["a.example","#, &joined(2..count.into(), |n| format!("\"a{n}.test\"")));
    whole(&domains(MAX_DOMAINS));
    full(&domains(MAX_DOMAINS + 1), "expected at most 8 domains of a site");
    let issuers = |count: u16| {
        let more = joined(100..98 + u32::from(count), |n| format!("\"{}\"", hash(n)));
        text(&[(r#""issuers": ["@hash2","#, &format!(r#""issuers": ["@hash2",{more},"#))])
    };
    whole(&issuers(MAX_ISSUERS));
    full(&issuers(MAX_ISSUERS + 1), "expected at most 8 issuers of a site");
    let gateways = |count: u16| {
        let more = joined(1..count.into(), |n| format!(r#"{{"host":"g{n}.b.example"}}"#));
        text(&[(r#"{"host": "gateway.b.example"}"#, &format!(r#"{{"host": "gateway.b.example"}},{more}"#))])
    };
    whole(&gateways(MAX_GATEWAYS));
    full(&gateways(MAX_GATEWAYS + 1), "expected at most 16 gateways of a site");

    // As many of each site as all of them may have, and one more.
    let most = u32::try_from(MAX_OF_ALL_SITES).unwrap();
    let sites = |domains: u32, issuers: u32| {
        joined(0..most / 8 + 1, |site| {
            let part = |all: u32| site * 8..all.min(site * 8 + 8).max(site * 8 + u32::from(site == most / 8));
            let domains = joined(part(domains), |n| format!("\"d{n}.example\""));
            let issuers = joined(part(issuers), |n| format!("\"{}\"", hash(n)));
            format!(r#"{{"name":"s{site}","domains":[{domains}],"issuers":[{issuers}],"gateways":[]}}"#)
        })
    };
    full(&mesh(&sites(most, most), FEED, ""), "expected at most 2048 domains of all sites");
    let fewer = sites(most, most).replace(r#""d0.example","#, "");
    full(&mesh(&fewer, FEED, ""), "expected at most 2048 issuers of all sites");
    whole(&mesh(&fewer.replace(&format!("\"{}\",", hash(0)), ""), FEED, ""));
}

#[test]
fn a_thousand_sites_and_ten_thousand_links_fit() {
    let link = |n: u32| format!(r#"{{"service":"feed","from":["s{}"],"to":["s{}"]}}"#, n % 1_000, n * 7 % 1_000);
    let text = mesh(&joined(0..1_000, site), FEED, &joined(0..10_000, link));
    assert!(text.len() < MAX_MESH * 9 / 10, "{} octets", text.len());
    let mesh = Mesh::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((mesh.sites().count(), mesh.links().count()), (1_000, 10_000));
    // Number 7 of every thousand comes from 1, 1001, ...
    let clients: Vec<_> = mesh.clients("feed", "s7").unwrap().map(|client| client.host()).collect();
    assert_eq!(clients, ["g.s1.example"]);
}

#[test]
fn a_text_of_a_mebibyte_and_no_more() {
    let mut text = text(&[]);
    text.push_str(&" ".repeat(MAX_MESH - text.len()));
    whole(&text);
    text.push(' ');
    full(&text, "found more, expected at most 1048576 octets");
}
