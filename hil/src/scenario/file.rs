//! A scenario as it is written: a TOML file that is read from top to bottom.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::step::{Action, Step, StepText};
use crate::hostile::{self, Expected};
use crate::wire::Modes;

/// How long anything may take where a step does not say.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// What no firmware may say unless the scenario is about it.
const NEVER: &str = "^stopped: |after (panic|fault|stack|watchdog)|stands still|^settings: |^no board";

/// Who answers behind the gateway's port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Server {
    /// The `edgetrust` program, mutual TLS, with a service behind it.
    Gateway(Shown),
    /// `openssl s_server`, mutual TLS, with a service behind it.
    Openssl(Shown),
    /// One of the modes of the hostile server.
    Hostile {
        /// Its name.
        #[serde(default)]
        mode: String,
        /// Instead of a name: one scenario for each mode of which this is expected.
        every: Option<Expectation>,
    },
    /// Nobody: the port resets.
    None,
}

/// What a real server shows, and whom it lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shown {
    /// What is wrong with its certificate.
    pub certificate: Flaw,
    /// DNS names of clients that are let in; none: the device's.
    pub clients: Option<Vec<String>>,
    /// Common names of clients that are let in, instead.
    pub common_names: Option<Vec<String>>,
    /// The gateway lets devices renew, and step-ca issues for so long, as `24h`.
    pub est: Option<String>,
    /// The gateway does not know the intermediate that step-ca issues with: it refuses what devices get there.
    pub forgets_issuer: bool,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// It ended an hour ago.
    Expired,
    /// It begins tomorrow.
    NotYetValid,
    /// It is for another name.
    WrongName,
    /// Nobody knows who issued it.
    Stranger,
}

/// What is expected of a device that meets a hostile server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// It refuses.
    Refused,
    /// It believes the server, and then ends the connection.
    Broken,
    /// It believes the server, and sees its end.
    Ended,
    /// It gives up by its own deadline.
    GivenUp,
    /// It gives up on a server that it believes.
    Silent,
    /// It panics, and comes back.
    Panics,
    /// It is served.
    Served,
}

impl Expectation {
    fn is(self, expected: Expected) -> bool {
        matches!(
            (self, expected),
            (Self::Refused, Expected::Refused(_))
                | (Self::Broken, Expected::Broken(_))
                | (Self::Ended, Expected::Ended)
                | (Self::GivenUp, Expected::GivenUp)
                | (Self::Silent, Expected::Silent)
                | (Self::Panics, Expected::Panics)
                | (Self::Served, Expected::Served)
        )
    }
}

/// The device.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// What is wrong with its certificate.
    pub certificate: Flaw,
    /// Its common name and DNS name, where it is another than the server lets in.
    pub name: Option<String>,
    /// It believes this CA and no other; the mesh's where it is not said.
    pub believes: Believes,
    /// Keys of the configuration's `device` section, instead of the usual ones; an empty text takes one out.
    pub config: serde_json::Map<String, Value>,
    /// Seconds of the device's clock, and of the time server's, in each second.
    pub clock_rate: Option<u32>,
    /// The operation of the flash, counted from the start, at which its power ends.
    pub cut_at: Option<u32>,
}

/// Whom a device believes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Believes {
    /// The root that issued the servers' certificates.
    #[default]
    Root,
    /// Another.
    Stranger,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    summary: String,
    #[serde(default)]
    wire: Modes,
    server: Server,
    #[serde(default)]
    device: Device,
    /// Instead of [`NEVER`].
    never: Option<String>,
    steps: Vec<StepText>,
}

/// A scenario, ready to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name, and the mode's where there is one for each.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// The network's services, in the beginning.
    pub wire: Modes,
    /// Who answers, in the beginning.
    pub server: Server,
    /// The device.
    pub device: Device,
    /// What may not be said at any time.
    pub never: Regex,
    /// What happens, one after the other.
    pub steps: Vec<Step>,
}

/// What is wrong with a file.
#[derive(Debug)]
pub struct Bad {
    file: String,
    problem: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.problem)
    }
}

impl std::error::Error for Bad {}

impl Scenario {
    /// All scenarios of a file: one, or one for each mode.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(name: &str, text: &str) -> Result<Vec<Self>, Bad> {
        let bad = |problem: String| Bad { file: format!("{name}.toml"), problem };
        let text: Text = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        let never = text.never.as_deref().unwrap_or(NEVER);
        let never = Regex::new(never).map_err(|error| bad(format!("never: {error}")))?;
        let steps = (1..)
            .zip(text.steps)
            .map(|(number, step)| Step::try_from(step).map_err(|problem| bad(format!("step {number}: {problem}"))));
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        if steps.is_empty() {
            return Err(bad("steps: found none, expected one at least: what does nothing cannot fail".into()));
        }
        let servers = std::iter::once(&text.server).chain(steps.iter().filter_map(Step::server));
        for server in servers {
            check_mode(server).map_err(bad)?;
        }
        let Server::Hostile { every: Some(every), .. } = text.server else {
            let Text { summary, wire, server, device, .. } = text;
            return Ok(vec![Self { name: name.to_owned(), summary, wire, server, device, never, steps }]);
        };
        let modes = hostile::MODES.iter().filter(|mode| every.is(mode.expected));
        Ok(modes
            .map(|mode| Self {
                name: format!("{name}/{}", mode.name),
                summary: format!("{}: it {}", text.summary, mode.does),
                wire: text.wire,
                server: Server::Hostile { mode: mode.name.to_owned(), every: None },
                device: text.device.clone(),
                never: never.clone(),
                steps: steps.clone(),
            })
            .collect())
    }

    /// Whether it takes firmware with the test rig: power cuts, a flash that fails, another rate of the clock.
    pub fn needs_rig(&self) -> bool {
        let Device { clock_rate, cut_at, .. } = self.device;
        let cuts =
            self.steps.iter().any(|step| matches!(step.action, Action::Cut(_) | Action::Cuts(_) | Action::Flash(_)));
        cuts || clock_rate.is_some() || cut_at.is_some()
    }

    /// Whether devices renew in it.
    pub fn needs_step_ca(&self) -> bool {
        let servers = std::iter::once(&self.server).chain(self.steps.iter().filter_map(Step::server));
        servers.into_iter().any(|server| match server {
            Server::Gateway(shown) | Server::Openssl(shown) => shown.est.is_some(),
            Server::Hostile { .. } | Server::None => false,
        })
    }

    /// All scenarios of a folder, by name.
    ///
    /// # Errors
    /// Where a file cannot be read, or what is wrong with it.
    pub fn of_folder(folder: &Path) -> Result<Vec<Self>, Bad> {
        let bad =
            |path: &Path, error: std::io::Error| Bad { file: path.display().to_string(), problem: error.to_string() };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| bad(folder, error))? {
            let path = entry.map_err(|error| bad(folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
        files.sort();
        let mut scenarios = Vec::new();
        for path in files {
            let text = std::fs::read_to_string(&path).map_err(|error| bad(&path, error))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            scenarios.extend(Self::parse(&name, &text)?);
        }
        Ok(scenarios)
    }
}

fn check_mode(server: &Server) -> Result<(), String> {
    match server {
        Server::Hostile { mode, every: None } if hostile::mode(mode).is_none() => {
            Err(format!("server.mode: found {mode:?}, expected a mode: edgetrust-hil list --modes"))
        }
        Server::Hostile { mode, every: Some(_) } if !mode.is_empty() => {
            Err(format!("server.mode: found {mode:?} beside every, expected one of the two"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Scenario::parse("one", text).unwrap_err().to_string()
    }

    #[test]
    fn our_own_files_are_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let scenarios = Scenario::of_folder(&folder).unwrap_or_else(|bad| panic!("{bad}"));
        assert!(scenarios.len() > 40, "{}", scenarios.len());
        // Every mode is met by some scenario.
        for mode in hostile::MODES {
            let met = scenarios
                .iter()
                .any(|scenario| matches!(&scenario.server, Server::Hostile { mode: own, .. } if own == mode.name));
            assert!(met, "no scenario has {}", mode.name);
        }
    }

    #[test]
    fn a_file_is_read() {
        let scenarios = Scenario::parse(
            "two",
            "summary = \"x\"\nserver = { kind = \"gateway\", certificate = \"expired\" }\nwire = { ntp = { offset = -5 } }\n\
             device = { config = { interval = \"1s\" } }\nsteps = [{ wait = \"boot\", within = 3 }]",
        )
        .unwrap();
        assert_eq!(scenarios.len(), 1);
        assert_eq!(scenarios[0].wire.ntp, crate::wire::Ntp::Offset(-5));
        assert_eq!(scenarios[0].device.config["interval"], "1s");
        assert_eq!(scenarios[0].steps[0].within, Duration::from_secs(3));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let start = "summary = \"x\"\nserver = { kind = \"none\" }\n";
        assert!(problem(&format!("{start}steps = []")).contains("found none"));
        assert!(problem(&format!("{start}steps = [{{ wiat = \"boot\" }}]")).contains("wiat"));
        assert!(problem(&format!("{start}steps = [{{ wait = \"(\" }}]")).starts_with("one.toml: step 1: wait: "));
        assert!(problem(&format!("{start}steps = [{{ wait = \"a\", restart = true }}]")).contains("one thing"));
        assert!(problem(&format!("{start}steps = [{{ within = 3 }}]")).contains("one thing"));
        let hostile = "summary = \"x\"\nsteps = [{ wait = \"a\" }]\nserver = { kind = \"hostile\", mode = \"nice\" }";
        assert!(problem(hostile).contains("found \"nice\""));
    }
}
