//! Makes each request of an order fail in each way, and kills the program at each step.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::ca::StepCa;
use super::fault_proxy::{Fault, FaultProxy};
use super::gateway::Site;
use super::peers::{PATIENCE, edgetrust};

struct Bench {
    ca: StepCa,
    proxy: FaultProxy,
    site: Site,
}

impl Bench {
    fn new() -> Self {
        let ca = StepCa::start();
        let proxy = FaultProxy::new(&ca.root, &ca.root_file(), ca.address);
        let mut site = Site::new(&ca, &["gateway.mesh.test"]);
        site.acme["directory_url"] = json!(format!("https://{}/acme/mesh/directory", proxy.address));
        site.write();
        Self { ca, proxy, site }
    }

    fn acme(&self, command: &str) -> Output {
        edgetrust(&["acme", command, "--config", &self.site.file().display().to_string()])
    }

    fn renew(&self) -> String {
        let output = self.acme("renew");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Returns the credential's entry of `acme status`, which reads the storage as a gateway does.
    fn status(&self) -> Value {
        let output = edgetrust(&["acme", "status", "--json", "--config", &self.site.file().display().to_string()]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        status["credentials"][0].clone()
    }
}

fn new_orders(requests: &[String]) -> usize {
    requests.iter().filter(|path| path.ends_with("/new-order")).count()
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn every_request_may_fail_once() {
    let bench = Bench::new();
    bench.renew();
    bench.proxy.plan(|_, _| None);
    bench.renew();
    let steps = bench.proxy.requests().len();
    assert!(steps >= 9, "{:?}", bench.proxy.requests());
    for fault in [Fault::Reset, Fault::LoseAnswer, Fault::Truncate, Fault::Answer(503, None, "<html>Bad day</html>")] {
        for step in 1..=steps {
            bench.proxy.plan(move |number, _| (number == step).then_some(fault));
            let said = bench.renew();
            assert!(said.starts_with("gateway.mesh.test: renewed, expires "), "{fault:?} at {step}: {said}");
            // A truncated JSON document is detected; a response without a body lacks nothing.
            assert_eq!(bench.proxy.done.try_recv(), Ok(fault), "at {step}");
            let orders = new_orders(&bench.proxy.requests());
            assert!(orders <= 2, "{fault:?} at {step}: {orders} orders: {:?}", bench.proxy.requests());
        }
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn killed_at_every_step_it_resumes() {
    let bench = Bench::new();
    bench.renew();
    bench.proxy.plan(|_, _| None);
    bench.renew();
    let steps = bench.proxy.requests().len();
    let file = bench.site.file().display().to_string();
    for step in 1..=steps {
        let before = bench.status();
        bench.proxy.plan(move |number, _| (number == step).then_some(Fault::Hang));
        let mut child = Command::new(env!("CARGO_BIN_EXE_edgetrust"))
            .args(["acme", "renew", "--config", &file])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(bench.proxy.done.recv_timeout(PATIENCE), Ok(Fault::Hang), "at {step}");
        let made = new_orders(&bench.proxy.requests());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(bench.status()["expires"], before["expires"], "killed at {step}: the working one is kept");
        assert_eq!(bench.status()["valid"], true);
        bench.proxy.plan(|_, _| None);
        bench.renew();
        let again = new_orders(&bench.proxy.requests());
        // Only the order whose response was lost is created again.
        let lost = bench.status();
        assert!(made + again <= 2 && (made == 0 || again <= 1), "killed at {step}: {made} and {again} orders: {lost}");
        assert_eq!(bench.status()["order_under_way"], false);
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn the_ca_is_killed_and_restarted_in_the_middle_of_an_order() {
    let mut bench = Bench::new();
    bench.renew();
    let file = bench.site.file().display().to_string();
    bench.proxy.plan(|_, path| path.ends_with("/finalize").then_some(Fault::LoseAnswer));
    let child = Command::new(env!("CARGO_BIN_EXE_edgetrust"))
        .args(["acme", "renew", "--config", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(bench.proxy.done.recv_timeout(PATIENCE), Ok(Fault::LoseAnswer));
    bench.ca.kill();
    // The attempt fails, or meets the CA again: either way the next one ends the order that was begun.
    let _ = child.wait_with_output().unwrap();
    bench.proxy.plan(|_, _| None);
    bench.ca.restart();
    bench.renew();
    assert_eq!(new_orders(&bench.proxy.requests()), 0, "{:?}", bench.proxy.requests());
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn what_the_ca_wishes_is_honoured_and_its_reasons_are_shown() {
    let bench = Bench::new();
    let limited = r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many orders"}"#;
    bench.proxy.plan(move |_, path| path.ends_with("/new-order").then_some(Fault::Answer(429, Some("7200"), limited)));
    let output = bench.acme("obtain");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said,
        "gateway.mesh.test: a new order: too many orders (urn:ietf:params:acme:error:rateLimited, status 429)\n"
    );
    let gateway = bench.site.run();
    gateway.program.wait_for("no certificate: a new order: too many orders");
    let asked = new_orders(&bench.proxy.requests());
    gateway.program.wait_until("it waits", |_| gateway.credential()["phase"] == "backing_off");
    let next = gateway.credential()["next"].as_str().unwrap().to_owned();
    let in_an_hour = Command::new("date").args(["-u", "-d", "+1 hour", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    assert!(next.as_str() > String::from_utf8(in_an_hour.stdout).unwrap().trim(), "{next}");
    assert_eq!(asked, new_orders(&bench.proxy.requests()));
    drop(gateway);
    bench.proxy.plan(|_, _| Some(Fault::Answer(502, None, "<html>\n<h1>Bad Gateway</h1>")));
    let said = String::from_utf8(bench.acme("obtain").stdout).unwrap();
    assert!(said.contains("502 Bad Gateway, without a problem document: <html>\\n<h1>Bad Gateway</h1>"), "{said}");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn commands_for_people_and_timers() {
    let bench = Bench::new();
    assert_eq!(bench.acme("status").status.code(), Some(1), "nothing is kept yet");
    let said = |command: &str| {
        let output = bench.acme(command);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = said("obtain");
    assert!(code == Some(0) && text.starts_with("gateway.mesh.test: renewed, expires "), "{text}");
    let (code, text) = said("obtain");
    assert!(code == Some(0) && text.starts_with("gateway.mesh.test: fresh, expires "), "{text}");
    let (code, text) = said("status");
    assert!(code == Some(0) && text.starts_with("gateway.mesh.test: valid, expires "), "{text}");
    let (code, text) = said("account");
    assert!(code == Some(0) && text.starts_with("gateway.mesh.test: account https://"), "{text}");
    let (code, text) = said("revoke");
    assert!(code == Some(0) && text.starts_with("gateway.mesh.test: revoked"), "{text}");
    let (code, text) = said("revoke");
    assert!(code == Some(1) && text.contains("alreadyRevoked"), "{text}");
    // While a gateway runs, the command asks it to renew.
    let gateway = bench.site.run();
    let before = gateway.served();
    let (code, text) = said("obtain");
    assert!(code == Some(0) && text.starts_with("gateway.mesh.test: a running gateway keeps it fresh"), "{text}");
    let (code, text) = said("renew");
    assert!(code == Some(0) && text.starts_with("gateway.mesh.test: renewed by the running gateway"), "{text}");
    gateway.program.wait_until("the new one is shown", |_| gateway.served() != before);
    let file = bench.site.file().display().to_string();
    let check = edgetrust(&["check", "--online", "--config", &file]);
    let shown = String::from_utf8(check.stdout).unwrap();
    for part in ["the directory answers", "its clock agrees", "valid until"] {
        assert!(shown.contains(part), "{shown}");
    }
    bench.proxy.plan(|_, _| Some(Fault::Answer(404, None, "{}")));
    let shown = String::from_utf8(edgetrust(&["check", "--online", "--config", &file]).stdout).unwrap();
    assert!(shown.contains("404 Not Found, and no directory"), "{shown}");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn settings_that_change_during_an_attempt_begin_another() {
    let mut bench = Bench::new();
    bench.proxy.plan(|_, path| path.ends_with("/new-order").then_some(Fault::Hang));
    // The sandbox has the ports of the start.
    let gateway = bench.site.run_with(&["--no-sandbox"]);
    assert_eq!(bench.proxy.done.recv_timeout(PATIENCE), Ok(Fault::Hang));
    bench.site.acme["directory_url"] = json!(bench.ca.directory());
    bench.site.write();
    gateway.wait_for_certificate();
}
