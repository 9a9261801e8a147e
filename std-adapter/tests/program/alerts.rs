//! Replays series of real gateways against the alerts: quiet in a healthy mesh, and each alert for its fault.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use super::alert_cases::{CASES, Case, DAY, DAYS, Fault, Lives, MINUTES};
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

/// The roles of certificates that renew themselves.
const OWN: [&str; 4] = ["server", "client", "est", "acme"];

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
