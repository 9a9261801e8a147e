//! Lists the faults that alerts are replayed with, and what each raises.

pub const DAY: u64 = 86_400;

/// The lives of a mesh's certificates.
#[derive(Clone, Copy)]
pub struct Lives {
    /// The seconds between two scrapes.
    pub scrape: u64,
    /// The seconds that are replayed.
    pub length: u64,
    /// A certificate's seconds after it was issued, and those that it was backdated by.
    pub lifetime: u64,
    pub backdated: u64,
    /// The seconds after which it is renewed.
    pub renewed: u64,
    /// No certificate is issued after this time.
    pub until: u64,
}

/// Certificates of a day, renewed after sixteen hours at the latest.
pub const DAYS: Lives =
    Lives { scrape: 60, length: 40 * 3600, lifetime: DAY, backdated: 60, renewed: 57_600, until: u64::MAX };
/// Certificates of five minutes, renewed after two thirds and forty seconds: an attempt has failed, and the scrape before
/// still saw the one before.
pub const MINUTES: Lives =
    Lives { scrape: 15, length: 3 * 3600, lifetime: 300, backdated: 60, renewed: 240, until: u64::MAX };

impl Lives {
    pub fn steps(self) -> u64 {
        self.length / self.scrape
    }

    /// Returns the value at each scrape, as promtool reads it.
    pub fn values(self, at: impl Fn(u64) -> u64) -> String {
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
    pub fn issued(self, at: u64) -> u64 {
        at.min(self.until) / self.renewed * self.renewed
    }
}

/// A fault: the series that it concerns, by name and a label, and their values.
pub type Fault = (&'static str, (&'static str, &'static str), fn(u64) -> u64);

pub struct Case {
    pub name: &'static str,
    pub lives: Lives,
    pub faults: &'static [Fault],
    pub raises: &'static [&'static str],
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

pub const CASES: &[Case] = &[
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
