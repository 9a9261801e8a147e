//! Tests the keys of tunnels that follow from a mesh: what they may leave out, and their half-written forms.

mod config_file;

use config_file::parse;
use edgetrust_core::config::{MeshOfSites, Server, Service, SignedFile, TunnelKind};

/// Makes a file with a mesh, these shared settings and one tunnel.
fn file(shared: &str, tunnel: &str) -> String {
    format!(
        r#"{{"security":{{"tls":{{{shared}}}}},
        "gateway":{{"mesh":{{"file":"mesh.json","site":"a"}},"tunnels":[{{"name":"t",{tunnel}}}]}}}}"#
    )
}

const SERVER: &str = r#""server":{"enabled":true,"cert_file":"c","key_file":"k","mtls":{"enabled":true}}"#;
const CLIENT: &str = r#""client":{"use_system_roots":false,"mtls":{"enabled":true,"cert_file":"c","key_file":"k"}}"#;
const FEED_IN: &str = r#""mode":"server","service":"feed","listen":"0.0.0.0:1","target":"127.0.0.1:2""#;
const FEED_OUT: &str = r#""mode":"client","service":"feed","to":"b","listen":"127.0.0.1:1""#;

#[test]
fn tunnels_of_a_service_leave_trust_to_the_mesh() {
    parse(&file(SERVER, FEED_IN), |config| {
        assert_eq!(
            config.gateway.mesh,
            Some(MeshOfSites { file: "mesh.json", site: "a", signed: None, storage: None })
        );
        let tunnel = &config.gateway.tunnels[0];
        assert_eq!(tunnel.service, Some(Service { name: "feed", to: None }));
        let TunnelKind::Server { tls: Server::MutualTls(_, clients), .. } = &tunnel.kind else { panic!() };
        // Whoever forgets the mesh lets nobody in.
        assert!(clients.required && !clients.any_verified && clients.ca_files.is_empty());
    })
    .unwrap();
    parse(&file(CLIENT, FEED_OUT), |config| {
        let tunnel = &config.gateway.tunnels[0];
        assert_eq!((tunnel.service, tunnel.target), (Some(Service { name: "feed", to: Some("b") }), None));
        let TunnelKind::Client { tls, server_name, .. } = &tunnel.kind else { panic!() };
        assert_eq!((*server_name, tls.system_roots, tls.ca_files.len()), (None, false, 0));
    })
    .unwrap();
}

#[test]
fn shared_trust_does_not_reach_a_tunnel_of_a_service() {
    let shared = r#""server":{"enabled":true,"cert_file":"c","key_file":"k","mtls":{"enabled":true,
        "client_ca_files":["ca"],"pinned_certificates":["p"],"allowed_client_cns":["x"]}}"#;
    parse(&file(shared, FEED_IN), |config| {
        let TunnelKind::Server { tls: Server::MutualTls(_, clients), .. } = &config.gateway.tunnels[0].kind else {
            panic!()
        };
        assert!(
            clients.ca_files.is_empty() && clients.pinned_certificates.is_empty() && clients.allowed_cns.is_empty()
        );
    })
    .unwrap();
    for shared in [
        r#""client":{"ca_files":["ca"],"server_issuers":["i"]}"#,
        r#""client":{"ca_files":["ca"],"insecure_skip_verify":true}"#,
    ] {
        parse(&file(shared, FEED_OUT), |config| {
            let TunnelKind::Client { tls, .. } = &config.gateway.tunnels[0].kind else { panic!() };
            assert!(tls.ca_files.is_empty() && tls.server_issuers.is_empty());
            assert!(!tls.insecure_skip_verify && !tls.system_roots);
        })
        .unwrap();
    }
}

#[test]
fn a_tunnel_without_a_service_needs_trust_of_its_own() {
    let plain = r#""mode":"server","listen":"0.0.0.0:1","target":"127.0.0.1:2""#;
    let error = parse(&file(SERVER, plain), |_| ()).unwrap_err();
    assert!(error.contains("tls.mtls.client_ca_files: found nothing, expected a list of files"), "{error}");
    let plain = r#""mode":"client","listen":"127.0.0.1:1","target":"b.example:2""#;
    let error = parse(&file(CLIENT, plain), |_| ()).unwrap_err();
    assert!(error.contains("tls.ca_files: found nothing, expected a list of files"), "{error}");
}

#[test]
fn half_written_forms_are_refused_by_name() {
    const OF_MESH: &str = "expected nothing: with service this follows from gateway.mesh";
    let with = |tunnel: &str, more: &str| format!("{tunnel},{more}");
    for (shared, tunnel, error) in [
        (
            SERVER,
            with(FEED_IN, r#""to":"b""#),
            r#"to: found "b", expected nothing: a server tunnel leads to its target"#.to_owned(),
        ),
        (
            CLIENT,
            FEED_OUT.replace(r#""to":"b","#, ""),
            "to: found nothing, expected the site that the tunnel leads to".to_owned(),
        ),
        (
            CLIENT,
            FEED_OUT.replace(r#""service":"feed","#, ""),
            r#"to: found "b", expected service too: to names a site of gateway.mesh"#.to_owned(),
        ),
        (CLIENT, with(FEED_OUT, r#""target":"b.example:1""#), format!(r#"target: found "b.example:1", {OF_MESH}"#)),
        (
            CLIENT,
            with(FEED_OUT, r#""server_name":"b.example""#),
            format!(r#"server_name: found "b.example", {OF_MESH}"#),
        ),
        (CLIENT, with(FEED_OUT, r#""tls":{"ca_files":["ca"]}"#), format!("tls.ca_files: found an array, {OF_MESH}")),
        (
            CLIENT,
            with(FEED_OUT, r#""tls":{"use_system_roots":true}"#),
            format!("tls.use_system_roots: found true, {OF_MESH}"),
        ),
        (
            CLIENT,
            with(FEED_OUT, r#""tls":{"insecure_skip_verify":true}"#),
            "tls.insecure_skip_verify: found true, expected false: a site of the mesh is verified".to_owned(),
        ),
        (
            SERVER,
            with(FEED_IN, r#""tls":{"mtls":{"allowed_client_cns":[]}}"#),
            format!("tls.mtls.allowed_client_cns: found an array, {OF_MESH}"),
        ),
        (
            SERVER,
            with(FEED_IN, r#""tls":{"mtls":{"allowed_clients":[]}}"#),
            format!("tls.mtls.allowed_clients: found an array, {OF_MESH}"),
        ),
        (
            SERVER,
            with(FEED_IN, r#""tls":{"mtls":{"require_client_cert":false}}"#),
            "tls.mtls.require_client_cert: found false, expected true: a site is known by its certificate".to_owned(),
        ),
        (
            SERVER,
            with(FEED_IN, r#""tls":{"mtls":{"enabled":false}}"#),
            "tls.mtls.enabled: found false, expected true: a site is known by its certificate".to_owned(),
        ),
        (
            SERVER,
            with(FEED_IN, r#""tls":{"enabled":false}"#),
            "tls.mtls.enabled: found false, expected true: a site is known by its certificate".to_owned(),
        ),
        (
            SERVER,
            FEED_IN.replace(r#","target":"127.0.0.1:2""#, ""),
            "target: found nothing, expected ADDRESS:PORT, HOST:PORT or unix:PATH".to_owned(),
        ),
    ] {
        let found = parse(&file(shared, &tunnel), |_| ()).expect_err(&tunnel);
        assert_eq!(found, format!("gateway.tunnels[0].{error}"), "{tunnel}");
    }
    for (mesh, error) in [
        (r#"{"site":"a"}"#, "gateway.mesh.file: found nothing, expected the mesh file"),
        (r#"{"file":"m"}"#, "gateway.mesh.site: found nothing, expected the name of this gateway's site in the mesh"),
        (r#"{"file":"m","site":""}"#, r#"gateway.mesh.site: found "", expected the name of a site"#),
        ("null", "gateway.mesh: found null, expected an object"),
        (
            r#"{"file":"m","site":"a","storage_path":"s"}"#,
            "gateway.mesh.ca_bundle: found nothing, expected the roots' file: with storage_path the mesh is signed",
        ),
        (
            r#"{"file":"m","site":"a","ca_bundle":"r"}"#,
            "gateway.mesh.storage_path: found nothing, expected a folder: with ca_bundle the mesh is signed",
        ),
        (r#"{"file":"m","site":"a","storage_path":"","ca_bundle":"r"}"#, r#"gateway.mesh.storage_path: found """#),
        (
            r#"{"file":"m","site":"a","control":true}"#,
            "gateway.mesh.control: found true, expected storage_path and ca_bundle too",
        ),
        (r#"{"file":"m","site":"a","storage_path":"s","ca_bundle":null}"#, "gateway.mesh.ca_bundle: found null"),
    ] {
        let found = parse(&format!(r#"{{"gateway":{{"mesh":{mesh}}}}}"#), |_| ()).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
    let without = file(SERVER, FEED_IN).replace(r#""mesh":{"file":"mesh.json","site":"a"},"#, "");
    let found = parse(&without, |_| ()).unwrap_err();
    assert!(found.contains("client_ca_files"), "{found}");
}

#[test]
fn a_signed_mesh_has_roots_and_a_folder() {
    let signed = r#""mesh":{"file":"mesh.signed.json","site":"a","storage_path":"s","ca_bundle":"r"}"#;
    let text = file(SERVER, FEED_IN).replace(r#""mesh":{"file":"mesh.json","site":"a"}"#, signed);
    parse(&text, |config| {
        let mesh = config.gateway.mesh.as_ref().unwrap();
        assert_eq!(mesh.signed, Some(SignedFile { storage_path: "s", ca_bundle: "r", control: true }));
        let mut names = Vec::new();
        config.clone().for_each_path(&mut |_, name| names.push(*name));
        assert!(["mesh.signed.json", "s", "r"].iter().all(|name| names.contains(name)), "{names:?}");
    })
    .unwrap();
}
