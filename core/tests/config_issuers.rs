//! Tests the keys that bind names to issuers, and those that deny keys: their half-written forms above all.

mod config_file;

use config_file::{parse, refused};
use std::time::Duration;

use edgetrust_core::config::{AllowedClients, ClientTrust, Device, Server, TunnelKind};
use edgetrust_core::identity::RuleName;
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::x509::KeyHash;

const HASH: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

/// Makes a file whose server has this in its `mtls`.
fn mtls(body: &str) -> String {
    format!(
        r#"{{"security":{{"tls":{{"server":{{"enabled":true,"cert_file":"c","key_file":"k",
        "mtls":{{"enabled":true,"client_ca_files":["ca"],{body}}}}}}}}}}}"#
    )
}

fn clients<T>(json: &str, look: impl FnOnce(&ClientTrust<'_>, &AllowedClients<'_>) -> T) -> T {
    let found = parse(json, |config| match &config.server {
        Server::MutualTls(_, clients) => look(clients, &config.gateway.allowed_clients),
        other => panic!("{other:?}"),
    });
    found.unwrap()
}

fn client(body: &str) -> String {
    format!(r#"{{"security":{{"tls":{{"client":{{"ca_files":["ca"],{body}}}}}}}}}"#)
}

fn denied(list: &str) -> String {
    format!(r#"{{"security":{{"tls":{{"denied_keys":{list}}}}}}}"#)
}

#[test]
fn each_allowed_client_has_a_name_and_may_have_issuers() {
    let list = format!(
        r#""allowed_clients":[{{"cn":"location-b","issuers":["b.pem","{HASH}"]}},{{"dns":"C.example."}},
        {{"issuers":["d.pem"],"uri":"spiffe://d/x"}},{{"ip":"2001:DB8::1"}}]"#
    );
    clients(&mtls(&list), |clients, all| {
        let rules: Vec<_> =
            all.of(clients.allowed_clients).map(|(name, files)| (name, files.map(<[_]>::to_vec))).collect();
        assert_eq!(
            rules,
            [
                (RuleName::CommonName("location-b"), Some(vec!["b.pem", HASH])),
                (RuleName::Dns("C.example"), None),
                (RuleName::Uri("spiffe://d/x"), Some(vec!["d.pem"])),
                (RuleName::Ip("2001:db8::1".parse().unwrap()), None),
            ]
        );
        assert!(!clients.any_verified);
    });
    for (list, any) in [(r#""allowed_clients":[]"#, false), (r#""require_client_cert":true"#, true)] {
        clients(&mtls(list), |clients, all| {
            assert_eq!((clients.any_verified, all.of(clients.allowed_clients).count()), (any, 0), "{list}");
        });
    }
}

#[test]
fn half_written_allowed_clients_are_refused() {
    const AT: &str = "security.tls.server.mtls.allowed_clients";
    for (list, error) in [
        ("[{}]", "[0].cn: found nothing, expected a name: one of cn, dns, uri and ip"),
        (r#"[{"issuers":["b.pem"]}]"#, "[0].cn: found nothing, expected a name: one of cn, dns, uri and ip"),
        (
            r#"[{"cn":"b","issuers":[]}]"#,
            "[0].issuers: found an array, expected at least one CA; without issuers the name may come from any",
        ),
        (
            r#"[{"cn":"b","issuers":null}]"#,
            "[0].issuers: found null, expected a list of texts; without this key any CA may issue",
        ),
        (
            r#"[{"cn":"b","issuers":"b.pem"}]"#,
            r#"[0].issuers: found "b.pem", expected a list of texts; without this key any CA may issue"#,
        ),
        (
            r#"[{"cn":"b","issuers":[""]}]"#,
            r#"[0].issuers[0]: found "", expected the file of a CA, PEM, or sha256: and the 64 hexadecimal digits of its key's hash"#,
        ),
        (
            r#"[{"cn":"b","issuers":["sha256:12"]}]"#,
            r#"[0].issuers[0]: found "sha256:12", expected the file of a CA, PEM, or sha256: and the 64 hexadecimal digits of its key's hash"#,
        ),
        (r#"[{"cn":"b","dns":"b.example"}]"#, r#"[0].dns: found "b.example", expected one of cn, dns, uri and ip"#),
        (r#"[{"cn":"b","cn":"c"}]"#, r#"[0].cn: found "cn", expected each key once"#),
        (r#"[{"cn":""}]"#, r#"[0].cn: found "", expected a name"#),
        (r#"[{"dns":"not a name"}]"#, r#"[0].dns: found "not a name", expected a DNS name"#),
        (r#"[{"ip":"b"}]"#, r#"[0].ip: found "b", expected an IP address, as certificates have it"#),
        (
            r#"[{"cn":"b","issuer":["b.pem"]}]"#,
            r#"[0].issuer: found "issuer", expected a known key; did you mean "issuers"?"#,
        ),
        (r#"["location-b"]"#, r#"[0]: found "location-b", expected an object with cn, dns, uri or ip"#),
        ("null", ": found null, expected a list: [] lets nobody in, and no list at all every verified client"),
        (
            r#"{"cn":"b"}"#,
            ": found an object, expected a list: [] lets nobody in, and no list at all every verified client",
        ),
    ] {
        let json = mtls(&format!(r#""allowed_clients":{list}"#));
        assert_eq!(refused(&json), format!("{AT}{error}"), "{list}");
    }
    let rules = |count| vec![r#"{"cn":"b","issuers":["b.pem"]}"#; count].join(",");
    clients(&mtls(&format!(r#""allowed_clients":[{}]"#, rules(128))), |clients, all| {
        assert_eq!(all.of(clients.allowed_clients).count(), 128);
    });
    let error = refused(&mtls(&format!(r#""allowed_clients":[{}]"#, rules(129))));
    assert_eq!(error, format!("{AT}[128]: found an object, expected at most 128 allowed_clients in one file"));
    let issuers = vec![r#""b.pem""#; 129].join(",");
    let error = refused(&mtls(&format!(r#""allowed_clients":[{{"cn":"b","issuers":[{issuers}]}}]"#)));
    assert_eq!(
        error,
        format!(r#"{AT}[0].issuers[128]: found "b.pem", expected at most 128 issuers of allowed_clients in one file"#)
    );
}

#[test]
fn a_tunnels_own_list_replaces_the_shared_one() {
    let json = |own: &str| {
        format!(
            r#"{{"security":{{"tls":{{"server":{{"enabled":true,"cert_file":"c","key_file":"k","mtls":{{"enabled":true,
            "client_ca_files":["ca"],"allowed_client_cns":["location-b"]}}}}}}}},
            "gateway":{{"tunnels":[{{"name":"t","mode":"server","listen":"0.0.0.0:1","target":"127.0.0.1:2",
            "tls":{{"mtls":{{{own}}}}}}}]}}}}"#
        )
    };
    let rules = |own: &str| {
        let found = parse(&json(own), |config| {
            let TunnelKind::Server { tls: Server::MutualTls(_, clients), .. } = &config.gateway.tunnels[0].kind else {
                panic!()
            };
            (clients.allowed_cns.len(), config.gateway.allowed_clients.of(clients.allowed_clients).count())
        });
        found.unwrap()
    };
    assert_eq!(rules(r#""allowed_clients":[{"cn":"location-c"}]"#), (0, 1));
    assert_eq!(rules(r#""allowed_clients":[]"#), (0, 0));
    assert_eq!(rules(""), (1, 0));
    let error = refused(&json(r#""allowed_clients":[{"cn":"b","dns":"b"}]"#));
    assert!(error.starts_with("gateway.tunnels[0].tls.mtls.allowed_clients[0].dns: found"), "{error}");
}

#[test]
fn servers_may_be_bound_to_issuers() {
    let json = client(&format!(r#""server_issuers":["b.pem","{HASH}"]"#));
    parse(&json, |config| assert_eq!(config.client.server_issuers, ["b.pem", HASH])).unwrap();
    for (body, error) in [
        (
            r#""server_issuers":["b.pem"],"insecure_skip_verify":true"#,
            "server_issuers: found an array, expected nothing beside insecure_skip_verify: nobody is verified",
        ),
        (
            r#""server_issuers":null"#,
            "server_issuers: found null, expected a list of texts; without this key any CA may issue",
        ),
        (
            r#""server_issuers":[]"#,
            "server_issuers: found an array, expected at least one CA; without server_issuers any CA may issue",
        ),
        (
            r#""server_issuers":["b.pem"],"pinned_certificates":["p"]"#,
            "server_issuers: found an array, expected nothing beside pinned_certificates: a pin has no issuer",
        ),
        (
            r#""server_issuers":["sha256:zz"]"#,
            r#"server_issuers[0]: found "sha256:zz", expected the file of a CA, PEM, or sha256: and the 64 hexadecimal digits of its key's hash"#,
        ),
    ] {
        assert_eq!(refused(&client(body)), format!("security.tls.client.{error}"));
    }
    let tunnel = |mode: &str, tls: &str| {
        format!(
            r#"{{"security":{{"tls":{{"server":{{"enabled":true,"cert_file":"c","key_file":"k"}},
            "client":{{"ca_files":["ca"],"server_issuers":["shared.pem"]}}}}}},"gateway":{{"tunnels":[{{"name":"t",
            "mode":"{mode}","listen":"127.0.0.1:1","target":"127.0.0.1:2","tls":{{{tls}}}}}]}}}}"#
        )
    };
    let issuers = |tls: &str| {
        let found = parse(&tunnel("client", tls), |config| {
            let TunnelKind::Client { tls, .. } = &config.gateway.tunnels[0].kind else { panic!() };
            tls.server_issuers.iter().map(ToString::to_string).collect::<Vec<_>>()
        });
        found.unwrap()
    };
    assert_eq!(issuers(""), ["shared.pem"]);
    assert_eq!(issuers(r#""ca_files":["own"]"#), Vec::<String>::new(), "trust in servers is taken together");
    assert_eq!(issuers(r#""ca_files":["own"],"server_issuers":["own.pem"]"#), ["own.pem"]);
    assert_eq!(
        refused(&tunnel("server", r#""server_issuers":["b.pem"]"#)),
        "gateway.tunnels[0].tls.server_issuers: found an array, expected nothing: this key is for client tunnels"
    );
    assert_eq!(
        refused(&tunnel("client", r#""mtls":{"enabled":false,"allowed_clients":[]}"#)),
        "gateway.tunnels[0].tls.mtls.allowed_clients: found an array, expected nothing: this key is for server tunnels"
    );
}

#[test]
fn denied_keys_are_texts_or_objects() {
    let list = format!(r#"["{HASH}",{{"reason":"laptop stolen","key":"{HASH}","until":"2027-01-31T00:00:00Z"}}]"#);
    let key = KeyHash::parse(HASH).unwrap();
    parse(&denied(&list), |config| {
        let [first, second] = config.denied_keys.as_slice() else { panic!() };
        assert_eq!((first.key, first.reason, first.until), (key, None, None));
        let until = UnixTime::since_unix_epoch(Duration::from_secs(1_801_353_600));
        assert_eq!((second.key, second.reason, second.until), (key, Some("laptop stolen"), Some(until)));
    })
    .unwrap();
    for elsewhere in
        [format!(r#"{{"denied_keys":["{HASH}"]}}"#), format!(r#"{{"security":{{"denied_keys":["{HASH}"]}}}}"#)]
    {
        let error = refused(&elsewhere);
        assert!(error.ends_with("expected denied_keys in security.tls, where it has effect"), "{error}");
    }
    for list in ["[]", "null"] {
        parse(&denied(list), |config| assert!(config.denied_keys.is_empty())).unwrap();
    }
}

#[test]
fn half_written_denials_are_refused() {
    const KEY: &str = "expected sha256: and the 64 hexadecimal digits of the key's hash, as edgetrust inspect shows it";
    for (list, error) in [
        ("[{}]".to_owned(), "[0].key: found nothing, expected sha256: and the hash of the public key".to_owned()),
        (r#"["stolen.pem"]"#.to_owned(), format!(r#"[0]: found "stolen.pem", {KEY}"#)),
        (r#"[{"key":"sha256:"}]"#.to_owned(), format!(r#"[0].key: found "sha256:", {KEY}"#)),
        ("[1]".to_owned(), "[0]: found 1, expected a text or an object".to_owned()),
        (
            format!(r#"[{{"key":"{HASH}","until":"tomorrow"}}]"#),
            r#"[0].until: found "tomorrow", expected a time in UTC, as "2027-01-31T00:00:00Z""#.to_owned(),
        ),
        (format!(r#"[{{"key":"{HASH}","reason":""}}]"#), r#"[0].reason: found "", expected a reason"#.to_owned()),
        (r#""x""#.to_owned(), r#": found "x", expected a list of objects"#.to_owned()),
    ] {
        assert_eq!(refused(&denied(&list)), format!("security.tls.denied_keys{error}"));
    }
    let many = |count| format!("[{}]", vec![format!(r#""{HASH}""#); count].join(","));
    parse(&denied(&many(64)), |config| assert_eq!(config.denied_keys.len(), 64)).unwrap();
    let error = refused(&denied(&many(65)));
    assert_eq!(error, format!(r#"security.tls.denied_keys[64]: found "{HASH}", expected at most 64 denied keys"#));
}

#[test]
fn a_device_has_issuers_and_denials_of_its_own() {
    let json = format!(
        r#"{{"security":{{"tls":{{"denied_keys":["{HASH}"],"client":{{"ca_files":["ca"],"server_issuers":["b.pem"],
        "mtls":{{"enabled":true,"cert_file":"c","key_file":"k"}}}}}}}},
        "device":{{"gateway":"g.example:1","report":"/r"}}}}"#
    );
    let mut bytes = json.into_bytes();
    let device = Device::parse(&mut bytes).unwrap();
    assert_eq!(device.server_issuers, ["b.pem"]);
    assert_eq!(device.denied_keys[0].key, KeyHash::parse(HASH).unwrap());
}

#[test]
fn files_of_issuers_are_handed_out_and_hashes_are_not() {
    let json = format!(
        r#"{{"security":{{"tls":{{"client":{{"ca_files":["ca"],"server_issuers":["{HASH}","server.pem"]}},
        "server":{{"enabled":true,"cert_file":"c","key_file":"k","mtls":{{"enabled":true,"client_ca_files":["ca"],
        "allowed_clients":[{{"cn":"b","issuers":["b.pem","{HASH}"]}},{{"cn":"c","issuers":["c.pem"]}}]}}}}}}}}}}"#
    );
    let mut seen = Vec::new();
    parse(&json, |config| config.for_each_path(&mut |_, path| seen.push((*path).to_owned()))).unwrap();
    assert_eq!(seen, ["c", "k", "ca", "ca", "server.pem", "b.pem", "c.pem"]);
}
