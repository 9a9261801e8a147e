//! Tests the stores that several gateways share: what is taken, and half-written forms.

mod config_file;

use config_file::parse;
use edgetrust_core::config::{Config, CredentialSource, NatsStore, Server, TunnelKind};

/// Makes a file whose server orders certificates, with this `storage`.
fn acme(storage: &str) -> String {
    format!(
        r#"{{"security":{{"tls":{{"server":{{"enabled":true,"mode":"acme","acme":{{"enabled":true,
        "directory_url":"https://ca.example/d","domains":["a.example"],"storage_path":"s","storage":{storage}}}}}}}}}}}"#
    )
}

/// Makes a file with a signed mesh, with this `storage`.
fn mesh(storage: &str) -> String {
    format!(
        r#"{{"gateway":{{"mesh":{{"file":"m","site":"a","storage_path":"s","ca_bundle":"r","storage":{storage}}}}}}}"#
    )
}

/// Makes a `storage` with one server and these keys beside it.
fn nats(more: &str) -> String {
    format!(r#"{{"nats":{{"servers":["tls://nats.example:4222"]{more}}}}}"#)
}

fn store<'c, 'a>(config: &'c Config<'a>) -> Option<&'c NatsStore<'a>> {
    let Server::Tls(tls) = &config.server else { panic!("{:?}", config.server) };
    let CredentialSource::Acme(acme) = &tls.credential else { panic!("{:?}", tls.credential) };
    acme.storage.as_ref()
}

const KEYS: &str = r#","sealing_key_files":["new.key","old.key"]"#;

#[test]
fn a_store_has_defaults() {
    parse(&acme(&nats(KEYS)), |config| {
        let store = store(config).unwrap();
        assert_eq!((store.bucket, store.replicas), ("edgetrust", 1));
        assert_eq!(store.servers, ["tls://nats.example:4222"]);
        assert_eq!(store.sealing_key_files, ["new.key", "old.key"]);
        assert_eq!((store.cert_file, store.key_file, store.credentials_file), (None, None, None));
        assert!(store.ca_files.is_empty());
    })
    .unwrap();
    parse(&mesh(&nats("")), |config| {
        let store = config.gateway.mesh.as_ref().unwrap().storage.as_ref().unwrap();
        assert_eq!((store.bucket, store.sealing_key_files.len()), ("edgetrust", 0));
    })
    .unwrap();
}

#[test]
fn every_key_is_kept() {
    let all = r#"{"nats":{"servers":["tls://n1.example:4222","nats://127.0.0.1:4222","nats://[::1]:4222",
        "nats://localhost:4223","tls://[2001:db8::1]:4222"],"bucket":"Site_1-a","cert_file":"c",
        "key_file":"pkcs11:token=t;object=o","ca_files":["ca1","ca2"],"credentials_file":"u.creds",
        "sealing_key_files":["k"],"replicas":3}}"#;
    parse(&acme(all), |config| {
        let store = store(config).unwrap();
        assert_eq!(store.servers.len(), 5);
        assert_eq!((store.bucket, store.replicas), ("Site_1-a", 3));
        assert_eq!((store.cert_file, store.key_file), (Some("c"), Some("pkcs11:token=t;object=o")));
        assert_eq!((&store.ca_files[..], store.credentials_file), (&["ca1", "ca2"][..], Some("u.creds")));
    })
    .unwrap();
}

#[test]
fn half_written_stores_are_refused_by_name() {
    const NATS: &str = "expected an object with servers: the bucket that is shared";
    const SERVER: &str = "expected tls://HOST:PORT, as tls://nats.example:4222";
    const LOCAL: &str = "expected tls://, or nats:// to a loopback address: user and data would travel in the clear";
    let servers = |list: &str| format!(r#"{{"nats":{{"servers":{list}{KEYS}}}}}"#);
    for (storage, error) in [
        ("{}".to_owned(), format!("nats: found nothing, {NATS}")),
        ("null".to_owned(), ": found null, expected an object".to_owned()),
        (r#"{"nats":null}"#.to_owned(), "nats: found null, expected an object".to_owned()),
        (r#"{"redis":{}}"#.to_owned(), r#"redis: found "redis", expected a known key"#.to_owned()),
        (
            r#"{"nats":{}}"#.to_owned(),
            "nats.servers: found nothing, expected a list with a server at least, as tls://nats.example:4222"
                .to_owned(),
        ),
        (
            servers("[]"),
            "nats.servers: found an array, expected a list with a server at least, as tls://nats.example:4222"
                .to_owned(),
        ),
        (servers("null"), "nats.servers: found nothing".to_owned()),
        (servers(r#"[""]"#), r#"nats.servers[0]: found "", expected tls://HOST:PORT"#.to_owned()),
        (servers(r#"["nats.example:4222"]"#), format!(r#"nats.servers: found "nats.example:4222", {SERVER}"#)),
        (servers(r#"["tls://nats.example"]"#), format!(r#"nats.servers: found "tls://nats.example", {SERVER}"#)),
        (servers(r#"["tls://nats.example:0"]"#), format!(r#"nats.servers: found "tls://nats.example:0", {SERVER}"#)),
        (servers(r#"["tls://10.0.0.1:0"]"#), format!(r#"nats.servers: found "tls://10.0.0.1:0", {SERVER}"#)),
        (servers(r#"["tls://n.example:4222/"]"#), format!(r#"nats.servers: found "tls://n.example:4222/", {SERVER}"#)),
        (servers(r#"["tls://unix:n.sock"]"#), format!(r#"nats.servers: found "tls://unix:n.sock", {SERVER}"#)),
        (servers(r#"["wss://n.example:443"]"#), format!(r#"nats.servers: found "wss://n.example:443", {SERVER}"#)),
        (servers(r#"["nats://n.example:4222"]"#), format!(r#"nats.servers: found "nats://n.example:4222", {LOCAL}"#)),
        (servers(r#"["nats://10.0.0.1:4222"]"#), format!(r#"nats.servers: found "nats://10.0.0.1:4222", {LOCAL}"#)),
        (
            servers(r#"["tls://n.example:1","tls://n.example.:1"]"#),
            r#"nats.servers: found "tls://n.example.:1", expected each server once"#.to_owned(),
        ),
        (
            servers(r#"["tls://user:secret@n.example:1"]"#),
            "nats.servers: found a URL with a user, expected URLs without: a user is in credentials_file".to_owned(),
        ),
        (
            servers(&format!("[{}]", [r#""tls://n.example:1""#; 9].join(","))),
            r#"nats.servers[8]: found "tls://n.example:1", expected at most 8 servers"#.to_owned(),
        ),
        (nats(&format!(r#","bucket":""{KEYS}"#)), r#"nats.bucket: found "", expected 1 to 64 letters"#.to_owned()),
        (
            nats(&format!(r#","bucket":"a.b"{KEYS}"#)),
            r#"nats.bucket: found "a.b", expected 1 to 64 letters, digits, - and _"#.to_owned(),
        ),
        (nats(&format!(r#","bucket":"{}"{KEYS}"#, "b".repeat(65))), "nats.bucket: found ".to_owned()),
        (
            nats(&format!(r#","cert_file":"c"{KEYS}"#)),
            "nats.key_file: found nothing, expected a file name, since there is a cert_file".to_owned(),
        ),
        (
            nats(&format!(r#","key_file":"k"{KEYS}"#)),
            "nats.cert_file: found nothing, expected a file name, since there is a key_file".to_owned(),
        ),
        (
            nats(&format!(r#","ca_files":[]{KEYS}"#)),
            "nats.ca_files: found an array, expected a file at least; without ca_files the system's CAs are trusted"
                .to_owned(),
        ),
        (
            nats(&format!(r#","ca_files":["1","2","3","4","5"]{KEYS}"#)),
            r#"nats.ca_files[4]: found "5", expected at most 4 files"#.to_owned(),
        ),
        (nats(&format!(r#","credentials_file":""{KEYS}"#)), r#"nats.credentials_file: found """#.to_owned()),
        (nats(&format!(r#","replicas":2{KEYS}"#)), "nats.replicas: found 2, expected 1, 3 or 5".to_owned()),
        (
            nats(""),
            "nats.sealing_key_files: found nothing, expected a file at least: private keys are stored, and sealed"
                .to_owned(),
        ),
        (
            nats(r#","sealing_key_files":[]"#),
            "nats.sealing_key_files: found an array, expected a file at least: private keys are stored, and sealed"
                .to_owned(),
        ),
        (nats(r#","sealing_key_files":null"#), "nats.sealing_key_files: found nothing".to_owned()),
        (
            nats(r#","sealing_key_files":["a","b","a"]"#),
            r#"nats.sealing_key_files: found "a", expected each file once"#.to_owned(),
        ),
        (
            nats(r#","sealing_key_files":["secretsecretsecretsecretsecretsecretsecret0="]"#),
            "nats.sealing_key_files: found a key, expected file names".to_owned(),
        ),
        (
            nats(&format!(r#","credentials_file":"-----BEGIN NATS USER JWT-----secret"{KEYS}"#)),
            "nats.credentials_file: found credentials, expected a file name".to_owned(),
        ),
    ] {
        let found = parse(&acme(&storage), |_| ()).expect_err(&storage);
        let place = if error.starts_with(':') { "storage" } else { "storage." };
        assert!(found.starts_with(&format!("security.tls.server.acme.{place}{error}")), "{storage}: {found}");
        assert!(!found.contains("secret"), "{found}");
    }
}

#[test]
fn a_store_of_the_mesh_seals_nothing_and_needs_signatures() {
    let found = parse(&mesh(&nats(KEYS)), |_| ()).unwrap_err();
    let expected = "gateway.mesh.storage.nats.sealing_key_files: found an array, expected none: the mesh file is signed and public";
    assert_eq!(found, expected);
    let found = parse(&mesh("{}"), |_| ()).unwrap_err();
    assert!(found.starts_with("gateway.mesh.storage.nats: found nothing"), "{found}");
    let unsigned = mesh(&nats("")).replace(r#","storage_path":"s","ca_bundle":"r""#, "");
    let found = parse(&unsigned, |_| ()).unwrap_err();
    assert_eq!(
        found,
        "gateway.mesh.storage: found an object, expected storage_path and ca_bundle too: what a store brings must be signed"
    );
}

/// The deepest place that a configuration has.
#[test]
fn the_acme_of_a_client_tunnel_may_have_a_store() {
    let tunnel = |servers: &str| {
        format!(
            r#"{{"gateway":{{"tunnels":[{{"name":"t","mode":"client","listen":"127.0.0.1:1","target":"b.example:1",
            "tls":{{"ca_files":["ca"],"mtls":{{"enabled":true,"acme":{{"enabled":true,"directory_url":"https://ca.example/d",
            "domains":["a.example"],"storage_path":"s","http_listen":"127.0.0.1:80",
            "storage":{{"nats":{{"servers":{servers}{KEYS}}}}}}}}}}}}}]}}}}"#
        )
    };
    parse(&tunnel(r#"["tls://n.example:1"]"#), |config| {
        let TunnelKind::Client { tls, .. } = &config.gateway.tunnels[0].kind else { panic!() };
        let Some(CredentialSource::Acme(acme)) = &tls.credential else { panic!() };
        assert_eq!(acme.storage.as_ref().unwrap().servers, ["tls://n.example:1"]);
    })
    .unwrap();
    let found = parse(&tunnel("[7]"), |_| ()).unwrap_err();
    assert_eq!(found, "gateway.tunnels[0].tls.mtls.acme.storage.nats.servers[0]: found 7, expected text in quotes");
}

#[test]
fn an_account_for_devices_is_each_gateways_own() {
    let json = format!(
        r#"{{"gateway":{{"est":{{"listen":"127.0.0.1:1","tls":{{"cert_file":"c","key_file":"k",
        "mtls":{{"enabled":true,"client_ca_files":["ca"]}}}},"acme":{{"directory_url":"https://ca.example/d",
        "storage_path":"s","http_listen":"127.0.0.1:80","storage":{}}}}}}}}}"#,
        nats(KEYS)
    );
    let found = parse(&json, |_| ()).unwrap_err();
    let expected = "gateway.est.acme.storage: found an object, expected nothing: each gateway has an account of its own for its devices";
    assert_eq!(found, expected);
}

#[test]
fn a_key_in_a_token_is_not_shared() {
    let json = acme(&nats(KEYS)).replace("\"storage_path\"", "\"key\":\"pkcs11:token=t;object=o\",\"storage_path\"");
    let found = parse(&json, |_| ()).unwrap_err();
    let expected =
        "security.tls.server.acme.key: found one, expected none beside storage: a key in a token is not shared";
    assert_eq!(found, expected);
}

#[test]
fn a_file_has_room_for_eight_stores() {
    let file = |count: usize| {
        let tunnels: Vec<String> = (1..=count)
            .map(|index| {
                format!(
                    r#"{{"name":"t{index}","mode":"server","listen":"127.0.0.1:{index}","target":"127.0.0.1:99",
                    "tls":{{"mode":"acme","acme":{{"enabled":true,"directory_url":"https://ca.example/d",
                    "domains":["a.example"],"storage_path":"s","storage":{}}}}}}}"#,
                    nats(&format!(r#","bucket":"b{index}"{KEYS}"#))
                )
            })
            .collect();
        format!(r#"{{"gateway":{{"tunnels":[{}]}}}}"#, tunnels.join(","))
    };
    parse(&file(8), |config| {
        for (index, tunnel) in (1..).zip(&config.gateway.tunnels) {
            let TunnelKind::Server { tls: Server::Tls(tls), .. } = &tunnel.kind else { panic!() };
            let CredentialSource::Acme(acme) = &tls.credential else { panic!() };
            assert_eq!(acme.storage.as_ref().unwrap().bucket, format!("b{index}"));
        }
    })
    .unwrap();
    let found = parse(&file(9), |_| ()).unwrap_err();
    let expected = "gateway.tunnels[8].tls.acme.storage: found an object, expected at most 8 stores in one file";
    assert_eq!(found, expected);
}
