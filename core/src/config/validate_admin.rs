//! Validates the operator's pages: plaintext, or mutual TLS with an allow list of its own.

use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::model::{Admin, Server, Tunnel};
use super::raw::{Raw, RawAdmin, RawSide};
use super::validate_gateway::server_side;
use super::validate_place::{ConfigPlace, FALSE};
use crate::identity::is_dns_name;
use crate::json::{Found, Segment};

const LISTEN: &str = "ADDRESS:PORT or unix:PATH, as 127.0.0.1:9090";

/// Validates `gateway.admin`; none if it does not say where the pages are served.
pub(super) fn admin<'a>(raw: &Raw<'a>, tunnels: &[Tunnel<'a>]) -> Result<Option<Admin<'a>>, ConfigError<'a>> {
    let RawAdmin { offset, listen, hosts, tls, check_targets } = &raw.gateway.admin;
    let at = ConfigPlace::new(&[Segment::Key("gateway"), Segment::Key("admin")], *offset);
    let Some(text) = *listen else {
        // Half of a section must not be taken for none.
        return if tls.present {
            at.fail("listen", Found::Nothing, LISTEN)
        } else if !hosts.items.is_empty() {
            at.fail("hosts", Found::Array, "listen too: where the pages are served")
        } else {
            Ok(None)
        };
    };
    let listen = match Endpoint::parse(text) {
        Some(listen @ (Endpoint::Tcp(_) | Endpoint::Unix(_))) => listen,
        _ => return at.fail("listen", Found::Text(text), LISTEN),
    };
    let has_port = !matches!(listen, Endpoint::Tcp(address) if address.port() == 0);
    if has_port && tunnels.iter().any(|tunnel| tunnel.listen == listen) {
        return at.fail("listen", Found::Text(text), "an address that no tunnel listens on");
    }
    if let Some(host) = hosts.items.iter().find(|host| !is_dns_name(host)) {
        return at.fail("hosts", Found::Text(host), "DNS names, without a port");
    }
    let (tls, clients, origins) = match tls.present {
        false => (None, super::model::ClientTrust::default(), super::model::Origins::default()),
        true => {
            let at = at.inside("tls");
            if matches!(listen, Endpoint::Unix(_)) {
                return at.fail(
                    "enabled",
                    Found::Object,
                    "nothing: a Unix socket is guarded by its folder's permissions",
                );
            }
            let (server, origins) = server_side(&at, tls, raw, false)?;
            let in_mtls = at.inside("mtls");
            match server {
                Server::MutualTls(server, clients) if clients.required => {
                    if !has_rules(tls) {
                        let expected = "a list of those who may read the pages: no other list counts here";
                        return in_mtls.fail("allowed_client_cns", Found::Nothing, expected);
                    }
                    (Some(server), clients, origins)
                }
                Server::MutualTls(..) => {
                    return in_mtls.fail("require_client_cert", FALSE, "true: readers are known by their certificates");
                }
                Server::Tls(_) => {
                    return in_mtls.fail("enabled", FALSE, "true: readers are known by their certificates");
                }
                Server::Plain => return at.fail("enabled", FALSE, "true, or no gateway.admin.tls at all"),
            }
        }
    };
    Ok(Some(Admin { listen, hosts: hosts.items.clone(), tls, clients, origins, check_targets: *check_targets }))
}

/// Returns whether the section has an allow list itself.
fn has_rules(own: &RawSide<'_>) -> bool {
    let mtls = &own.mtls;
    let lists = [
        mtls.allowed_cns.written,
        mtls.allowed_dns.written,
        mtls.allowed_uris.written,
        mtls.allowed_ips.written,
        mtls.allowed_clients.is_some(),
    ];
    lists.contains(&true)
}
