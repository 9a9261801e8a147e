//! `nats.conf` and `leafnodes.conf`: the NATS servers of sites as leaf nodes of each other, through the tunnels of the
//! service `nats`. TLS is the gateways'; NATS speaks on loopback alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::names::Names;
use crate::federation::links::pairs;
use crate::federation::mesh::Mesh;

/// The service whose tunnels lead to leaf nodes.
pub(super) const SERVICE: &str = "nats";

/// The ports of a site's NATS server: for clients, and for leaf nodes of other sites.
pub(super) const CLIENTS: u16 = 4222;
pub(super) const LEAFNODES: u16 = 7422;

/// The file that people change, and the one that follows from `gateway.json`.
pub(in crate::federation) const NATS: &str = "nats.conf";
pub(in crate::federation) const LEAFNODES_FILE: &str = "leafnodes.conf";

#[derive(Deserialize)]
struct File {
    gateway: Gateway,
}

#[derive(Deserialize)]
struct Gateway {
    #[serde(default)]
    tunnels: Vec<Tunnel>,
}

#[derive(Deserialize)]
struct Tunnel {
    service: Option<String>,
    to: Option<String>,
    listen: Option<String>,
    target: Option<String>,
}

/// Returns whether the NATS servers of sites are to reach each other.
pub(in crate::federation) fn is_wanted(mesh: &Mesh) -> bool {
    mesh.services.iter().any(|service| service.name == SERVICE)
}

/// Returns the configuration of a site's NATS server, as it is written once.
pub(in crate::federation) fn nats_conf(site: &str) -> String {
    format!(
        "# NATS of this site. The file is yours: edgetrust federation does not write it again.
server_name: \"{site}\"
# Clients are on this machine. Others come through a tunnel of their own.
listen: \"127.0.0.1:{CLIENTS}\"
include \"{LEAFNODES_FILE}\"
"
    )
}

/// Returns the leaf nodes that follow from a gateway's configuration: where its tunnels of the service lead.
///
/// A server that takes part in a mesh of others advertises its own addresses, which would be dialled past the tunnel:
/// neither side does, or listens to, that. A client tunnel accepts at once, so the first word of the other side takes as
/// long as look-up, connection and handshake together.
pub(in crate::federation) fn leafnodes_conf(gateway_json: &str) -> String {
    let tunnels = serde_json::from_str::<File>(gateway_json).map(|file| file.gateway.tunnels).unwrap_or_default();
    let of_service = || tunnels.iter().filter(|tunnel| tunnel.service.as_deref() == Some(SERVICE));
    let plain = |text: &&String| text.chars().all(|one| one.is_ascii_alphanumeric() || ".:[]-".contains(one));
    let listen = of_service().find(|tunnel| tunnel.to.is_none()).and_then(|tunnel| tunnel.target.as_ref());
    let remotes = of_service().filter(|tunnel| tunnel.to.is_some()).filter_map(|tunnel| tunnel.listen.as_ref());
    let mut text =
        "# Written by edgetrust federation from gateway.json: changes here are lost.\nleafnodes {\n".to_owned();
    if let Some(listen) = listen.filter(plain) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  listen: \"{listen}\"");
    }
    text.push_str("  no_advertise: true\n  remotes: [\n");
    for remote in remotes.filter(plain) {
        // Nor here.
        let _ = writeln!(
            text,
            "    {{url: \"nats-leaf://{remote}\", ignore_discovered_servers: true, first_info_timeout: \"10s\"}}"
        );
    }
    text.push_str("  ]\n}\n");
    text
}

/// Checks that the links of the service form no ring: NATS ends a leaf node connection by which a message would come back.
///
/// # Errors
/// Names the link that closes a ring.
pub(super) fn check(mesh: &Mesh) -> Result<(), String> {
    let mut towards = BTreeMap::<String, String>::new();
    // Union-find: whoever has the same last one is linked already.
    let last = |towards: &BTreeMap<String, String>, site: &str| {
        let mut site = site.to_owned();
        while let Some(next) = towards.get(&site) {
            site.clone_from(next);
        }
        site
    };
    for pair in pairs(mesh).into_iter().filter(|pair| pair.service == SERVICE) {
        let (from, to) = (last(&towards, &pair.from), last(&towards, &pair.to));
        if from == to {
            return Err(format!(
                "links: found {}:{}:{SERVICE}, which closes a ring, expected one way from each site to each other: \
                 messages would come back, and NATS ends such connections",
                pair.from, pair.to
            ));
        }
        towards.insert(from, to);
    }
    Ok(())
}

/// Returns what to do with the files, for the site's instructions; nothing where there are none.
pub(super) fn readme(mesh: &Mesh, names: &Names<'_>) -> String {
    if !is_wanted(mesh) {
        return String::new();
    }
    format!(
        "
NATS
  {NATS} and {LEAFNODES_FILE} to /etc/nats/, on the gateway's machine: nats-server -c /etc/nats/{NATS} makes this site's
  server a leaf node of those that it reaches ({site} is its name). {LEAFNODES_FILE} follows from gateway.json: bring both
  again when the mesh has changed, and restart nats-server.
",
        site = names.site
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::mesh::{Link, Service, Site};

    fn mesh(links: &[(&str, &str)]) -> Mesh {
        let site =
            |name: &str| Site { name: name.to_owned(), domains: Vec::new(), issuers: Vec::new(), gateways: Vec::new() };
        let link = |(from, to): &(&str, &str)| Link {
            service: SERVICE.to_owned(),
            from: vec![(*from).to_owned()],
            to: vec![(*to).to_owned()],
        };
        Mesh {
            mesh: "m".to_owned(),
            sequence: 1,
            previous: None,
            not_after: String::new(),
            roots: Vec::new(),
            sites: ["a", "b", "c", "d"].map(site).into(),
            services: vec![Service { name: SERVICE.to_owned(), port: 7443 }],
            links: links.iter().map(link).collect(),
            denied_keys: Vec::new(),
        }
    }

    #[test]
    fn rings_are_refused() {
        for tree in
            [&[][..], &[("a", "b")], &[("a", "b"), ("c", "b"), ("d", "c")], &[("a", "d"), ("b", "d"), ("c", "d")]]
        {
            assert_eq!(check(&mesh(tree)), Ok(()), "{tree:?}");
        }
        for ring in [&[("a", "b"), ("b", "a")][..], &[("a", "b"), ("b", "c"), ("a", "c")], &[("*", "*")]] {
            let error = check(&mesh(ring)).unwrap_err();
            assert!(error.contains(":nats, which closes a ring"), "{ring:?}: {error}");
        }
    }

    #[test]
    fn leaf_nodes_follow_from_tunnels() {
        let gateway = r#"{"gateway": {"tunnels": [
            {"name": "feed-in", "service": "feed", "listen": "0.0.0.0:8443", "target": "127.0.0.1:8081"},
            {"name": "nats-in", "service": "nats", "listen": "0.0.0.0:7443", "target": "127.0.0.1:7422"},
            {"name": "nats-to-b", "service": "nats", "to": "b", "listen": "127.0.0.1:9002"},
            {"name": "nats-to-c", "service": "nats", "to": "c", "listen": "127.0.0.1:9\"\n}"}]}}"#;
        let text = leafnodes_conf(gateway);
        assert!(text.contains("  listen: \"127.0.0.1:7422\"\n"), "{text}");
        assert!(text.contains("nats-leaf://127.0.0.1:9002\"") && !text.contains(":9\""), "{text}");
        assert!(leafnodes_conf("{").ends_with("leafnodes {\n  no_advertise: true\n  remotes: [\n  ]\n}\n"));
    }
}
