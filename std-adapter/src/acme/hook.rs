//! Commands of the operator's: after a renewal, and to answer dns-01. No shell: what is configured is a program and its arguments.

use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// A hook that takes longer is killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why a hook did not do its work.
#[derive(Debug)]
pub enum HookError {
    /// There is no program in it.
    Empty,
    /// It cannot be run.
    Start(String, std::io::Error),
    /// It ended with another status than 0; the end of what it wrote to standard error.
    Failed(String, ExitStatus, String),
    /// It took too long, and was killed.
    Timeout(String),
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("found no program in the hook"),
            Self::Start(hook, error) => write!(f, "hook {hook}: cannot be run: {error}"),
            Self::Failed(hook, status, text) => write!(f, "hook {hook}: {status}: {}", text.escape_debug()),
            Self::Timeout(hook) => write!(f, "hook {hook}: killed after {} s", PATIENCE.as_secs()),
        }
    }
}

impl std::error::Error for HookError {}

/// Runs a program, split at spaces, with more arguments and variables.
///
/// # Errors
/// Why it did not do its work.
pub async fn run_hook(hook: &str, arguments: &[&str], variables: &[(&str, String)]) -> Result<(), HookError> {
    let mut words = hook.split_whitespace();
    let program = words.next().ok_or(HookError::Empty)?;
    let mut command = Command::new(program);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_hook_is_told_and_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("hook");
        std::fs::write(&script, "echo \"$1 $2 $NAME\" > \"$0.out\"; echo oh >&2; exit $3").unwrap();
        let hook = format!("/bin/sh {}", script.display());
        let variables = [("NAME", "a.example".to_owned())];
        run_hook(&hook, &["one", "two words", "0"], &variables).await.unwrap();
        let said = std::fs::read_to_string(folder.path().join("hook.out")).unwrap();
        assert_eq!(said, "one two words a.example\n");
        let error = run_hook(&hook, &["one", "two", "3"], &variables).await.unwrap_err().to_string();
        assert!(error.ends_with("exit status: 3: oh\\n"), "{error}");
        let error = run_hook("/nonexistent/hook", &[], &[]).await.unwrap_err().to_string();
        assert!(error.starts_with("hook /nonexistent/hook: cannot be run: "), "{error}");
        assert!(matches!(run_hook("  ", &[], &[]).await, Err(HookError::Empty)));
    }
}
