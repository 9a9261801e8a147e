//! Parses scenarios: TOML files that are read from top to bottom.

use std::fmt;
use std::path::Path;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::server::{Flaw, Server};
use super::step::{Action, Step, StepText};
use crate::hostile;
use crate::wire::Modes;

/// The messages that no firmware may log unless the scenario is about them.
const NEVER: &str = "^stopped: |after (panic|fault|stack|watchdog)|stands still|^settings: |^no board";

/// The settings of the device.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// The flaw of the device's certificate.
    pub certificate: Flaw,
    /// The device's common name and DNS name, where they are other than the server admits.
    pub name: Option<String>,
    /// The device's only trust anchor; by default the mesh's root.
    pub believes: Believes,
    /// The server's certificate must come from the location's CA, and not from any below the trust anchor.
    pub bound: bool,
    /// The key of the location's CA is denied.
    pub denies: bool,
    /// The device has a voucher in place of a certificate; until a step makes one, a voucher that nobody made.
    pub voucher: bool,
    /// Keys of the configuration's `device` section that replace the usual ones; an empty text removes a key.
    pub config: serde_json::Map<String, Value>,
    /// Seconds of the device's and the time server's clock in each second.
    pub clock_rate: Option<u32>,
    /// The operation of the flash, counted from the start, at which the device's power ends.
    pub cut_at: Option<u32>,
    /// One instruction takes one nanosecond of the device's time, and firmware with the test rig counts them.
    pub counted: bool,
    /// The device's board has the address, gateway and DNS server that DHCP would give it, and does not ask for them.
    pub static_address: bool,
}

/// The trust anchor of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Believes {
    /// The root that issued the servers' certificates.
    #[default]
    Root,
    /// A root outside the mesh.
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
    /// Replaces [`NEVER`].
    never: Option<String>,
    steps: Vec<StepText>,
}

/// A scenario, ready to run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file's name, with the mode's appended if the file stands for several modes.
    pub name: String,
    /// The summary in one sentence.
    pub summary: String,
    /// The initial modes of the network's services.
    pub wire: Modes,
    /// The initial server.
    pub server: Server,
    /// The settings of the device.
    pub device: Device,
    /// The messages that the device must not log at any time.
    pub never: Regex,
    /// The steps, in their order.
    pub steps: Vec<Step>,
}

/// A file's fault.
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
    /// Returns all scenarios of a file: one, or one for each mode.
    ///
    /// # Errors
    /// Returns the file's fault.
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

    /// Returns whether the scenario needs firmware with the test rig: power cuts, a flash that fails, another clock
    /// rate.
    pub fn needs_rig(&self) -> bool {
        let Device { clock_rate, cut_at, counted, static_address, .. } = self.device;
        let cuts = self
            .steps
            .iter()
            .any(|step| matches!(step.action, Action::Cut(_) | Action::Cuts(_) | Action::Flash(_) | Action::Faults(_)));
        cuts || counted || clock_rate.is_some() || cut_at.is_some() || static_address
    }

    /// Returns whether devices renew in the scenario.
    pub fn needs_step_ca(&self) -> bool {
        let servers = std::iter::once(&self.server).chain(self.steps.iter().filter_map(Step::server));
        servers.into_iter().any(|server| match server {
            Server::Gateway(shown) | Server::Openssl(shown) => shown.est.is_some(),
            Server::Hostile { .. } | Server::None => false,
        })
    }

    /// Returns all scenarios of a folder, by name.
    ///
    /// # Errors
    /// Fails if a file cannot be read or is invalid.
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
    use std::time::Duration;

    use super::*;

    fn problem(text: &str) -> String {
        Scenario::parse("one", text).unwrap_err().to_string()
    }

    #[test]
    fn our_own_files_are_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let scenarios = Scenario::of_folder(&folder).unwrap_or_else(|bad| panic!("{bad}"));
        assert!(scenarios.len() > 40, "{}", scenarios.len());
        // Each mode occurs in some scenario.
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
        let chat = |octets| format!("{start}steps = [{{ chat = {{ texts = 2, octets = {octets} }} }}]");
        assert!(problem(&chat(125)).ends_with("chat.octets: expected 126 or more"), "{}", problem(&chat(125)));
        Scenario::parse("one", &chat(126)).unwrap();
        let hostile = "summary = \"x\"\nsteps = [{ wait = \"a\" }]\nserver = { kind = \"hostile\", mode = \"nice\" }";
        assert!(problem(hostile).contains("found \"nice\""));
    }
}
