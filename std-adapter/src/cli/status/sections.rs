//! Composes the sections of a report, each as a heading and a table.

use std::collections::BTreeMap;

use super::duration::{octets, seconds, span};
use super::section::Section;
use super::sharing::sharing;
use super::table::{Table, clean};
use crate::ops::{Authority, Refusal, Report, Session, Severity};

/// Returns the heading and the lines of a section; no lines if it has nothing to show.
pub(super) fn of(section: Section, report: &Report, before: Option<&Report>) -> (String, Vec<String>) {
    let now = seconds(&report.now).unwrap_or_default();
    match section {
        Section::Alarms => ("ALARMS".to_owned(), alarms(report)),
        Section::Tunnels => ("TUNNELS".to_owned(), tunnels(report, before)),
        Section::Sessions => {
            let (open, listed) = (report.sessions.open, report.sessions.newest.len());
            let left_out = usize::try_from(open).unwrap_or(usize::MAX).saturating_sub(listed);
            let newest = if left_out > 0 { format!(", the newest {listed} here") } else { String::new() };
            (format!("SESSIONS: {open} open{newest}, by peer"), sessions(report, now))
        }
        Section::Certificates => ("CERTIFICATES, the nearest end first".to_owned(), certificates(report, now)),
        Section::Mesh => ("MESH".to_owned(), mesh(report, now)),
        Section::Devices => ("DEVICES".to_owned(), devices(report, now)),
        Section::Refusals => ("LAST REFUSALS".to_owned(), refusals(report.refusals.iter(), now)),
    }
}

fn alarms(report: &Report) -> Vec<String> {
    let lines = report.alarms.iter().flat_map(|alarm| {
        let severity = match alarm.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "warning",
        };
        let subject = if alarm.subject.is_empty() { String::new() } else { format!("{}: ", clean(&alarm.subject)) };
        [
            format!("  {severity} {}", alarm.name),
            format!("    {subject}{}", clean(&alarm.message)),
            format!("    what to do: docs/OPERATIONS.md#{}", alarm.runbook),
        ]
    });
    lines.collect()
}

fn tunnels(report: &Report, before: Option<&Report>) -> Vec<String> {
    let took = before.and_then(|before| seconds(&report.now)?.checked_sub(seconds(&before.now)?)).filter(|s| *s > 0);
    let mut table = Table::new(["tunnel", "listens", "to", "open>", "sessions>", "refused>", "up>", "down>"]);
    for tunnel in &report.tunnels {
        let old = before.and_then(|before| before.tunnels.iter().find(|old| old.name == tunnel.name));
        let moved = |total: u64, old: Option<u64>| match (took, old) {
            (Some(took), Some(old)) => {
                let rate = total.saturating_sub(old).checked_div(took.unsigned_abs()).unwrap_or_default();
                format!("{} ({}/s)", octets(total), octets(rate))
            }
            _ => octets(total),
        };
        table.row([
            tunnel.name.clone(),
            tunnel.address.clone(),
            tunnel.target.clone(),
            tunnel.open.to_string(),
            tunnel.accepted.to_string(),
            tunnel.refused.values().fold(0, |sum: u64, count| sum.saturating_add(*count)).to_string(),
            moved(tunnel.bytes_up, old.map(|old| old.bytes_up)),
            moved(tunnel.bytes_down, old.map(|old| old.bytes_down)),
        ]);
    }
    table.lines()
}

/// The sessions of one peer at one tunnel.
#[derive(Default)]
struct OfPeer<'r> {
    count: u64,
    since: Option<i64>,
    until: Option<i64>,
    up: u64,
    down: u64,
    site: Option<&'r str>,
}

fn sessions(report: &Report, now: i64) -> Vec<String> {
    let mut peers: BTreeMap<(&str, &str, &str), OfPeer<'_>> = BTreeMap::new();
    for session in &report.sessions.newest {
        let Session { tunnel, remote, peer, rule, since, until, .. } = session;
        let who = peer.as_deref().unwrap_or_else(|| without_port(remote));
        let one = peers.entry((tunnel, who, rule.as_deref().unwrap_or("-"))).or_default();
        one.count = one.count.saturating_add(1);
        one.since = one.since.into_iter().chain(seconds(since)).min();
        one.until = one.until.into_iter().chain(until.as_deref().and_then(seconds)).min();
        (one.up, one.down) = (one.up.saturating_add(session.bytes_up), one.down.saturating_add(session.bytes_down));
        one.site = session.site.as_deref();
    }
    let mut table = Table::new(["tunnel", "peer", "site", "rule", "open>", "longest>", "valid for>", "up>", "down>"]);
    for ((tunnel, peer, rule), of) in peers {
        table.row([
            tunnel.to_owned(),
            peer.to_owned(),
            of.site.unwrap_or("-").to_owned(),
            rule.to_owned(),
            of.count.to_string(),
            of.since.map_or_else(String::new, |since| span(now.saturating_sub(since))),
            of.until.map_or_else(|| "-".to_owned(), |until| left(until, now)),
            octets(of.up),
            octets(of.down),
        ]);
    }
    table.lines()
}

/// Returns a client's address without its port, which differs from session to session.
fn without_port(remote: &str) -> &str {
    remote.rsplit_once(':').map_or(remote, |(address, _)| address)
}

fn left(end: i64, now: i64) -> String {
    if end < now { format!("EXPIRED {} ago", span(now.saturating_sub(end))) } else { span(end.saturating_sub(now)) }
}

/// Something that ends.
struct Ending {
    role: String,
    name: String,
    begin: Option<i64>,
    end: i64,
    next: Option<i64>,
    /// A line below it.
    below: Option<String>,
}

fn certificates(report: &Report, now: i64) -> Vec<String> {
    let mut all: Vec<Ending> = Vec::new();
    let mut add = |role: &str, name: &str, begin: Option<&String>, end: Option<&String>, next: Option<&String>| {
        let time = |text: Option<&String>| text.and_then(|text| seconds(text));
        if let Some(end) = time(end)
            && !all.iter().any(|one| one.role == role && one.name == name && one.end == end)
        {
            let (begin, next) = (time(begin), time(next));
            all.push(Ending { role: role.to_owned(), name: name.to_owned(), begin, end, next, below: None });
        }
    };
    let authority = |one: &Authority| (one.role.clone(), format!("{} ({})", one.subject, short(&one.serial)));
    for tunnel in &report.tunnels {
        let place = tunnel.certificate_token.as_ref().map(|place| format!(", key in {place}")).unwrap_or_default();
        add(
            "own",
            &format!("tunnel {}{place}", tunnel.name),
            tunnel.certificate_not_before.as_ref(),
            tunnel.certificate_expires.as_ref(),
            None,
        );
    }
    for credential in &report.credentials {
        let (begin, end) = (credential.not_before.as_ref(), credential.expires.as_ref());
        add("acme", &credential.name, begin, end, credential.next.as_ref());
    }
    if let Some(est) = &report.est {
        add("own", "est", est.certificate_not_before.as_ref(), est.certificate_expires.as_ref(), None);
    }
    let of_est = report.est.iter().flat_map(|est| &est.authorities);
    for one in report.tunnels.iter().flat_map(|tunnel| &tunnel.authorities).chain(of_est) {
        let (role, name) = authority(one);
        add(&role, &name, Some(&one.not_before), Some(&one.expires), None);
    }
    if let Some(mesh) = &report.mesh {
        add("mesh", &mesh.name, None, mesh.not_after.as_ref(), None);
    }
    let mut without = Vec::new();
    for credential in &report.credentials {
        let Some(shared) = &credential.shared else { continue };
        let line = sharing(shared, now);
        let end = credential.expires.as_deref().and_then(seconds);
        let is_of = |one: &&mut Ending| {
            one.role == "acme" && one.name == credential.name && end.is_some_and(|end| one.end == end)
        };
        match all.iter_mut().find(is_of) {
            Some(of) => of.below = Some(format!("    {line}")),
            None => without.push(format!("  acme {}: no certificate, {line}", clean(&credential.name))),
        }
    }
    all.sort_by_key(|one| one.end);
    let mut table = Table::new(["what", "whose", "left>", "of>", "life", "next step"]);
    for one in &all {
        let life = one.begin.map(|begin| one.end.saturating_sub(begin));
        table.row([
            one.role.clone(),
            one.name.clone(),
            left(one.end, now),
            life.map(span).unwrap_or_default(),
            life.map(|life| bar(one.end.saturating_sub(now), life)).unwrap_or_default(),
            one.next.map(|next| format!("in {}", span(next.saturating_sub(now)))).unwrap_or_default(),
        ]);
    }
    let mut lines = table.lines();
    // From below, so that the places above stay.
    for (place, below) in all.into_iter().enumerate().rev().filter_map(|(place, one)| Some((place, one.below?))) {
        // The first line has the headings.
        lines.insert(place.saturating_add(2), below);
    }
    lines.extend(without);
    lines
}

/// Draws what is left of a life, a tenth for each place.
fn bar(left: i64, life: i64) -> String {
    let tenths = left.clamp(0, life).saturating_mul(10).checked_div(life).unwrap_or_default();
    let full = usize::try_from(tenths).unwrap_or_default().min(10);
    format!("[{}{}]", "#".repeat(full), ".".repeat(10_usize.saturating_sub(full)))
}

fn short(serial: &str) -> String {
    let mut start: String = serial.chars().take(8).collect();
    if start.len() < serial.len() {
        start.push('…');
    }
    start
}

fn mesh(report: &Report, now: i64) -> Vec<String> {
    let Some(mesh) = &report.mesh else { return Vec::new() };
    let mut table = Table::new(["site", "gateway", "control connection", "sessions>", "reached by"]);
    let contact = |gateway: &str| mesh.contacts.iter().filter(|one| one.gateway == gateway).collect::<Vec<_>>();
    for site in &mesh.sites {
        let of_site = |session: &&Session| session.site.as_deref() == Some(site.name.as_str());
        let open = report.sessions.newest.iter().filter(of_site).count();
        for (place, gateway) in site.gateways.iter().enumerate() {
            let contacts = contact(gateway);
            let state = contacts.iter().map(|one| {
                let since = seconds(&one.since).map(|since| span(now.saturating_sub(since))).unwrap_or_default();
                let reason = one.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("{} for {since}{reason}", one.state)
            });
            let state: Vec<_> = state.collect();
            let own = site.name == mesh.site;
            table.row([
                if place == 0 { site.name.clone() } else { String::new() },
                gateway.clone(),
                match (own, state.is_empty()) {
                    (true, _) => "this site".to_owned(),
                    (false, true) => "not dialled from here".to_owned(),
                    (false, false) => state.join("; "),
                },
                if place == 0 && !own { open.to_string() } else { String::new() },
                contacts.iter().flat_map(|one| &one.tunnels).cloned().collect::<Vec<_>>().join(", "),
            ]);
        }
    }
    table.lines()
}

fn devices(report: &Report, now: i64) -> Vec<String> {
    let Some(est) = &report.est else { return Vec::new() };
    let mut table = Table::new(["request", "number>"]);
    for (outcome, count) in &est.requests {
        table.row([outcome.replace('_', " "), count.to_string()]);
    }
    let mut lines = vec![format!("  at {}", est.address)];
    lines.extend(est.last_error.iter().map(|error| format!("  the last device got no certificate: {}", clean(error))));
    if let Some(first) = &est.first_enrollment {
        let counts: Vec<_> = first.vouchers.iter().map(|(state, count)| format!("{count} {}", clean(state))).collect();
        lines.push(format!("  first certificates at {}; vouchers: {}", first.address, counts.join(", ")));
        lines.extend(first.error.iter().map(|error| format!("  nobody gets a first certificate: {}", clean(error))));
    }
    lines.extend(table.lines());
    lines.extend(refusals(est.refusals.iter(), now));
    lines
}

fn refusals<'r>(all: impl Iterator<Item = &'r Refusal>, now: i64) -> Vec<String> {
    let mut table = Table::new(["ago>", "tunnel", "from", "times>", "shown", "reason"]);
    for refusal in all {
        let shown = |name: &str| refusal.certificate.as_ref().and_then(|shown| shown.get(name)).map(String::as_str);
        table.row([
            seconds(&refusal.at).map(|at| span(now.saturating_sub(at))).unwrap_or_default(),
            refusal.tunnel.clone().unwrap_or_else(|| "est".to_owned()),
            refusal.remote.clone(),
            refusal.count.to_string(),
            shown("subject").or_else(|| shown("certificate_sha256")).unwrap_or("-").to_owned(),
            refusal.reason.clone(),
        ]);
    }
    table.lines()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shared_credential_has_a_line_below_its_own() {
        let shared = json!({
            "gateway": "a-1", "gateways": 3, "holder": null, "generation": 17, "generation_in_use": 17, "behind": 0,
            "behind_since": null, "store": "reached", "away_since": null, "error": null, "fault": null,
            "sealed_by": null, "seals_with": null, "others": [],
        });
        let credential = |name: &str, expires: Option<&str>| {
            json!({
                "name": name, "storage_path": "/s", "serving": "issued", "phase": "waiting", "not_before": null,
                "expires": expires, "next": null, "issued": 1, "failed": 0, "last_error": null, "shared": shared,
            })
        };
        let mut own = credential("own.example", Some("2026-06-03T12:00:00Z"));
        own["shared"] = json!(null);
        let report = json!({
            "format": 1, "version": "0", "now": "2026-06-01T12:00:00Z", "started": "2026-06-01T00:00:00Z",
            "ready": true, "not_ready_because": null, "alarms": [], "configuration": null,
            "reloads": {"taken": 0, "refused": 0, "last_refusal": null}, "tunnels": [],
            "sessions": {"open": 0, "newest": []}, "est": null, "mesh": null, "refusals": [], "log_lines_lost": 0,
            "audit_log": null, "credentials": [
                credential("later.example", Some("2026-06-04T12:00:00Z")), own,
                credential("first.example", Some("2026-06-02T12:00:00Z")), credential("none.example", None),
            ],
        });
        let report: Report = serde_json::from_value(report).unwrap();
        let (_, lines) = of(Section::Certificates, &report, None);
        let begins: Vec<_> =
            lines.iter().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "what whose",
            "acme first.example",
            "shared by",
            "acme own.example",
            "acme later.example",
            "shared by",
            "acme none.example:",
        ];
        assert_eq!(begins, expected, "{lines:#?}");
        assert_eq!(lines[2], "    shared by 3 gateways, generation 17");
        assert_eq!(lines[6], "  acme none.example: no certificate, shared by 3 gateways, generation 17");
    }
}
