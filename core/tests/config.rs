//! Tests the configuration file: accepted and refused texts, and the errors.

mod config_file;

use config_file::{parse, refused};
use edgetrust_core::config::{
    ChallengeType, Config, CredentialSource, Endpoint, Files, MinVersion, OtherTarget, ProxyProtocol, Server, Tunnel,
    TunnelKind, reference,
};

/// ADR-001's own block, with its comments.
const ADR: &str = include_str!("data/adr-001.jsonc");

/// Returns the ADR's block with one text, which it must contain, replaced.
fn adr_with(from: &str, to: &str) -> String {
    assert!(ADR.contains(from), "{from}");
    ADR.replacen(from, to, 1)
}

fn server(body: &str) -> String {
    format!(r#"{{"security":{{"tls":{{"server":{{{body}}}}}}}}}"#)
}

fn tunnels(body: &str) -> String {
    format!(
        r#"{{"security":{{"tls":{{"server":{{"enabled":true,"cert_file":"c","key_file":"k"}}}}}},"gateway":{{"tunnels":[{body}]}}}}"#
    )
}

#[test]
fn adr_block_is_read_as_it_stands() {
    parse(ADR, |config| {
        assert_eq!(config.server, Server::Plain);
        assert_eq!(config.client.ca_files, ["/path/to/server-ca.crt"]);
        assert!(config.client.system_roots && !config.client.insecure_skip_verify);
        assert_eq!(config.client.credential, None);
    })
    .unwrap();
}

#[test]
fn adr_tiers() {
    let tier2 = adr_with(r#""enabled": false"#, r#""enabled": true"#);
    parse(&tier2, |config| match &config.server {
        Server::Tls(tls) => {
            let files = Files { cert_file: "/path/to/server.crt", key_file: "/path/to/server.key" };
            assert_eq!(tls.credential, CredentialSource::Files(files));
            assert_eq!(tls.min_version, MinVersion::Tls12);
        }
        other => panic!("{other:?}"),
    })
    .unwrap();
    let all =
        ADR.replace(r#""enabled": false"#, r#""enabled": true"#).replace(r#""mode": "manual""#, r#""mode": "acme""#);
    let all =
        all.replace(r#""storage_path": "/data/acme-client""#, r#""storage_path": "/c", "http_listen": "0.0.0.0:80""#);
    parse(&all, |config| {
        let Server::MutualTls(tls, clients) = &config.server else { panic!("{:?}", config.server) };
        let CredentialSource::AcmeWithFallback(acme, files) = &tls.credential else { panic!("{:?}", tls.credential) };
        assert_eq!(acme.domains, ["semstreams.local"]);
        assert_eq!((acme.challenge_type, acme.renew_before_s), (ChallengeType::Http01, 8 * 3600));
        assert_eq!(files.cert_file, "/path/to/server.crt");
        assert!(clients.required);
        assert_eq!(clients.allowed_cns, ["location-b", "location-c"]);
        assert!(matches!(config.client.credential, Some(CredentialSource::AcmeWithFallback(..))));
    })
    .unwrap();
}

#[test]
fn other_sections_are_left_alone() {
    let file = r#"{"version":"1.0","platform":{"org":"x","deep":[[{"a":[1,2.5e3,null,true,"\n"]}]]},
      "security":{"other":{"unknown":1},"tls":{"server":{"enabled":false}}},"components":{"udp":{"type":"input"}}}"#;
    parse(file, |config| assert_eq!(config.server, Server::Plain)).unwrap();
    parse("{}", |config| assert_eq!(config.server, Server::Plain)).unwrap();
    parse(r#"{"gateway":{"tunnels":null}}"#, |config| assert!(config.gateway.tunnels.is_empty())).unwrap();
}

#[test]
fn text_with_escapes_is_decoded() {
    let file = server(r#""enabled":true,"cert_file":"\/a\u002fb\ud83d\ude00","key_file":"k\\y""#);
    parse(&file, |config| {
        let Server::Tls(tls) = &config.server else { panic!() };
        assert_eq!(tls.credential, CredentialSource::Files(Files { cert_file: "/a/b😀", key_file: "k\\y" }));
    })
    .unwrap();
}

#[test]
fn a_refusal_names_the_place_what_was_found_and_what_was_expected() {
    let server_cases = [
        (r#""min_version":"1.1""#, r#"security.tls.server.min_version: found "1.1", expected "1.2" or "1.3""#),
        (
            r#""min_vresion":"1.2""#,
            r#"security.tls.server.min_vresion: found "min_vresion", expected a known key; did you mean "min_version"?"#,
        ),
        (r#""colour":1"#, r#"security.tls.server.colour: found "colour", expected a known key"#),
        (r#""enabled":"yes""#, r#"security.tls.server.enabled: found "yes", expected true or false"#),
        (r#""enabled":1"#, "security.tls.server.enabled: found 1, expected true or false"),
        (r#""cert_file":["a"]"#, "security.tls.server.cert_file: found an array, expected text in quotes"),
        (r#""mtls":[]"#, "security.tls.server.mtls: found an array, expected an object"),
        (r#""enabled":true,"enabled":true"#, r#"security.tls.server.enabled: found "enabled", expected each key once"#),
        (
            r#""acme":{"renew_before":"8d"}"#,
            r#"security.tls.server.acme.renew_before: found "8d", expected a duration such as "8h", "1h30m", "1.5h" or "0s""#,
        ),
        (
            r#""acme":{"challenge_type":"http01"}"#,
            r#"security.tls.server.acme.challenge_type: found "http01", expected "http-01", "tls-alpn-01" or "dns-01""#,
        ),
        (
            r#""acme":{"directory_url":"http://a"}"#,
            r#"security.tls.server.acme.directory_url: found "http://a", expected a URL that begins with https://"#,
        ),
        (
            r#""mtls":{"client_ca_files":["a",2]}"#,
            "security.tls.server.mtls.client_ca_files[1]: found 2, expected text in quotes",
        ),
        (
            r#""enabled":true"#,
            "security.tls.server.cert_file: found nothing, expected a file name, since TLS is enabled",
        ),
        (
            r#""enabled":true,"cert_file":"c""#,
            "security.tls.server.key_file: found nothing, expected a file name, since there is a cert_file",
        ),
        (
            r#""mtls":{"enabled":true}"#,
            "security.tls.server.mtls.enabled: found true, expected false, or security.tls.server.enabled true",
        ),
        (
            r#""enabled":true,"cert_file":"c","key_file":"k","mtls":{"enabled":true}"#,
            "security.tls.server.mtls.client_ca_files: found nothing, expected a list of files with the CAs of clients, or pinned_certificates",
        ),
        (
            r#""enabled":true,"mode":"acme""#,
            r#"security.tls.server.acme.enabled: found false, expected true, since mode is "acme""#,
        ),
        (
            r#""enabled":true,"acme":{"enabled":true}"#,
            r#"security.tls.server.mode: found "manual", expected "acme", since acme.enabled is true"#,
        ),
        (
            r#""enabled":true,"mode":"acme","acme":{"enabled":true,"domains":["*.a.example"]}"#,
            r#"security.tls.server.acme.domains: found "*.a.example", expected no wildcard, or challenge_type "dns-01""#,
        ),
        (
            r#""enabled":true,"mode":"acme","acme":{"enabled":true,"domains":["a.example"],"key":"/etc/edgetrust/a.key"}"#,
            r#"security.tls.server.acme.key: found another text, expected the URI of a key in a token, as pkcs11:token=NAME;object=NAME?…"#,
        ),
        (
            r#""enabled":true,"mode":"acme","acme":{"enabled":true,"domains":["a.example"],"key":"pkcs11:token=a;object=b","key_type":"rsa2048"}"#,
            r#"security.tls.server.acme.key_type: found "rsa2048", expected none beside key, which has a type already"#,
        ),
    ];
    for (body, expected) in server_cases {
        assert_eq!(refused(&server(body)), expected, "{body}");
    }
    for (file, expected) in [
        ("", "found the end of the file, expected { at the beginning of the file"),
        ("[]", "found an array, expected { at the beginning of the file"),
        ("{} x", "found x, expected a JSON value"),
        ("{} 1", "found 1, expected nothing after the last }"),
        (r#"{"a":1,}"#, "found '}', expected a key in quotes"),
        (r#"{"a":{"b":[1,]}}"#, "a: found ']', expected a JSON value"),
        (r#"{"a":{"b":[1}}"#, "a: found '}', expected , or ]"),
        (r#"{"a" 1}"#, "a: found 1, expected : after the key"),
        (
            r#"{"gateway":{"limits":{"connections":0}}}"#,
            "gateway.limits.connections: found 0, expected a number from 1",
        ),
        (
            r#"{"gateway":{"limits":{"connections":-1}}}"#,
            "gateway.limits.connections: found -1, expected a whole number from 0 to 4294967295",
        ),
        (
            r#"{"gateway":{"admin":{"listen":"9090"}}}"#,
            r#"gateway.admin.listen: found "9090", expected ADDRESS:PORT or unix:PATH, as 127.0.0.1:9090"#,
        ),
        (
            r#"{"security":{"tls":{"client":{"use_system_roots":false}}}}"#,
            "security.tls.client.ca_files: found nothing, expected a list of files, or pinned_certificates, since use_system_roots is false",
        ),
    ] {
        assert_eq!(refused(file), expected, "{file}");
    }
}

#[test]
fn the_offset_is_the_place_in_the_text() {
    let file = server(r#""min_version": "1.1""#);
    let mut bytes = file.clone().into_bytes();
    let offset = Config::parse(&mut bytes).unwrap_err().offset;
    assert_eq!(Some(offset as usize), file.find(r#""1.1""#));
}

#[test]
fn tunnels_take_what_they_leave_out_from_security_tls() {
    let file = r#"{
      "security": {"tls": {
        "server": {"enabled": true, "cert_file": "c", "key_file": "k", "min_version": "1.3",
                   "mtls": {"enabled": true, "client_ca_files": ["ca"], "allowed_client_cns": ["b"]}},
        "client": {"ca_files": ["servers"], "mtls": {"enabled": true, "cert_file": "cc", "key_file": "ck"}}}},
      "gateway": {"tunnels": [
        {"name": "in", "mode": "server", "listen": "0.0.0.0:8443", "target": "127.0.0.1:8081", "sni": ["a.example"]},
        {"name": "in2", "mode": "server", "listen": "0.0.0.0:8443", "target": "localhost:8082"},
        {"name": "open", "mode": "server", "listen": "0.0.0.0:8444", "target": "unix:/run/a", "proxy_protocol": true,
         "tls": {"mtls": {"enabled": false}}},
        {"name": "to-b", "mode": "client", "listen": "127.0.0.1:9001", "target": "b.example:8443"},
        {"name": "to-c", "mode": "client", "listen": "unix:/run/c", "target": "[2001:db8::1]:8443",
         "tls": {"ca_files": ["c"], "use_system_roots": false, "mtls": {"enabled": false}}}],
       "limits": {"idle_timeout": "90s", "drain_timeout": "300ms"}}}"#;
    parse(file, |config| {
        let [first, second, open, to_b, to_c] = config.gateway.tunnels.as_slice() else { panic!() };
        let TunnelKind::Server { tls: Server::MutualTls(tls, clients), sni, .. } = &first.kind else { panic!() };
        assert_eq!(
            (tls.min_version, sni.as_slice(), clients.allowed_cns.as_slice()),
            (MinVersion::Tls13, &["a.example"][..], &["b"][..])
        );
        assert!(matches!(&second.kind, TunnelKind::Server { tls: Server::MutualTls(..), sni, .. } if sni.is_empty()));
        let TunnelKind::Server { tls: Server::Tls(tls), proxy_protocol: ProxyProtocol::Header, .. } = &open.kind else {
            panic!("{open:?}")
        };
        assert_eq!(tls.min_version, MinVersion::Tls13);
        let TunnelKind::Client { tls, server_name: Some("b.example"), .. } = &to_b.kind else { panic!("{to_b:?}") };
        assert_eq!(tls.ca_files, ["servers"]);
        assert!(tls.credential.is_some() && tls.system_roots);
        let TunnelKind::Client { tls, server_name: Some("2001:db8::1"), .. } = &to_c.kind else { panic!("{to_c:?}") };
        assert_eq!(tls.ca_files, ["c"]);
        assert!(tls.credential.is_none() && !tls.system_roots);
        assert_eq!(
            (config.gateway.limits.idle_timeout_ms, config.gateway.limits.drain_timeout_ms),
            (Some(90_000), 300)
        );
    })
    .unwrap();
}

#[test]
fn tunnels_that_make_no_sense_are_refused() {
    let good = r#"{"name":"a","mode":"server","listen":"0.0.0.0:1","target":"127.0.0.1:2"}"#;
    parse(&tunnels(good), |_| ()).unwrap();
    let with = good.replace(r#""name""#, r#""proxy_protocol":true,"proxy_protocol_certificate":true,"name""#);
    let mutual = r#""tls":{"mtls":{"enabled":true,"client_ca_files":["ca"]}},"name""#;
    parse(&tunnels(&with.replace(r#""name""#, mutual)), |config| match &config.gateway.tunnels[0].kind {
        TunnelKind::Server { proxy_protocol, .. } => assert_eq!(*proxy_protocol, ProxyProtocol::WithCertificate),
        TunnelKind::Client { .. } => panic!("{:?}", config.gateway.tunnels[0]),
    })
    .unwrap();
    let list = |list: &str| good.replace(r#""target":"127.0.0.1:2""#, &format!(r#""targets":{list}"#));
    let balancers = |list: &str| good.replace(r#""name""#, &format!(r#""accept_proxy":{list},"name""#));
    let proxied = |proxy: &str| {
        let client = good.replace("server", "client").replace("0.0.0.0", "127.0.0.1");
        client.replace(r#""name""#, &format!(r#""proxy":"{proxy}","name""#))
    };
    for (text, expected) in [
        ("http://proxy.example:3128/", "http://proxy.example:3128"),
        ("socks5://[::1]:1080", "socks5://[::1]:1080"),
        ("environment", "environment"),
    ] {
        parse(&tunnels(&proxied(text)), |config| match &config.gateway.tunnels[0].kind {
            TunnelKind::Client { proxy: Some(proxy), .. } => assert_eq!(proxy.to_string(), expected),
            other => panic!("{other:?}"),
        })
        .unwrap();
    }
    parse(&tunnels(&list(r#"["127.0.0.1:2","unix:a"]"#)), |config| {
        let tunnel = &config.gateway.tunnels[0];
        assert_eq!(tunnel.target, Endpoint::parse("127.0.0.1:2"));
        assert_eq!(tunnel.other_targets[0], OtherTarget { endpoint: Endpoint::Unix("a"), server_name: None });
        assert_eq!(tunnel.health_interval_ms, 10_000);
    })
    .unwrap();
    for (body, expected) in [
        (r#"{"mode":"server"}"#.to_owned(), "tunnels[0].name: found nothing"),
        (r#"{"name":"a"}"#.to_owned(), "tunnels[0].mode: found nothing"),
        (good.replace("127.0.0.1:2", "10.0.0.1:2"), r#"tunnels[0].target: found "10.0.0.1:2", expected a loopback"#),
        (
            good.replace("0.0.0.0:1", "host:1"),
            r#"tunnels[0].listen: found "host:1", expected an address of this machine"#,
        ),
        (good.replace("0.0.0.0:1", "1"), r#"tunnels[0].listen: found "1", expected ADDRESS:PORT"#),
        (
            good.replace(r#""name""#, r#""tls":{"enabled":false},"name""#),
            r#"tunnels[0].listen: found "0.0.0.0:1", expected a loopback"#,
        ),
        (good.replace(r#""name""#, r#""tls":{"ca_files":["x"]},"name""#), "tunnels[0].tls.ca_files: found an array"),
        (good.replace(r#""name""#, r#""server_name":"x","name""#), "tunnels[0].server_name: found"),
        (good.replace(r#""name""#, r#""sni":["a b"],"name""#), r#"tunnels[0].sni: found "a b", expected DNS names"#),
        (format!("{good},{good}"), r#"tunnels[1].name: found "a", expected a name that no other"#),
        (
            format!("{good},{}", good.replace(r#""a""#, r#""b""#)),
            "tunnels[1].sni: found nothing, expected server names",
        ),
        (
            good.replace(r#""name""#, r#""targets":["127.0.0.1:3"],"name""#),
            "tunnels[0].targets: found an array, expected nothing, or targets without target",
        ),
        (list("[]"), "tunnels[0].targets: found nothing, expected a list with a target at least"),
        (list(r#"["[::1]:2","[0::1]:2"]"#), r#"tunnels[0].targets: found "[0::1]:2", expected each target once"#),
        (list(r#"["127.0.0.1:2","10.0.0.1:2"]"#), r#"tunnels[0].targets: found "10.0.0.1:2", expected a loopback"#),
        (list(r#"["x"]"#), r#"tunnels[0].targets: found "x", expected ADDRESS:PORT"#),
        (
            good.replace(r#""name""#, r#""health_interval":"10ms","name""#),
            r#"tunnels[0].health_interval: found "10ms", expected a duration from 100ms to 1h"#,
        ),
        (balancers("[]"), "tunnels[0].accept_proxy: found an array, expected a network at least"),
        (balancers(r#"["10.0.0.1/8"]"#), r#"tunnels[0].accept_proxy: found "10.0.0.1/8", expected a network, as"#),
        (
            balancers(r#"["::1"]"#).replace("server", "client").replace("0.0.0.0", "127.0.0.1"),
            "tunnels[0].accept_proxy: found an array, expected nothing",
        ),
        (
            format!("{good},{}", balancers(r#"["::1"]"#).replace(r#""a""#, r#""b","sni":["b.example"]"#)),
            "tunnels[1].accept_proxy: found an array, expected the same networks for all tunnels that share an address",
        ),
        (proxied("ftp://a:1"), r#"tunnels[0].proxy: found "ftp://a:1", expected "http://HOST:PORT""#),
        (proxied("http://unix:a"), r#"tunnels[0].proxy: found "http://unix:a", expected "http://HOST:PORT""#),
        (proxied("http://u:secret@a:1"), "tunnels[0].proxy: found a URL with a user, expected a URL without"),
        (
            proxied("http://a:1")
                .replace("127.0.0.1:2", "unix:x")
                .replace(r#""name""#, r#""server_name":"x.example","name""#),
            r#"tunnels[0].proxy: found "unix:x", expected nothing: a Unix socket"#,
        ),
        (
            proxied("environment").replace(r#""name""#, r#""proxy_credentials_file":"f","name""#),
            r#"tunnels[0].proxy_credentials_file: found "f", expected nothing, or a proxy"#,
        ),
        (
            good.replace(r#""name""#, r#""proxy":"http://a:1","name""#),
            "tunnels[0].proxy: found a value, expected nothing",
        ),
        (good.replace("server", "client"), r#"tunnels[0].listen: found "0.0.0.0:1", expected a loopback"#),
        (
            good.replace("server", "client")
                .replace("0.0.0.0", "127.0.0.1")
                .replace(r#""name""#, r#""proxy_protocol":true,"name""#),
            "tunnels[0].proxy_protocol: found true",
        ),
        (
            good.replace(r#""name""#, r#""proxy_protocol_certificate":true,"name""#),
            "tunnels[0].proxy_protocol_certificate: found true, expected false, or proxy_protocol true",
        ),
        (with.clone(), "tunnels[0].proxy_protocol_certificate: found true, expected false, or mtls"),
        (
            good.replace(r#""name""#, r#""max_fragment_size":511,"name""#),
            "tunnels[0].max_fragment_size: found 511, expected a number from 512 to 16384",
        ),
        (
            good.replace(r#""name""#, r#""max_fragment_size":16385,"name""#),
            "tunnels[0].max_fragment_size: found 16385, expected a number from 512 to 16384",
        ),
        (
            good.replace(r#""name""#, r#""tls":{"enabled":false},"max_fragment_size":4096,"name""#),
            "tunnels[0].max_fragment_size: found a value, expected nothing: plaintext has no records",
        ),
        (
            good.replace("server", "client")
                .replace("0.0.0.0", "127.0.0.1")
                .replace(r#""name""#, r#""max_fragment_size":4096,"name""#),
            "tunnels[0].max_fragment_size: found a value, expected nothing: this key is for server tunnels",
        ),
        (
            good.replace("server", "client")
                .replace("0.0.0.0", "127.0.0.1")
                .replace(r#""name""#, r#""proxy_protocol_certificate":true,"name""#),
            "tunnels[0].proxy_protocol_certificate: found true, expected nothing",
        ),
        (
            good.replace("server", "client")
                .replace("0.0.0.0", "127.0.0.1")
                .replace(r#""name""#, r#""tls":{"cert_file":"c"},"name""#),
            r#"tunnels[0].tls.cert_file: found "c", expected nothing: a client's certificate is in mtls"#,
        ),
    ] {
        let said = refused(&tunnels(&body));
        assert!(said.starts_with(&format!("gateway.{expected}")), "{body}: {said}");
    }
    let many = (0..33).map(|n| format!(r#"{{"name":"{n}"}}"#)).collect::<Vec<_>>().join(",");
    assert!(refused(&tunnels(&many)).ends_with("tunnels[32]: found an object, expected at most 32 tunnels"));
    let names = (0..33).map(|n| format!(r#""{n}""#)).collect::<Vec<_>>().join(",");
    let said = refused(&server(&format!(r#""mtls":{{"allowed_client_cns":[{names}]}}"#)));
    assert_eq!(said, r#"security.tls.server.mtls.allowed_client_cns[32]: found "32", expected at most 32 names"#);
}

#[test]
fn deep_and_long_texts_are_bounded_work() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = |n: usize| format!(r#"{{"o":{}1{}}}"#, open.repeat(n), close.repeat(n));
        parse(&deep(128), |_| ()).unwrap();
        assert!(refused(&deep(129)).contains("at most 128"));
        assert!(refused(&deep(100_000)).contains("at most 128"));
    }
    let long = format!(r#"{{"o":"{}","security":{{}}}}"#, "x".repeat(10 << 20));
    parse(&long, |config| assert_eq!(config.server, Server::Plain)).unwrap();
}

/// A library user's threads have 2 MiB of stack; without optimization, each move of a value is a copy.
#[test]
fn a_file_of_32_tunnels_is_read_on_less_than_a_threads_stack() {
    let tunnel =
        |n: usize| format!(r#"{{"name":"{n}","mode":"server","listen":"127.0.0.1:{}","target":"unix:a"}}"#, n + 1);
    let file = tunnels(&(0..32).map(tunnel).collect::<Vec<_>>().join(","));
    let reads = move || {
        let mut bytes = file.into_bytes();
        Config::parse(&mut bytes).map(|config| config.gateway.tunnels.len()).map_err(|error| error.to_string())
    };
    let thread = std::thread::Builder::new().stack_size(1408 * 1024).spawn(reads).unwrap();
    assert_eq!(thread.join().unwrap(), Ok(32));
}

#[test]
fn every_key_has_a_meaning() {
    let mut keys = 0;
    reference(|entry| {
        keys += 1;
        assert!(!entry.doc.is_empty(), "{}", entry.key);
    });
    assert!(keys > 80, "{keys}");
}

proptest::proptest! {
    /// Any bytes, and the ADR's block with some bytes changed, are parsed or refused without a panic.
    #[test]
    fn no_bytes_panic(edits in proptest::collection::vec((0_usize..2_400, proptest::num::u8::ANY), 0..6), cut in 0_usize..2_400) {
        let mut bytes = ADR.as_bytes().to_vec();
        for (at, byte) in edits {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if cut % 3 == 0 {
            bytes.truncate(cut);
        }
        if let Err(error) = Config::parse(&mut bytes) {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn records_are_bounded_where_devices_renew() {
    const EST: &str = r#""est":{"listen":"0.0.0.0:8444","acme":{"directory_url":"https://ca.a.example/acme",
        "storage_path":"acme","http_listen":"0.0.0.0:80"}},"#;
    let sizes = |est: &str, own: &str| {
        let file = format!(
            r#"{{"security":{{"tls":{{"server":{{"enabled":true,"cert_file":"c","key_file":"k",
                "mtls":{{"enabled":true,"client_ca_files":["ca"]}}}}}}}},
              "gateway":{{{est}"tunnels":[
                {{"name":"devices","mode":"server","listen":"0.0.0.0:1","target":"127.0.0.1:9"{own}}},
                {{"name":"anybody","mode":"server","listen":"0.0.0.0:2","target":"127.0.0.1:9",
                  "tls":{{"mtls":{{"enabled":false}}}}}}]}}}}"#
        );
        let size = |tunnel: &Tunnel<'_>| match tunnel.kind {
            TunnelKind::Server { max_fragment_size, .. } => max_fragment_size,
            TunnelKind::Client { .. } => unreachable!(),
        };
        parse(&file, |config| [0, 1].map(|index| size(&config.gateway.tunnels[index]))).unwrap()
    };
    assert_eq!(sizes("", ""), [16_384, 16_384]);
    assert_eq!(sizes(EST, ""), [4_096, 16_384]);
    assert_eq!(sizes(EST, r#","max_fragment_size":16384"#), [16_384, 16_384]);
    assert_eq!(sizes("", r#","max_fragment_size":512"#), [512, 16_384]);
}
