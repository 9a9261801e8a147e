//! Holds the parameters of a simulation and its result.

use std::fmt;

/// The parameters of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The number of gateways.
    pub gateways: u64,
    /// The simulated time in seconds.
    pub duration_s: u64,
    /// The lifetime of certificates in seconds.
    pub lifetime_s: u64,
    /// The time before its end at which a certificate is renewed, in seconds.
    pub renew_before_s: u32,
    /// A gateway that never gets a second certificate, without any trouble: the report must show it.
    pub broken: Option<u64>,
    /// The seed that replays the run.
    pub seed: u64,
    /// True if there is no trouble at all.
    pub calm: bool,
    /// The gateway and time span whose events are written to standard error.
    pub trace: Option<(u64, (u64, u64))>,
}

/// The result of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The number of certificates that expired though they could have been renewed.
    pub outages: u64,
    /// The first outage.
    pub first_outage: Option<String>,
    /// The number of certificates that expired because of troubles in all of the window, but for less than [`REACH`](super::REACH)
    /// at a time.
    pub excused: u64,
    /// The number of renewals.
    pub renewals: u64,
    /// The number of renewals before the previous certificate had expired.
    pub in_time: u64,
    /// The shortest time in seconds between a renewal in time and the end of the previous certificate.
    pub worst_margin_s: Option<u64>,
    /// The number of issued certificates.
    pub issued: u64,
    /// The number of failed attempts.
    pub failed: u64,
    /// The number of orders in the busiest minute.
    pub busiest_minute: u64,
    /// The number of events of the rotation.
    pub events: u64,
}

impl Report {
    pub(super) fn renewed(&mut self, end: u64, now: u64) {
        self.renewals += 1;
        if let Some(margin) = end.checked_sub(now).filter(|margin| *margin > 0) {
            self.in_time += 1;
            self.worst_margin_s = Some(self.worst_margin_s.map_or(margin, |worst| worst.min(margin)));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, of: u64| part as f64 * 100.0 / of.max(1) as f64;
        writeln!(f, "outages                 {}", self.outages)?;
        writeln!(f, "expired, CA not there   {}", self.excused)?;
        writeln!(f, "renewals                {}", self.renewals)?;
        writeln!(f, "renewed in time         {:.5} %", share(self.in_time, self.renewals))?;
        writeln!(f, "attempts that succeeded {:.3} %", share(self.issued, self.issued + self.failed))?;
        writeln!(f, "worst margin            {} s", self.worst_margin_s.unwrap_or(0))?;
        writeln!(f, "busiest minute          {} orders", self.busiest_minute)?;
        write!(f, "events                  {}", self.events)
    }
}
