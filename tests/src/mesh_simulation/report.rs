//! The figures of a run, and the goals.

use std::fmt;
use std::time::Duration;

use super::{Millis, SECOND};

/// The expectations of a mesh.
#[derive(Clone, Debug)]
pub struct Goal {
    pub what: String,
    pub found: String,
    pub met: bool,
}

/// The spread of news to all.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// The gateways that were down when it began.
    pub down: usize,
    /// The gateways that gateways with denied keys cut off from where it began: nothing leads to them.
    pub apart: usize,
    /// For each gateway the time in which it was up and did not know, in order; the last ones may not know yet.
    pub without: Vec<Millis>,
    /// The gateways that do not know at the end, and are up.
    pub missing: usize,
    /// Of the gateways that were up when it began, those that knew within ten seconds and within three minutes.
    pub up: usize,
    pub in_ten_seconds: usize,
    pub in_three_minutes: usize,
}

/// All figures.
#[derive(Clone, Debug)]
pub struct Report {
    pub wanted: usize,
    pub hold: usize,
    /// The octets of the signed file as it was simulated, and with the CAs named in the other form.
    pub signed: u64,
    pub other_form: u64,
    /// Real times, of this machine.
    pub check: Duration,
    pub deny: Duration,
    pub judging: Duration,
    pub loading: Duration,
    /// For each gateway what it sent in an hour without news, in order.
    pub messages: Vec<u64>,
    pub octets: Vec<u64>,
    pub calm: News,
    pub outages: News,
    pub conflict: News,
    /// The editions in force at the end, and the connections of gateways whose key is denied.
    pub editions: usize,
    pub refused: usize,
    pub events: u64,
}

/// Returns the value that a share of all, in percent, does not exceed.
pub fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}

fn seconds(time: Millis) -> f64 {
    time as f64 / SECOND as f64
}

impl News {
    fn is_within(&self, percent: usize, time: Millis) -> bool {
        // Whoever does not know yet stands last.
        let known = self.without.len() - self.missing;
        (self.without.len() * percent).div_ceil(100) <= known && percentile(&self.without, percent) <= time
    }
}

impl Report {
    /// Returns what was expected.
    pub fn goals(&self) -> Vec<Goal> {
        let goal = |what: &str, found: String, met| Goal { what: what.to_owned(), found, met };
        let Self { wanted, hold, signed, check, calm, outages, conflict, .. } = self;
        let news = |news: &News, percent| match news.missing {
            0 => format!("{:.1} s", seconds(percentile(&news.without, percent))),
            missing => format!("{:.1} s, {missing} do not know", seconds(percentile(&news.without, percent))),
        };
        vec![
            goal("all wanted links hold", format!("{hold} of {wanted}"), hold == wanted),
            goal("check in less than 2 s", format!("{:.2} s", check.as_secs_f64()), *check < Duration::from_secs(2)),
            goal("the signed file below 1 MiB", format!("{signed} octets"), *signed < 1 << 20),
            goal("news everywhere within 10 s", news(calm, 100), calm.is_within(100, 10 * SECOND)),
            goal("at 99 % within 3 min, a tenth down", news(outages, 99), outages.is_within(99, 180 * SECOND)),
            goal("of two texts at once both are known", format!("not to {}", conflict.missing), conflict.missing == 0),
            goal("one edition at the end", format!("{} editions", self.editions), self.editions == 1),
            goal("no connection with a denied key", self.refused.to_string(), self.refused == 0),
        ]
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |percent| seconds(percentile(&self.without, percent));
        write!(f, "up without it: half {:.1} s, 99 % {:.1} s, all {:.1} s", at(50), at(99), at(100))?;
        write!(f, "; {} do not know", self.missing)?;
        let Self { up, down, in_ten_seconds, in_three_minutes, .. } = self;
        write!(f, "; of {up} up ({down} down) {in_ten_seconds} within 10 s, {in_three_minutes} within 3 min")?;
        if self.apart > 0 { write!(f, "; {} are cut off", self.apart) } else { Ok(()) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = |all: &[u64]| all.iter().sum::<u64>() / all.len().max(1) as u64;
        writeln!(
            f,
            "signed file             {} octets ({} with the CAs named in the other form)",
            self.signed, self.other_form
        )?;
        writeln!(
            f,
            "check                   {:.2} s; deny and sign {:.2} s",
            self.check.as_secs_f64(),
            self.deny.as_secs_f64()
        )?;
        writeln!(
            f,
            "judge, load a mesh      {:.0?}, {:.0?} at most; simulated as {} ms, {} ms",
            self.judging,
            self.loading,
            super::network::JUDGING,
            super::network::LOADING
        )?;
        writeln!(
            f,
            "messages in an hour     mean {}, most {} of a gateway",
            mean(&self.messages),
            self.messages.last().unwrap_or(&0)
        )?;
        writeln!(f, "octets in an hour       mean {}, most {}", mean(&self.octets), self.octets.last().unwrap_or(&0))?;
        writeln!(f, "a key denied, all up    {}", self.calm)?;
        writeln!(f, "— a tenth down          {}", self.outages)?;
        writeln!(f, "— by two at once        {}", self.conflict)?;
        write!(f, "events                  {}", self.events)?;
        for Goal { what, found, met } in self.goals() {
            write!(f, "\n{} {what}: {found}", if met { "met   " } else { "MISSED" })?;
        }
        Ok(())
    }
}
