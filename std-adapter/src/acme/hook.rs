//! Runs the operator's commands after a renewal and to answer dns-01. There is no shell: a hook is a program with its
//! arguments, or a signal to the process of a pid file, such as `signal:HUP:/run/nats.pid`. A process in a
//! sandbox can do neither, and has a helper that runs them.

use std::fmt;
use std::io::Read;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

/// The time after which a hook is killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The size limit of a pid file, in octets.
const MAX_PID_FILE: u64 = 64;

/// The signals that make programs reload.
const SIGNALS: [(&str, Signal); 5] = [
    ("HUP", Signal::HUP),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("TERM", Signal::TERM),
    ("WINCH", Signal::WINCH),
];

/// The reason that a hook failed.
#[derive(Debug)]
pub enum HookError {
    /// The hook begins with `signal:` but is not followed by a signal's name, a colon and a file.
    Signal(String),
    /// The pid file is malformed, or its process cannot be signalled.
    Pid(String, String),
    /// The hook names no program.
    Empty,
    /// The program cannot be run.
    Start(String, std::io::Error),
    /// The program ended with a status other than 0; the text is the end of its standard error.
    Failed(String, ExitStatus, String),
    /// The program took too long, and was killed.
    Timeout(String),
    /// The helper refuses to run the hook, has ended, or tells why the hook failed.
    Helper(String),
}

/// The commands of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Those that run after a renewal.
    pub renewal: Vec<String>,
    /// Those that answer dns-01.
    pub dns: Vec<String>,
}

impl Hooks {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.renewal.len().saturating_add(self.dns.len())
    }
}

/// The occasion of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookCall {
    /// A certificate was renewed.
    Renewed {
        /// The file of the chain.
        cert_file: String,
        /// The file of the key.
        key_file: String,
        /// The credential's name.
        name: String,
    },
    /// A TXT record is to be made.
    Present {
        /// The record's name.
        name: String,
        /// The record's value.
        value: String,
    },
    /// A TXT record is to be removed.
    Cleanup {
        /// The record's name.
        name: String,
        /// The record's value.
        value: String,
    },
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(hook) => {
                let names = SIGNALS.map(|(name, _)| name).join(", ");
                write!(f, "hook {hook}: expected signal:NAME:PIDFILE, NAME one of {names}")
            }
            Self::Pid(file, reason) => write!(f, "hook: {file}: {reason}"),
            Self::Empty => f.write_str("found no program in the hook"),
            Self::Start(hook, error) => write!(f, "hook {hook}: cannot be run: {error}"),
            Self::Failed(hook, status, text) => write!(f, "hook {hook}: {status}: {}", text.escape_debug()),
            Self::Timeout(hook) => write!(f, "hook {hook}: killed after {} s", PATIENCE.as_secs()),
            Self::Helper(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for HookError {}

/// The variables of our environment that hooks inherit; a service manager's credentials and sockets are withheld.
const ENVIRONMENT: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Returns the variables that hooks inherit.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    ENVIRONMENT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)))
}

/// The search path for programs, if the environment has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a hook as a child of this process.
pub async fn run_here(hook: &str, call: &HookCall) -> Result<(), HookError> {
    match call {
        HookCall::Renewed { cert_file, key_file, name } => {
            let variables =
                [("EDGETRUST_CERT_FILE", cert_file), ("EDGETRUST_KEY_FILE", key_file), ("EDGETRUST_NAME", name)];
            start(hook, &[], &variables).await
        }
        HookCall::Present { name, value } => start(hook, &["present", name, value], &[]).await,
        HookCall::Cleanup { name, value } => start(hook, &["cleanup", name, value], &[]).await,
    }
}

/// Runs a program, split at spaces, with more arguments; its environment is our `PATH`, `HOME`, `LANG`, and
/// `variables`.
async fn start(hook: &str, arguments: &[&str], variables: &[(&str, &String)]) -> Result<(), HookError> {
    if let Some(signal) = hook.strip_prefix("signal:") {
        return send(hook, signal);
    }
    let mut words = hook.split_whitespace();
    let program = words.next().ok_or(HookError::Empty)?;
    let mut command = Command::new(program);
    command.env_clear().env("PATH", DEFAULT_PATH);
    command.envs(environment());
    command.args(words).args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let start = |error| HookError::Start(hook.to_owned(), error);
    let child = command.spawn().map_err(start)?;
    let output = match timeout(PATIENCE, child.wait_with_output()).await {
        Err(_) => return Err(HookError::Timeout(hook.to_owned())),
        Ok(output) => output.map_err(start)?,
    };
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let end = text.chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
    Err(HookError::Failed(hook.to_owned(), output.status, end))
}

fn send(hook: &str, signal: &str) -> Result<(), HookError> {
    let parts = signal.split_once(':').and_then(|(name, file)| {
        let signal = SIGNALS.iter().find(|(known, _)| *known == name)?.1;
        (!file.is_empty()).then_some((signal, file))
    });
    let (signal, file) = parts.ok_or_else(|| HookError::Signal(hook.to_owned()))?;
    let failed = |reason: String| HookError::Pid(file.to_owned(), reason);
    let mut text = String::new();
    let opened = std::fs::File::open(file).and_then(|file| file.take(MAX_PID_FILE).read_to_string(&mut text));
    opened.map_err(|error| failed(format!("cannot be read: {error}")))?;
    // The file may be the wrong one and hold a key, so its text is not shown.
    let number: i32 = text.trim().parse().map_err(|_| failed("found no number, expected a process id".to_owned()))?;
    // Numbers of 1 and below would signal every process.
    let pid = Some(number).filter(|number| *number > 1).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| failed(format!("found {number}, expected a process id")))?;
    kill_process(pid, signal).map_err(|error| failed(format!("process {number}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_hook_is_told_and_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("hook");
        std::fs::write(&script, "echo \"$1 $2 $NAME\" > \"$0.out\"; echo oh >&2; exit $3").unwrap();
        let hook = format!("/bin/sh {}", script.display());
        let name = "a.example".to_owned();
        let variables = [("NAME", &name)];
        start(&hook, &["one", "two words", "0"], &variables).await.unwrap();
        let said = std::fs::read_to_string(folder.path().join("hook.out")).unwrap();
        assert_eq!(said, "one two words a.example\n");
        let error = start(&hook, &["one", "two", "3"], &variables).await.unwrap_err().to_string();
        assert!(error.ends_with("exit status: 3: oh\\n"), "{error}");
        let error = start("/nonexistent/hook", &[], &[]).await.unwrap_err().to_string();
        assert!(error.starts_with("hook /nonexistent/hook: cannot be run: "), "{error}");
        assert!(matches!(start("  ", &[], &[]).await, Err(HookError::Empty)));
    }

    #[tokio::test]
    async fn a_hook_sees_a_small_environment() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("hook");
        std::fs::write(&script, "env > \"$0.out\"").unwrap();
        start(&format!("/bin/sh {}", script.display()), &[], &[("NAME", &"a.example".to_owned())]).await.unwrap();
        let said = std::fs::read_to_string(folder.path().join("hook.out")).unwrap();
        let names: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(names.contains(&"PATH") && names.contains(&"NAME"), "{said}");
        // cargo sets many variables for this test; the shell adds its own.
        let own = ["PATH", "HOME", "LANG", "NAME", "PWD", "OLDPWD", "SHLVL", "_"];
        assert!(names.iter().all(|name| own.contains(name)), "{said}");
    }

    #[tokio::test]
    async fn a_signal_to_a_pid_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        std::fs::write(&file, format!("{}\n", child.id())).unwrap();
        start(&format!("signal:TERM:{}", file.display()), &[], &[]).await.unwrap();
        assert!(!child.wait().unwrap().success());
        for (text, expected) in [("1", "found 1,"), ("-5", "found -5,"), ("x", "found no number")] {
            std::fs::write(&file, text).unwrap();
            let error = start(&format!("signal:HUP:{}", file.display()), &[], &[]).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for hook in ["signal:", "signal:HUP", "signal:HUP:", "signal:NONE:/run/x.pid"] {
            assert!(matches!(start(hook, &[], &[]).await, Err(HookError::Signal(_))), "{hook}");
        }
    }
}
