//! Asks for passwords, at a terminal alone.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::federation::Password;

/// Asks for the password of a key file, without showing it; `None` if standard input is no terminal, or the answer is
/// empty.
pub(super) fn ask(key: &Path) -> Result<Option<Password>, String> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Ok(None);
    }
    let failed = |error: io::Error| format!("the password cannot be asked for: {error}");
    let before = tcgetattr(&input).map_err(|error| failed(error.into()))?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&input, OptionalActions::Flush, &quiet).map_err(|error| failed(error.into()))?;
    let asked = write!(io::stderr(), "Password of {}: ", key.display());
    let mut line = String::new();
    let read = asked.and_then(|()| input.read_line(&mut line));
    let restored = tcsetattr(&input, OptionalActions::Now, &before);
    // The line break was not shown either; a terminal that is gone needs none.
    let _ = writeln!(io::stderr());
    read.map_err(failed)?;
    restored.map_err(|error| failed(error.into()))?;
    match line.trim_end_matches(['\n', '\r']) {
        "" => Ok(None),
        line => Password::new(line.to_owned()).map(Some),
    }
}
