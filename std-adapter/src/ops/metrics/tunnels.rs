//! Lists the metrics of tunnels.

use crate::gateway::{Counters, RefusalReason, Side, Status, Tally, Usage};
use crate::ops::exposition::{Exposition, Kind};

/// A counter with a line for each tunnel.
struct PerTunnel {
    name: &'static str,
    help: &'static str,
    value: fn(&Counters) -> u64,
}

const PER_TUNNEL: [PerTunnel; 3] = [
    PerTunnel {
        name: "edgetrust_sessions_ended_total",
        help: "Sessions ended because the peer's certificate expired or its rule was withdrawn.",
        value: Counters::ended_total,
    },
    PerTunnel {
        name: "edgetrust_sessions_continued_total",
        help: "Sessions continued under newer certificates of their peers, each time counted.",
        value: Counters::continued_total,
    },
    PerTunnel {
        name: "edgetrust_connections_cut_total",
        help: "Connections that failed or stood still, rather than having both sides end.",
        value: Counters::cut_total,
    },
];

pub(super) fn write(out: &mut Exposition, status: &Status) {
    let tunnels = status.tunnels();
    sessions(out, status);
    for PerTunnel { name, help, value } in PER_TUNNEL {
        let mut family = out.family(name, Kind::Counter, help);
        for tunnel in tunnels.iter() {
            family.sample(&[("tunnel", &tunnel.name)], value(&tunnel.counters));
        }
    }
    let help = "Plaintext: up from clients to targets, down from targets to clients.";
    let mut family = out.family("edgetrust_bytes_total", Kind::Counter, help);
    for tunnel in tunnels.iter() {
        let counters = &tunnel.counters;
        for (direction, value) in [("up", counters.up_total()), ("down", counters.down_total())] {
            family.sample(&[("tunnel", &tunnel.name), ("direction", &direction)], value);
        }
    }
    let help = "Connections that carried nothing; without a tunnel where none was found.";
    let mut family = out.family("edgetrust_connections_refused_total", Kind::Counter, help);
    let all = tunnels.iter().map(|tunnel| (tunnel.name.as_str(), &*tunnel.counters)).chain([("", status.unmatched())]);
    for (tunnel, counters) in all {
        for reason in RefusalReason::ALL {
            family.sample(&[("tunnel", &tunnel), ("reason", &reason.name())], counters.refused_total(reason));
        }
    }
    handshakes(out, status);
    targets(out, status);
    limits(out, status);
    let mut family =
        out.family("edgetrust_session_duration_seconds", Kind::Histogram, "How long sessions took that have ended.");
    for tunnel in tunnels.iter() {
        family.histogram(&[("tunnel", &tunnel.name)], &tunnel.counters.session_durations());
    }
    let help = "1 where no server is verified.";
    let mut family = out.family("edgetrust_insecure_skip_verify", Kind::Gauge, help);
    for tunnel in tunnels.iter() {
        family.sample(&[("tunnel", &tunnel.name)], u8::from(tunnel.insecure));
    }
}

/// Writes sessions by trust anchor and rule. Sums over these labels are the sessions of a tunnel.
fn sessions(out: &mut Exposition, status: &Status) {
    let tunnels: Vec<_> = status.tunnels().iter().map(|one| (one.name.clone(), one.counters.tallies())).collect();
    let accepted = "Connections that were let in and reached the target.";
    let open = "Sessions that are open.";
    type Value = fn(&Tally) -> u64;
    let families: [(&str, Kind, &str, Value); 2] = [
        ("edgetrust_connections_accepted_total", Kind::Counter, accepted, Tally::opened_total),
        ("edgetrust_sessions_open", Kind::Gauge, open, Tally::open_now),
    ];
    for (name, kind, help, value) in families {
        let mut family = out.family(name, kind, help);
        for (tunnel, tallies) in &tunnels {
            for tally in tallies {
                let key = tally.anchor_key.map(|key| key.to_string()).unwrap_or_default();
                family.sample(
                    &[("tunnel", tunnel), ("rule", &tally.rule), ("anchor", &tally.anchor), ("anchor_key", &key)],
                    value(tally),
                );
            }
        }
    }
}

/// Writes the handshakes of tunnels with TLS, and those for which no tunnel was found.
fn handshakes(out: &mut Exposition, status: &Status) {
    let tunnels = status.tunnels();
    let all = || {
        let known = tunnels.iter().map(|tunnel| (tunnel.name.as_str(), tunnel.side, &*tunnel.counters));
        known.chain([("", Side::Server, status.unmatched())]).filter(|(_, side, _)| *side != Side::Plain)
    };
    let help = "Handshakes of TLS: accepted, refused by the verdict on the peer, or failed before it.";
    let mut family = out.family("edgetrust_handshakes_total", Kind::Counter, help);
    for (tunnel, side, counters) in all() {
        for one in counters.handshake_counts() {
            family.sample(
                &[
                    ("tunnel", &tunnel),
                    ("side", &side.name()),
                    ("result", &one.result),
                    ("reason", &one.reason),
                    ("version", &one.version),
                    ("group", &one.group),
                    ("resumed", &one.resumed),
                ],
                one.count,
            );
        }
    }
    let help = "How long accepted handshakes took.";
    let mut family = out.family("edgetrust_handshake_duration_seconds", Kind::Histogram, help);
    for (tunnel, side, counters) in all().filter(|(tunnel, ..)| !tunnel.is_empty()) {
        family.histogram(&[("tunnel", &tunnel), ("side", &side.name())], &counters.handshake_durations());
    }
}

/// The health of targets.
fn targets(out: &mut Exposition, status: &Status) {
    let help = "0 after a connection to the target, or a probe of it, has failed.";
    let mut family = out.family("edgetrust_target_up", Kind::Gauge, help);
    for tunnel in status.tunnels().iter() {
        for target in &tunnel.targets {
            family.sample(&[("tunnel", &tunnel.name), ("target", target.address())], u64::from(target.is_up()));
        }
    }
}

/// The limits of tunnels and of their addresses, and how much of each is used.
fn limits(out: &mut Exposition, status: &Status) {
    type Of = fn(&Usage) -> Option<u64>;
    let families: [(&str, &str, Of); 2] = [
        ("edgetrust_limit", "The limits of a tunnel and of its address; none is left out.", |usage| usage.at_most),
        ("edgetrust_limit_used", "How much is used; of a limit for each source, by the one that uses most.", |usage| {
            Some(usage.used)
        }),
    ];
    for (name, help, value) in families {
        let mut family = out.family(name, Kind::Gauge, help);
        for tunnel in status.tunnels().iter() {
            for usage in tunnel.usages() {
                if let Some(value) = value(&usage) {
                    family.sample(&[("tunnel", &tunnel.name), ("limit", &usage.limit)], value);
                }
            }
        }
    }
}
