//! Tests that everybody can use the page: by keyboard, by screen reader, on a phone, in the dark.

use std::path::Path;

use super::addresses::free_address;
use super::chromium::Chromium;
use super::gateways::Gateway;
use super::peers::Program;
use super::pki::arg;

/// The widths of a small phone, a phone, a tablet and a screen.
const WIDTHS: [u32; 5] = [320, 390, 768, 1024, 1440];

/// A gateway with more than fits: 300 sessions, 64 refusals of long names, alarms.
struct Full {
    gateway: Gateway,
    _connect: Program,
    _sessions: Vec<std::net::TcpStream>,
}

impl Full {
    fn start() -> Self {
        let gateway = Gateway::echoing();
        let (cert, key) = gateway.pki.issue("location-b", &[]);
        let target = gateway.program.address.to_string();
        let files = [gateway.pki.ca(), cert, key].map(|file| arg(&file));
        let arguments: Vec<String> = ["connect", "--listen", &free_address(), "--target", &target]
            .into_iter()
            .chain(["--no-system-roots", "--server-name", "gateway.example"])
            .chain(["--cacert", &files[0], "--cert", &files[1], "--key", &files[2]])
            .map(str::to_owned)
            .collect();
        let connect = Program::start(&arguments);
        // As many at a time as find a place at the door of a slow machine.
        let mut sessions = Vec::new();
        while sessions.len() < 300 {
            sessions.extend((0..20).map(|_| std::net::TcpStream::connect(connect.address).unwrap()));
            gateway.program.wait_until("not all are open", |_| gateway.status()["sessions"]["open"] == sessions.len());
        }
        for number in 0..64 {
            let name = format!("{}-{number}", "a-name-without-a-place-to-break-".repeat(5));
            assert!(gateway.client(&name).ask("hello").is_none());
        }
        let refusals = gateway.status()["refusals"].as_array().unwrap().len();
        assert!(refusals >= 32, "{refusals}");
        std::fs::write(gateway.pki.path("gateway.pem"), "garbage").unwrap();
        gateway.program.wait_until("the reload is refused", |_| !gateway.status()["reloads"]["last_refusal"].is_null());
        Self { gateway, _connect: connect, _sessions: sessions }
    }
}

/// Checks the page by axe-core, which tests/run fetches.
fn axe(browser: &mut Chromium) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/axe-core/package/axe.min.js");
    let script = std::fs::read_to_string(&file).expect("axe-core is not here: tests/run fetches it");
    browser.eval(&format!("{script}; true"));
    let found = browser.eval(
        "axe.run().then(found => ({passes: found.passes.length, violations: found.violations.map(one => one.id + ': ' +
         one.nodes.map(node => node.html + ' ' + node.failureSummary).slice(0, 3).join(' | '))}))",
    );
    assert_eq!(found["violations"], serde_json::json!([]), "{found:#}");
    assert!(found["passes"].as_u64().unwrap() > 15, "axe has checked too little: {found}");
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn a_full_page_fits_every_width_and_satisfies_axe_in_light_and_dark() {
    let full = Full::start();
    let mut browser = Chromium::start(1280);
    browser.open(&full.gateway.url());
    assert!(browser.text("#session caption").contains("the 256 newest of 300 sessions"));
    // All that can be opened is open.
    browser.eval(
        "document.querySelectorAll('details').forEach(one => one.open = true);
         document.querySelectorAll('main button').forEach(one => one.click())",
    );
    browser.wait_for("document.querySelectorAll('#each tbody tr').length === 256");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for width in WIDTHS {
            browser.resize(width);
            browser.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
            let beyond = browser.eval(
                "[document.documentElement, ...document.querySelectorAll('main *')].filter(one => !one.closest('svg') &&
                 !one.closest('.unseen, thead') && one.getBoundingClientRect().right > innerWidth + 1)
                 .map(one => one.outerHTML.slice(0, 200)).slice(0, 5)",
            );
            assert_eq!(beyond, serde_json::json!([]), "at {width}: {beyond:#}");
            assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth"), true, "at {width}");
        }
        for width in [390, 1280] {
            browser.resize(width);
            axe(&mut browser);
        }
        let background = browser.eval("getComputedStyle(document.body).backgroundColor");
        assert_eq!(background == "rgb(244, 246, 248)", scheme == "light", "{background}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn everything_can_be_reached_by_keyboard() {
    let gateway = Gateway::echoing();
    let _session = gateway.session("location-b");
    std::fs::write(gateway.pki.path("gateway.pem"), "garbage").unwrap();
    gateway.program.wait_for("reload refused");
    let mut browser = Chromium::start(1280);
    browser.open(&gateway.url());
    browser.wait_for_text("#said", "1 error");
    let wanted = "[...document.querySelectorAll('a[href], button, summary')].filter(one => one.checkVisibility())";
    let count = browser.eval(&format!("({wanted}).length")).as_u64().unwrap();
    assert!(count > 10, "{count}");
    browser.eval("window.reached = new Set()");
    for number in 0..count {
        browser.press("Tab", 9);
        let shown = browser.eval(
            "(one => { reached.add(one); const style = getComputedStyle(one);
              return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; })(document.activeElement)",
        );
        assert_eq!(shown, true, "stop {number}: its focus is not seen");
        if number == 0 {
            assert_eq!(browser.text(":focus"), "Skip to the alarms");
        }
    }
    assert_eq!(
        browser.eval(&format!("({wanted}).filter(one => !reached.has(one)).map(one => one.outerHTML)")),
        serde_json::json!([])
    );

    // A runbook opens where a link leads to it.
    browser.eval("document.querySelector('#alarm-list a').focus()");
    browser.press("Enter", 13);
    browser.wait_for("document.querySelector('#edgetrustreloadrefused:target')?.checkVisibility() === true");
    // One element alone is read aloud when it changes, and it has changed in place.
    assert_eq!(
        browser.eval("document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]').length"),
        1
    );
    assert_eq!(browser.eval("document.querySelectorAll('h1').length"), 1);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs chromium: tests/run"]
fn nothing_moves_for_those_who_ask_for_it() {
    let gateway = Gateway::echoing();
    let mut browser = Chromium::start(1280);
    let features = serde_json::json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    browser.call("Emulation.setEmulatedMedia", &features);
    browser.open(&gateway.url());
    let moving = "[...document.querySelectorAll('*')].filter(one => { const style = getComputedStyle(one);
        return style.transitionDuration !== '0s' || style.animationName !== 'none' || style.scrollBehavior === 'smooth'; }).length";
    assert_eq!(browser.eval(moving), 0);
    browser.call(
        "Emulation.setEmulatedMedia",
        &serde_json::json!({"features": [{"name": "prefers-reduced-motion", "value": "no-preference"}]}),
    );
    assert_ne!(browser.eval(moving), 0, "the check finds what moves");
}
