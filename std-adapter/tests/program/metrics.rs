//! Tests that the metrics of real gateways are those that the documents, the alerts and the dashboard name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::addresses::free_address;
use super::control::{Sites, page};
use super::pages::{get, metric, pages};
use super::peers::{OpensslClient, PATIENCE, echo};
use super::pki::{Pki, arg, self_signed};
use super::serve::serve;
use super::storage::keep;

/// One sample of a page, without its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

/// Returns the samples of a page. Values of labels have no escapes here.
pub fn samples(text: &str) -> Vec<(Series, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| sample(line).unwrap_or_else(|| panic!("no sample: {line}"))).collect()
}

fn sample(line: &str) -> Option<(Series, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest.trim_end_matches('}')));
    let mut found = BTreeMap::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        assert!(!value.contains('\\'), "an escape: {line}");
        found.insert(label.to_owned(), value.to_owned());
        rest = after.trim_start_matches(',');
    }
    Some((Series { name: name.to_owned(), labels: found }, value.parse().ok()?))
}

pub fn document(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The pages of two gateways of one mesh, the first of which does everything that is counted.
pub struct Recorded {
    metrics: [String; 2],
    pub status: Value,
}

/// Returns the metrics of both gateways.
pub fn recorded() -> &'static [String; 2] {
    &pages_of_gateways().metrics
}

pub fn pages_of_gateways() -> &'static Recorded {
    static PAGES: OnceLock<Recorded> = OnceLock::new();
    PAGES.get_or_init(record)
}

fn record() -> Recorded {
    let (sites, pki) = (Sites::new(), Pki::new("Root of Location B"));
    pki.issue("gateway.b.example", &["gateway.b.example", "ordered.b.example"]);
    let (pin, _) = self_signed(Path::new(&pki.path("")), "pinned");
    let [cert, key] = ["pem", "key"].map(|end| pki.path(&format!("gateway.b.example.{end}")));
    keep(&pki.path("acme"), &cert, &key);
    let acme = |home: &str| {
        json!({"directory_url": "https://127.0.0.1:1/directory", "ca_bundle": pki.ca(),
            "http_listen": free_address(), "storage_path": pki.path(home)})
    };
    let with = |mut section: Value, more: Value| {
        section.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        section
    };
    // Shared by a store that nobody serves.
    let sealing = pki.path("sealing.key");
    std::fs::write(&sealing, "c2VhbGluZyBrZXkgb2YgdGhlIHRlc3RzLCAzMiBiLi4=").unwrap();
    std::fs::set_permissions(&sealing, Permissions::from_mode(0o600)).unwrap();
    let storage = json!({"nats": {"servers": ["nats://127.0.0.1:1"], "sealing_key_files": [sealing]}});
    let ordered = json!({"enabled": true, "domains": ["ordered.b.example"], "storage": storage});
    let ordered = with(acme("acme"), ordered);
    let mtls = json!({"enabled": true, "client_ca_files": [pki.ca(), pin]});
    let tunnel = |name: &str, tls: Value| json!({"name": name, "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string(), "tls": tls});
    let others = [
        tunnel("plain", json!({"enabled": false})),
        tunnel(
            "ordered",
            json!({"enabled": true, "mode": "acme", "cert_file": cert, "key_file": key, "acme": ordered, "mtls": mtls}),
        ),
        json!({"name": "insecure", "mode": "client", "listen": "127.0.0.1:0", "target": "127.0.0.1:1",
            "server_name": "x.example", "tls": {"insecure_skip_verify": true, "mtls": {"enabled": false}}}),
    ];
    let (admin, other) = (free_address(), free_address());
    let est = json!({"listen": "127.0.0.1:0", "acme": acme("acme-devices"),
        "first_enrollment": {"listen": "127.0.0.1:0"},
        "tls": {"enabled": true, "cert_file": cert, "key_file": key, "mtls": mtls}});
    let c = sites.run_with("c", None, &json!({}), &json!({"admin": {"listen": other}}), &[]);
    c.wait_for("listening tunnel=feed-in");
    let more = json!({"admin": {"listen": admin}, "est": est, "crl_files": [pki.revocation_list()],
        "audit_log": pki.path("audit.log")});
    let mut b = sites.run_with("b", Some("c"), &json!({}), &more, &others);
    for _ in 0..5 {
        b.wait_for_tunnel();
    }
    // A gateway of site a, a stranger, and a client of the tunnel to c.
    let file = |end: &str| arg(&sites.folder_of("a").join(format!("gateway.a.example.{end}")));
    let (cert, key) = (file("pem"), file("key"));
    let mut a = OpensslClient::start(sites.address("b"), &["-cert", &cert, "-cert_chain", &cert, "-key", &key]);
    assert_eq!(a.ask("x").as_deref(), Some("x"));
    assert_eq!(OpensslClient::start(sites.address("b"), &[]).ask("x"), None);
    let mut client = TcpStream::connect(b.tunnel("feed-to-c")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    b.wait_until("the sessions are counted", |_| metric(&admin, "edgetrust_sessions_open{tunnel=\"feed-") == 2);
    let status = serde_json::from_str(&page(&admin, "/status")).unwrap();
    Recorded { metrics: [&admin, &other].map(|address| page(address, "/metrics")), status }
}

/// Returns each family of the recorded pages, with its labels.
fn families() -> BTreeMap<String, BTreeSet<String>> {
    let text = recorded().concat();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let kinds: BTreeMap<_, _> = types.filter_map(|line| line.split_once(' ')).collect();
    let mut families: BTreeMap<_, _> = kinds.keys().map(|name| ((*name).to_owned(), BTreeSet::new())).collect();
    for (series, _) in recorded().iter().flat_map(|page| samples(page)) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.name.strip_suffix(end));
        let base = base.filter(|base| kinds.get(base) == Some(&"histogram")).unwrap_or(&series.name);
        let labels = families.get_mut(base).unwrap_or_else(|| panic!("{base} has no type"));
        labels.extend(series.labels.into_keys().filter(|label| label != "le"));
    }
    families
}

#[test]
fn each_family_is_documented_with_its_labels() {
    let operations = document("OPERATIONS.md");
    let rows = operations.lines().filter_map(|line| line.strip_prefix("| `edgetrust_"));
    let mut rows: BTreeMap<_, _> = rows.filter_map(|row| row.split_once("` |")).collect();
    for (family, labels) in families() {
        let short = family.strip_prefix("edgetrust_").unwrap();
        let row = rows.remove(short).unwrap_or_else(|| panic!("docs/OPERATIONS.md has no row of {family}"));
        let documented: BTreeSet<String> =
            row.split('|').next().unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(documented, labels, "labels of {family} in docs/OPERATIONS.md, and on the page");
    }
    assert!(rows.is_empty(), "docs/OPERATIONS.md has rows of families that are not there: {:?}", rows.keys());
}

/// Returns the queries of the dashboard, with the variables of Grafana replaced by values.
pub fn dashboard() -> Vec<String> {
    fn find(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(all) => all.iter().for_each(|one| find(one, found)),
            Value::Object(all) => {
                found.extend(
                    ["expr", "legendFormat"].iter().filter_map(|key| Some(all.get(*key)?.as_str()?.to_owned())),
                );
                all.values().for_each(|one| find(one, found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(&serde_json::from_str(&document("deploy/grafana.json")).unwrap(), &mut found);
    found.into_iter().map(|text| text.replace("$__rate_interval", "5m").replace("$instance", ".*")).collect()
}

/// Checks that a query, or a text with labels in it, names what is on the pages.
fn check(text: &str, known: &[(Series, f64)]) {
    let labels_of = |name: &str| -> BTreeSet<&str> {
        let of = known.iter().filter(|(series, _)| name.is_empty() || series.name == name);
        of.flat_map(|(series, _)| series.labels.keys()).map(String::as_str).chain(["instance", "job"]).collect()
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (at, _) in text.match_indices("edgetrust_") {
        let name: String = text[at..].chars().take_while(|c| is_word(*c)).collect();
        assert!(known.iter().any(|(series, _)| series.name == name), "{name} is not on the page: {text}");
        let Some(selector) = text[at + name.len()..].strip_prefix('{') else { continue };
        // No value of these files has a brace.
        for matcher in selector.split('}').next().unwrap().split("\",").filter(|matcher| !matcher.is_empty()) {
            let (label, value) = matcher.split_once('=').unwrap();
            let label = label.trim_end_matches('!').trim();
            assert!(labels_of(&name).contains(label), "{name} has no label {label}: {text}");
            let values = value.trim_start_matches('~').trim_matches('"');
            for value in values.split('|').filter(|value| !value.is_empty() && *value != ".*") {
                let is_known = |(series, _): &&(Series, f64)| {
                    series.name == name && series.labels.get(label).is_some_and(|known| known == value)
                };
                assert!(known.iter().any(|one| is_known(&one)), "{name} has no {label}=\"{value}\": {text}");
            }
        }
    }
    // Groupings, and labels in texts.
    let groups = text.split("by (").skip(1).map(|rest| rest.split(')').next().unwrap());
    let shown = text.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim());
    let shown = shown.filter_map(|label| label.strip_prefix("$labels.").or((!label.starts_with('$')).then_some(label)));
    for label in groups.flat_map(|group| group.split(',')).map(str::trim).chain(shown) {
        assert!(labels_of("").contains(label), "no label {label}: {text}");
    }
}

#[test]
fn what_alerts_and_the_dashboard_name_is_on_the_page() {
    let known: Vec<_> = recorded().iter().flat_map(|page| samples(page)).collect();
    let alerts = document("deploy/alerts.yml");
    // An expression may go over several lines.
    let chunks = alerts.split("- alert: ").skip(1).map(|chunk| chunk.split_whitespace().collect::<Vec<_>>().join(" "));
    chunks.for_each(|chunk| check(&chunk, &known));
    let queries = dashboard();
    assert!(queries.len() > 50, "{} texts", queries.len());
    queries.iter().for_each(|query| check(query, &known));
    // And the dashboard leaves no family out.
    let all = [queries.concat(), alerts].concat();
    let families = families().into_keys();
    let unseen: Vec<_> = families.filter(|family| !all.contains(family.as_str())).collect();
    assert_eq!(unseen, Vec::<String>::new(), "neither in an alert nor in the dashboard");
}

#[test]
fn handshakes_are_counted_by_what_became_of_them() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b", "--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    let counted = |result: &str, more: &str| {
        metric(
            &pages,
            &format!("edgetrust_handshakes_total{{tunnel=\"serve\",side=\"server\",result=\"{result}\"{more}"),
        )
    };
    let meet = |cn: &str, change: fn(&mut rcgen::CertificateParams), more: &[&str]| {
        let (cert, key) = pki.issue_with(cn, &[], change);
        let (cert, key) = (arg(&cert), arg(&key));
        let mut client = OpensslClient::start(program.address, &[&["-cert", &cert, "-key", &key], more].concat());
        client.ask("x").is_some()
    };
    assert!(meet("location-b", |_| {}, &["-tls1_3", "-groups", "P-256"]));
    assert_eq!(counted("accepted", ",version=\"TLSv1.3\",group=\"secp256r1\",resumed=\"false\"}"), 1);
    assert!(meet("location-b", |_| {}, &["-tls1_2"]));
    assert_eq!(counted("accepted", ",version=\"TLSv1.2\""), 1);
    assert!(!meet("location-c", |_| {}, &[]));
    assert!(!meet("location-b", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1), &[]));
    assert_eq!(OpensslClient::start(program.address, &[]).ask("x"), None);
    assert_eq!(OpensslClient::start(program.address, &["-tls1_2", "-cipher", "AES128-SHA"]).ask("x"), None);
    for (result, reason) in
        [("refused", "not_allowed"), ("refused", "expired"), ("refused", "no_certificate"), ("failed", "protocol")]
    {
        let reason_is = format!(",reason=\"{reason}\"}}");
        program.wait_until(&format!("{result}: {reason}"), |_| counted(result, &reason_is) == 1);
    }
    assert_eq!(counted("accepted", ""), 2);
    let count = "edgetrust_handshake_duration_seconds_count{tunnel=\"serve\",side=\"server\"}";
    assert_eq!(metric(&pages, count), 2);
    program.wait_until("both sessions took their time", |_| {
        metric(&pages, "edgetrust_session_duration_seconds_count{tunnel=\"serve\"}") == 2
    });
    let accepted = "edgetrust_connections_accepted_total{tunnel=\"serve\",rule=\"CN location-b\",anchor=\"CN=Root\",";
    assert_eq!(metric(&pages, &format!("{accepted}anchor_key=\"sha256:")), 2);
}

#[test]
fn no_stranger_makes_up_a_label() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b", "--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    let series = || samples(&get(&pages, "/metrics", &[]).1).into_iter().map(|(series, _)| series).collect::<Vec<_>>();
    let before = series();
    let folder = tempfile::tempdir().unwrap();
    for number in 0..4 {
        let name = format!("stranger-{number}");
        let (cert, key) = self_signed(folder.path(), &name);
        let arguments = ["-servername", &name, "-cert", &arg(&cert), "-key", &arg(&key), "-alpn", &name];
        assert_eq!(OpensslClient::start(program.address, &arguments).ask("x"), None);
        // One whose certificate is verified, and whose name is on no list.
        let (cert, key) = pki.issue(&name, &[&format!("{name}.example")]);
        let arguments = ["-servername", &name, "-cert", &arg(&cert), "-key", &arg(&key)];
        assert_eq!(OpensslClient::start(program.address, &arguments).ask("x"), None);
    }
    let refused = "edgetrust_connections_refused_total{tunnel=\"serve\"";
    program.wait_until("all are refused", |_| metric(&pages, refused) == 8);
    assert_eq!(series(), before);
}

/// Returns the program that checks metrics and rules: that of `tests/run`, or one on the path.
pub fn promtool() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/prometheus/usr/bin/promtool");
    if own.exists() { own } else { PathBuf::from("promtool") }
}

#[test]
#[ignore = "needs promtool: tests/run"]
fn promtool_finds_nothing_to_say_of_the_metrics() {
    for page in recorded() {
        let mut promtool = Command::new(promtool())
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [&output.stdout[..], &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}
