//! Tests what the page shows against what `/status` says, and that it follows what happens.

use serde_json::Value;

use super::addresses::free_address;
use super::chromium::Chromium;
use super::gateways::{Gateway, start, status, wait_for_pages};
use super::peers::{OpensslClient, Program, echo};
use super::pki::{Pki, arg};

/// Returns the texts of a member of all elements of a list.
fn all<'a>(list: &'a Value, member: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().filter_map(|one| one[member].as_str()).collect()
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn the_page_has_what_status_has() {
    let gateway = Gateway::echoing();
    let _sessions: Vec<OpensslClient> = (0..3).map(|_| gateway.session("location-b")).collect();
    assert!(gateway.client("location-c").ask("hello").is_none());
    gateway.program.wait_for("refused:");
    let mut browser = Chromium::start(1280);
    browser.open(&gateway.url());
    let report = gateway.status();

    assert_eq!(browser.text("#said"), "1 warning");
    let alarms = browser.texts("#alarm-list h2");
    assert_eq!(alarms.len(), report["alarms"].as_array().unwrap().len(), "{report:#}");
    for (shown, alarm) in alarms.iter().zip(report["alarms"].as_array().unwrap()) {
        assert!(shown.contains(alarm["message"].as_str().unwrap()), "{shown}: {alarm}");
        assert!(shown.contains("Warning") && shown.contains(alarm["subject"].as_str().unwrap()), "{shown}");
    }
    let tunnel = browser.text("#tunnels tbody tr");
    for member in ["name", "address", "target"] {
        assert!(tunnel.contains(report["tunnels"][0][member].as_str().unwrap()), "{tunnel}");
    }
    assert_eq!(browser.texts("#tunnels tbody td.n")[..3], ["3", "3", "1"], "{report:#}");
    // The sessions of one peer are one row, and each has its own further down.
    assert_eq!(browser.texts("#session tbody tr").len(), 1);
    let peer = browser.text("#sessions tbody tr");
    assert!(peer.contains("CN=location-b") && peer.contains("CN location-b") && peer.contains("15 B"), "{peer}");
    assert_eq!(browser.texts("#sessions details tbody tr").len(), 3);
    let refusal = browser.text("#refusals tbody tr");
    assert!(refusal.contains(report["refusals"][0]["reason"].as_str().unwrap()), "{refusal}");
    assert!(refusal.contains("CN=location-c") && refusal.contains("by a configured CA"), "{refusal}");
    let certificates = browser.texts("#certificates tbody th").join("\n");
    for subject in all(&report["tunnels"][0]["authorities"], "subject") {
        assert!(certificates.contains(subject), "{certificates}");
    }
    let ends = browser.eval("[...document.querySelectorAll('#certificates tbody time')].map(one => one.dateTime)");
    assert!(ends.as_array().unwrap().contains(&report["tunnels"][0]["certificate_expires"]), "{ends}");
    let configuration = browser.text("#gateway dl");
    for member in ["file", "sha256"] {
        assert!(configuration.contains(report["configuration"][member].as_str().unwrap()), "{configuration}");
    }
    assert!(configuration.contains(report["version"].as_str().unwrap()), "{configuration}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn it_follows_what_happens_and_leaves_the_focus_where_it_is() {
    let mut gateway = Gateway::echoing();
    let mut browser = Chromium::start(1280);
    browser.open(&gateway.url());
    assert_eq!(browser.text("#said"), "All is well");
    assert_eq!(browser.text("#link"), "live");
    browser
        .eval("document.querySelector('footer a').focus(); window.mine = document.querySelector('#tunnels tbody tr')");
    browser.eval("document.querySelector('#tiles a').focus()");

    // A session opens, carries something, and ends.
    let mut session = gateway.session("location-b");
    browser.wait_for_text("#sessions tbody", "CN=location-b");
    assert!(session.ask(&"x".repeat(60_000)).is_some());
    browser.wait_for("/[1-9][\\d.]* kB\\/s/.test(document.querySelector('#tunnels tbody').textContent)");
    drop(session);
    browser.wait_for_text("#sessions", "No session is open.");
    browser.wait_for_text("#tunnels tbody tr", "0 B/s");

    // A certificate is replaced.
    let before = gateway.status()["tunnels"][0]["certificate_expires"].clone();
    let begin = time::OffsetDateTime::now_utc() - std::time::Duration::from_secs(60);
    gateway.pki.issue_with("next", &["gateway.example"], |params| {
        (params.not_before, params.not_after) = (begin, begin + std::time::Duration::from_secs(40 * 24 * 3600));
    });
    for end in ["key", "pem"] {
        std::fs::rename(gateway.pki.path(&format!("next.{end}")), gateway.pki.path(&format!("gateway.{end}"))).unwrap();
    }
    gateway.program.wait_for("reloaded");
    let after = gateway.status()["tunnels"][0]["certificate_expires"].clone();
    assert_ne!(before, after);
    browser.wait_for(&format!("document.querySelector('#certificates time[datetime={after}]') !== null"));
    browser.wait_for_text("#said", "All is well");

    // What was there has been changed in place.
    assert_eq!(browser.eval("document.activeElement === document.querySelector('#tiles a')"), true);
    assert_eq!(browser.eval("window.mine.isConnected"), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // The gateway is gone, and comes back.
    let program = std::mem::replace(&mut gateway.program, Program::start_shell(&["true".to_owned()]));
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    browser.wait_for("document.getElementById('said').textContent.startsWith('No connection since 2')");
    assert_eq!(browser.text("#link"), "no connection");
    assert!(browser.text("#since").contains("At that time: All is well"));
    assert!(browser.eval("document.title").as_str().unwrap().starts_with("No connection"));
    gateway.program = start(&gateway.config, &gateway.pages);
    browser.wait_for_text("#said", "All is well");
    browser.wait_for("document.getElementById('link').textContent === 'live'");
    // It complains of the connection alone.
    for complaint in browser.complaints() {
        assert!(complaint.contains("ERR_CONNECTION_REFUSED"), "{complaint}");
    }
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn without_a_place_for_a_listener_it_asks_now_and_then() {
    let gateway = Gateway::echoing();
    let listeners: Vec<std::net::TcpStream> = (0..8)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(&gateway.pages).unwrap();
            std::io::Write::write_all(&mut stream, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            std::io::Read::read_exact(&mut stream, &mut [0; 12]).unwrap();
            stream
        })
        .collect();
    let mut browser = Chromium::start(1280);
    browser.open(&gateway.url());
    assert_eq!(browser.text("#link"), "asked every 5 s");
    let _session = gateway.session("location-b");
    browser.wait_for_text("#sessions tbody", "CN=location-b");
    assert_eq!(browser.text("#link"), "asked every 5 s");
    for complaint in browser.complaints() {
        assert!(complaint.contains("503"), "{complaint}");
    }
    drop(listeners);
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn names_that_peers_choose_are_text_and_nothing_else() {
    let gateway = Gateway::echoing();
    let name = "<img src=x onerror=hacked=1>\u{202e}\u{2066}live\u{200b}\"'&lt;";
    let (cert, key) = (gateway.pki.path("hostile.pem"), gateway.pki.path("hostile.key"));
    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&cert, gateway.pki.sign(name, &[], &pair)).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    assert!(gateway.client("hostile").ask("hello").is_none());
    gateway.program.wait_for("refused:");
    let mut browser = Chromium::start(1280);
    browser.open(&gateway.url());
    let shown = browser.text("#refusals tbody th bdi");
    assert!(shown.contains("<img src=x onerror=hacked=1"), "{shown}");
    assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{200b}']), "{shown:?}");
    assert_eq!(browser.eval("typeof hacked"), "undefined");
    assert_eq!(
        browser.eval("document.querySelectorAll('img, script:not(body > script), a[href^=javascript]').length"),
        0
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn a_gateway_with_almost_nothing_has_a_page() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let pages = free_address();
    let target = echo().to_string();
    let [cert, key] = [cert, key].map(|file| arg(&file));
    let serve = ["serve", "--listen", "127.0.0.1:0", "--target", &target, "--cert", &cert, "--key", &key];
    let arguments: Vec<String> =
        [&serve[..], &["--admin", &pages]].concat().iter().map(|text| (*text).to_owned()).collect();
    let program = Program::start(&arguments);
    wait_for_pages(&program, &pages);
    let mut browser = Chromium::start(390);
    browser.open(&format!("http://{pages}/"));
    assert_eq!(status(&pages)["mesh"], Value::Null);
    assert_eq!(browser.text("#said"), "All is well");
    let gateway = browser.text("#gateway");
    assert!(gateway.contains("given on the command line"), "{gateway}");
    assert!(gateway.contains("mesh, renewal by ACME, devices (EST)"), "{gateway}");
    assert_eq!(browser.texts("#mesh, #renewal, #devices").len(), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
