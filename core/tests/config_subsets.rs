//! Tests every subset of keys of each object: no incomplete object opens more than the same file with the missing key.

mod config_file;

use config_file::{parse, refused};
use edgetrust_core::config::{Config, CredentialSource, Device, Server, TunnelKind};

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

const PINNED: &str = r#"{"ca_files":["shared-ca"],"use_system_roots":false,
  "mtls":{"enabled":true,"cert_file":"c","key_file":"k"}}"#;

/// The keys of an object, each of which may be left out; those of `mtls` have it as a prefix.
type Keys = &'static [(&'static str, &'static str)];

const SERVER_KEYS: Keys = &[
    ("enabled", "true"),
    ("cert_file", r#""c""#),
    ("key_file", r#""k""#),
    ("mtls.enabled", "true"),
    ("mtls.client_ca_files", r#"["WHO-ca"]"#),
    ("mtls.pinned_certificates", r#"["WHO-pin"]"#),
    ("mtls.allowed_client_cns", r#"["WHO"]"#),
    ("mtls.allowed_client_uris", "[]"),
];

const CLIENT_KEYS: Keys = &[
    ("ca_files", r#"["WHO-ca"]"#),
    ("pinned_certificates", r#"["WHO-pin"]"#),
    ("use_system_roots", "false"),
    ("insecure_skip_verify", "false"),
    ("mtls.enabled", "true"),
    ("mtls.cert_file", r#""WHO-c""#),
    ("mtls.key_file", r#""WHO-k""#),
];

/// Returns the object with the keys whose bits are set.
fn object(keys: Keys, set: u32, who: &str) -> String {
    let chosen = |inside: bool| {
        let members = keys.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
        let members = members.filter_map(|(_, (key, value))| match key.strip_prefix("mtls.") {
            Some(key) if inside => Some(format!(r#""{key}":{value}"#)),
            None if !inside => Some(format!(r#""{key}":{value}"#)),
            _ => None,
        });
        members.collect::<Vec<_>>()
    };
    let (mut members, inside) = (chosen(false), chosen(true));
    if !inside.is_empty() {
        members.push(format!(r#""mtls":{{{}}}"#, inside.join(",")));
    }
    format!("{{{}}}", members.join(",")).replace("WHO", who)
}

fn bit(keys: Keys, key: &str) -> u32 {
    1 << keys.iter().position(|(known, _)| *known == key).unwrap()
}

/// Returns the openness of a server (plaintext 3, TLS 2, optional certificates 1, mutual TLS 0), and whether every
/// verified client is admitted.
fn openness(json: &str, names: impl Fn(&edgetrust_core::config::ClientTrust<'_>)) -> Option<(u8, bool)> {
    parse(json, |config| match &config.gateway.tunnels[0].kind {
        TunnelKind::Server { tls: Server::Plain, .. } => (3, true),
        TunnelKind::Server { tls: Server::Tls(_), .. } => (2, true),
        TunnelKind::Server { tls: Server::MutualTls(_, clients), .. } => {
            names(clients);
            (u8::from(!clients.required), clients.any_verified)
        }
        TunnelKind::Client { .. } => unreachable!(),
    })
    .ok()
}

/// Combines each subset of keys of `security.tls.server` with each subset of keys of a tunnel's `tls`, and with no
/// `tls`.
#[test]
fn no_subset_of_a_servers_keys_opens_more_than_with_the_missing_key_written() {
    let all = 1_u32 << SERVER_KEYS.len();
    let rules = bit(SERVER_KEYS, "mtls.allowed_client_cns") | bit(SERVER_KEYS, "mtls.allowed_client_uris");
    let [cns, cas, pins] = ["mtls.allowed_client_cns", "mtls.client_ca_files", "mtls.pinned_certificates"]
        .map(|key| bit(SERVER_KEYS, key));
    let tls = |own: u32| if own == all { String::new() } else { object(SERVER_KEYS, own, "own") };
    let index = |shared: u32, own: u32| (shared * (all + 1) + own) as usize;
    let mut open = vec![None; ((all + 1) * all) as usize];
    for shared in 0..all {
        let text = object(SERVER_KEYS, shared, "shared");
        for own in 0..=all {
            let written = if own == all { 0 } else { own };
            open[index(shared, own)] = openness(&file("server", &text, &tls(own)), |clients| {
                let whose = |own: bool| if own { "own" } else { "shared" };
                let is_own = written & (cas | pins) != 0;
                let from = if is_own { written } else { shared };
                for (named, bit, kind) in [(&clients.ca_files, cas, "ca"), (&clients.pinned_certificates, pins, "pin")]
                {
                    let expected = if from & bit != 0 { vec![format!("{}-{kind}", whose(is_own))] } else { vec![] };
                    assert_eq!(named[..], expected, "{shared:b} {own:b}");
                }
                let from = if written & rules != 0 { written } else { shared };
                let expected = if from & cns != 0 { vec![whose(written & rules != 0)] } else { vec![] };
                assert_eq!(clients.allowed_cns[..], expected, "{shared:b} {own:b}");
                assert_eq!(clients.any_verified, (shared | written) & rules == 0, "{shared:b} {own:b}");
            });
        }
    }
    let mut compared = 0;
    for shared in 0..all {
        for own in 0..=all {
            let Some((how, any)) = open[index(shared, own)] else { continue };
            let written = if own == all { 0 } else { own };
            for key in (0..SERVER_KEYS.len()).map(|bit| 1 << bit) {
                // That no list at all lets every verified client in is documented, and `check` warns.
                let first_rule = key & rules != 0 && (shared | written) & rules == 0;
                let more = [
                    (shared & key == 0).then_some((shared | key, own)),
                    (own != all && own & key == 0).then_some((shared, own | key)),
                ];
                for (shared_more, own_more) in more.into_iter().flatten() {
                    let Some((how_more, any_more)) = open[index(shared_more, own_more)] else { continue };
                    compared += 1;
                    assert!(how <= how_more, "{} {} and {key:b}", object(SERVER_KEYS, shared, "shared"), tls(own));
                    assert!(
                        first_rule || any <= any_more,
                        "{} {} and {key:b}",
                        object(SERVER_KEYS, shared, "shared"),
                        tls(own)
                    );
                }
            }
        }
    }
    assert!(compared > 1_000, "{compared}");
}

#[test]
fn no_subset_of_a_clients_keys_believes_more_than_is_written() {
    let all = 1_u32 << CLIENT_KEYS.len();
    let [cas, pins, system, insecure] = ["ca_files", "pinned_certificates", "use_system_roots", "insecure_skip_verify"]
        .map(|key| bit(CLIENT_KEYS, key));
    let files = bit(CLIENT_KEYS, "mtls.cert_file") | bit(CLIENT_KEYS, "mtls.key_file");
    let mut accepted = 0;
    for shared in 0..all {
        for own in 0..=all {
            for skip in [false, true] {
                let text = object(CLIENT_KEYS, shared, "shared")
                    .replace(r#""insecure_skip_verify":false"#, &format!(r#""insecure_skip_verify":{skip}"#));
                let (tls, own) = if own == all { (String::new(), 0) } else { (object(CLIENT_KEYS, own, "own"), own) };
                let look = |config: &mut Config<'_>| {
                    let TunnelKind::Client { tls, .. } = &config.gateway.tunnels[0].kind else { unreachable!() };
                    let context = format!("{text} {own:b}");
                    let own_trust = own & (cas | pins | system) != 0;
                    assert_eq!(tls.system_roots, !own_trust && shared & system == 0, "{context}");
                    let from = if own_trust { own } else { shared };
                    let whose = if own_trust { "own" } else { "shared" };
                    for (named, bit, kind) in [(&tls.ca_files, cas, "ca"), (&tls.pinned_certificates, pins, "pin")] {
                        let expected = if from & bit != 0 { vec![format!("{whose}-{kind}")] } else { vec![] };
                        assert_eq!(named[..], expected, "{context}");
                    }
                    assert_eq!(
                        tls.insecure_skip_verify,
                        skip && shared & insecure != 0 && own & (insecure | cas | pins | system) == 0,
                        "{context}"
                    );
                    if let Some(CredentialSource::Files(shown)) = &tls.credential {
                        let whose = if own & files != 0 { "own" } else { "shared" };
                        assert_eq!(
                            (shown.cert_file, shown.key_file),
                            (&*format!("{whose}-c"), &*format!("{whose}-k")),
                            "{context}"
                        );
                    }
                };
                accepted += u32::from(parse(&file("client", &text, &tls), look).is_ok());
            }
        }
    }
    assert!(accepted > 400, "{accepted}");
}

/// An `acme` section without `enabled` is refused at every place, whatever its other keys.
#[test]
fn no_subset_of_acmes_keys_is_taken_for_nothing() {
    const ACME: Keys = &[
        ("directory_url", r#""https://ca.example/d""#),
        ("domains", r#"["a.example"]"#),
        ("storage_path", r#""s""#),
        ("http_listen", r#""127.0.0.1:80""#),
        ("ca_bundle", r#""""#),
        ("key_type", r#""p256""#),
    ];
    for set in 1..1_u32 << ACME.len() {
        let acme = object(ACME, set, "");
        let server = r#"{"enabled":true,"mode":"acme","cert_file":"c","key_file":"k","#;
        for json in [
            file("server", &format!(r#"{server}"acme":{acme}}}"#), ""),
            file("server", MUTUAL, &format!(r#"{{"acme":{acme}}}"#)),
            file("server", MUTUAL, &format!(r#"{{"cert_file":"c","key_file":"k","acme":{acme}}}"#)),
            file("client", &format!(r#"{{"mode":"acme","acme":{acme}}}"#), ""),
            file(
                "client",
                &format!(r#"{{"mtls":{{"enabled":true,"cert_file":"c","key_file":"k","acme":{acme}}}}}"#),
                "",
            ),
            file("client", PINNED, &format!(r#"{{"acme":{acme}}}"#)),
            file("client", PINNED, &format!(r#"{{"mtls":{{"enabled":true,"acme":{acme}}}}}"#)),
        ] {
            assert!(refused(&json).contains("acme: found "), "{json}: {}", refused(&json));
        }
    }
}

#[test]
fn no_subset_of_a_devices_keys_believes_or_shows_what_is_not_written() {
    const KEYS: Keys = &[
        ("ca_files", r#"["ca"]"#),
        ("use_system_roots", "false"),
        ("mtls.enabled", "true"),
        ("mtls.cert_file", r#""c""#),
        ("mtls.key_file", r#""k""#),
    ];
    const DEVICE: Keys = &[
        ("gateway", r#""gateway.example:1""#),
        ("server_name", r#""name.example""#),
        ("report", r#""/r""#),
        ("enroll", r#""est.example:2""#),
        ("enroll_name", r#""est-name.example""#),
    ];
    for set in 0..1_u32 << KEYS.len() {
        for device in 0..1_u32 << DEVICE.len() {
            let has = |key: &str| device & bit(DEVICE, key) != 0;
            let client = object(KEYS, set, "");
            let json =
                format!(r#"{{"security":{{"tls":{{"client":{client}}}}},"device":{}}}"#, object(DEVICE, device, ""));
            let whole = set | bit(KEYS, "use_system_roots") == (1 << KEYS.len()) - 1;
            let sends = has("gateway") && has("report") && (has("enroll") || !has("enroll_name"));
            let accepted = parse(&json, |config| {
                let device = config.device.as_ref().unwrap();
                assert!(!config.client.system_roots && device.ca_files == ["ca"], "{json}");
                assert_eq!(device.server_name, if has("server_name") { "name.example" } else { "gateway.example" });
            });
            assert_eq!(accepted.is_ok(), whole && sends, "{json}: {accepted:?}");
            let mut bytes = json.clone().into_bytes();
            assert_eq!(Device::parse(&mut bytes).is_ok(), accepted.is_ok(), "{json}");
        }
    }
}
