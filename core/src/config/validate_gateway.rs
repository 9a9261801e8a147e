//! Validates tunnels: the keys a side needs or must not have, and settings that tunnels must not share.

use super::allowed_clients::AllowedClients;
use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::inherit::{ClientSide, ServerSide};
use super::model::{
    ClientTrust, DEVICE_FRAGMENT_SIZE, Gateway, MAX_FRAGMENT_SIZE, MeshOfSites, Origins, ProxyProtocol, Server,
    Service, SignedFile, Tunnel, TunnelKind,
};
use super::raw::{Raw, RawClients, RawMesh, RawSide, RawStore, RawTunnel};
use super::validate_place::{ConfigPlace, FALSE, SERVER, TRUE};
use super::validate_proxy::proxy;
use super::validate_sides::{client, server, switches};
use super::validate_storage::{StorageOf, storage};
use super::validate_targets::{accept_proxy, endpoint, found, server_name, targets};
use crate::identity::{RuleName, is_dns_name};
use crate::json::{Found, Segment};

/// The default of `health_interval`.
const HEALTH_INTERVAL_MS: u64 = 10_000;

/// Validates the `gateway` section without its `est`, in place: tunnels are large, and each return by value would copy all of them on the
/// stack.
pub(super) fn gateway<'a>(raw: &Raw<'a>, gateway: &mut Gateway<'a>) -> Result<(), ConfigError<'a>> {
    for (index, raw_tunnel) in (0_u16..).zip(&raw.gateway.tunnels) {
        let path = [Segment::Key("gateway"), Segment::Key("tunnels"), Segment::Index(index)];
        let at = ConfigPlace::new(&path, raw_tunnel.offset);
        let tunnel = tunnel(&at, raw, raw_tunnel)?;
        for other in &gateway.tunnels {
            apart(&at, other, &tunnel)?;
        }
        let pushed = gateway.tunnels.push(tunnel).is_ok();
        debug_assert!(pushed, "both lists have the same capacity");
    }
    gateway.mesh = mesh(&raw.gateway.mesh, &raw.gateway.stores)?;
    gateway.known_intermediates = raw.gateway.known_intermediates.items.clone();
    gateway.crl_files = raw.gateway.crl_files.items.clone();
    gateway.crls_required = raw.gateway.crls_required;
    gateway.audit_log = raw.gateway.audit_log;
    gateway.limits = raw.gateway.limits;
    allowed_clients(&raw.gateway.allowed_clients, &mut gateway.allowed_clients);
    Ok(())
}

/// Copies the elements that are complete; those of a side that takes effect were found to be so.
fn allowed_clients<'a>(raw: &RawClients<'a>, allowed: &mut AllowedClients<'a>) {
    allowed.issuers.clone_from(&raw.issuers.items);
    for client in &raw.items {
        // A rule without a name keeps its place, and matches nobody.
        let rule = (client.name.unwrap_or(RuleName::Dns("")), client.issuers);
        let pushed = allowed.rules.push(rule).is_ok();
        debug_assert!(pushed, "both lists have the same capacity");
    }
}

fn tunnel<'a>(at: &ConfigPlace<'a>, raw: &Raw<'a>, tunnel: &RawTunnel<'a>) -> Result<Tunnel<'a>, ConfigError<'a>> {
    let name = at.required("name", tunnel.name, "a name for logs and metrics")?;
    let is_server = at.required("mode", tunnel.is_server, "\"server\" or \"client\"")?;
    let listen = endpoint(at, "listen", tunnel.listen)?;
    let service = service(at, raw, tunnel, is_server)?;
    let (target, mut other_targets) = match service {
        Some(Service { to: Some(_), .. }) => Default::default(),
        _ => targets(at, tunnel)?,
    };
    if matches!(listen, Endpoint::Host(..)) {
        return at.fail("listen", found(tunnel.listen), "an address of this machine, as 0.0.0.0:8443");
    }
    let (kind, origins) =
        if is_server { server_kind(at, raw, tunnel, service)? } else { client_kind(at, raw, tunnel, target)? };
    if !is_server {
        for (other, text) in other_targets.iter_mut().zip(tunnel.targets.items.iter().skip(1)) {
            other.server_name = Some(server_name(at, tunnel, other.endpoint, text)?);
        }
    }
    let unwanted = |remote: Endpoint<'_>| !remote.is_local() && !tunnel.allow_remote_plaintext;
    let (plain_listen, plain_target) = match &kind {
        TunnelKind::Server { tls, .. } => (*tls == Server::Plain, true),
        TunnelKind::Client { .. } => (true, false),
    };
    if is_server && matches!(listen, Endpoint::Unix(_)) {
        return at.fail("listen", found(tunnel.listen), "ADDRESS:PORT, as 0.0.0.0:8443");
    }
    if plain_listen && unwanted(listen) {
        return at.fail(
            "listen",
            found(tunnel.listen),
            "a loopback address or unix:PATH, or allow_remote_plaintext true",
        );
    }
    if plain_target {
        const LOCAL: &str = "a loopback address or unix:PATH, or allow_remote_plaintext true";
        let all = target.into_iter().chain(other_targets.iter().map(|other| other.endpoint));
        let texts = tunnel.target.iter().chain(&tunnel.targets.items);
        if let Some((_, text)) = all.zip(texts).find(|(target, _)| unwanted(*target)) {
            let key = if tunnel.target.is_some() { "target" } else { "targets" };
            return at.fail(key, Found::Text(text), LOCAL);
        }
    }
    let limits = tunnel.limits;
    let allow_remote_plaintext = tunnel.allow_remote_plaintext;
    let health_interval_ms = tunnel.health_interval_ms.unwrap_or(HEALTH_INTERVAL_MS);
    Ok(Tunnel {
        name,
        listen,
        target,
        other_targets,
        health_interval_ms,
        allow_remote_plaintext,
        limits,
        service,
        kind,
        origins,
    })
}

/// Validates `gateway.mesh`.
fn mesh<'a>(raw: &RawMesh<'a>, stores: &[RawStore<'a>]) -> Result<Option<MeshOfSites<'a>>, ConfigError<'a>> {
    if !raw.present {
        return Ok(None);
    }
    let at = ConfigPlace::new(&[Segment::Key("gateway"), Segment::Key("mesh")], raw.offset);
    let file = at.required("file", raw.file, "the mesh file")?;
    let site = at.required("site", raw.site, "the name of this gateway's site in the mesh")?;
    // One without the other: nobody can tell whether the file has to be signed.
    let signed = match (raw.storage_path, raw.ca_bundle) {
        (None, None) if raw.control == Some(true) => {
            return at.fail("control", TRUE, "storage_path and ca_bundle too: what others bring must be signed");
        }
        (None, None) => None,
        (Some(storage_path), Some(ca_bundle)) => {
            Some(SignedFile { storage_path, ca_bundle, control: raw.control.unwrap_or(true) })
        }
        (None, Some(_)) => {
            return at.fail("storage_path", Found::Nothing, "a folder: with ca_bundle the mesh is signed");
        }
        (Some(_), None) => {
            return at.fail("ca_bundle", Found::Nothing, "the roots' file: with storage_path the mesh is signed");
        }
    };
    let storage = storage(&at, raw.storage, stores, StorageOf::Mesh)?;
    if storage.is_some() && signed.is_none() {
        return at.fail("storage", Found::Object, "storage_path and ca_bundle too: what a store brings must be signed");
    }
    Ok(Some(MeshOfSites { file, site, signed, storage }))
}

/// Validates a tunnel's `service` and `to`, and refuses keys that would say otherwise than the mesh.
fn service<'a>(
    at: &ConfigPlace<'a>,
    raw: &Raw<'a>,
    tunnel: &RawTunnel<'a>,
    is_server: bool,
) -> Result<Option<Service<'a>>, ConfigError<'a>> {
    const OF_MESH: &str = "nothing: with service this follows from gateway.mesh";
    let Some(name) = tunnel.service else {
        return match tunnel.to {
            Some(to) => at.fail("to", Found::Text(to), "service too: to names a site of gateway.mesh"),
            None => Ok(None),
        };
    };
    if !raw.gateway.mesh.present {
        return at.fail("service", Found::Text(name), "gateway.mesh too: service is one of the mesh");
    }
    match (is_server, tunnel.to) {
        (true, Some(to)) => return at.fail("to", Found::Text(to), "nothing: a server tunnel leads to its target"),
        (false, None) => return at.fail("to", Found::Nothing, "the site that the tunnel leads to"),
        _ => {}
    }
    let (own, at_tls) = (&tunnel.tls, at.inside("tls"));
    if !is_server {
        if tunnel.targets.written {
            return at.fail("targets", Found::Array, OF_MESH);
        }
        for (key, value) in [("target", tunnel.target), ("server_name", tunnel.server_name)] {
            if let Some(text) = value {
                return at.fail(key, Found::Text(text), OF_MESH);
            }
        }
        if own.insecure_skip_verify == Some(true) {
            return at_tls.fail("insecure_skip_verify", TRUE, "false: a site of the mesh is verified");
        }
    }
    let lists = [
        (&at_tls, "ca_files", own.ca_files.written),
        (&at_tls, "pinned_certificates", own.pinned_certificates.written),
        (&at_tls, "server_issuers", own.server_issuers.written),
        (&at_tls.inside("mtls"), "client_ca_files", own.mtls.client_ca_files.written),
        (&at_tls.inside("mtls"), "pinned_certificates", own.mtls.pinned_certificates.written),
        (&at_tls.inside("mtls"), "allowed_client_cns", own.mtls.allowed_cns.written),
        (&at_tls.inside("mtls"), "allowed_client_dns", own.mtls.allowed_dns.written),
        (&at_tls.inside("mtls"), "allowed_client_uris", own.mtls.allowed_uris.written),
        (&at_tls.inside("mtls"), "allowed_client_ips", own.mtls.allowed_ips.written),
        (&at_tls.inside("mtls"), "allowed_clients", own.mtls.allowed_clients.is_some()),
    ];
    if let Some((at, key, _)) = lists.into_iter().find(|(.., written)| *written) {
        return at.fail(key, Found::Array, OF_MESH);
    }
    if own.system_roots == Some(true) {
        return at_tls.fail("use_system_roots", TRUE, OF_MESH);
    }
    Ok(Some(Service { name, to: tunnel.to }))
}

/// Takes away whom a server tunnel of a service would let in by the shared settings: the mesh says that.
fn of_service<'a>(at: &ConfigPlace<'a>, tls: Server<'a>) -> Result<Server<'a>, ConfigError<'a>> {
    let at = at.inside("tls").inside("mtls");
    match tls {
        Server::MutualTls(tls, trust) if trust.required => {
            Ok(Server::MutualTls(tls, ClientTrust { required: true, ..ClientTrust::default() }))
        }
        Server::MutualTls(..) => at.fail("require_client_cert", FALSE, "true: a site is known by its certificate"),
        Server::Plain | Server::Tls(_) => at.fail("enabled", FALSE, "true: a site is known by its certificate"),
    }
}

fn server_kind<'a>(
    at: &ConfigPlace<'a>,
    raw: &Raw<'a>,
    tunnel: &RawTunnel<'a>,
    service: Option<Service<'a>>,
) -> Result<(TunnelKind<'a>, Origins), ConfigError<'a>> {
    let sni = &tunnel.sni.items;
    for (key, value) in [("proxy", tunnel.proxy), ("proxy_credentials_file", tunnel.proxy_credentials_file)] {
        if value.is_some() {
            return at.fail(key, Found::Literal("a value"), "nothing: this key is for client tunnels");
        }
    }
    if let Some(name) = tunnel.server_name {
        return at.fail("server_name", Found::Text(name), "nothing: a server tunnel has sni");
    }
    if let Some(name) = sni.iter().find(|name| !is_dns_name(name)) {
        return at.fail("sni", Found::Text(name), "DNS names");
    }
    let (tls, origins) = server_side(&at.inside("tls"), &tunnel.tls, raw, service.is_some())?;
    let tls = if service.is_some() { of_service(at, tls)? } else { tls };
    if tls == Server::Plain && !sni.is_empty() {
        return at.fail("sni", Found::Array, "nothing: plaintext has no server name");
    }
    let proxy_protocol = match (tunnel.proxy_protocol, tunnel.proxy_protocol_certificate) {
        (false, false) => ProxyProtocol::Off,
        (true, false) => ProxyProtocol::Header,
        (true, true) if matches!(tls, Server::MutualTls(..)) => ProxyProtocol::WithCertificate,
        (true, true) => {
            return at.fail("proxy_protocol_certificate", TRUE, "false, or mtls: no client is asked for a certificate");
        }
        (false, true) => return at.fail("proxy_protocol_certificate", TRUE, "false, or proxy_protocol true"),
    };
    let accept_proxy = accept_proxy(at, tunnel)?;
    let max_fragment_size = max_fragment_size(at, raw, tunnel, &tls)?;
    Ok((TunnelKind::Server { tls, sni: sni.clone(), proxy_protocol, accept_proxy, max_fragment_size }, origins))
}

/// Returns the largest record of a server tunnel. Where devices renew, they are its clients too, unless it is for sites.
fn max_fragment_size<'a>(
    at: &ConfigPlace<'a>,
    raw: &Raw<'a>,
    tunnel: &RawTunnel<'a>,
    tls: &Server<'a>,
) -> Result<u16, ConfigError<'a>> {
    let devices = raw.gateway.est.present && tunnel.service.is_none() && matches!(tls, Server::MutualTls(..));
    match tunnel.max_fragment_size {
        Some(_) if *tls == Server::Plain => {
            at.fail("max_fragment_size", Found::Literal("a value"), "nothing: plaintext has no records")
        }
        Some(size) => Ok(size),
        None if devices => Ok(DEVICE_FRAGMENT_SIZE),
        None => Ok(MAX_FRAGMENT_SIZE),
    }
}

/// Validates a server's side by its own `tls` and, for keys left out, by the shared one.
pub(super) fn server_side<'a>(
    at: &ConfigPlace<'a>,
    own: &RawSide<'a>,
    raw: &Raw<'a>,
    of_mesh: bool,
) -> Result<(Server<'a>, Origins), ConfigError<'a>> {
    no_keys_of_clients(at, own)?;
    if !own.present {
        let shared = &raw.server;
        ConfigPlace::new(SERVER, shared.offset).switched(shared.offset, shared.enabled, shared.other)?;
    }
    let side = ServerSide::inherited(own, raw, of_mesh);
    // Plaintext requests no certificate, whatever is inherited.
    let mutual = if side.enabled { Some(side.mutual) } else { own.mtls.enabled };
    switches(at, own, mutual)?;
    if !side.enabled && own.mtls.is_enabled() {
        return at.inside("mtls").fail("enabled", TRUE, "false, or tls.enabled true");
    }
    Ok((server(at, &side)?, side.origins))
}

fn no_keys_of_clients<'a>(at: &ConfigPlace<'a>, own: &RawSide<'a>) -> Result<(), ConfigError<'a>> {
    const EXPECTED: &str = "nothing: this key is for client tunnels";
    let (mtls, at_mtls) = (&own.mtls, at.inside("mtls"));
    let lists = [
        ("ca_files", own.ca_files.written),
        ("pinned_certificates", own.pinned_certificates.written),
        ("server_issuers", own.server_issuers.written),
    ];
    if let Some((key, _)) = lists.into_iter().find(|(_, written)| *written) {
        return at.fail(key, Found::Array, EXPECTED);
    }
    if own.system_roots.is_some() {
        return at.fail("use_system_roots", Found::Literal("a value"), EXPECTED);
    }
    if own.insecure_skip_verify.is_some() {
        return at.fail("insecure_skip_verify", Found::Literal("a value"), EXPECTED);
    }
    if let Some(file) = mtls.cert_file.or(mtls.key_file) {
        let key = if mtls.cert_file.is_some() { "cert_file" } else { "key_file" };
        return at_mtls.fail(key, Found::Text(file), EXPECTED);
    }
    if mtls.acme.names_a_key() {
        return at_mtls.fail("acme", Found::Object, EXPECTED);
    }
    Ok(())
}

fn client_kind<'a>(
    at: &ConfigPlace<'a>,
    raw: &Raw<'a>,
    tunnel: &RawTunnel<'a>,
    target: Option<Endpoint<'a>>,
) -> Result<(TunnelKind<'a>, Origins), ConfigError<'a>> {
    if !tunnel.sni.items.is_empty() {
        return at.fail("sni", Found::Array, "nothing: a client tunnel has server_name");
    }
    if tunnel.accept_proxy.written {
        return at.fail("accept_proxy", Found::Array, "nothing: this key is for server tunnels");
    }
    if tunnel.max_fragment_size.is_some() {
        return at.fail("max_fragment_size", Found::Literal("a value"), "nothing: this key is for server tunnels");
    }
    for (key, value) in
        [("proxy_protocol", tunnel.proxy_protocol), ("proxy_protocol_certificate", tunnel.proxy_protocol_certificate)]
    {
        if value {
            return at.fail(key, TRUE, "nothing: this key is for server tunnels");
        }
    }
    let text = tunnel.target.or(tunnel.targets.items.first().copied()).unwrap_or_default();
    let server_name = target.map(|target| server_name(at, tunnel, target, text)).transpose()?;
    let tls_at = at.inside("tls");
    no_keys_of_servers(&tls_at, &tunnel.tls)?;
    let side = ClientSide::inherited(&tunnel.tls, raw, target.is_none());
    switches(&tls_at, &tunnel.tls, Some(side.mutual))?;
    let mut tls = client(&tls_at, &side)?;
    if target.is_none() {
        // The mesh says whom to trust, and the shared settings do not add to that.
        tls.ca_files.clear();
        tls.pinned_certificates.clear();
        tls.server_issuers.clear();
        tls.system_roots = false;
    }
    let proxy = proxy(at, tunnel.proxy, tunnel.proxy_credentials_file)?;
    let mut targets = tunnel.target.iter().chain(&tunnel.targets.items);
    if let Some(unix) =
        targets.find(|target| proxy.is_some() && matches!(Endpoint::parse(target), Some(Endpoint::Unix(_))))
    {
        return at.fail("proxy", Found::Text(unix), "nothing: a Unix socket is on this machine");
    }
    Ok((TunnelKind::Client { tls, server_name, proxy }, side.origins))
}

fn no_keys_of_servers<'a>(at: &ConfigPlace<'a>, own: &RawSide<'a>) -> Result<(), ConfigError<'a>> {
    const EXPECTED: &str = "nothing: this key is for server tunnels";
    let (mtls, at_mtls) = (&own.mtls, at.inside("mtls"));
    if own.enabled == Some(false) {
        return at.fail("enabled", Found::Literal("false"), "true: a client tunnel originates TLS");
    }
    if let Some(file) = own.cert_file.or(own.key_file) {
        let key = if own.cert_file.is_some() { "cert_file" } else { "key_file" };
        return at.fail(key, Found::Text(file), "nothing: a client's certificate is in mtls");
    }
    let lists = [
        ("client_ca_files", mtls.client_ca_files.written),
        ("pinned_certificates", mtls.pinned_certificates.written),
        ("allowed_client_cns", mtls.allowed_cns.written),
        ("allowed_client_dns", mtls.allowed_dns.written),
        ("allowed_client_uris", mtls.allowed_uris.written),
        ("allowed_client_ips", mtls.allowed_ips.written),
        ("allowed_clients", mtls.allowed_clients.is_some()),
    ];
    if let Some((key, _)) = lists.into_iter().find(|(_, written)| *written) {
        return at_mtls.fail(key, Found::Array, EXPECTED);
    }
    if mtls.require_client_cert.is_some() {
        return at_mtls.fail("require_client_cert", Found::Literal("a value"), EXPECTED);
    }
    Ok(())
}

/// Checks that names are unique, and that only server tunnels with different SNI share a port (RFC 6066 section 3).
fn apart<'a>(at: &ConfigPlace<'a>, other: &Tunnel<'a>, tunnel: &Tunnel<'a>) -> Result<(), ConfigError<'a>> {
    if other.name == tunnel.name {
        return at.fail("name", Found::Text(tunnel.name), "a name that no other tunnel has");
    }
    let any_port = matches!(tunnel.listen, Endpoint::Tcp(address) if address.port() == 0);
    if other.listen != tunnel.listen || any_port {
        return Ok(());
    }
    match (&other.kind, &tunnel.kind) {
        (
            TunnelKind::Server { tls: Server::Tls(_) | Server::MutualTls(..), sni: a, accept_proxy: c, .. },
            TunnelKind::Server { tls: Server::Tls(_) | Server::MutualTls(..), sni: b, accept_proxy: d, .. },
        ) => {
            // The header comes before the server name that selects a tunnel.
            if c != d {
                return at.fail(
                    "accept_proxy",
                    Found::Array,
                    "the same networks for all tunnels that share an address",
                );
            }
            if a.is_empty() && b.is_empty() {
                return at.fail("sni", Found::Nothing, "server names, since another tunnel listens here for all");
            }
            match b.iter().find(|name| a.iter().any(|other| other.eq_ignore_ascii_case(name))) {
                Some(name) => at.fail("sni", Found::Text(name), "a name that no other tunnel has on this port"),
                None => Ok(()),
            }
        }
        _ => at.fail("listen", Found::Text(tunnel.name), "an address that only TLS server tunnels with sni share"),
    }
}
