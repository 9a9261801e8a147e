//! Tests the configuration of devices, and of the gateway's server at which they renew their certificates.

mod config_file;

use config_file::{parse, refused};
use edgetrust_core::config::{
    ChallengeType, CredentialSource, Enroll, Files, FirstCredential, KeyType, MinVersion, Remote,
};

/// Returns a text with one part, which it must contain, replaced.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

const CLIENT: &str = r#"{"security":{"tls":{"client":{"ca_files":["mesh.crt"],
  "mtls":{"enabled":true,"cert_file":"factory.crt","key_file":"factory.key"}}}}"#;

fn device(body: &str) -> String {
    format!(r#"{CLIENT},"device":{{{body}}}}}"#)
}

#[test]
fn a_device_needs_little() {
    let little = device(r#""gateway":"gateway.a.example:8443","websocket":"/telemetry""#);
    parse(&little, |config| {
        let device = config.device.as_ref().unwrap();
        assert_eq!(device.gateway, Remote { host: "gateway.a.example", port: 8443 });
        assert_eq!((device.server_name, device.ntp), ("gateway.a.example", "gateway.a.example"));
        assert_eq!((device.websocket, device.report, device.enroll), (Some("/telemetry"), None, None));
        assert_eq!((device.interval_ms, device.renew_before_s), (10_000, 8 * 3600));
        assert_eq!(config.client.ca_files, ["mesh.crt"]);
        assert!(!config.client.system_roots, "absent counts as false");
        let files = Files { cert_file: "factory.crt", key_file: "factory.key" };
        assert_eq!(config.client.credential, Some(CredentialSource::Files(files)));
    })
    .unwrap();
    parse(&format!("{CLIENT}}}"), |config| assert!(config.device.is_none() && config.client.system_roots)).unwrap();
}

#[test]
fn a_device_with_everything() {
    let all = device(
        r#""gateway":"[2001:db8::1]:8443","server_name":"gateway.a.example","websocket":"/telemetry?of=7",
           "report":"/report","interval":"100ms","enroll":"192.0.2.1:8444","enroll_name":"est.a.example",
           "renew_before":"6h","ntp":"192.0.2.123""#,
    );
    parse(&all, |config| {
        let device = config.device.as_ref().unwrap();
        assert_eq!(device.gateway, Remote { host: "2001:db8::1", port: 8443 });
        assert_eq!((device.server_name, device.ntp), ("gateway.a.example", "192.0.2.123"));
        assert_eq!((device.websocket, device.report), (Some("/telemetry?of=7"), Some("/report")));
        assert_eq!((device.interval_ms, device.renew_before_s), (100, 6 * 3600));
        let server = Remote { host: "192.0.2.1", port: 8444 };
        assert_eq!(device.enroll, Some(Enroll { server, server_name: "est.a.example" }));
    })
    .unwrap();
    // The names that certificates must be for are those of the hosts.
    let plain = with(&with(&all, r#""server_name":"gateway.a.example","#, ""), r#","enroll_name":"est.a.example""#, "");
    parse(&plain, |config| {
        let device = config.device.as_ref().unwrap();
        assert_eq!((device.server_name, device.enroll.unwrap().server_name), ("2001:db8::1", "192.0.2.1"));
    })
    .unwrap();
}

#[test]
fn devices_that_make_no_sense_are_refused() {
    let good = device(r#""gateway":"gateway.a.example:8443","websocket":"/telemetry""#);
    let host = "HOST:PORT, as gateway.a.example:8443";
    for (from, to, expected) in [
        (
            r#""gateway":"gateway.a.example:8443","#,
            "",
            "device.gateway: found nothing, expected HOST:PORT of the gateway",
        ),
        (
            r#","websocket":"/telemetry""#,
            "",
            "device.websocket: found nothing, expected a path, or one of report: a device has something to send",
        ),
        (
            "/telemetry",
            "telemetry",
            r#"device.websocket: found "telemetry", expected a path that begins with /, in visible ASCII"#,
        ),
        (
            "/telemetry",
            "/tele metry",
            r#"device.websocket: found "/tele metry", expected a path that begins with /, in visible ASCII"#,
        ),
        ("\"websocket\"", "\"report\"", ""),
        (
            r#""websocket""#,
            r#""report":"","websocket""#,
            r#"device.report: found "", expected a path that begins with /, in visible ASCII"#,
        ),
        (
            r#""websocket""#,
            r#""interval":"99ms","websocket""#,
            r#"device.interval: found "99ms", expected a duration from "100ms" to "1193h""#,
        ),
        (
            r#""websocket""#,
            r#""interval":"5","websocket""#,
            r#"device.interval: found "5", expected a duration such as "8h", "1h30m", "1.5h" or "0s""#,
        ),
        (
            r#""websocket""#,
            r#""renew_before":"0s","websocket""#,
            r#"device.renew_before: found "0s", expected a duration such as "8h", "1h30m", "1.5h" or "0s""#,
        ),
        (
            r#""websocket""#,
            r#""server_name":"a b","websocket""#,
            r#"device.server_name: found "a b", expected a DNS name or an IP address"#,
        ),
        (
            r#""websocket""#,
            r#""ntp":"a b","websocket""#,
            r#"device.ntp: found "a b", expected a DNS name or an IP address"#,
        ),
        (
            r#""websocket""#,
            r#""enroll_name":"a.example","websocket""#,
            r#"device.enroll_name: found "a.example", expected nothing: there is no enroll"#,
        ),
        (
            r#""websocket""#,
            r#""enrol":"a.example:1","websocket""#,
            r#"device.enrol: found "enrol", expected a known key; did you mean "enroll"?"#,
        ),
        (
            r#""ca_files":["mesh.crt"],"#,
            "",
            "security.tls.client.ca_files: found nothing, expected a list of files with the CAs of the gateway",
        ),
        (
            r#""ca_files""#,
            r#""use_system_roots":true,"ca_files""#,
            "security.tls.client.use_system_roots: found true, expected false: a device has no roots of its own system",
        ),
        (r#""ca_files""#, r#""use_system_roots":false,"ca_files""#, ""),
        (
            r#""ca_files""#,
            r#""pinned_certificates":["a.pem"],"ca_files""#,
            "security.tls.client.pinned_certificates: found an array, expected nothing: a device verifies its gateway by ca_files",
        ),
        (
            r#""ca_files""#,
            r#""insecure_skip_verify":true,"ca_files""#,
            "security.tls.client.insecure_skip_verify: found true, expected false: a device checks its gateway",
        ),
        (
            r#""ca_files""#,
            r#""acme":{"enabled":true},"ca_files""#,
            "security.tls.client.acme.enabled: found true, expected false: a device renews through its gateway, by device.enroll",
        ),
        (
            r#""ca_files""#,
            r#""mode":"acme","ca_files""#,
            r#"security.tls.client.mode: found "acme", expected "manual": a device renews through its gateway, by device.enroll"#,
        ),
        (
            r#""cert_file""#,
            r#""acme":{"enabled":true},"cert_file""#,
            "security.tls.client.mtls.acme.enabled: found true, expected false: a device renews through its gateway, by device.enroll",
        ),
        (
            r#""enabled":true,"#,
            r#""enabled":false,"#,
            "security.tls.client.mtls.enabled: found false, expected true: a device shows its credential, or has device.voucher for its first one",
        ),
        (
            r#""mtls":{"enabled":true,"cert_file":"factory.crt","key_file":"factory.key"}"#,
            r#""mode":"manual""#,
            "security.tls.client.mtls.enabled: found nothing, expected true: a device shows its credential, or has device.voucher for its first one",
        ),
        (
            r#""cert_file":"factory.crt","#,
            "",
            "security.tls.client.mtls.cert_file: found nothing, expected the file of the device's first certificate, or device.voucher and no mtls",
        ),
        (
            r#","key_file":"factory.key""#,
            "",
            "security.tls.client.mtls.key_file: found nothing, expected the file of its key",
        ),
    ] {
        let file = with(&good, from, to);
        match expected {
            "" => parse(&file, |_| ()).unwrap(),
            expected => assert_eq!(refused(&file), expected, "{file}"),
        }
    }
    for remote in [
        "gateway.a.example",
        "gateway.a.example:",
        "gateway.a.example:0",
        ":8443",
        "2001:db8::1:8443",
        "[2001:db8::1]",
        "[a]:1",
        "unix:/a",
        "300.1.1.1:x",
    ] {
        let file = with(&good, "gateway.a.example:8443", remote);
        assert_eq!(refused(&file), format!("device.gateway: found {remote:?}, expected {host}"));
        let file = with(&good, r#""websocket""#, &format!(r#""enroll":"{remote}","websocket""#));
        assert_eq!(refused(&file), format!("device.enroll: found {remote:?}, expected {host}"));
    }
}

/// A device that has a voucher and the mesh's root.
const NEW: &str = r#"{"security":{"tls":{"client":{"ca_files":["mesh.crt"]}}},"device":{"gateway":"gateway.a.example:8443",
  "websocket":"/telemetry","enroll":"gateway.a.example:8444","first_enroll":"gateway.a.example:8445","voucher":"sensor-7.voucher"}}"#;

#[test]
fn a_device_has_a_voucher_in_place_of_a_certificate() {
    let credential = |text: &str| {
        parse(text, |config| match config.device.as_ref().unwrap().credential {
            FirstCredential::Voucher(voucher) => {
                let Enroll { server, server_name } = voucher.enroll;
                (voucher.file.to_owned(), server.port, server_name.to_owned())
            }
            FirstCredential::Files(files) => panic!("{files:?}"),
        })
        .unwrap()
    };
    let of_gateway = |name: &str| ("sensor-7.voucher".to_owned(), 8445, name.to_owned());
    assert_eq!(credential(NEW), of_gateway("gateway.a.example"));
    let named = with(NEW, r#""voucher""#, r#""enroll_name":"est.a.example","voucher""#);
    assert_eq!(credential(&named), of_gateway("est.a.example"));
    parse(NEW, |config| assert_eq!(config.client.credential, None)).unwrap();
    let both = "device.voucher: found \"sensor-7.voucher\", expected nothing, or no security.tls.client.mtls: a device has a first certificate or a voucher for it";
    for (from, to, expected) in [
        (
            r#","voucher":"sensor-7.voucher""#,
            "",
            "device.first_enroll: found \"gateway.a.example:8445\", expected nothing: there is no voucher",
        ),
        (
            r#","first_enroll":"gateway.a.example:8445","voucher":"sensor-7.voucher""#,
            "",
            "security.tls.client.mtls.enabled: found nothing, expected true: a device shows its credential, or has device.voucher for its first one",
        ),
        (
            r#""first_enroll":"gateway.a.example:8445","#,
            "",
            "device.first_enroll: found nothing, expected HOST:PORT where the gateway takes the voucher",
        ),
        (
            r#""first_enroll":"gateway.a.example:8445""#,
            r#""first_enroll":"gateway""#,
            r#"device.first_enroll: found "gateway", expected HOST:PORT, as gateway.a.example:8443"#,
        ),
        (
            r#""enroll":"gateway.a.example:8444","#,
            "",
            "device.enroll: found nothing, expected HOST:PORT where the certificate that the voucher gives is renewed",
        ),
        (r#""voucher":"sensor-7.voucher""#, r#""voucher":"""#, "device.voucher: found \"\", expected a file name"),
        (r#""ca_files""#, r#""mtls":{"enabled":true,"cert_file":"c","key_file":"k"},"ca_files""#, both),
        (r#""ca_files""#, r#""mtls":{"key_file":"k"},"ca_files""#, both),
        (r#""ca_files""#, r#""mtls":{"enabled":true},"ca_files""#, both),
    ] {
        assert_eq!(refused(&with(NEW, from, to)), expected);
    }
}

const EST: &str = r#"{"security":{"tls":{"server":{"enabled":true,"cert_file":"s.crt","key_file":"s.key","min_version":"1.3",
    "mtls":{"enabled":true,"client_ca_files":["mesh.crt"],"allowed_client_dns":["sensor-7.a.example"]}}}},
  "gateway":{"est":{"listen":"0.0.0.0:8444",
    "acme":{"directory_url":"https://ca.a.example/d","storage_path":"/s","ca_bundle":"ca.crt","http_listen":"0.0.0.0:80"}}}}"#;

#[test]
fn an_est_server_takes_what_it_leaves_out_from_security_tls() {
    parse(EST, |config| {
        let est = config.gateway.est.as_ref().unwrap();
        assert_eq!(est.listen, "0.0.0.0:8444".parse().unwrap());
        let files = Files { cert_file: "s.crt", key_file: "s.key" };
        assert_eq!((&est.tls.credential, est.tls.min_version), (&CredentialSource::Files(files), MinVersion::Tls13));
        assert!(est.clients.required);
        assert_eq!(
            (&est.clients.ca_files[..], &est.clients.allowed_dns[..]),
            (&["mesh.crt"][..], &["sensor-7.a.example"][..])
        );
        assert!(est.acme.domains.is_empty());
        assert_eq!((est.acme.challenge_type, est.acme.key_type), (ChallengeType::Http01, KeyType::P256));
        assert_eq!(est.acme.http_listen, "0.0.0.0:80".parse().unwrap());
    })
    .unwrap();
    let own = with(
        EST,
        r#""listen""#,
        r#""tls":{"cert_file":"e.crt","key_file":"e.key","mtls":{"enabled":true,"client_ca_files":["d.crt"]}},"listen""#,
    );
    parse(&own, |config| {
        let est = config.gateway.est.as_ref().unwrap();
        let files = Files { cert_file: "e.crt", key_file: "e.key" };
        assert_eq!(est.tls.credential, CredentialSource::Files(files));
        assert_eq!(est.clients.ca_files, ["d.crt"]);
        // The lists are not replaced by what names none.
        assert_eq!(est.clients.allowed_dns, ["sensor-7.a.example"]);
    })
    .unwrap();
    parse(&with(EST, r#""acme":{"#, r#""acme":{"enabled":true,"#), |config| assert!(config.gateway.est.is_some()))
        .unwrap();
    parse(r#"{"gateway":{}}"#, |config| assert!(config.gateway.est.is_none())).unwrap();
    let first = |text: &str| parse(text, |config| config.gateway.est.as_ref().unwrap().first_enrollment).unwrap();
    assert_eq!(first(EST), None);
    let own = with(EST, r#""est":{"#, r#""est":{"first_enrollment":{"listen":"0.0.0.0:8445"},"#);
    assert_eq!(first(&own), Some("0.0.0.0:8445".parse().unwrap()));
}

#[test]
fn est_servers_that_make_no_sense_are_refused() {
    let acme = |keys: &'static str| (r#""acme":{"#, keys);
    for ((from, to), expected) in [
        ((r#""listen":"0.0.0.0:8444","#, ""), "listen: found nothing, expected ADDRESS:PORT, as 0.0.0.0:8444"),
        (("0.0.0.0:8444", "gw:8444"), r#"listen: found "gw:8444", expected ADDRESS:PORT, as 0.0.0.0:8444"#),
        (
            (
                r#""est":{"#,
                r#""tunnels":[{"name":"a","mode":"server","listen":"0.0.0.0:8444","target":"127.0.0.1:1"}],"est":{"#,
            ),
            r#"listen: found "0.0.0.0:8444", expected an address that no tunnel listens on"#,
        ),
        (
            (r#""mtls":{"enabled":true"#, r#""mtls":{"enabled":false"#),
            "tls.mtls.enabled: found false, expected true: a device is known by its certificate",
        ),
        (
            (r#""mtls":{"#, r#""mtls":{"require_client_cert":false,"#),
            "tls.mtls.require_client_cert: found false, expected true: a device is known by its certificate",
        ),
        (
            (r#""est":{"#, r#""est":{"tls":{"enabled":false},"#),
            "tls.enabled: found false, expected true: a device is known by its certificate",
        ),
        (
            (r#""est":{"#, r#""est":{"tls":{"ca_files":["x"]},"#),
            "tls.ca_files: found an array, expected nothing: this key is for client tunnels",
        ),
        (acme(r#""acmee":{"#), r#"acmee: found "acmee", expected a known key; did you mean "acme"?"#),
        (acme(r#""acme":{"enabled":false,"#), "acme.enabled: found false, expected true, or no gateway.est at all"),
        (
            acme(r#""acme":{"domains":["a.example"],"#),
            "acme.domains: found an array, expected nothing: the names are each device's",
        ),
        (
            acme(r#""acme":{"renew_before":"8h","#),
            "acme.renew_before: found a value, expected nothing: each device says when, in device.renew_before",
        ),
        (
            acme(r#""acme":{"renew_via":"step-ca","#),
            r#"acme.renew_via: found "step-ca", expected "acme": the gateway does not have a device's key"#,
        ),
        (
            acme(r#""acme":{"hook":"/bin/x","#),
            r#"acme.hook: found "/bin/x", expected nothing: a device takes its certificate up itself"#,
        ),
        (
            (r#","http_listen":"0.0.0.0:80""#, ""),
            "acme.http_listen: found nothing, expected ADDRESS:PORT where http-01 is answered, or dns-01 with a dns_hook",
        ),
        (
            acme(r#""acme":{"challenge_type":"tls-alpn-01","#),
            r#"acme.challenge_type: found "tls-alpn-01", expected "http-01" or "dns-01": a device's name does not lead to a TLS port of the gateway"#,
        ),
        (
            acme(r#""acme":{"challenge_type":"dns-01","#),
            "acme.dns_hook: found nothing, expected a command that answers dns-01",
        ),
        (
            (r#""est":{"#, r#""est":{"first_enrollment":{},"#),
            "first_enrollment.listen: found nothing, expected ADDRESS:PORT, as 0.0.0.0:8445",
        ),
        (
            (r#""est":{"#, r#""est":{"first_enrollment":{"listen":"gw:8445"},"#),
            r#"first_enrollment.listen: found "gw:8445", expected ADDRESS:PORT, as 0.0.0.0:8445"#,
        ),
        (
            (r#""est":{"#, r#""est":{"first_enrollment":{"listen":"0.0.0.0:8444"},"#),
            r#"first_enrollment.listen: found "0.0.0.0:8444", expected another address than gateway.est.listen, where certificates are required"#,
        ),
        (
            (
                r#""est":{"#,
                r#""tunnels":[{"name":"a","mode":"server","listen":"0.0.0.0:8445","target":"127.0.0.1:1"}],"est":{"first_enrollment":{"listen":"0.0.0.0:8445"},"#,
            ),
            r#"first_enrollment.listen: found "0.0.0.0:8445", expected an address that no tunnel listens on"#,
        ),
        (
            (r#""est":{"#, r#""est":{"first_enrollment":{"listen":"0.0.0.0:8445","tls":{}},"#),
            r#"first_enrollment.tls: found "tls", expected a known key"#,
        ),
        (
            (r#""directory_url":"https://ca.a.example/d","#, ""),
            "acme.directory_url: found nothing, expected a URL that begins with https://",
        ),
    ] {
        let file = with(EST, from, to);
        assert_eq!(refused(&file), format!("gateway.est.{expected}"), "{file}");
    }
    let none = &EST[..EST.find(",\n    \"acme\"").unwrap()];
    let none = format!("{none}}}}}}}");
    assert!(refused(&none).starts_with("gateway.est.acme: found nothing"), "{}", refused(&none));
}
