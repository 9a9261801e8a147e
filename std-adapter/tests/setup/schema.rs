//! Tests `edgetrust schema` by a validator of others: it takes what the parser takes, and refuses by shape as it does.

use std::collections::BTreeSet;
use std::path::Path;

use edgetrust::core::config::{Config, reference};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::peers::{edgetrust, shell};

fn schema() -> Value {
    serde_json::from_slice(&edgetrust(&["schema"]).stdout).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// Reads a configuration as an editor does: with comments, and without the order of its keys.
fn value(text: &str) -> Value {
    serde_json::from_str(&without_comments(text)).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn without_comments(text: &str) -> String {
    let (mut kept, mut rest, mut quoted) = (String::new(), text, false);
    while let Some(next) = rest.chars().next() {
        let length = match (quoted, rest) {
            (true, _) if next == '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (false, _) if rest.starts_with("//") => {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
                continue;
            }
            (false, _) if rest.starts_with("/*") => {
                rest = &rest[2 + rest[2..].find("*/").expect("the comment's end") + 2..];
                kept.push(' ');
                continue;
            }
            _ => next.len_utf8(),
        };
        quoted ^= next == '"';
        kept.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    kept
}

fn parser_takes(text: &str) -> Result<(), String> {
    Config::parse(&mut text.as_bytes().to_vec()).map(drop).map_err(|error| error.to_string())
}

fn schema_takes(validator: &Validator, value: &Value) -> Result<(), String> {
    validator.validate(value).map_err(|error| format!("{}: {error}", error.instance_path()))
}

/// Returns every configuration of the documents, of the core's tests and of the fuzzer's seeds.
fn written() -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut found, mut folders) = (Vec::new(), vec![top.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && !matches!(name.as_str(), "target" | ".git") {
                folders.push(path);
            } else if name.ends_with(".md") {
                let text = std::fs::read_to_string(&path).unwrap();
                let blocks = text
                    .split("```json")
                    .skip(1)
                    .map(|block| block.split_once('\n').unwrap().1.split("```").next().unwrap());
                let blocks = blocks.filter(|block| block.contains("\"security\"") || block.contains("\"gateway\""));
                found.extend(blocks.map(|block| (path.display().to_string(), block.to_owned())));
            }
        }
    }
    let documents = found.len();
    assert!(documents >= 5, "{documents} configurations in documents");
    for file in ["core/tests/data/adr-001.jsonc", "tests/fuzz/seeds/config/inheritance.json"] {
        found.push((file.to_owned(), std::fs::read_to_string(top.join(file)).unwrap()));
    }
    found
}

#[test]
fn the_schema_is_one_of_its_draft() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::draft202012::meta::validate(&schema).unwrap();
}

#[test]
fn it_takes_every_configuration_that_is_shown() {
    let validator = validator();
    for (file, text) in written() {
        parser_takes(&text).unwrap_or_else(|error| panic!("{file}: {error}\n{text}"));
        schema_takes(&validator, &value(&text)).unwrap_or_else(|error| panic!("{file}: {error}\n{text}"));
    }
}

#[test]
fn it_takes_what_the_program_generates() {
    let folder = tempfile::tempdir().unwrap();
    shell(
        folder.path(),
        "edgetrust federation init mesh --name Example --site a=a.example --site b=b.example --spiffe b",
    );
    let validator = validator();
    for site in ["a", "b"] {
        let file = folder.path().join(format!("mesh/sites/{site}/gateway.json"));
        let text = std::fs::read_to_string(&file).unwrap();
        parser_takes(&text).unwrap();
        schema_takes(&validator, &value(&text)).unwrap();
    }
}

/// Configurations in which every key is written: one text has a gateway, one a device, and one a device with a voucher
/// in place of a certificate.
fn complete() -> [Value; 3] {
    let hash = format!("sha256:{}", "0a".repeat(32));
    let acme = |folder: &str| {
        json!({"enabled": true, "directory_url": "https://ca.example/acme", "email": "", "domains": ["a.example"],
            "challenge_type": "http-01", "renew_before": "8h", "storage_path": folder, "ca_bundle": "roots.pem",
            "issuer_bundle": "roots.pem", "http_listen": "0.0.0.0:80", "eab": {"kid": "k", "hmac_key_file": "f"},
            "key_type": "p256", "renew_via": "acme", "profile": "p", "hook": "true", "dns_hook": "true",
            "storage": {"nats": {"servers": ["tls://nats.example:4222"], "bucket": "b", "cert_file": "c", "key_file": "k",
                "ca_files": ["ca.pem"], "credentials_file": "u.creds", "sealing_key_files": ["s.key"], "replicas": 3}}})
    };
    let limits = json!({"connections": 1, "handshakes": 1, "connections_per_source": 0, "handshakes_per_second": 0,
        "idle_timeout": "1m"});
    let of_clients = json!({"enabled": true, "client_ca_files": ["ca.pem"], "pinned_certificates": ["pin.pem"],
        "require_client_cert": true, "allowed_client_cns": ["a"], "allowed_client_dns": ["*.a.example"],
        "allowed_client_uris": ["spiffe://a"], "allowed_client_ips": ["::1"],
        "allowed_clients": [{"cn": "a", "issuers": ["ca.pem", hash]}, {"dns": "a.example"}, {"uri": "u"}, {"ip": "10.0.0.1"}]});
    let mut est_limits = limits.clone();
    est_limits.as_object_mut().unwrap().remove("idle_timeout");
    let mut est_acme = acme("p3");
    for key in ["domains", "hook", "renew_before", "storage"] {
        est_acme.as_object_mut().unwrap().remove(key);
    }
    let gateway = json!({
        "other": null,
        "security": {
            "another": 7,
            "tls": {
                "server": {"enabled": true, "mode": "acme", "cert_file": "c", "key_file": "k", "min_version": "1.3",
                    "acme": acme("p1"), "mtls": of_clients},
                "client": {"ca_files": ["ca.pem"], "use_system_roots": false, "insecure_skip_verify": false,
                    "server_issuers": [hash], "min_version": "1.2", "mode": "manual",
                    "acme": {"enabled": false},
                    "mtls": {"enabled": true, "cert_file": "c", "key_file": "k", "acme": acme("p2")}},
                "denied_keys": [hash, {"key": hash, "reason": "stolen", "until": "2027-01-31T00:00:00Z"}],
            },
        },
        "gateway": {
            "known_intermediates": ["i.pem"],
            "crl_files": ["list.crl"], "crls_required": "leaf", "audit_log": "audit.log",
            "admin": {"listen": "127.0.0.1:9090", "hosts": ["gw.example"], "check_targets": true,
                "tls": {"mtls": {"allowed_client_dns": ["operator.example"]}}},
            "mesh": {"file": "mesh.json", "site": "a", "storage_path": "mesh", "ca_bundle": "root.pem", "control": true,
                "storage": {"nats": {"servers": ["tls://nats.example:4222"]}}},
            "est": {"listen": "0.0.0.0:8444", "chain_in_answer": false, "limits": est_limits, "acme": est_acme,
                "first_enrollment": {"listen": "0.0.0.0:8445"},
                "tls": {"enabled": true, "cert_file": "c", "key_file": "k"}},
            "limits": {"connections": 1, "handshakes": 1, "connections_per_source": 0, "handshakes_per_second": 0,
                "waiting": 7, "handshake_timeout": "1.5s", "idle_timeout": "0s", "drain_timeout": "30s", "expired_grace": "0",
                "session_max_age": "168h", "keep_removed_sessions": true, "half_close_timeout": "5m",
                "keepalive_time": "1m30s", "keepalive_interval": "15s", "keepalive_probes": 127, "user_timeout": "5m"},
            "tunnels": [
                {"name": "in", "mode": "server", "listen": "[::]:8443",
                    "targets": ["localhost:8081", "unix:/run/b.sock"], "health_interval": "10s",
                    "accept_proxy": ["10.0.0.0/8"], "sni": ["a.example."],
                    "proxy_protocol": true, "proxy_protocol_certificate": true, "allow_remote_plaintext": false,
                    "max_fragment_size": 512,
                    "limits": limits, "tls": {"enabled": true, "mode": "manual", "cert_file": "c", "key_file": "k",
                    "min_version": "1.3", "mtls": of_clients}},
                {"name": "out", "mode": "client", "listen": "unix:/run/out.sock", "target": "b-1.example.:8443",
                    "proxy": "http://proxy.example:3128", "proxy_credentials_file": "f",
                    "server_name": "b.example", "tls": {"pinned_certificates": ["pin.pem"], "use_system_roots": true,
                    "mtls": {"cert_file": "c", "key_file": "k"}}},
                {"name": "mesh", "mode": "client", "listen": "127.0.0.1:9001", "service": "feed", "to": "b"},
            ],
        },
    });
    let device = json!({
        "security": {"tls": {"client": {"pinned_certificates": null, "ca_files": ["ca.pem"],
            "mtls": {"enabled": true, "cert_file": "c", "key_file": "k"}}}},
        "device": {"gateway": "192.0.2.1:8443", "server_name": "a.example", "websocket": "/feed", "report": "/report?x=1",
            "interval": "100ms", "enroll": "[2001:db8::1]:8444", "enroll_name": "2001:db8::1", "renew_before": "6h",
            "ntp": "time.example"},
    });
    let new = json!({
        "security": {"tls": {"client": {"ca_files": ["ca.pem"]}}},
        "device": {"gateway": "192.0.2.1:8443", "websocket": "/feed", "enroll": "192.0.2.1:8444",
            "first_enroll": "192.0.2.1:8445", "voucher": "sensor-7.voucher"},
    });
    for whole in [&gateway, &device, &new] {
        parser_takes(&whole.to_string()).unwrap();
    }
    [gateway, device, new]
}

/// Returns the places of all values below one, as JSON pointers.
fn places(value: &Value) -> Vec<String> {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(elements) => elements.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let inside = |(key, value): (String, &Value)| {
        let below = places(value).into_iter().map(|place| format!("/{key}{place}")).collect::<Vec<_>>();
        [format!("/{key}")].into_iter().chain(below).collect::<Vec<_>>()
    };
    members.into_iter().flat_map(inside).collect()
}

#[test]
fn it_refuses_nothing_that_the_parser_takes() {
    let validator = validator();
    let others = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(128),
        json!(4_294_967_296_u64),
        json!(-1),
        json!(""),
        json!("x"),
        json!("0"),
        json!("0s"),
        json!("1.h"),
        json!("10s"),
        json!("127.0.0.1:00080"),
        json!("[::1]:65535"),
        json!("unix:x"),
        json!("10.example:1"),
        json!("1-a.example."),
        json!("192.0.2.1"),
        json!("acme"),
        json!("1.3"),
        json!("/"),
        json!("a\nb"),
        json!([]),
        json!([""]),
        json!([7]),
        json!({}),
        json!({"enabled": false}),
        json!([{}]),
    ];
    let (mut taken, mut refused, mut keys) = (0, 0, BTreeSet::new());
    for whole in complete() {
        parser_takes(&whole.to_string()).unwrap();
        schema_takes(&validator, &whole).unwrap();
        let mut compare = |value: &Value, what: &str| {
            let (parser, schema) = (parser_takes(&value.to_string()), schema_takes(&validator, value));
            assert!(parser.is_err() || schema.is_ok(), "{what}: the parser takes it, the schema does not: {schema:?}");
            *if schema.is_ok() { &mut taken } else { &mut refused } += 1;
        };
        for place in places(&whole) {
            let key = place.rsplit_once('/').unwrap().1.to_owned();
            let (parent, own) = place.rsplit_once('/').unwrap();
            for other in &others {
                let mut changed = whole.clone();
                *changed.pointer_mut(&place).unwrap() = other.clone();
                compare(&changed, &format!("{place} is {other}"));
            }
            if let Some(members) = whole.pointer(parent).unwrap().as_object() {
                let mut changed = whole.clone();
                let mut left = members.clone();
                left.remove(own);
                *changed.pointer_mut(parent).unwrap() = Value::Object(left);
                compare(&changed, &format!("without {place}"));
                keys.insert(key);
            }
        }
    }
    reference(|entry| assert!(keys.contains(entry.key), "{} is in no configuration of this test", entry.key));
    assert!(taken > 1_000 && refused > 1_000, "{taken} taken, {refused} refused");
}

/// The schema refuses all that the parser refuses without a look at other keys: other types, other keys, and texts of
/// another form.
#[test]
fn it_refuses_by_shape_what_the_parser_refuses() {
    let validator = validator();
    let mut count = 0;
    let mut both_refuse = |value: &Value, what: &str| {
        let parser = parser_takes(&value.to_string());
        assert!(parser.is_err(), "{what}: the parser takes it");
        assert!(
            schema_takes(&validator, value).is_err(),
            "{what}: the schema takes it, the parser does not: {parser:?}"
        );
        count += 1;
    };
    for whole in complete() {
        for place in places(&whole) {
            let value = whole.pointer(&place).unwrap();
            if ["/other", "/security/another"].contains(&place.as_str()) {
                continue;
            }
            let name = place.split('/').rfind(|key| key.parse::<usize>().is_err()).unwrap();
            for other in [json!("x y"), json!(true), json!(7), json!({}), json!([7]), json!(null)] {
                let alike = std::mem::discriminant(value) == std::mem::discriminant(&other);
                let denied = name == "denied_keys" && (value.is_string() || value.is_object());
                let nothing = other.is_null() && (value.is_array() || value.is_null());
                if value.is_null() || nothing || (alike && !other.is_array()) || (denied && other == json!({})) {
                    continue;
                }
                let mut changed = whole.clone();
                *changed.pointer_mut(&place).unwrap() = other.clone();
                both_refuse(&changed, &format!("{place} is {other}"));
            }
            if value.is_object() {
                let open = ["", "/security"].contains(&place.as_str());
                for key in ["zzz", "Enabled", "denied_keys", "TLS"] {
                    if open && matches!(key, "zzz" | "Enabled") {
                        continue;
                    }
                    let mut changed = whole.clone();
                    changed.pointer_mut(&place).unwrap()[key] = json!({});
                    if place == "/security/tls" && key == "denied_keys" {
                        continue;
                    }
                    both_refuse(&changed, &format!("{place}/{key}"));
                }
            }
        }
    }
    assert!(count > 500, "{count}");
}

/// Texts and numbers that a key does not take, for each form.
#[test]
fn it_refuses_texts_and_numbers_of_another_form() {
    let validator = validator();
    let [gateway, device, new] = complete();
    let (gateway, device, new) = (&gateway, &device, &new);
    let durations = ["", "8", "h", "8 h", "-8h", "8d", ".h", "1s\n"];
    let addresses =
        ["", "8443", ":8443", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:+80", "127.0.0.01:80", "::1:80", "[x]:80"];
    let hosts = ["", "a..example", "-a.example", "a.example-", "b\u{fc}cher.example", "10.0.0", "a b"];
    let cases: &[(&Value, &str, &[&str])] = &[
        (gateway, "/gateway/limits/idle_timeout", &durations),
        (gateway, "/gateway/limits/handshake_timeout", &[&durations[..], &["0", "0s", "0.0h"]].concat()),
        (gateway, "/security/tls/server/acme/renew_before", &["0", "0s", "8"]),
        (gateway, "/gateway/admin/listen", &[&addresses[..], &["a.example:80", "unix:"]].concat()),
        (gateway, "/gateway/est/listen", &[&addresses[..], &["unix:x"]].concat()),
        (gateway, "/gateway/est/first_enrollment/listen", &[&addresses[..], &["unix:x"]].concat()),
        (gateway, "/gateway/tunnels/0/listen", &[&addresses[..], &["localhost:80"]].concat()),
        (gateway, "/gateway/tunnels/1/target", &[&addresses[..], &["unix:", "300.0.0.1:80", "a b:80"]].concat()),
        (gateway, "/gateway/tunnels/1/server_name", &hosts),
        (gateway, "/gateway/tunnels/0/sni/0", &hosts),
        (gateway, "/gateway/tunnels/0/mode", &["", "Server", "both"]),
        (gateway, "/gateway/tunnels/0/tls/min_version", &["", "1.1", "TLS1.3"]),
        (gateway, "/security/tls/server/acme/key_type", &["", "P256", "rsa4096"]),
        (gateway, "/security/tls/server/acme/challenge_type", &["http-02"]),
        (gateway, "/security/tls/server/acme/renew_via", &["step"]),
        (gateway, "/security/tls/server/acme/directory_url", &["", "https://", "http://ca.example"]),
        (gateway, "/security/tls/denied_keys/0", &["", "sha256:", "sha256:0a", "stolen.pem"]),
        (gateway, "/security/tls/denied_keys/1/until", &["", "2027-01-31", "2027-01-31T00:00:00+01:00"]),
        (gateway, "/security/tls/client/server_issuers/0", &["", "sha256:0a"]),
        (gateway, "/security/tls/server/mtls/client_ca_files/0", &[""]),
        (device, "/device/gateway", &["", "a.example", "a.example:", "::1:80", "unix:x"]),
        (device, "/device/ntp", &hosts),
        (new, "/device/first_enroll", &["", "a.example", "a.example:", "::1:80", "unix:x"]),
        (new, "/device/voucher", &[""]),
        (device, "/device/report", &["", "report", "/a b"]),
    ];
    for (whole, place, texts) in cases {
        for text in *texts {
            let mut changed = (*whole).clone();
            *changed.pointer_mut(place).unwrap() = json!(text);
            assert!(parser_takes(&changed.to_string()).is_err(), "{place}: the parser takes {text:?}");
            assert!(schema_takes(&validator, &changed).is_err(), "{place}: the schema takes {text:?}");
        }
    }
    for (place, number) in [("connections", json!(0)), ("keepalive_probes", json!(128)), ("connections", json!(1.5))] {
        let mut changed = gateway.clone();
        changed["gateway"]["limits"][place] = number;
        assert!(parser_takes(&changed.to_string()).is_err() && schema_takes(&validator, &changed).is_err(), "{place}");
    }
    // A list that is too long, and an element with two names.
    for (place, value) in [
        ("/security/tls/server/mtls/client_ca_files", json!(vec!["ca.pem"; 17])),
        ("/security/tls/denied_keys", json!(vec![format!("sha256:{}", "0a".repeat(32)); 65])),
        ("/security/tls/server/mtls/allowed_clients/0", json!({"cn": "a", "dns": "a"})),
    ] {
        let mut changed = gateway.clone();
        *changed.pointer_mut(place).unwrap() = value;
        assert!(parser_takes(&changed.to_string()).is_err() && schema_takes(&validator, &changed).is_err(), "{place}");
    }
}

/// The command of the document writes the schema, and its settings of VS Code name the file.
#[test]
fn an_editor_is_told_of_it_as_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIGURATION.md")).unwrap();
    let command = text.split("```\n").find(|block| block.starts_with("edgetrust schema")).unwrap();
    shell(folder.path(), command);
    let settings = text.split("```json\n").find(|block| block.contains("json.schemas")).unwrap();
    let settings = value(settings.split("```").next().unwrap());
    let file = folder.path().join(settings["json.schemas"][0]["url"].as_str().unwrap());
    let written: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(written, schema());
}

/// Editors and people write `$schema`, which is a key of others at the top.
#[test]
fn a_schema_may_be_named_at_the_top() {
    let validator = validator();
    let text = r#"{"$schema": "./gateway.schema.json", "gateway": {"tunnels": []}}"#;
    parser_takes(text).unwrap();
    schema_takes(&validator, &value(text)).unwrap();
    for inside in [r#"{"gateway": {"$schema": "x"}}"#, r#"{"Gateway": {}}"#, r#"{"denied_keys": []}"#] {
        assert!(parser_takes(inside).is_err() && schema_takes(&validator, &value(inside)).is_err(), "{inside}");
    }
}
