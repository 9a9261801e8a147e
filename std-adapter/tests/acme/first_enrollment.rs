//! Tests devices that get their first certificate by a voucher: curl, openssl and a third-party client play the device,
//! step-ca is the CA.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use super::ca::{StepCa, tool};
use super::est::{Answer, Location, POST, acme, config};
use super::peers::{Program, edgetrust};

const NAME: &str = "sensor-9.mesh.test";
const NAMES: &str = "DNS:sensor-9.mesh.test";
const SUBJECT: &str = "/CN=sensor-9.mesh.test";
const TOLD: &str = "not authorized\n";

/// A location where devices without a certificate get one.
struct Newcomers {
    location: Location,
    first: SocketAddr,
}

fn file(location: &Location) -> String {
    location.path("gateway.json").display().to_string()
}

fn first(program: &Program) -> SocketAddr {
    let line = program.wait_for("est: listening for first enrollments address=");
    line.split_once("address=").unwrap().1.trim().parse().unwrap()
}

impl Newcomers {
    fn new(ca: &StepCa) -> Self {
        let allowed = [NAME, "sensor-10.mesh.test", "sensor-7.mesh.test"];
        let location = Location::of(
            ca,
            |folder| {
                let mut config = config(ca, acme(ca), folder, &allowed);
                config["gateway"]["est"]["first_enrollment"] = json!({"listen": "127.0.0.1:0"});
                config
            },
            &[],
        );
        let first = first(&location.program);
        Self { location, first }
    }

    fn devices(&self, arguments: &[&str]) -> Output {
        edgetrust(&[&["devices"], arguments, &["--config", &file(&self.location)]].concat())
    }

    /// Makes a voucher; returns it as name and password, with a colon between them.
    fn invite(&self, name: &str) -> String {
        let output = self.devices(&["invite", name]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains("its password is not shown again"), "{said}");
        let voucher = String::from_utf8(output.stdout).unwrap();
        let voucher = voucher.strip_suffix('\n').unwrap();
        assert!(voucher.starts_with(&format!("{name}:")) && !voucher.contains('\n'), "{voucher}");
        assert!(!said.contains(voucher.split_once(':').unwrap().1), "the log has no password: {said}");
        voucher.to_owned()
    }

    fn enroll(&self, voucher: Option<&str>) -> Answer {
        let mut curl = self.location.curl_at(self.first, None, "simpleenroll");
        if let Some(voucher) = voucher {
            curl.args(["--user", voucher]);
        }
        Answer::of(curl.args(POST)).expect("an answer")
    }

    /// Asserts that a device is told nothing but that it is not authorized, and that the log and the audit log say why.
    fn refuses(&self, voucher: &str, reason: &str) {
        let answer = self.enroll(Some(voucher));
        assert_eq!((answer.code, answer.body.as_str()), (401, TOLD), "{reason}: {answer:?}");
        assert!(answer.headers.contains("www-authenticate: basic realm=\"edgetrust\""), "{answer:?}");
        let line = self.location.program.wait_for("est: refused: voucher for ");
        assert!(line.contains(reason) && line.contains("code=401"), "{reason}: {line}");
        let password = voucher.split_once(':').unwrap().1;
        assert!(password.is_empty() || !line.contains(password), "{line}");
        let log = || std::fs::read_to_string(self.location.path("audit.log")).unwrap();
        self.location.program.wait_until("the audit log says why", |_| log().contains(reason));
    }

    fn state(&self, name: &str) -> String {
        let output = self.devices(&["list", "--json"]);
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = listed["vouchers"].as_array().unwrap();
        let of = all.iter().find(|voucher| voucher["name"] == name);
        of.map(|voucher| voucher["state"].as_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// Returns the lines of the audit log with this event.
    fn audited(&self, event: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(self.location.path("audit.log")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    }

    /// Makes a voucher by a configuration with another audit log, and another folder of the account.
    fn invite_by(&self, audit_log: &str, account: &str, name: &str) -> Output {
        let text = std::fs::read(self.location.path("gateway.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&text).unwrap();
        config["gateway"]["audit_log"] = json!(audit_log);
        config["gateway"]["est"]["acme"]["storage_path"] = json!(self.location.path(account));
        let path = self.location.path("other.json");
        std::fs::write(&path, config.to_string()).unwrap();
        edgetrust(&["devices", "invite", name, "--config", path.to_str().unwrap()])
    }

    fn vouchers(&self) -> PathBuf {
        self.location.path("acme-devices/vouchers.json")
    }

    fn serial(&self, pem: &str) -> String {
        std::fs::write(self.location.path("new.pem"), pem).unwrap();
        self.location.openssl("x509 -in new.pem -noout -serial")
    }

    /// Kills the gateway and starts it again.
    fn restart(&mut self) {
        self.location.program.signal("KILL");
        let arguments = ["run", "--config", &file(&self.location), "--watch-interval", "50ms"].map(str::to_owned);
        self.location.program = Program::start_tunnels(&arguments, 1);
        self.first = first(&self.location.program);
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_device_without_a_certificate_gets_one_by_its_voucher() {
    let ca = StepCa::start();
    let newcomers = Newcomers::new(&ca);
    let location = &newcomers.location;
    let voucher = newcomers.invite(NAME);
    assert_eq!(newcomers.state(NAME), "open");
    // Whoever comes may have the CAs; RFC 7030 section 4.1.2.
    let anchors = Answer::of(&mut location.curl_at(newcomers.first, None, "cacerts")).unwrap();
    assert_eq!(location.certificates(&anchors).matches("BEGIN CERTIFICATE").count(), 2);
    let attributes = Answer::of(&mut location.curl_at(newcomers.first, None, "csrattrs")).unwrap();
    assert_eq!(attributes.code, 200, "{attributes:?}");

    location.request(SUBJECT, NAMES);
    let challenged = newcomers.enroll(None);
    assert_eq!((challenged.code, challenged.body.as_str()), (401, TOLD), "{challenged:?}");
    assert!(!challenged.headers.contains("connection: close"), "a client may wait for the challenge: {challenged:?}");
    let pem = location.certificates(&newcomers.enroll(Some(&voucher)));
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1, "the certificate alone: {pem}");
    let serial = newcomers.serial(&pem);
    let line = location.program.wait_for("est: a first certificate was issued by the voucher for sensor-9.mesh.test");
    assert!(line.contains("remote=127.0.0.1:") && line.contains("code=200"), "{line}");
    assert_eq!(newcomers.state(NAME), "used");
    assert_eq!(
        location.openssl("x509 -in new.pem -noout -pubkey"),
        location.openssl("pkey -in new.key -pubout"),
        "of the key that never left the device"
    );
    let issuer = std::fs::read_to_string(ca.folder.path().join("int.crt")).unwrap();
    std::fs::write(location.path("sensor-9.pem"), format!("{pem}{issuer}")).unwrap();
    std::fs::copy(location.path("new.key"), location.path("sensor-9.key")).unwrap();
    assert!(location.lets_in("sensor-9"));

    // The answer was lost: the same key gets the same certificate, and no other one does.
    let again = location.certificates(&newcomers.enroll(Some(&voucher)));
    assert_eq!(newcomers.serial(&again), serial);
    location.program.wait_for("est: the first certificate was given again by the voucher for sensor-9.mesh.test");
    location.request(SUBJECT, NAMES);
    newcomers.refuses(&voucher, "voucher for sensor-9.mesh.test: the voucher was used at ");

    // From now on it renews over mutual TLS, which is still required there.
    assert!(Answer::of(location.curl_at(location.est, None, "simplereenroll").args(POST)).is_none());
    location.certificates(&location.reenroll("sensor-9"));

    let metrics = location.page("/metrics");
    for sample in [
        "edgetrust_est_requests_total{result=\"first_issued\"} 2\n",
        "edgetrust_est_requests_total{result=\"unauthorized\"} 2\n",
        "edgetrust_est_vouchers{state=\"used\"} 1\n",
        "edgetrust_est_vouchers{state=\"open\"} 0\n",
        "edgetrust_est_vouchers_readable 1\n",
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
    let status: Value = serde_json::from_str(&location.page("/status")).unwrap();
    let first = &status["est"]["first_enrollment"];
    assert_eq!((&first["address"], &first["vouchers"]["used"]), (&json!(newcomers.first.to_string()), &json!(1)));
    assert_eq!(first["error"], Value::Null);
    let log = std::fs::read_to_string(location.path("audit.log")).unwrap();
    let enrolled = log.lines().filter(|line| line.contains("device_enrolled")).collect::<Vec<_>>();
    let enrolled: Value = serde_json::from_str(enrolled[0]).unwrap();
    assert_eq!((&enrolled["voucher"], &enrolled["peer"]), (&json!(NAME), &Value::Null), "{enrolled}");
    assert_eq!(format!("serial={}\n", enrolled["serial"].as_str().unwrap().to_uppercase()), serial);
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_voucher_gives_its_own_name_within_its_time_and_a_refusal_uses_nothing_up() {
    let ca = StepCa::start();
    let newcomers = Newcomers::new(&ca);
    let location = &newcomers.location;
    let voucher = newcomers.invite(NAME);
    location.request(SUBJECT, NAMES);
    newcomers.refuses("sensor-9.mesh.test:0000-0000-0000-0000-0000-0000-0000", "wrong password");
    newcomers.refuses("sensor-10.mesh.test:not-its-password", "there is no voucher for this name");
    for (subject, names, reason) in [
        ("/CN=sensor-10.mesh.test", "DNS:sensor-10.mesh.test", "the certification request is for another name"),
        (SUBJECT, "DNS:sensor-9.mesh.test,DNS:gateway.mesh.test", "the certification request is for another name"),
        (SUBJECT, "", "the certification request is for another name"),
    ] {
        location.request(subject, names);
        newcomers.refuses(&voucher, reason);
    }
    location.request_with("ec -pkeyopt ec_paramgen_curve:P-384", SUBJECT, NAMES);
    newcomers.enroll(Some(&voucher)).refuses(403, "its key is of another kind, expected P-256");
    // The last octets are of the signature.
    location.request(SUBJECT, NAMES);
    let mut forged = std::fs::read(location.path("new.csr")).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    std::fs::write(location.path("forged.csr"), forged).unwrap();
    location.openssl("base64 -in forged.csr -out new.b64");
    newcomers.enroll(Some(&voucher)).refuses(400, "its signature was not made by the key in it");
    assert_eq!(newcomers.state(NAME), "open");

    let revoked = newcomers.devices(&["revoke", NAME]);
    assert!(revoked.status.success(), "{revoked:?}");
    location.openssl("base64 -in new.csr -out new.b64");
    newcomers.refuses(&voucher, "the voucher was revoked at ");
    assert_eq!(newcomers.devices(&["revoke", "sensor-10.mesh.test"]).status.code(), Some(1));
    let second = newcomers.invite(NAME);
    newcomers.refuses(&voucher, "wrong password");
    // Its time, as the file has it.
    let kept = std::fs::read_to_string(newcomers.vouchers()).unwrap();
    let listed = newcomers.devices(&["list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let expires = listed["vouchers"][0]["expires"].as_str().unwrap();
    let past = kept.replace(expires, "2020-01-01T00:00:00Z");
    std::fs::write(newcomers.vouchers(), &past).unwrap();
    newcomers.refuses(&second, "the voucher expired at 2020-01-01T00:00:00Z");
    std::fs::write(newcomers.vouchers(), &kept).unwrap();
    location.certificates(&newcomers.enroll(Some(&second)));

    // What is not for devices without a certificate, and names that nobody is invited for.
    let answer = Answer::of(location.curl_at(newcomers.first, None, "simplereenroll").args(POST)).unwrap();
    answer.refuses(403, "with one they use simplereenroll at gateway.est.listen");
    for (name, reason) in [
        ("sensor-11.mesh.test", "sensor-11.mesh.test is in no allow list of gateway.est"),
        ("*.mesh.test", "found *.mesh.test, expected a DNS name"),
        ("127.0.0.1", "found 127.0.0.1, expected a DNS name"),
    ] {
        let refused = newcomers.devices(&["invite", name]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(reason), "{said}");
    }
    newcomers.invite("sensor-10.mesh.test");
    let twice = newcomers.devices(&["invite", "sensor-10.mesh.test"]);
    let said = String::from_utf8_lossy(&twice.stderr).into_owned();
    assert!(twice.status.code() == Some(2) && said.contains("found a voucher that is open until "), "{said}");
    let made: Vec<Value> = newcomers.audited("voucher_made");
    assert_eq!(made.iter().map(|line| &line["voucher"]).collect::<Vec<_>>(), [NAME, NAME, "sensor-10.mesh.test"]);
    assert!(made.iter().all(|line| line["expires"].as_str().is_some_and(|text| text.ends_with('Z'))), "{made:?}");
    let gone = newcomers.audited("voucher_revoked");
    assert_eq!(
        gone.iter().map(|line| (&line["voucher"], &line["before"])).collect::<Vec<_>>(),
        [(&json!(NAME), &json!("open"))]
    );
    // Whatever the audit log cannot tell is not done, or nobody is shown its password.
    for (audit_log, left) in [("missing/audit.log", ""), ("/dev/full", "open")] {
        let output = newcomers.invite_by(audit_log, "acme-devices", "sensor-7.mesh.test");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{output:?}");
        assert!(said.contains("gateway.audit_log: "), "{said}");
        assert_eq!(newcomers.state("sensor-7.mesh.test"), left, "{audit_log}");
    }
    // Whoever is not the gateway leaves no file that it could not use.
    let (log, account) = (location.path("new.log"), location.path("new-account"));
    let refused = |reason: &str| {
        let output = newcomers.invite_by(log.to_str().unwrap(), "new-account", "sensor-7.mesh.test");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty() && said.contains(reason), "{output:?}");
        assert!(!log.exists(), "{reason}");
    };
    refused("new-account: found no folder, which the gateway makes at its start");
    assert!(!account.exists());
    std::fs::create_dir(&account).unwrap();
    // A test that is not root cannot give a folder away.
    if std::os::unix::fs::chown(&account, Some(12_345), None).is_ok() {
        refused("run this as the gateway's user, the owner of the folder");
        assert_eq!(std::fs::read_dir(&account).unwrap().count(), 0);
    }
    let long = newcomers.devices(&["invite", NAME, "--valid-for", "721h"]);
    assert!(String::from_utf8_lossy(&long.stderr).contains("expected a duration from 1m to 720h"), "{long:?}");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_voucher_survives_a_ca_that_is_away_and_is_for_one_key_after_a_crash() {
    let mut ca = StepCa::start();
    let mut newcomers = Newcomers::new(&ca);
    let voucher = newcomers.invite(NAME);
    newcomers.location.request(SUBJECT, NAMES);
    ca.kill();
    let answer = newcomers.enroll(Some(&voucher));
    answer.refuses(503, "Connection refused");
    assert!(answer.headers.contains("retry-after: 60"), "{answer:?}");
    // The CA was not asked: another key may come.
    assert_eq!(newcomers.state(NAME), "open");
    {
        // A server that accepts connections and stays silent replaces the CA.
        let silent = TcpListener::bind(ca.address).unwrap();
        let answer = newcomers.enroll(Some(&voucher));
        assert_eq!(answer.code, 202, "{answer:?}");
        assert!(answer.headers.contains("retry-after: 5"), "{answer:?}");
        assert_eq!(newcomers.state(NAME), "claimed");
        let first = std::fs::read(newcomers.location.path("new.b64")).unwrap();
        newcomers.location.request(SUBJECT, NAMES);
        let reason = "the voucher is claimed by another key, whose certificate is not issued yet";
        newcomers.refuses(&voucher, reason);
        // A crash: the claim stands, since nobody knows what the CA has done.
        newcomers.restart();
        newcomers.refuses(&voucher, reason);
        std::fs::write(newcomers.location.path("new.b64"), first).unwrap();
        drop(silent);
    }
    ca.restart();
    let newcomers = newcomers;
    let location = &newcomers.location;
    location.program.wait_until("the device gets its certificate", |_| newcomers.enroll(Some(&voucher)).code == 200);
    assert_eq!(newcomers.state(NAME), "used");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_name_that_is_let_in_no_longer_when_the_ca_answers_gets_nothing() {
    let ca = StepCa::start();
    let newcomers = Newcomers::new(&ca);
    let location = &newcomers.location;
    let voucher = newcomers.invite(NAME);
    location.request(SUBJECT, NAMES);
    // It goes on later, and knows nothing of the change.
    ca.signal("STOP");
    let mut curl = location.curl_at(newcomers.first, None, "simpleenroll");
    curl.args(["--user", &voucher]).args(POST);
    let asked = std::thread::spawn(move || Answer::of(&mut curl).unwrap());
    location.program.wait_until("the device has claimed its voucher", |_| newcomers.state(NAME) == "claimed");
    let rules = std::fs::read_to_string(location.path("gateway.json")).unwrap();
    let without = rules.replace(&format!("\"{NAME}\","), "");
    assert_ne!(without, rules);
    std::fs::write(location.path("gateway.json"), without).unwrap();
    location.program.wait_for("reloaded");
    ca.signal("CONT");
    let mut answer = asked.join().unwrap();
    location.program.wait_until("the device has its answer", |_| {
        if answer.code == 202 {
            answer = newcomers.enroll(Some(&voucher));
        }
        answer.code != 202
    });
    answer.refuses(403, "sensor-9.mesh.test is in no allow list of gateway.est");
    let enrolled = newcomers.audited("device_enrolled");
    assert!(enrolled.is_empty(), "{enrolled:?}");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn of_many_keys_at_once_one_gets_a_certificate() {
    let ca = StepCa::start();
    let newcomers = Newcomers::new(&ca);
    let location = &newcomers.location;
    let voucher = newcomers.invite(NAME);
    for number in 0..5 {
        location.request(SUBJECT, NAMES);
        std::fs::rename(location.path("new.b64"), location.path(&format!("{number}.b64"))).unwrap();
    }
    // Each twice: the second joins the first, or gets its answer again.
    let answers: Vec<(usize, Answer)> = std::thread::scope(|scope| {
        let ask = |number: usize| {
            let mut curl = location.curl_at(newcomers.first, None, "simpleenroll");
            curl.args(["--user", &voucher, "-H", "Content-Type: application/pkcs10"]);
            curl.args(["--data-binary", &format!("@{}.b64", number % 5)]);
            move || (number % 5, Answer::of(&mut curl).unwrap())
        };
        let asked: Vec<_> = (0..10).map(|number| scope.spawn(ask(number))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let given: Vec<_> = answers.iter().filter(|(_, answer)| answer.code == 200).collect();
    let [(first, one), others @ ..] = given.as_slice() else { panic!("{answers:?}") };
    assert!(others.iter().all(|(key, answer)| key == first && answer.body == one.body), "{answers:?}");
    // The other requests of that key may have come when the source had made too many wrong ones.
    assert!(answers.iter().all(|(_, answer)| [200, 401, 429].contains(&answer.code)), "{answers:?}");
    let issued = location.page("/metrics");
    assert!(issued.contains("edgetrust_est_vouchers{state=\"used\"} 1\n"), "{issued}");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn wrong_passwords_are_limited_and_garbage_in_the_file_gives_nothing() {
    let ca = StepCa::start();
    let newcomers = Newcomers::new(&ca);
    let location = &newcomers.location;
    let voucher = newcomers.invite(NAME);
    location.request(SUBJECT, NAMES);
    let whole = std::fs::read(newcomers.vouchers()).unwrap();
    for garbage in [&b"garbage"[..], b"", &whole[..whole.len() / 2]] {
        std::fs::write(newcomers.vouchers(), garbage).unwrap();
        let answer = newcomers.enroll(Some(&voucher));
        assert_eq!((answer.code, answer.body.as_str()), (503, "not now: the gateway's log says why\n"), "{answer:?}");
        let line = location.program.wait_for("est: refused: the vouchers: ");
        assert!(line.contains("vouchers.json: found no vouchers at line "), "{line}");
    }
    let status: Value = serde_json::from_str(&location.page("/status")).unwrap();
    let error = status["est"]["first_enrollment"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("vouchers.json: found no vouchers at line "), "{status}");
    let invited = newcomers.devices(&["invite", "sensor-10.mesh.test"]);
    assert!(String::from_utf8_lossy(&invited.stderr).contains("vouchers.json: found no vouchers"), "{invited:?}");
    std::fs::write(newcomers.vouchers(), whole).unwrap();

    for _ in 0..10 {
        assert_eq!(newcomers.enroll(Some("sensor-9.mesh.test:wrong")).code, 401);
    }
    let limited = newcomers.enroll(Some(&voucher));
    limited.refuses(429, "too many wrong attempts of its source: 10 at once, and one each 10s");
    assert!(limited.headers.contains("retry-after: ") && limited.headers.contains("connection: close"), "{limited:?}");
    location.program.wait_until("the source may try again", |_| newcomers.enroll(Some(&voucher)).code == 200);
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_third_party_client_enrolls_with_name_and_password() {
    let ca = StepCa::start();
    let newcomers = Newcomers::new(&ca);
    let location = &newcomers.location;
    let voucher = newcomers.invite(NAME);
    let (name, password) = voucher.split_once(':').unwrap();
    location.request(SUBJECT, NAMES);
    location.openssl("req -inform DER -in new.csr -out new.csr.pem");
    let estclient = |password: &str| {
        let mut client = tool("estclient");
        client.current_dir(location.path("")).args(["enroll", "-server", &newcomers.first.to_string()]);
        client.args(["-explicit", "root.pem", "-csr", "new.csr.pem", "-out", "new.pem", "-timeout", "60s"]);
        client.args(["-user", name, "-pass", password]);
        client.stderr(std::process::Stdio::piped()).output().unwrap()
    };
    let refused = estclient("wrong");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("not authorized"), "{said}");
    // As somebody types it who was read it on the telephone.
    let enrolled = estclient(&password.to_ascii_lowercase().replace('-', ""));
    assert!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    assert_eq!(location.openssl("x509 -in new.pem -noout -pubkey"), location.openssl("pkey -in new.key -pubout"));
    assert_eq!(newcomers.state(NAME), "used");
}
