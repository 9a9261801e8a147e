//! Replays series of real gateways against the alerts: quiet in a healthy mesh, and each alert for its fault.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::metrics::{Series, dashboard, document, pages_of_gateways, promtool, recorded, samples};
use super::peers::edgetrust;

/// Returns the names of all alerts.
fn alerts() -> Vec<String> {
    let text = document("deploy/alerts.yml");
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

#[test]
fn each_alert_has_a_runbook() {
    let (operations, alerts_file) = (document("OPERATIONS.md"), document("deploy/alerts.yml"));
    let runbooks: BTreeSet<&str> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|name| name.starts_with("Edgetrust"))
        .collect();
    let chunks = alerts_file.split("- alert: ").skip(1);
    for chunk in chunks {
        let name = chunk.lines().next().unwrap();
        assert!(runbooks.contains(name), "docs/OPERATIONS.md has no heading {name}");
        for part in
            ["severity: ", "summary: \"", "description: \"", &format!("runbook: \"docs/OPERATIONS.md: {name}\"\n")]
        {
            assert_eq!(chunk.matches(part).count(), 1, "{name}: {part}");
        }
    }
    // The page and `edgetrust status` have alarms that no metric tells of.
    let of_pages = BTreeSet::from(["EdgetrustNotReady", "EdgetrustGatewayUnreachable"]);
    assert!(of_pages.is_subset(&runbooks), "{runbooks:?}");
    let of_alerts = runbooks.difference(&of_pages).count();
    assert_eq!(of_alerts, alerts().len(), "each runbook is of an alert, or of an alarm of the pages: {runbooks:?}");
}

/// The commands of the runbooks are there, with their flags, and `/status` has what they look for.
#[test]
fn runbooks_name_what_is_there() {
    let operations = document("OPERATIONS.md");
    let runbooks = operations.split("## Runbooks of alerts\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let text = runbooks.replace('\n', " ");
    let commands = text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("edgetrust "));
    let commands: BTreeSet<_> = commands.collect();
    assert!(commands.len() >= 6, "{commands:?}");
    for command in commands {
        let words: Vec<_> = command.split_whitespace().collect();
        let subcommand = words.iter().take_while(|word| !word.starts_with("--")).chain([&"--help"]).copied();
        let help = edgetrust(&subcommand.collect::<Vec<_>>());
        assert_eq!(help.status.code(), Some(0), "edgetrust {command}");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for flag in words.into_iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "edgetrust {command}: {flag} is not there");
        }
    }
    let status = &pages_of_gateways().status;
    for place in [
        "/credentials/0/last_error",
        "/credentials/0/shared/sealed_by",
        "/credentials/0/shared/seals_with",
        "/est/last_error",
        "/est/refusals",
        "/refusals",
        "/mesh/file_refused",
        "/reloads/last_refusal",
    ] {
        assert!(status.pointer(place).is_some(), "{place} is not in {status:#}");
        let name = place.rsplit('/').next().unwrap();
        assert!(text.contains(&format!("`{name}`")), "{name} is in no runbook");
    }
}

const DAY: u64 = 86_400;
/// The roles of certificates that renew themselves.
const OWN: [&str; 4] = ["server", "client", "est", "acme"];

/// The lives of a mesh's certificates.
#[derive(Clone, Copy)]
struct Lives {
    /// The seconds between two scrapes.
    scrape: u64,
    /// The seconds that are replayed.
    length: u64,
    /// A certificate's seconds after it was issued, and those that it was backdated by.
    lifetime: u64,
    backdated: u64,
    /// The seconds after which it is renewed.
    renewed: u64,
    /// No certificate is issued after this time.
    until: u64,
}

/// Certificates of a day, renewed after sixteen hours at the latest.
const DAYS: Lives =
    Lives { scrape: 60, length: 40 * 3600, lifetime: DAY, backdated: 60, renewed: 57_600, until: u64::MAX };
/// Certificates of five minutes, renewed after two thirds and forty seconds: an attempt has failed, and the scrape before
/// still saw the one before.
const MINUTES: Lives =
    Lives { scrape: 15, length: 3 * 3600, lifetime: 300, backdated: 60, renewed: 240, until: u64::MAX };

impl Lives {
    fn steps(self) -> u64 {
        self.length / self.scrape
    }

    /// Returns the value at each scrape, as promtool reads it.
    fn values(self, at: impl Fn(u64) -> u64) -> String {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for step in 0..=self.steps() {
            let value = at(step * self.scrape);
            match runs.last_mut() {
                Some((last, count)) if *last == value => *count += 1,
                _ => runs.push((value, 0)),
            }
        }
        runs.iter().map(|(value, more)| format!("{value}+0x{more}")).collect::<Vec<_>>().join(" ")
    }

    /// Returns when the certificate was issued that is in use at a time. Time begins a lifetime after 1970.
    fn issued(self, at: u64) -> u64 {
        at.min(self.until) / self.renewed * self.renewed
    }
}

/// A fault: the series that it concerns, by name and a label, and their values.
type Fault = (&'static str, (&'static str, &'static str), fn(u64) -> u64);

struct Case {
    name: &'static str,
    lives: Lives,
    faults: &'static [Fault],
    raises: &'static [&'static str],
}

fn is_own(series: &Series) -> bool {
    series.labels.get("role").is_some_and(|role| OWN.contains(&role.as_str()))
}

/// Returns the values of a series in a healthy mesh; its name and labels are those of a real page.
fn healthy(series: &Series, recorded: f64, lives: Lives) -> String {
    let is = |label: &str, value: &str| series.labels.get(label).is_some_and(|known| known == value);
    let constant = |value: u64| lives.values(|_| value);
    match series.name.as_str() {
        "edgetrust_certificate_expiration_timestamp_seconds" if is_own(series) => {
            lives.values(|at| lives.issued(at) + lives.lifetime)
        }
        "edgetrust_certificate_not_before_timestamp_seconds" if is_own(series) => {
            // A credential's counts from when it came.
            let backdated = if is("role", "acme") { 0 } else { lives.backdated };
            lives.values(|at| lives.issued(at).saturating_sub(backdated))
        }
        "edgetrust_certificate_expiration_timestamp_seconds" => constant(365 * DAY),
        "edgetrust_certificate_not_before_timestamp_seconds" => constant(0),
        "edgetrust_acme_serving" => constant(is("serving", "issued").into()),
        "edgetrust_acme_last_attempt_failed" => constant(0),
        // Nobody serves the store of the recorded gateway.
        "edgetrust_shared_store_up" => constant(1),
        // The next certificate is in the store a minute before this gateway keeps it.
        "edgetrust_shared_generation" => lives.values(|at| 1 + at / lives.renewed),
        "edgetrust_shared_generation_in_use" => lives.values(|at| 1 + at.saturating_sub(60) / lives.renewed),
        // The recorded gateway has a tunnel that shall raise the alert.
        "edgetrust_insecure_skip_verify" => constant(0),
        name if name.ends_with("_total") => {
            let grows = ["accepted", "bytes", "continued", "issued"].iter().any(|word| name.contains(word));
            lives.values(|at| recorded as u64 + if grows { at / 600 } else { 0 })
        }
        _ => constant(recorded as u64),
    }
}

/// An hour of faults, after an hour of none.
const fn later(at: u64) -> u64 {
    if at >= 3600 { 1 } else { 0 }
}

fn many(at: u64) -> u64 {
    at.saturating_sub(3600) / 30
}

fn once(at: u64) -> u64 {
    later(at)
}

fn no_longer(at: u64) -> u64 {
    1 - later(at)
}

/// Short: the certificates are those of a day.
const HOURS: Lives = Lives { length: 2 * 3600 + 600, ..DAYS };
const ENDS: &str = "edgetrust_certificate_expiration_timestamp_seconds";
const BEGINS: &str = "edgetrust_certificate_not_before_timestamp_seconds";
const CRL_ENDS: &str = "edgetrust_crl_expiration_timestamp_seconds";
const CRL_BEGINS: &str = "edgetrust_crl_update_timestamp_seconds";
const REFUSED: &str = "edgetrust_connections_refused_total";
const HANDSHAKES: &str = "edgetrust_handshakes_total";
const NO_LABEL: (&str, &str) = ("", "");

const CASES: &[Case] = &[
    Case { name: "certificates of a day", lives: DAYS, faults: &[], raises: &[] },
    Case { name: "certificates of five minutes", lives: MINUTES, faults: &[], raises: &[] },
    Case {
        name: "a day: renewal stops",
        lives: Lives { length: 57_600 + DAY - 2 * 3600, until: 57_600, ..DAYS },
        faults: &[],
        raises: &["EdgetrustRenewalLate"],
    },
    Case {
        name: "a day: certificates end",
        lives: Lives { length: 57_600 + DAY - 1800, until: 57_600, ..DAYS },
        faults: &[],
        raises: &["EdgetrustCertificateEnds", "EdgetrustRenewalLate"],
    },
    Case {
        name: "five minutes: renewal stops",
        lives: Lives { length: 6240 + 270, until: 6240, ..MINUTES },
        faults: &[],
        raises: &["EdgetrustRenewalLate"],
    },
    Case {
        name: "five minutes: certificates end",
        lives: Lives { length: 6240 + 330, until: 6240, ..MINUTES },
        faults: &[],
        raises: &["EdgetrustCertificateEnds", "EdgetrustRenewalLate"],
    },
    Case {
        name: "a certificate of the future",
        lives: HOURS,
        faults: &[(BEGINS, ("role", "server"), |at| if at < 3600 { 0 } else { 30_000 })],
        raises: &["EdgetrustCertificateNotYetValid"],
    },
    Case {
        name: "a CA ends",
        lives: HOURS,
        faults: &[(ENDS, ("role", "ca"), |_| 8000)],
        raises: &["EdgetrustAuthorityEnds"],
    },
    Case {
        name: "a CA of ten years has 61 days",
        lives: HOURS,
        faults: &[(ENDS, ("role", "ca"), |_| 61 * DAY)],
        raises: &[],
    },
    Case {
        name: "a CRL ends",
        lives: HOURS,
        faults: &[(CRL_ENDS, NO_LABEL, |_| 8000), (CRL_BEGINS, NO_LABEL, |_| 0)],
        raises: &["EdgetrustCrlEnds"],
    },
    Case {
        name: "a CRL has ended",
        lives: HOURS,
        faults: &[(CRL_ENDS, NO_LABEL, |_| 7000), (CRL_BEGINS, NO_LABEL, |_| 0)],
        raises: &["EdgetrustCrlEnded", "EdgetrustCrlEnds"],
    },
    Case {
        name: "the mesh ends",
        lives: HOURS,
        faults: &[(ENDS, ("role", "mesh"), |_| 9000)],
        raises: &["EdgetrustMeshEnds"],
    },
    Case {
        name: "no issued certificate",
        lives: HOURS,
        faults: &[
            ("edgetrust_acme_serving", ("serving", "issued"), no_longer),
            ("edgetrust_acme_serving", ("serving", "fallback"), later),
        ],
        raises: &["EdgetrustNotIssued"],
    },
    Case {
        name: "an attempt fails",
        lives: HOURS,
        faults: &[("edgetrust_acme_last_attempt_failed", NO_LABEL, |at| (3600..4000).contains(&at).into())],
        raises: &[],
    },
    Case {
        name: "attempts fail",
        lives: HOURS,
        faults: &[("edgetrust_acme_last_attempt_failed", NO_LABEL, later)],
        raises: &["EdgetrustOrdersFail"],
    },
    Case {
        name: "the store restarts",
        lives: HOURS,
        faults: &[("edgetrust_shared_store_up", NO_LABEL, |at| (!(3600..3660).contains(&at)).into())],
        raises: &[],
    },
    Case {
        name: "the store is away",
        lives: HOURS,
        faults: &[("edgetrust_shared_store_up", NO_LABEL, no_longer)],
        raises: &["EdgetrustStoreAway"],
    },
    Case {
        name: "what gateways share is sealed with another key",
        lives: HOURS,
        faults: &[("edgetrust_shared_store_unusable", NO_LABEL, later)],
        raises: &["EdgetrustStoreUnusable"],
    },
    Case {
        name: "the certificate of another gateway is not taken",
        lives: HOURS,
        faults: &[
            ("edgetrust_shared_generation", NO_LABEL, |at| 1 + later(at)),
            ("edgetrust_shared_generation_in_use", NO_LABEL, |_| 1),
        ],
        raises: &["EdgetrustBehindOthers"],
    },
    Case {
        name: "the mesh file is refused",
        lives: HOURS,
        faults: &[("edgetrust_mesh_file_refused", NO_LABEL, later)],
        raises: &["EdgetrustMeshFileRefused"],
    },
    Case {
        name: "two meshes of one sequence",
        lives: HOURS,
        faults: &[("edgetrust_mesh_conflict", NO_LABEL, later)],
        raises: &["EdgetrustMeshConflict"],
    },
    Case {
        name: "a mesh takes five minutes to come",
        lives: HOURS,
        faults: &[
            ("edgetrust_mesh_sequence", ("site", "b"), |at| 1 + later(at)),
            ("edgetrust_mesh_sequence", ("site", "c"), |at| 1 + later(at.saturating_sub(300))),
        ],
        raises: &[],
    },
    Case {
        name: "a mesh does not come",
        lives: HOURS,
        faults: &[("edgetrust_mesh_sequence", ("site", "b"), |at| 1 + later(at))],
        raises: &["EdgetrustMeshesDiffer"],
    },
    Case {
        name: "a mesh by the next signer does not come",
        lives: HOURS,
        faults: &[("edgetrust_mesh_signer_generation", ("site", "c"), |at| 1 + later(at))],
        raises: &["EdgetrustMeshesDiffer"],
    },
    Case { name: "a peer is refused", lives: HOURS, faults: &[(REFUSED, ("reason", "peer"), once)], raises: &[] },
    Case {
        name: "many peers are refused",
        lives: HOURS,
        faults: &[(REFUSED, ("reason", "peer"), many)],
        raises: &["EdgetrustPeersRefused"],
    },
    Case {
        name: "an expired peer",
        lives: HOURS,
        faults: &[(HANDSHAKES, ("reason", "expired"), once)],
        raises: &["EdgetrustPeerExpired"],
    },
    Case {
        name: "a denied key",
        lives: HOURS,
        faults: &[(HANDSHAKES, ("reason", "denied_key"), once)],
        raises: &["EdgetrustDeniedKeyShown"],
    },
    Case {
        name: "a limit",
        lives: HOURS,
        faults: &[(REFUSED, ("reason", "limit"), once)],
        raises: &["EdgetrustLimitReached"],
    },
    Case {
        name: "a target is down",
        lives: HOURS,
        faults: &[(REFUSED, ("reason", "target"), once)],
        raises: &["EdgetrustTargetFails"],
    },
    Case {
        name: "no server is verified",
        lives: HOURS,
        faults: &[("edgetrust_insecure_skip_verify", ("tunnel", "insecure"), |_| 1)],
        raises: &["EdgetrustServerNotVerified"],
    },
    Case {
        name: "the gateway is down",
        lives: HOURS,
        faults: &[("up", NO_LABEL, no_longer)],
        raises: &["EdgetrustDown"],
    },
    Case {
        name: "a reload is refused for a minute",
        lives: HOURS,
        faults: &[("edgetrust_last_reload_refused", NO_LABEL, |at| (3600..3660).contains(&at).into())],
        raises: &[],
    },
    Case {
        name: "a reload is refused",
        lives: HOURS,
        faults: &[("edgetrust_last_reload_refused", NO_LABEL, later)],
        raises: &["EdgetrustReloadRefused"],
    },
    Case {
        name: "log lines are lost",
        lives: HOURS,
        faults: &[("edgetrust_log_lines_lost_total", NO_LABEL, once)],
        raises: &["EdgetrustLogLinesLost"],
    },
    Case {
        name: "audit lines are lost",
        lives: HOURS,
        faults: &[("edgetrust_audit_lines_lost_total", NO_LABEL, once)],
        raises: &["EdgetrustAuditLinesLost"],
    },
    Case {
        name: "the audit log cannot be written",
        lives: HOURS,
        faults: &[("edgetrust_audit_log_fails", NO_LABEL, later)],
        raises: &["EdgetrustAuditLinesLost"],
    },
    Case {
        name: "devices get no certificate",
        lives: HOURS,
        faults: &[("edgetrust_est_requests_total", ("result", "unavailable"), once)],
        raises: &["EdgetrustDevicesUnserved"],
    },
    Case {
        name: "a device is refused",
        lives: HOURS,
        faults: &[("edgetrust_est_requests_total", ("result", "not_admitted"), once)],
        raises: &["EdgetrustDeviceRefused"],
    },
];

/// Writes a case as promtool reads it. All series are of real pages, with the labels that a scrape adds.
fn case(case: &Case) -> String {
    let Case { name, lives, faults, raises } = case;
    let mut text = format!("  - name: '{name}'\n    interval: {}s\n    input_series:\n", lives.scrape);
    let pages = recorded().iter().zip(["b", "c"]);
    let mut used = vec![0; faults.len()];
    let all = pages.flat_map(|(page, gateway)| {
        let up = (Series { name: "up".to_owned(), labels: Default::default() }, 1.0);
        samples(page).into_iter().chain([up]).map(move |one| (one, gateway))
    });
    for ((mut series, value), gateway) in all.filter(|((series, _), _)| !series.labels.contains_key("le")) {
        let is_of = |(name, (label, value), _): &Fault| {
            series.name == *name && (label.is_empty() || series.labels.get(*label).is_some_and(|known| known == value))
        };
        let place = faults.iter().position(is_of);
        let values = match place {
            Some(place) => {
                used[place] += 1;
                lives.values(faults[place].2)
            }
            None => healthy(&series, value, *lives),
        };
        series.labels.insert("instance".to_owned(), gateway.to_owned());
        series.labels.insert("job".to_owned(), "edgetrust".to_owned());
        let labels: Vec<_> = series.labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let labels = labels.join(",").replace('\'', "''");
        writeln!(text, "      - series: '{}{{{labels}}}'\n        values: {values}", series.name).unwrap();
    }
    assert!(used.iter().all(|used| *used > 0), "{name}: a fault is of no series of the pages: {used:?}");
    let fired = "group by (alertname) (count_over_time(ALERTS{alertstate=\"firing\"}[7d]))";
    let end = lives.steps() * lives.scrape;
    write!(text, "    promql_expr_test:\n      - expr: '{fired}'\n        eval_time: {end}s\n        exp_samples:")
        .unwrap();
    for alert in *raises {
        write!(text, "\n          - labels: '{{alertname=\"{alert}\"}}'\n            value: 1").unwrap();
    }
    text + if raises.is_empty() { " []\n" } else { "\n" }
}

/// Runs promtool, and returns what it says where it is not content.
fn run(arguments: &[&str], file: &Path) -> Option<String> {
    let tool = promtool();
    let output = Command::new(&tool).args(arguments).arg(file).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", tool.display()));
    let said = [&output.stdout[..], &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    (!output.status.success()).then_some(said)
}

#[test]
fn each_alert_has_a_fault_that_raises_it() {
    let raised: BTreeSet<_> = CASES.iter().flat_map(|case| case.raises).map(|name| (*name).to_owned()).collect();
    assert_eq!(raised, alerts().into_iter().collect());
}

#[test]
#[ignore = "needs promtool: tests/run"]
fn alerts_are_quiet_in_a_healthy_mesh_and_each_fault_raises_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("alerts.yml");
    std::fs::write(&rules, document("deploy/alerts.yml")).unwrap();
    assert_eq!(run(&["check", "rules", "--lint-fatal"], &rules), None);
    // A file for each interval: one evaluates all its rules at the same.
    for scrape in [DAYS.scrape, MINUTES.scrape] {
        let cases: String = CASES.iter().filter(|one| one.lives.scrape == scrape).map(case).collect();
        let file = folder.path().join(format!("cases-{scrape}.yml"));
        let head = format!("rule_files: [alerts.yml]\nevaluation_interval: {scrape}s\ntests:\n");
        std::fs::write(&file, head + &cases).unwrap();
        assert_eq!(run(&["test", "rules"], &file), None);
    }
}

#[test]
#[ignore = "needs promtool: tests/run"]
fn queries_and_the_configuration_of_the_documents_parse() {
    let folder = tempfile::tempdir().unwrap();
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    let queries = dashboard().into_iter().filter(|text| text.contains("edgetrust_"));
    for (number, query) in queries.enumerate() {
        writeln!(rules, "      - record: dashboard:query:{number}\n        expr: '{query}'").unwrap();
    }
    let file = folder.path().join("dashboard.yml");
    std::fs::write(&file, rules).unwrap();
    assert_eq!(run(&["check", "rules"], &file), None);
    std::fs::write(folder.path().join("alerts.yml"), document("deploy/alerts.yml")).unwrap();
    let config = folder.path().join("prometheus.yml");
    let operations = document("OPERATIONS.md");
    let text = operations.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(&config, text).unwrap();
    assert_eq!(run(&["check", "config"], &config), None);
}
