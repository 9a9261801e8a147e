//! Tests that a gateway's page leads to the cause of what is wrong, and says whose it is and what to do.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::addresses::{free_address, nowhere};
use super::chromium::Chromium;
use super::gateways::{Gateway, configuration, start, status, write};
use super::pki::Pki;

/// Returns the alarm whose heading has a text, as people read it.
fn alarm(browser: &mut Chromium, text: &str) -> String {
    browser.wait_for_text("#alarm-list", text);
    let alarms = browser.texts("#alarm-list > li");
    alarms.into_iter().find(|alarm| alarm.contains(text)).unwrap()
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn a_target_that_is_down_is_named_with_its_tunnel() {
    let nobody = nowhere();
    let gateway = Gateway::run(nobody);
    let mut browser = Chromium::start(1280);
    browser.open(&gateway.url());
    assert_eq!(browser.text("#said"), "All is well");
    assert!(gateway.client("location-b").ask("hello").is_none());
    let alarm = alarm(&mut browser, &nobody.to_string());
    assert!(alarm.contains("Error: feed – ") && alarm.contains("Connection refused"), "{alarm}");
    assert!(alarm.contains("Start the service at the tunnel's target"), "{alarm}");
    assert!(alarm.contains("Whose: Of the operator of the service"), "{alarm}");
    assert_eq!(browser.text("#said"), "1 error");
    assert!(browser.eval("document.title").as_str().unwrap().starts_with("1 error"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn a_refused_reload_is_shown_with_its_place_until_it_is_mended() {
    let gateway = Gateway::echoing();
    let mut browser = Chromium::start(1280);
    browser.open(&gateway.url());
    let good = std::fs::read(&gateway.config).unwrap();
    let mut config = configuration(&gateway.pages, "127.0.0.1:9");
    config["gateway"]["tunnels"][0]["targt"] = json!("127.0.0.1:9");
    write(&gateway.config, &config);
    let alarm = alarm(&mut browser, "targt");
    assert!(alarm.contains("gateway.json:1:") && alarm.contains("the configuration before stays in force"), "{alarm}");
    assert!(alarm.contains("Correct what the reason names"), "{alarm}");
    assert!(browser.text("#gateway").contains("targt"));
    std::fs::write(&gateway.config, good).unwrap();
    browser.wait_for_text("#said", "All is well");
    assert_eq!(browser.texts("#alarm-list > li").len(), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn an_expired_certificate_comes_first_everywhere() {
    let pki = Pki::new("Example Root");
    pki.issue_with("gateway", &["gateway.example"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let pages = free_address();
    let config = pki.path("gateway.json");
    write(&config, &configuration(&pages, "127.0.0.1:9"));
    let _program = start(&config, &pages);
    let mut browser = Chromium::start(1280);
    browser.open(&format!("http://{pages}/"));
    let alarm = alarm(&mut browser, "expired at 2020-01-01");
    assert!(alarm.contains("To do: ") && alarm.contains("Whose: The operator's, at once"), "{alarm}");
    let first = browser.text("#certificates tbody tr");
    assert!(first.contains("expired") && first.contains("feed"), "{first}");
    assert!(browser.text("#tiles a[href='#certificates']").contains("expired"));
    assert!(browser.text("#gateway").contains("are not served: tunnel feed: its certificate expired"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// The store of a shared certificate is away at the first start: the page says so at the credential and as an alarm.
#[test]
#[ignore = "needs chromium: tests/run"]
fn a_store_that_is_away_is_named_at_its_credential() {
    let pki = Pki::new("Example Root");
    let sealing = pki.path("sealing.key");
    std::fs::write(&sealing, format!("{}=\n", "A".repeat(43))).unwrap();
    std::fs::set_permissions(&sealing, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (pages, server) = (free_address(), nowhere().to_string());
    let mut config = configuration(&pages, "127.0.0.1:9");
    config["security"]["tls"]["server"] = json!({"enabled": true, "mode": "acme", "acme": {
        "enabled": true, "directory_url": format!("https://{}/d", nowhere()), "domains": ["gateway.example"],
        "ca_bundle": "ca.pem", "http_listen": free_address(), "storage_path": "acme",
        "storage": {"nats": {"servers": [format!("nats://{server}")], "sealing_key_files": [sealing]}},
    }});
    let file = pki.path("gateway.json");
    write(&file, &config);
    let _program = start(&file, &pages);
    let mut browser = Chromium::start(1280);
    browser.open(&format!("http://{pages}/"));
    let alarm = alarm(&mut browser, "the store that gateways share is away since");
    assert!(alarm.contains(&server) && alarm.contains("Start the servers of the store"), "{alarm}");
    browser.wait_for_text("#renewal", "shared, no generation yet");
    let shared = &status(&pages)["credentials"][0]["shared"];
    assert_eq!((shared["store"].as_str(), shared["generation"].as_u64()), (Some("away"), Some(0)));
    let error = shared["error"].as_str().unwrap();
    let shown = browser.text("#renewal");
    assert!(shown.contains("the store has been away for") && shown.contains(error), "{shown}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
