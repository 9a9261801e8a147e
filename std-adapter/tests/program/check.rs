//! Tests `edgetrust check`.

use serde_json::{Value, json};

use super::peers::edgetrust;
use super::pki::{Pki, arg, self_signed};

/// Returns the exit code, and all findings as `level what`.
fn check(pki: &Pki, config: &Value, more: &[&str]) -> (Option<i32>, Vec<String>) {
    let file = pki.path("gateway.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let output = edgetrust(&[&["check", "--json", "--config", &arg(&file)][..], more].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let findings =
        findings.map(|finding| format!("{} {}", finding["level"].as_str().unwrap(), finding["what"].as_str().unwrap()));
    (output.status.code(), findings.collect())
}

fn has(findings: &[String], level: &str, what: &str) -> bool {
    findings.iter().any(|finding| finding.starts_with(level) && finding.contains(what))
}

fn server(pki: &Pki, cert: &str, key: &str) -> Value {
    json!({"security": {"tls": {"server": {
        "enabled": true, "cert_file": cert, "key_file": key,
        "mtls": {"enabled": true, "client_ca_files": [arg(&pki.ca())], "allowed_client_dns": ["b.example"]},
    }}}})
}

#[test]
fn a_good_configuration() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["a.example"]);
    restrict(&key);
    let config = server(&pki, &arg(&cert), &arg(&key));
    let (code, findings) = check(&pki, &config, &[]);
    assert_eq!(code, Some(0), "{findings:#?}");
    for what in ["CN=gateway, the key matches", "leads to a configured CA", "DNS name b.example", "1 usable CAs of 1"] {
        assert!(has(&findings, "ok", what), "{what}: {findings:#?}");
    }
    assert!(!findings.iter().any(|finding| !finding.starts_with("ok")), "{findings:#?}");
    let table = edgetrust(&["check", "--config", &arg(&pki.path("gateway.json"))]);
    assert!(String::from_utf8_lossy(&table.stdout).ends_with("0 errors, 0 warnings\n"));
}

fn restrict(key: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn what_peers_would_refuse_is_an_error() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let expired = pki.issue_with("expired", &[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = pki.issue_with("early", &[], |params| params.not_before = rcgen::date_time_ymd(2300, 1, 1));
    let client_only = pki.issue_with("client-only", &[], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (cert, _) = pki.issue("gateway", &["a.example"]);
    let (_, wrong_key) = other.issue("other", &[]);
    for ((cert, key), what) in [
        (expired, "expired at 2020-01-01T00:00:00Z"),
        (early, "is not valid before 2300-01-01T00:00:00Z"),
        (client_only, "peers will refuse it"),
        ((cert.clone(), wrong_key), "the private key does not match"),
        (("/nonexistent.pem".into(), cert), "/nonexistent.pem: cannot be read"),
    ] {
        let (code, findings) = check(&pki, &server(&pki, &arg(&cert), &arg(&key)), &[]);
        assert_eq!(code, Some(1), "{what}: {findings:#?}");
        assert!(has(&findings, "error", what), "{what}: {findings:#?}");
    }
}

#[test]
fn risky_settings_are_warned_of() {
    let pki = Pki::new("Root");
    let (cert, key) = self_signed(&pki.path("."), "pinned");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut config = server(&pki, &arg(&cert), &arg(&key));
    let mtls = &mut config["security"]["tls"]["server"]["mtls"];
    mtls.as_object_mut().unwrap().remove("allowed_client_dns");
    mtls["require_client_cert"] = json!(false);
    let (code, findings) = check(&pki, &config, &[]);
    assert_eq!(code, Some(0), "{findings:#?}");
    for what in
        ["no allow list", "without a certificate are let in", "mode 644 lets others use", "only peers that pin it"]
    {
        assert!(has(&findings, "warning", what), "{what}: {findings:#?}");
    }
}

#[test]
fn a_near_end_is_warned_of_but_not_of_a_short_life() {
    let pki = Pki::new("Root");
    let now = time::OffsetDateTime::now_utc();
    let day = std::time::Duration::from_secs(24 * 3600);
    for (name, from, level) in [("old", now - day * 300, "warning"), ("daily", now, "ok")] {
        let (cert, key) = pki.issue_with(name, &[], |params| (params.not_before, params.not_after) = (from, now + day));
        let (_, findings) = check(&pki, &server(&pki, &arg(&cert), &arg(&key)), &[]);
        assert!(has(&findings, level, "valid until"), "{name}: {findings:#?}");
    }
}

#[test]
fn skipping_verification_is_an_error_unless_allowed() {
    let pki = Pki::new("Root");
    let config = json!({"security": {"tls": {"client": {"insecure_skip_verify": true, "ca_files": [arg(&pki.ca())]}}}});
    let (code, findings) = check(&pki, &config, &[]);
    assert_eq!(code, Some(1), "{findings:#?}");
    assert!(has(&findings, "error", "insecure_skip_verify"), "{findings:#?}");
    let (code, findings) = check(&pki, &config, &["--allow-insecure"]);
    assert_eq!(code, Some(0), "{findings:#?}");
    assert!(has(&findings, "warning", "insecure_skip_verify"), "{findings:#?}");
}

#[test]
fn a_name_that_the_certificate_lacks_is_an_error() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["a.example"]);
    let tunnel = |name: &str| json!({"name": name, "mode": "server", "listen": "127.0.0.1:8443", "target": "127.0.0.1:1", "sni": [name]});
    let mut config = server(&pki, &arg(&cert), &arg(&key));
    config["gateway"] = json!({"tunnels": [tunnel("a.example"), tunnel("b.example")]});
    let (code, findings) = check(&pki, &config, &[]);
    assert_eq!(code, Some(1), "{findings:#?}");
    assert!(has(&findings, "ok", "is for a.example"), "{findings:#?}");
    assert!(has(&findings, "error", "is not for b.example"), "{findings:#?}");
}

#[test]
fn a_file_that_does_not_parse_is_misuse() {
    let pki = Pki::new("Root");
    let file = pki.path("gateway.json");
    std::fs::write(&file, "{").unwrap();
    assert_eq!(edgetrust(&["check", "--config", &arg(&file)]).status.code(), Some(2));
}

#[test]
fn a_devices_file_is_checked_as_the_device_reads_it() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("sensor-7", &["sensor-7.a.example"]);
    restrict(&key);
    let mut config = json!({
        "security": {"tls": {"client": {
            "ca_files": [arg(&pki.ca())], "mtls": {"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key)},
        }}},
        "device": {"gateway": "gateway.a.example:8443", "websocket": "/telemetry", "enroll": "gateway.a.example:8444"},
    });
    let (code, findings) = check(&pki, &config, &[]);
    assert_eq!(code, Some(0), "{findings:#?}");
    for what in
        ["speaks to gateway.a.example at gateway.a.example port 8443", "renews 8 h before the end", "leads to a"]
    {
        assert!(has(&findings, "ok", what), "{what}: {findings:#?}");
    }
    assert!(!findings.iter().any(|finding| finding.contains("CAs of this system")), "{findings:#?}");
    config["device"].as_object_mut().unwrap().remove("enroll");
    let (_, findings) = check(&pki, &config, &[]);
    assert!(has(&findings, "warning", "its certificate is not renewed"), "{findings:#?}");
    config["security"]["tls"]["client"]["use_system_roots"] = json!(true);
    std::fs::write(pki.path("gateway.json"), config.to_string()).unwrap();
    let refused = edgetrust(&["check", "--config", &arg(&pki.path("gateway.json"))]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("use_system_roots: found true, expected false: a device has no roots"), "{said}");
}

/// A gateway supports more algorithms than a device: those that a device lacks are warned of only if there are
/// devices.
#[test]
fn algorithms_that_a_device_lacks_are_warned_of() {
    let pki = Pki::new("Root");
    let (cert, key_file) = (pki.path("sensor-7.pem"), pki.path("sensor-7.key"));
    for (algorithm, name) in [(&rcgen::PKCS_ECDSA_P384_SHA384, "ECDSA P-384"), (&rcgen::PKCS_ML_DSA_44, "ML-DSA-44")] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        std::fs::write(&cert, pki.sign("sensor-7", &["sensor-7.a.example"], &key)).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        restrict(&key_file);
        let credential = json!({"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key_file)});
        let device = json!({
            "security": {"tls": {"client": {"ca_files": [arg(&pki.ca())], "mtls": credential}}},
            "device": {"gateway": "gateway.a.example:8443", "websocket": "/telemetry"},
        });
        let (_, findings) = check(&pki, &device, &[]);
        let said = format!("the key of CN=sensor-7 is {name}, which devices may not be able to verify");
        assert!(has(&findings, "warning", &said), "{findings:#?}");
        assert!(has(&findings, "ok", "devices verify ECDSA with P-256 and SHA-256"), "{findings:#?}");
        assert!(!has(&findings, "warning", "CN=Root"), "{findings:#?}");
    }
    let (_, findings) = check(&pki, &server(&pki, &arg(&cert), &arg(&key_file)), &[]);
    assert!(!findings.iter().any(|finding| finding.contains("devices")), "{findings:#?}");
}

#[test]
fn more_connections_than_there_are_descriptors_are_warned_of() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["a.example"]);
    restrict(&key);
    let mut config = server(&pki, &arg(&cert), &arg(&key));
    config["gateway"] = json!({"limits": {"connections": 4_000_000_000_u32}});
    let (code, findings) = check(&pki, &config, &[]);
    assert_eq!(code, Some(0), "{findings:#?}");
    assert!(has(&findings, "warning", "limits.connections: found 4000000000"), "{findings:#?}");
}

/// The files of a store are read; whether its servers answer is not asked.
#[test]
fn files_of_a_shared_store_are_checked() {
    let pki = Pki::new("Root");
    let ca = arg(&pki.ca());
    let config = |nats: Value| {
        json!({"security": {"tls": {"server": {"enabled": true, "mode": "acme", "acme": {
            "enabled": true, "directory_url": "https://ca.example/d", "domains": ["a.example"], "ca_bundle": ca,
            "http_listen": "127.0.0.1:0", "storage_path": arg(&pki.path("acme")), "storage": {"nats": nats},
        }}}}})
    };
    let key = arg(&pki.path("seal.key"));
    let nats = json!({"servers": ["tls://127.0.0.1:1"], "ca_files": [ca], "sealing_key_files": [key]});
    let (code, findings) = check(&pki, &config(nats.clone()), &[]);
    let missing = format!("acme.storage.nats.sealing_key_files: {key}: cannot be read");
    assert!(code == Some(1) && has(&findings, "error", &missing), "{findings:#?}");
    std::fs::write(&key, format!("{}=\n", "A".repeat(43))).unwrap();
    restrict(key.as_ref());
    let user = arg(&pki.path("user.creds"));
    std::fs::write(&user, "BEGIN NATS USER JWT, BEGIN USER NKEY SEED").unwrap();
    let mut known = nats.clone();
    known["credentials_file"] = json!(user);
    let (code, findings) = check(&pki, &config(known), &[]);
    let open = format!("{user}: mode 644 lets others use the NATS user, expected 600");
    assert!(code == Some(0) && has(&findings, "warning", &open), "{findings:#?}");
    assert!(!findings.iter().any(|finding| finding.contains("127.0.0.1:1")), "{findings:#?}");
    let mut half = nats;
    half["sealing_key_files"] = json!([]);
    let file = pki.path("half.json");
    std::fs::write(&file, config(half).to_string()).unwrap();
    let refused = edgetrust(&["check", "--config", &arg(&file)]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("sealing_key_files: found "), "{said}");
}
