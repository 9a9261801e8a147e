//! The steps of a probe, as a table and as JSON.

use serde::Serialize;

use super::certificate::Described;

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    /// It does not prevent the tunnel's work, or nothing can be known of it.
    Warning,
    Error,
    /// A step before it failed, so it was not tried.
    Skipped,
}

/// The parts of a probe, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part {
    /// The tunnel's target.
    Target,
    LookUp,
    Connection,
    Handshake,
    /// The verdict on the server's certificate here.
    OurVerdict,
    /// The certificate that we show.
    OurCertificate,
    /// The server's verdict on our certificate.
    TheirVerdict,
    /// The service behind the server, after both verdicts.
    Service,
}

impl Part {
    const ALL: [Self; 8] = [
        Self::Target,
        Self::LookUp,
        Self::Connection,
        Self::Handshake,
        Self::OurVerdict,
        Self::OurCertificate,
        Self::TheirVerdict,
        Self::Service,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::LookUp => "look-up",
            Self::Connection => "connection",
            Self::Handshake => "handshake",
            Self::OurVerdict => "our verdict",
            Self::OurCertificate => "our certificate",
            Self::TheirVerdict => "their verdict",
            Self::Service => "service",
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) step: Part,
    pub(super) level: Level,
    pub(super) what: String,
    /// The step to take, and the side that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// All that a probe has found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    config: String,
    tunnel: String,
    pub(super) target: Option<String>,
    /// The address with which the handshake was made.
    pub(super) address: Option<String>,
    /// "TLSv1.2" or "TLSv1.3".
    pub(super) version: Option<&'static str>,
    pub(super) server_certificate: Option<Described>,
    pub(super) own_certificate: Option<Described>,
    /// The name of the alert by which the server has refused.
    pub(super) alert: Option<String>,
    steps: Vec<Step>,
    /// No step failed.
    holds: bool,
}

impl Report {
    pub(super) fn new(config: String, tunnel: &str) -> Self {
        Self {
            config,
            tunnel: tunnel.to_owned(),
            target: None,
            address: None,
            version: None,
            server_certificate: None,
            own_certificate: None,
            alert: None,
            steps: Vec::new(),
            holds: true,
        }
    }

    pub(super) fn add(&mut self, step: Part, level: Level, what: impl Into<String>) {
        self.push(step, level, what.into(), None);
    }

    /// Adds a step that needs somebody to act.
    pub(super) fn advise(&mut self, step: Part, level: Level, what: impl Into<String>, advice: impl Into<String>) {
        self.push(step, level, what.into(), Some(advice.into()));
    }

    fn push(&mut self, step: Part, level: Level, what: String, advice: Option<String>) {
        self.holds &= level != Level::Error;
        self.steps.push(Step { step, level, what, advice });
    }

    /// Adds the parts that were not come to, and puts all parts in their order.
    pub(super) fn finish(&mut self) {
        for part in Part::ALL {
            if !self.steps.iter().any(|step| step.step == part) {
                self.add(part, Level::Skipped, "not tried, for the reason above");
            }
        }
        self.steps.sort_by_key(|step| Part::ALL.iter().position(|part| *part == step.step));
    }

    pub(super) const fn holds(&self) -> bool {
        self.holds
    }

    pub(super) fn print(&self) {
        outln!("tunnel {} of {}", self.tunnel.escape_debug(), self.config);
        for Step { step, level, what, advice } in &self.steps {
            let level = match level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Error => "error",
                Level::Skipped => "-",
            };
            outln!("  {level:<8} {:<16} {what}", step.name());
            if let Some(advice) = advice {
                outln!("  {:<8} {:<16} what to do: {advice}", "", "");
            }
            let shown = match step {
                Part::Handshake => self.server_certificate.as_ref(),
                Part::OurCertificate => self.own_certificate.as_ref(),
                _ => None,
            };
            shown.into_iter().flat_map(Described::lines).for_each(|line| outln!("  {:<8} {:<16}   {line}", "", ""));
        }
        let failed = self.steps.iter().filter(|step| step.level == Level::Error).map(|step| step.step.name());
        match failed.collect::<Vec<_>>().as_slice() {
            [] => outln!("all holds"),
            failed => outln!("does not hold: {}", failed.join(", ")),
        }
    }
}
