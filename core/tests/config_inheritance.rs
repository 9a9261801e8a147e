//! Tests a tunnel's inheritance from `security.tls`, incomplete sections, and the reading of names and paths.

mod config_file;

use config_file::{parse, refused};
use edgetrust_core::config::{
    ClientTls, Config, CredentialSource, Files, MinVersion, Origin, PathKind, Server, TunnelKind, reference,
};

/// Returns a file with these two sections, and one tunnel with this `tls`, or without one if it is empty.
fn file(mode: &str, shared: &str, tls: &str) -> String {
    let tls = if tls.is_empty() { String::new() } else { format!(r#","tls":{tls}"#) };
    format!(
        r#"{{"security":{{"tls":{{"{mode}":{shared}}}}},"gateway":{{"tunnels":[
           {{"name":"t","mode":"{mode}","listen":"127.0.0.1:1","target":"127.0.0.1:2"{tls}}}]}}}}"#
    )
}

const MUTUAL: &str = r#"{"enabled":true,"cert_file":"c","key_file":"k","min_version":"1.3",
  "mtls":{"enabled":true,"client_ca_files":["shared-ca"],"allowed_client_cns":["location-b"]}}"#;

/// Looks at a server tunnel under shared mutual TLS.
fn server<T>(tls: &str, look: impl FnOnce(&Server<'_>) -> T) -> T {
    let look = |config: &mut Config<'_>| match &config.gateway.tunnels[0].kind {
        TunnelKind::Server { tls, .. } => look(tls),
        TunnelKind::Client { .. } => unreachable!(),
    };
    parse(&file("server", MUTUAL, tls), look).unwrap()
}

fn client<T>(shared: &str, tls: &str, look: impl FnOnce(&ClientTls<'_>) -> T) -> T {
    let look = |config: &mut Config<'_>| match &config.gateway.tunnels[0].kind {
        TunnelKind::Client { tls, .. } => look(tls),
        TunnelKind::Server { .. } => unreachable!(),
    };
    parse(&file("client", shared, tls), look).unwrap()
}

#[test]
fn shared_mutual_tls_stays_under_whatever_a_tunnel_names_beside_it() {
    for (tls, cas, cns, dns) in [
        ("{}", &["shared-ca"][..], &["location-b"][..], &[][..]),
        (r#"{"mtls":{}}"#, &["shared-ca"], &["location-b"], &[]),
        (r#"{"mtls":{"enabled":true}}"#, &["shared-ca"], &["location-b"], &[]),
        (r#"{"min_version":"1.2"}"#, &["shared-ca"], &["location-b"], &[]),
        (r#"{"cert_file":"own","key_file":"own"}"#, &["shared-ca"], &["location-b"], &[]),
        (r#"{"mtls":{"allowed_client_cns":["location-c"]}}"#, &["shared-ca"], &["location-c"], &[]),
        (r#"{"mtls":{"allowed_client_dns":["c.example"]}}"#, &["shared-ca"], &[], &["c.example"]),
        (r#"{"mtls":{"allowed_client_uris":[]}}"#, &["shared-ca"], &[], &[]),
        (r#"{"mtls":{"client_ca_files":["own-ca"]}}"#, &["own-ca"], &["location-b"], &[]),
        (r#"{"mtls":{"require_client_cert":true}}"#, &["shared-ca"], &["location-b"], &[]),
    ] {
        server(tls, |server| {
            let Server::MutualTls(_, clients) = server else { panic!("{tls}: {server:?}") };
            assert!(clients.required && !clients.any_verified, "{tls}");
            assert_eq!(
                (&clients.ca_files[..], &clients.allowed_cns[..], &clients.allowed_dns[..]),
                (cas, cns, dns),
                "{tls}"
            );
        });
    }
    server(r#"{"mtls":{"enabled":false}}"#, |server| assert!(matches!(server, Server::Tls(_)), "written"));
    server(r#"{"enabled":false}"#, |server| assert_eq!(*server, Server::Plain, "written"));
}

#[test]
fn a_tunnels_credential_replaces_the_shared_one_as_a_whole() {
    server(r#"{"cert_file":"c2","key_file":"k2"}"#, |server| {
        let Server::MutualTls(tls, _) = server else { panic!("{server:?}") };
        assert_eq!(tls.credential, CredentialSource::Files(Files { cert_file: "c2", key_file: "k2" }));
        assert_eq!(tls.min_version, MinVersion::Tls13);
    });
    for (tls, expected) in [
        (r#"{"cert_file":"c2"}"#, "tls.key_file: found nothing"),
        (r#"{"mode":"manual"}"#, "tls.cert_file: found nothing"),
        (r#"{"mode":"acme"}"#, "tls.acme.enabled: found false"),
        (r#"{"acme":{"enabled":false}}"#, "tls.cert_file: found nothing"),
    ] {
        let said = refused(&file("server", MUTUAL, tls));
        assert!(said.starts_with(&format!("gateway.tunnels[0].{expected}")), "{tls}: {said}");
    }
}

const PINNED: &str = r#"{"ca_files":["shared-ca"],"use_system_roots":false,
  "mtls":{"enabled":true,"cert_file":"c","key_file":"k"}}"#;

#[test]
fn a_client_tunnel_takes_trust_and_credential_each_as_a_whole() {
    let shown = |tls: &str| {
        client(PINNED, tls, |client| {
            let files = match &client.credential {
                Some(CredentialSource::Files(files)) => Some((files.cert_file.to_owned(), files.key_file.to_owned())),
                _ => None,
            };
            (client.ca_files.join(","), client.system_roots, client.insecure_skip_verify, files)
        })
    };
    let (ca, own) = ("shared-ca".to_owned(), "own".to_owned());
    let files = Some(("c".to_owned(), "k".to_owned()));
    assert_eq!(shown("{}"), (ca.clone(), false, false, files.clone()));
    assert_eq!(shown(r#"{"ca_files":["own"]}"#), (own.clone(), false, false, files.clone()));
    assert_eq!(shown(r#"{"ca_files":["own"],"use_system_roots":true}"#), (own, true, false, files.clone()));
    assert_eq!(shown(r#"{"use_system_roots":true}"#), (String::new(), true, false, files.clone()));
    assert_eq!(shown(r#"{"insecure_skip_verify":false}"#), (ca.clone(), false, false, files.clone()));
    assert_eq!(shown(r#"{"min_version":"1.3"}"#), (ca.clone(), false, false, files));
    assert_eq!(shown(r#"{"mtls":{"enabled":false}}"#), (ca.clone(), false, false, None));
    let other = Some(("c2".to_owned(), "k2".to_owned()));
    assert_eq!(shown(r#"{"mtls":{"cert_file":"c2","key_file":"k2"}}"#), (ca, false, false, other));
    for (tls, expected) in [
        (r#"{"use_system_roots":false}"#, "tls.ca_files: found nothing"),
        (r#"{"ca_files":[]}"#, "tls.ca_files: found an array"),
        (r#"{"mtls":{"cert_file":"c2"}}"#, "tls.mtls.key_file: found nothing"),
    ] {
        let said = refused(&file("client", PINNED, tls));
        assert!(said.starts_with(&format!("gateway.tunnels[0].{expected}")), "{tls}: {said}");
    }
}

#[test]
fn cas_and_pins_of_clients_are_taken_together() {
    let both = MUTUAL.replace("[\"shared-ca\"]", "[\"shared-ca\"],\"pinned_certificates\":[\"shared-pin\"]");
    for (tls, cas, pins) in [
        ("{}", &["shared-ca"][..], &["shared-pin"][..]),
        (r#"{"mtls":{"allowed_client_cns":["location-c"]}}"#, &["shared-ca"], &["shared-pin"]),
        (r#"{"mtls":{"pinned_certificates":["own"]}}"#, &[], &["own"]),
        (r#"{"mtls":{"client_ca_files":["own"]}}"#, &["own"], &[]),
        (r#"{"mtls":{"client_ca_files":["own"],"pinned_certificates":["own"]}}"#, &["own"], &["own"]),
        (r#"{"mtls":{"client_ca_files":[],"pinned_certificates":["own"]}}"#, &[], &["own"]),
        (r#"{"mtls":{"pinned_certificates":null}}"#, &["shared-ca"], &["shared-pin"]),
    ] {
        let look = |config: &mut Config<'_>| match &config.gateway.tunnels[0].kind {
            TunnelKind::Server { tls: Server::MutualTls(_, clients), .. } => {
                assert_eq!((&clients.ca_files[..], &clients.pinned_certificates[..]), (cas, pins), "{tls}");
            }
            other => panic!("{tls}: {other:?}"),
        };
        parse(&file("server", &both, tls), look).unwrap();
    }
    for (tls, expected) in [
        (r#"{"mtls":{"pinned_certificates":[]}}"#, "tls.mtls.pinned_certificates: found an array, expected a list of"),
        (r#"{"mtls":{"client_ca_files":[]}}"#, "tls.mtls.client_ca_files: found an array, expected a list of files"),
        (r#"{"mtls":{"pinned_certificates":[""]}}"#, "tls.mtls.pinned_certificates"),
        (r#"{"pinned_certificates":["own"]}"#, "tls.pinned_certificates: found an array, expected nothing"),
    ] {
        let said = refused(&file("server", &both, tls));
        assert!(said.contains(&format!("gateway.tunnels[0].{expected}")), "{tls}: {said}");
    }
}

#[test]
fn cas_and_pins_of_servers_are_taken_together_with_the_systems_cas() {
    for shared in [PINNED, r#"{"ca_files":["shared-ca"]}"#, "{}", r#"{"insecure_skip_verify":true}"#] {
        for (tls, cas, pins, system) in [
            (r#"{"pinned_certificates":["own"]}"#, &[][..], &["own"][..], false),
            (r#"{"pinned_certificates":["own"],"use_system_roots":true}"#, &[], &["own"], true),
            (r#"{"ca_files":["own-ca"],"pinned_certificates":["own"]}"#, &["own-ca"], &["own"], false),
        ] {
            client(shared, tls, |client| {
                assert_eq!(
                    (&client.ca_files[..], &client.pinned_certificates[..], client.system_roots),
                    (cas, pins, system),
                    "{shared} {tls}"
                );
                assert!(!client.insecure_skip_verify, "{shared} {tls}");
            });
        }
    }
    let pinned = r#"{"pinned_certificates":["shared"],"use_system_roots":false}"#;
    for (tls, pins, system) in [
        ("{}", &["shared"][..], false),
        (r#"{"ca_files":["own-ca"]}"#, &[], false),
        (r#"{"use_system_roots":true}"#, &[], true),
        (r#"{"pinned_certificates":null}"#, &["shared"], false),
    ] {
        client(pinned, tls, |client| {
            assert_eq!((&client.pinned_certificates[..], client.system_roots), (pins, system), "{tls}");
        });
    }
    for (tls, expected) in [
        (r#"{"pinned_certificates":[]}"#, "tls.pinned_certificates: found an array, expected a list of files"),
        (r#"{"ca_files":[],"pinned_certificates":[]}"#, "tls.ca_files: found an array, expected a list of files"),
        (
            r#"{"mtls":{"pinned_certificates":["own"]}}"#,
            "tls.mtls.pinned_certificates: found an array, expected nothing",
        ),
    ] {
        let said = refused(&file("client", pinned, tls));
        assert!(said.starts_with(&format!("gateway.tunnels[0].{expected}")), "{tls}: {said}");
    }
}

#[test]
fn a_shared_skip_of_verification_does_not_reach_a_tunnel_with_trust_of_its_own() {
    let insecure = r#"{"insecure_skip_verify":true}"#;
    for (tls, expected) in [
        ("", true),
        ("{}", true),
        (r#"{"min_version":"1.3"}"#, true),
        (r#"{"ca_files":["own"]}"#, false),
        (r#"{"use_system_roots":true}"#, false),
        (r#"{"insecure_skip_verify":false}"#, false),
        (r#"{"ca_files":["own"],"insecure_skip_verify":true}"#, true),
    ] {
        client(insecure, tls, |client| assert_eq!(client.insecure_skip_verify, expected, "{tls}"));
    }
}

#[test]
fn what_is_half_written_is_refused_by_name() {
    let expected = r#", expected "enabled": true, or false where it is meant to be off"#;
    for (json, place) in [
        (
            r#"{"security":{"tls":{"server":{"enabled":true,"cert_file":"c","key_file":"k","mtls":{"client_ca_files":["a"],"allowed_client_cns":["b"]}}}}}"#,
            "security.tls.server.mtls: found client_ca_files but no enabled",
        ),
        (
            r#"{"security":{"tls":{"server":{"enabled":false,"mtls":{"allowed_client_dns":[]}}}}}"#,
            "security.tls.server.mtls: found allowed_client_dns but no enabled",
        ),
        (
            r#"{"security":{"tls":{"server":{"enabled":true,"cert_file":"c","key_file":"k","acme":{"domains":["a.example"]}}}}}"#,
            "security.tls.server.acme: found domains but no enabled",
        ),
        (
            r#"{"security":{"tls":{"server":{"cert_file":"c","key_file":"k"}}}}"#,
            "security.tls.server: found cert_file but no enabled",
        ),
        (
            r#"{"security":{"tls":{"client":{"mtls":{"cert_file":"c","key_file":"k"}}}}}"#,
            "security.tls.client.mtls: found cert_file but no enabled",
        ),
        (
            r#"{"security":{"tls":{"client":{"acme":{"email":"a@b"}}}}}"#,
            "security.tls.client.acme: found email but no enabled",
        ),
        (
            r#"{"security":{"tls":{"client":{"mtls":{"enabled":false,"acme":{"eab":{}}}}}}}"#,
            "security.tls.client.mtls.acme: found eab but no enabled",
        ),
        (&file("server", r#"{"cert_file":"c"}"#, ""), "security.tls.server: found cert_file but no enabled"),
        (
            &file(
                "server",
                r#"{"enabled":true,"cert_file":"c","key_file":"k"}"#,
                r#"{"mtls":{"require_client_cert":true}}"#,
            ),
            "gateway.tunnels[0].tls.mtls: found require_client_cert but no enabled",
        ),
        (
            &file("server", MUTUAL, r#"{"enabled":false,"mtls":{"allowed_client_cns":["b"]}}"#),
            "gateway.tunnels[0].tls.mtls: found allowed_client_cns but no enabled",
        ),
        (
            &file("server", MUTUAL, r#"{"mode":"acme","acme":{"domains":["a.example"]}}"#),
            "gateway.tunnels[0].tls.acme: found domains but no enabled",
        ),
        (
            &file("client", "{}", r#"{"mtls":{"cert_file":"c","key_file":"k"}}"#),
            "gateway.tunnels[0].tls.mtls: found cert_file but no enabled",
        ),
    ] {
        assert_eq!(refused(json), format!("{place}{expected}"), "{json}");
    }
    let said = refused(&file("server", MUTUAL, r#"{"enabled":false,"mtls":{"enabled":true}}"#));
    assert_eq!(said, "gateway.tunnels[0].tls.mtls.enabled: found true, expected false, or tls.enabled true");
}

#[test]
fn what_says_that_it_is_off_may_have_other_keys() {
    let off = r#"{"enabled":false,"cert_file":"c","acme":{"enabled":false,"domains":["a.example"]},
      "mtls":{"enabled":false,"client_ca_files":["a"],"allowed_client_cns":[]}}"#;
    parse(&file("server", off, ""), |config| assert_eq!(config.server, Server::Plain)).unwrap();
    parse(&file("server", "{}", ""), |config| assert_eq!(config.server, Server::Plain)).unwrap();
    // A tunnel's `tls` means TLS by being there.
    let own = file("server", r#"{"cert_file":"c","key_file":"k"}"#, "{}");
    parse(&own, |config| {
        assert!(matches!(&config.gateway.tunnels[0].kind, TunnelKind::Server { tls: Server::Tls(_), .. }));
    })
    .unwrap();
}

#[test]
fn no_list_an_empty_list_and_null_are_three_things() {
    let with = |rules: &str| {
        file(
            "server",
            r#"{"enabled":true,"cert_file":"c","key_file":"k"}"#,
            &format!(r#"{{"mtls":{{"enabled":true,"client_ca_files":["a"]{rules}}}}}"#),
        )
    };
    let any = |json: &str| {
        parse(json, |config| match &config.gateway.tunnels[0].kind {
            TunnelKind::Server { tls: Server::MutualTls(_, clients), .. } => clients.any_verified,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(any(&with("")), Ok(true));
    for list in ["allowed_client_cns", "allowed_client_dns", "allowed_client_uris", "allowed_client_ips"] {
        assert_eq!(any(&with(&format!(r#","{list}":[]"#))), Ok(false), "{list}");
        let said = refused(&with(&format!(r#","{list}":null"#)));
        assert!(
            said.contains(&format!("tls.mtls.{list}: found null, expected a list of texts: [] lets nobody in")),
            "{said}"
        );
    }
}

#[test]
fn a_key_of_ours_in_another_case_is_not_left_alone() {
    for (json, expected) in [
        (r#"{"Security":{}}"#, r#"did you mean "security"?"#),
        (r#"{"security":{"TLS":{}}}"#, r#"did you mean "tls"?"#),
        (r#"{"GATEWAY":{}}"#, r#"did you mean "gateway"?"#),
        (r#"{"security":{"tls":{"server":{"Enabled":true}}}}"#, r#"did you mean "enabled"?"#),
    ] {
        assert!(refused(json).ends_with(expected), "{json}: {}", refused(json));
    }
    parse(r#"{"securities":{},"devices":{},"security":{"tlsx":{}}}"#, |_| ()).unwrap();
}

#[test]
fn the_dot_of_the_root_is_taken_off_wherever_a_name_is_written() {
    let file = r#"{"security":{"tls":{"server":{"enabled":true,"mode":"acme",
        "acme":{"enabled":true,"directory_url":"https://ca.example/d","storage_path":"s","domains":["a.example.","*.b.example."],
                "challenge_type":"dns-01","dns_hook":"h"},
        "mtls":{"enabled":true,"client_ca_files":["a"],"allowed_client_dns":["b.example.","*.c.example."]}}}},
      "gateway":{"tunnels":[
        {"name":"in","mode":"server","listen":"127.0.0.1:1","target":"localhost.:2","sni":["A.example."]},
        {"name":"to","mode":"client","listen":"127.0.0.1:3","target":"b.example.:4"},
        {"name":"to2","mode":"client","listen":"127.0.0.1:5","target":"127.0.0.1:4","server_name":"b.example."}]}}"#;
    parse(file, |config| {
        let [into, to, to2] = config.gateway.tunnels.as_slice() else { panic!() };
        let TunnelKind::Server { tls: Server::MutualTls(tls, clients), sni, .. } = &into.kind else {
            panic!("{into:?}")
        };
        let CredentialSource::Acme(acme) = &tls.credential else { panic!() };
        assert_eq!(acme.domains, ["a.example", "*.b.example"]);
        assert_eq!((&sni[..], &clients.allowed_dns[..]), (&["A.example"][..], &["b.example", "*.c.example"][..]));
        let target = into.target.unwrap();
        assert_eq!((target.to_string(), target.is_local()), ("localhost:2".to_owned(), true));
        assert_eq!(to.target.unwrap().to_string(), "b.example:4");
        for tunnel in [to, to2] {
            assert!(matches!(tunnel.kind, TunnelKind::Client { server_name: Some("b.example"), .. }), "{tunnel:?}");
        }
    })
    .unwrap();
    let twice = file.replace(r#""sni":["A.example."]"#, r#""sni":["a.example..","x"]"#);
    assert!(refused(&twice).contains(r#"sni: found "a.example..", expected DNS names"#), "{}", refused(&twice));
    for dead in ["b..example", "b\u{fc}cher.example", "10.0.0.1", "a*.example", "."] {
        let said = refused(&file.replace("b.example.\",\"*.c.example.", dead));
        assert!(said.contains("allowed_client_dns"), "{dead}: {said}");
    }
    let device = r#"{"security":{"tls":{"client":{"ca_files":["a"],"mtls":{"enabled":true,"cert_file":"c","key_file":"k"}}}},
      "device":{"gateway":"gateway.example.:1","report":"/r","enroll":"est.example.:2","ntp":"time.example."}}"#;
    parse(device, |config| {
        let device = config.device.as_ref().unwrap();
        assert_eq!(
            (device.gateway.host, device.server_name, device.ntp),
            ("gateway.example", "gateway.example", "time.example")
        );
        let enroll = device.enroll.unwrap();
        assert_eq!((enroll.server.host, enroll.server_name), ("est.example", "est.example"));
    })
    .unwrap();
}

#[test]
fn the_origin_of_each_group_is_kept() {
    let origins = |mode: &str, shared: &str, tls: &str| {
        parse(&file(mode, shared, tls), |config| config.gateway.tunnels[0].origins).unwrap()
    };
    let own = origins("server", MUTUAL, r#"{"mtls":{"allowed_client_dns":["c.example"]}}"#);
    assert_eq!((own.enabled, own.allow_rules), (Origin::Tunnel, Origin::Tunnel));
    assert_eq!((own.mutual, own.client_ca_files, own.credential), (Origin::Shared, Origin::Shared, Origin::Shared));
    assert_eq!((own.min_version, own.require_client_cert), (Origin::Shared, Origin::Default));
    assert_eq!(origins("server", MUTUAL, "").enabled, Origin::Shared);
    let own = origins("client", PINNED, r#"{"ca_files":["own"]}"#);
    assert_eq!((own.trust, own.system_roots, own.credential), (Origin::Tunnel, Origin::Default, Origin::Shared));
    let own = origins("client", PINNED, r#"{"pinned_certificates":["own"]}"#);
    assert_eq!((own.trust, own.system_roots), (Origin::Tunnel, Origin::Default));
    let own = origins("server", MUTUAL, r#"{"mtls":{"pinned_certificates":["own"]}}"#);
    assert_eq!((own.mutual, own.client_ca_files, own.allow_rules), (Origin::Shared, Origin::Tunnel, Origin::Shared));
    assert_eq!(origins("client", PINNED, "").system_roots, Origin::Shared);
}

/// A store belongs to its `acme`, and is inherited with the credential as a whole.
#[test]
fn a_store_is_inherited_with_its_acme() {
    let acme = |domain: &str, storage: &str| {
        format!(
            r#"{{"mode":"acme","acme":{{"enabled":true,"directory_url":"https://ca.example/d","domains":["{domain}"],
               "storage_path":"s"{storage}}}}}"#
        )
    };
    let of = |bucket: &str| {
        format!(
            r#","storage":{{"nats":{{"servers":["tls://nats.example:4222"],"bucket":"{bucket}","sealing_key_files":["k"]}}}}"#
        )
    };
    let shared = acme("a.example", &of("shared")).replacen('{', r#"{"enabled":true,"#, 1);
    let bucket = |tls: &Server<'_>| {
        let Server::Tls(tls) = tls else { panic!("{tls:?}") };
        let CredentialSource::Acme(acme) = &tls.credential else { panic!() };
        acme.storage.as_ref().map(|store| store.bucket.to_owned())
    };
    for (own, expected) in [
        (String::new(), Some("shared")),
        (r#"{"min_version":"1.3"}"#.to_owned(), Some("shared")),
        (acme("b.example", ""), None),
        (acme("b.example", &of("own")), Some("own")),
    ] {
        parse(&file("server", &shared, &own), |config| {
            assert_eq!(bucket(&config.server).as_deref(), Some("shared"));
            let TunnelKind::Server { tls, .. } = &config.gateway.tunnels[0].kind else { panic!() };
            assert_eq!(bucket(tls).as_deref(), expected, "{own}");
        })
        .unwrap();
    }
}

/// Every key that names a file, a folder or a command is visited when relative paths are resolved.
#[test]
fn every_path_of_a_configuration_is_handed_out() {
    let store = |name: &str, more: &str| {
        format!(
            r#"{{"nats":{{"servers":["tls://nats.example:4222"],"cert_file":"p-{name}-nats-cert","key_file":"p-{name}-nats-key",
               "ca_files":["p-{name}-nats-ca"],"credentials_file":"p-{name}-nats-creds"{more}}}}}"#
        )
    };
    let acme = |name: &str| {
        format!(
            r#"{{"enabled":true,"directory_url":"https://ca.example/d","domains":["a.example"],"http_listen":"127.0.0.1:80",
               "storage_path":"p-{name}-storage","ca_bundle":"p-{name}-ca","issuer_bundle":"p-{name}-issuer","hook":"p-{name}-hook",
               "dns_hook":"p-{name}-dns","proxy":"http://p:1","proxy_credentials_file":"p-{name}-proxy","eab":{{"kid":"k","hmac_key_file":"p-{name}-eab"}},"storage":{}}}"#,
            store(name, &format!(r#","sealing_key_files":["p-{name}-seal","p-{name}-seal-before"]"#)),
        )
    };
    let est = acme("est").replace(r#""domains":["a.example"],"#, "").replace(r#""hook":"p-est-hook","#, "");
    let est = format!("{}}}", est.split_once(r#","storage":"#).unwrap().0);
    let json = format!(
        r#"{{"security":{{"tls":{{
          "server":{{"enabled":true,"mode":"acme","cert_file":"p-sc","key_file":"p-sk","acme":{},
            "mtls":{{"enabled":true,"client_ca_files":["p-sca"],"pinned_certificates":["p-spin"]}}}},
          "client":{{"ca_files":["p-ca"],"pinned_certificates":["p-pin"],"mtls":{{"enabled":true,"cert_file":"p-cc","key_file":"p-ck","acme":{}}}}}}}}},
        "gateway":{{"known_intermediates":["p-int"],"crl_files":["p-crl"],"audit_log":"p-audit",
          "mesh":{{"file":"p-mesh","site":"a","storage_path":"p-mesh-storage","ca_bundle":"p-mesh-roots","storage":{}}},
          "admin":{{"listen":"127.0.0.1:8","tls":{{"cert_file":"p-ac","key_file":"p-ak","mtls":{{"client_ca_files":["p-aca"],
            "pinned_certificates":["p-apin"],"allowed_client_cns":["o"]}}}}}},"est":{{"listen":"127.0.0.1:9","acme":{est},
            "tls":{{"cert_file":"p-ec","key_file":"p-ek","mtls":{{"client_ca_files":["p-eca"],"pinned_certificates":["p-epin"]}}}}}},
          "tunnels":[
            {{"name":"in","mode":"server","listen":"127.0.0.1:1","targets":["unix:p-target","unix:p-other"],
              "tls":{{"cert_file":"p-tc","key_file":"p-tk","mtls":{{"client_ca_files":["p-tca"],"pinned_certificates":["p-tpin"]}}}}}},
            {{"name":"to","mode":"client","listen":"unix:p-listen","target":"b.example:1","proxy":"http://p:1","proxy_credentials_file":"p-to-proxy",
              "tls":{{"ca_files":["p-tt"],"pinned_certificates":["p-ttpin"],"mtls":{{"cert_file":"p-tcc","key_file":"p-tck"}}}}}}]}}}}"#,
        acme("server"),
        acme("client"),
        store("mesh", ""),
    );
    let written: std::collections::BTreeSet<String> = json
        .split('"')
        .map(|text| text.trim_start_matches("unix:"))
        .filter(|text| text.starts_with("p-"))
        .map(str::to_owned)
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    parse(&json, |config| {
        config.for_each_path(&mut |kind, path| {
            assert_eq!(kind == PathKind::Hook, path.ends_with("hook") || path.ends_with("dns"), "{path}");
            assert_eq!(kind == PathKind::Listener, *path == "p-listen", "{path}");
            assert_eq!(kind == PathKind::Socket, ["p-target", "p-other"].contains(path), "{path}");
            assert_eq!(kind == PathKind::Log, *path == "p-audit", "{path}");
            assert_eq!(kind == PathKind::Folder, path.ends_with("-storage"), "{path}");
            seen.insert((*path).to_owned());
            *path = "elsewhere";
        });
        config.for_each_path(&mut |_, path| assert_eq!(*path, "elsewhere"));
    })
    .unwrap();
    assert_eq!(seen, written);
    let device = r#"{"security":{"tls":{"client":{"ca_files":["p-ca"]}}},"device":{"gateway":"a.example:1","report":"/",
        "enroll":"a.example:2","first_enroll":"a.example:3","voucher":"p-voucher"}}"#;
    let mut of_device = Vec::new();
    parse(device, |config| config.for_each_path(&mut |_, path| of_device.push((*path).to_owned()))).unwrap();
    assert_eq!(of_device, ["p-ca", "p-ca", "p-voucher"]);
    // A key that is added and looks like a path belongs into the file above.
    reference(|entry| {
        let ends = ["_file", "_files", "_path", "_bundle", "hook", "_intermediates", "_certificates"];
        if ends.iter().any(|end| entry.key.ends_with(end)) {
            assert!(json.contains(&format!("\"{}\"", entry.key)), "{}", entry.key);
        }
    });
}
