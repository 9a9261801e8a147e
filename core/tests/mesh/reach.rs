//! Tests who reaches whom.

use edgetrust_core::mesh::{Mesh, Server, Unreachable};
use edgetrust_core::x509::KeyHash;

use crate::pki::{hash, text};

/// Returns the hosts that may reach a service at a site, as `site/host`.
fn clients(mesh: &Mesh<'_>, service: &str, to: &str) -> Vec<String> {
    let clients = mesh.clients(service, to).unwrap();
    clients.map(|client| format!("{}/{}", client.site().name(), client.host())).collect()
}

#[test]
fn the_gateways_of_linked_sites_are_let_in() {
    let text = text(&[]);
    let mesh = Mesh::parse(text.as_bytes()).unwrap();
    assert_eq!(clients(&mesh, "feed", "b"), ["a/gateway.a.example", "a/a.test"]);
    assert_eq!(clients(&mesh, "feed", "a"), [""; 0]);
    // Site c has no gateway.
    assert_eq!(clients(&mesh, "nats", "a"), ["b/gateway.b.example"]);
    let client = mesh.clients("feed", "b").unwrap().next().unwrap();
    assert_eq!(client.issuer_keys().collect::<Vec<_>>(), [KeyHash::parse(&hash(1)).unwrap()]);
    assert_eq!(mesh.clients("mqtt", "b").map(|_| ()), Err(Unreachable::Service("mqtt")));
    assert_eq!(mesh.clients("feed", "d").map(|_| ()), Err(Unreachable::Site("d")));
}

#[test]
fn a_site_reaches_itself_where_a_link_names_it_twice() {
    for (from, to, at_a, at_b) in [
        (r#"["*"]"#, r#"["*"]"#, "b", "a a"),
        (r#"["a"]"#, r#"["*"]"#, "", "a a"),
        (r#"["*"]"#, r#"["a"]"#, "b", ""),
        (r#"["a", "b"]"#, r#"["a"]"#, "a a b", ""),
        (r#"["a"]"#, r#"["a", "b"]"#, "a a", "a a"),
        (r#"["c"]"#, r#"["b"]"#, "", ""),
    ] {
        let link = format!(r#""service": "nats", "from": {from}, "to": {to}"#);
        let text = text(&[(r#""service": "nats", "from": ["*"], "to": ["a"]"#, &link)]);
        let mesh = Mesh::parse(text.as_bytes()).unwrap();
        for (site, expected) in [("a", at_a), ("b", at_b)] {
            let found: Vec<_> = mesh.clients("nats", site).unwrap().map(|client| client.site().name()).collect();
            assert_eq!(found.join(" "), expected, "{link} at {site}");
            // Both sides of a link see it alike.
            for other in ["a", "b"] {
                let servers = mesh.servers("nats", other, site);
                assert_eq!(servers.is_ok(), found.contains(&other), "{link} from {other} to {site}");
            }
        }
    }
}

#[test]
fn links_of_one_service_add_up() {
    let more = r#""links": [{"service": "feed", "from": ["c", "b"], "to": ["b"]},"#;
    let text = text(&[(r#""links": ["#, more)]);
    let mesh = Mesh::parse(text.as_bytes()).unwrap();
    assert_eq!(clients(&mesh, "feed", "b"), ["a/gateway.a.example", "a/a.test", "b/gateway.b.example"]);
}

#[test]
fn a_gateway_is_dialled_at_its_own_port_or_the_services() {
    let text = text(&[(r#""from": ["a"], "to": ["b", "c"]"#, r#""from": ["b"], "to": ["a", "c"]"#)]);
    let mesh = Mesh::parse(text.as_bytes()).unwrap();
    let servers: Vec<_> = mesh.servers("feed", "b", "a").unwrap().collect();
    let expected = [
        Server { host: "gateway.a.example", address: Some([192, 0, 2, 7].into()), port: 9_443 },
        Server { host: "a.test", address: None, port: 8_443 },
    ];
    assert_eq!(servers, expected);
    assert_eq!(mesh.servers("nats", "b", "a").unwrap().map(|server| server.port).collect::<Vec<_>>(), [7_443; 2]);
}

#[test]
fn the_error_says_what_is_missing() {
    let text = text(&[]);
    let mesh = Mesh::parse(text.as_bytes()).unwrap();
    for (service, from, to, expected) in [
        ("feed", "b", "a", r#"no link of the mesh lets site "b" reach "feed" at site "a""#),
        ("feed", "a", "c", r#"site "c" of the mesh has no gateway"#),
        ("feed", "a", "d", r#"the mesh has no site "d""#),
        ("feed", "d", "a", r#"the mesh has no site "d""#),
        ("mqtt", "a", "b", r#"the mesh has no service "mqtt""#),
    ] {
        let error = mesh.servers(service, from, to).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
