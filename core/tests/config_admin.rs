//! Tests the configuration of the operator's pages.

mod config_file;

use config_file::{parse, refused};
use edgetrust_core::config::Endpoint;

/// Returns a configuration with these keys of `gateway.admin`.
fn admin(keys: &str) -> String {
    format!(
        r#"{{"security":{{"tls":{{"server":{{"enabled":true,"cert_file":"a.pem","key_file":"a.key","mtls":{{"enabled":true,
        "client_ca_files":["root.pem"],"allowed_client_cns":["b"]}}}}}}}},
        "gateway":{{"tunnels":[{{"name":"in","mode":"server","listen":"0.0.0.0:8443","target":"127.0.0.1:1"}}],"admin":{{{keys}}}}}}}"#
    )
}

#[test]
fn pages_are_plain_or_over_mutual_tls_with_a_list_of_their_own() {
    parse(&admin(""), |config| assert!(config.gateway.admin.is_none())).unwrap();
    parse(&admin(r#""listen":"127.0.0.1:9090","hosts":["gw.example"],"check_targets":true"#), |config| {
        let admin = config.gateway.admin.as_ref().unwrap();
        assert_eq!(admin.listen, Endpoint::Tcp("127.0.0.1:9090".parse().unwrap()));
        assert_eq!((&admin.hosts[..], admin.check_targets), (&["gw.example"][..], true));
        assert!(admin.tls.is_none(), "the shared settings are for tunnels");
    })
    .unwrap();
    parse(&admin(r#""listen":"unix:admin.sock""#), |config| {
        assert_eq!(config.gateway.admin.as_ref().unwrap().listen, Endpoint::Unix("admin.sock"));
    })
    .unwrap();
    let own = r#""listen":"0.0.0.0:9443","tls":{"mtls":{"allowed_client_dns":["operator.example"]}}"#;
    parse(&admin(own), |config| {
        let admin = config.gateway.admin.as_ref().unwrap();
        assert!(admin.tls.is_some());
        assert_eq!(&admin.clients.allowed_dns[..], ["operator.example"]);
        assert_eq!(admin.clients.ca_files, ["root.pem"], "what is not said here is as for tunnels");
    })
    .unwrap();
}

#[test]
fn half_a_section_and_pages_for_the_wrong_readers_are_refused() {
    let rules = r#""allowed_client_dns":["operator.example"]"#;
    let cases = [
        (
            r#""listen":"gw.example:9090""#.to_owned(),
            r#"listen: found "gw.example:9090", expected ADDRESS:PORT or unix:PATH"#,
        ),
        (
            r#""listen":"0.0.0.0:8443""#.to_owned(),
            r#"listen: found "0.0.0.0:8443", expected an address that no tunnel listens on"#,
        ),
        (r#""hosts":["gw.example"]"#.to_owned(), "hosts: found an array, expected listen too"),
        (format!(r#""tls":{{"mtls":{{{rules}}}}}"#), "listen: found nothing, expected ADDRESS:PORT"),
        (
            r#""listen":"127.0.0.1:1","hosts":["gw.example:9090"]"#.to_owned(),
            r#"hosts: found "gw.example:9090", expected DNS names, without a port"#,
        ),
        (
            r#""listen":"127.0.0.1:1","tls":{}"#.to_owned(),
            "tls.mtls.allowed_client_cns: found nothing, expected a list of those who may read",
        ),
        (
            format!(r#""listen":"127.0.0.1:1","tls":{{"mtls":{{"enabled":false,{rules}}}}}"#),
            "tls.mtls.enabled: found false, expected true: readers are known",
        ),
        (
            format!(r#""listen":"127.0.0.1:1","tls":{{"mtls":{{"require_client_cert":false,{rules}}}}}"#),
            "tls.mtls.require_client_cert: found false, expected true",
        ),
        (
            r#""listen":"127.0.0.1:1","tls":{"enabled":false}"#.to_owned(),
            "tls.enabled: found false, expected true, or no gateway.admin.tls",
        ),
        (
            format!(r#""listen":"unix:admin.sock","tls":{{"mtls":{{{rules}}}}}"#),
            "tls.enabled: found an object, expected nothing: a Unix socket",
        ),
    ];
    for (keys, expected) in cases {
        let said = refused(&admin(&keys));
        assert!(said.starts_with(&format!("gateway.admin.{expected}")), "{keys}: {said}");
    }
}
