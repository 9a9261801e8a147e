//! Says in a line how gateways share a credential.

use super::duration::{seconds, span};
use super::table::clean;
use crate::ops::Shared;

/// Returns the line on a credential that gateways share.
pub(super) fn sharing(shared: &Shared, now: i64) -> String {
    let count = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let for_long = |since: &str| seconds(since).map(|since| span(now.saturating_sub(since))).unwrap_or_default();
    // Where the store is away nobody is heard.
    let mut line = match &shared.away_since {
        Some(_) => "shared".to_owned(),
        None => format!("shared by {}", count(shared.gateways, "gateway")),
    };
    line.push_str(&match shared.generation {
        0 => ", no generation yet".to_owned(),
        generation => format!(", generation {generation}"),
    });
    if let Some(since) = &shared.away_since {
        let reason = shared.error.as_deref().unwrap_or_default();
        line.push_str(&format!("; the store has been away for {}: {reason}", for_long(since)));
    } else if shared.orders() {
        line.push_str(", this one orders");
    } else if let Some(holder) = &shared.holder {
        line.push_str(&format!(", {holder} orders"));
    }
    if shared.behind > 0 {
        line.push_str(&format!("; {} behind", count(shared.behind, "generation")));
    }
    if let Some(fault) = &shared.fault {
        line.push_str(&format!("; what gateways share cannot be used: {fault}"));
    }
    clean(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_a_credential_is_shared() {
        let now = seconds("2026-06-01T12:00:00Z").unwrap();
        let healthy = Shared { gateway: "a-1".to_owned(), gateways: 3, generation: 17, ..Shared::default() };
        type Case = (&'static str, fn(&mut Shared));
        let cases: [Case; 7] = [
            ("shared by 3 gateways, generation 17", |_| {}),
            ("shared by 1 gateway, no generation yet", |one| (one.gateways, one.generation) = (1, 0)),
            ("shared by 3 gateways, generation 17, this one orders", |one| one.holder = Some(one.gateway.clone())),
            ("shared by 3 gateways, generation 17, b-2\u{fffd} orders", |one| {
                one.holder = Some("b-2\u{1b}".to_owned())
            }),
            ("shared by 3 gateways, generation 17; 2 generations behind", |one| one.behind = 2),
            ("shared by 3 gateways, generation 17; what gateways share cannot be used: another key", |one| {
                one.fault = Some("another key".to_owned());
            }),
            ("shared, generation 17; the store has been away for 40 s: refused; 1 generation behind", |one| {
                one.away_since = Some("2026-06-01T11:59:20Z".to_owned());
                (one.error, one.behind, one.gateways) = (Some("refused".to_owned()), 1, 1);
            }),
        ];
        for (line, change) in cases {
            let mut shared = healthy.clone();
            change(&mut shared);
            assert_eq!(sharing(&shared, now), line);
        }
    }
}
