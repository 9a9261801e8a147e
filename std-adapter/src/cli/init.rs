//! Implements `edgetrust init`: writes a first configuration from three questions, or from flags.

use std::fs::Permissions;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::config_choice::PLACES;
use super::findings::Level;
use super::init_answers::{Answers, Clients, Mode, Pair, Side};
use super::init_questions::{Dialogue, Open};
use super::{Failure, Outcome, check};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    open: Open,
    /// File to write; one that is there is not touched
    #[arg(long, short, value_name = "FILE", default_value = PLACES[0])]
    config: PathBuf,
}

pub(crate) fn run(args: Args) -> Outcome {
    let Args { mut open, config: file } = args;
    // Looked at before anything is asked; the file is created in a way that replaces none.
    if file.symlink_metadata().is_ok() {
        return Err(there_already(&file));
    }
    open.faults()?;
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
    if asks {
        Dialogue { input: io::stdin().lock(), output: io::stderr().lock() }.fill(&mut open)?;
        open.faults()?;
    }
    let answers = complete(open).map_err(|missing| {
        let hint = if asks { "nothing is written" } else { "at a terminal `edgetrust init` asks for them" };
        format!("missing: {}; {hint}", missing.join(", "))
    })?;
    write(&answers, &file)
}

fn there_already(file: &Path) -> Failure {
    format!("{}: is there already, and is left as it is; --config names another file", file.display()).into()
}

/// Returns the answers if none is missing, else the flags of those that are.
fn complete(open: Open) -> Result<Answers, Vec<&'static str>> {
    let missing = open.missing();
    let own = open.cert.zip(open.key).map(|(cert, key)| Pair { cert, key });
    let side = match (open.mode, own) {
        (Some(Mode::Server), Some(own)) => {
            let clients = if open.no_client_auth {
                Clients::Unasked
            } else {
                Clients::Named { ca: open.ca, cns: open.allow_cn, dns: open.allow_dns }
            };
            Some(Side::Server { own, clients })
        }
        (Some(Mode::Client), own) => Some(Side::Client { ca: open.ca, own, server_name: open.server_name }),
        _ => None,
    };
    match (side, open.listen, open.target) {
        (Some(side), Some(listen), Some(target)) if missing.is_empty() => Ok(Answers { listen, target, side }),
        _ => Err(missing),
    }
}

/// Writes a file as a whole if `check` has no error to report, else nothing.
fn write(answers: &Answers, file: &Path) -> Outcome {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Names in a file start at its folder, those in flags at the working directory.
    let here = folder == Path::new(".");
    let name =
        |name: &str| match std::path::absolute(name).ok().and_then(|name| name.into_os_string().into_string().ok()) {
            Some(absolute) if !here => absolute,
            _ => name.to_owned(),
        };
    let text = answers.text(name);
    let failed = |error: io::Error| format!("{}: cannot be written: {error}", file.display());
    // Not secret: it names files. Readable for the account that the gateway runs as.
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(".gateway").permissions(Permissions::from_mode(0o644));
    let mut new = builder.tempfile_in(folder).map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    let findings = check::offline(new.path())?;
    check::table(findings.all.iter().filter(|finding| finding.level != Level::Ok));
    if findings.count(Level::Error) > 0 {
        outln!("{}: not written, for the errors above", file.display());
        return Ok(ExitCode::FAILURE);
    }
    new.persist_noclobber(file).map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => there_already(file),
        _ => failed(error.error).into(),
    })?;
    outln!("{}: written, and checked", file.display());
    outln!("next: edgetrust run --config {}", quoted(file));
    Ok(ExitCode::SUCCESS)
}

/// Returns a name as a shell takes it.
fn quoted(file: &Path) -> String {
    let name = file.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if name.chars().all(plain) { name } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is said to lines of answers, and what is then missing.
    fn asked(mut open: Open, lines: &str) -> (String, Result<Answers, Vec<&'static str>>) {
        let mut said = Vec::new();
        Dialogue { input: lines.as_bytes(), output: &mut said }.fill(&mut open).unwrap();
        (String::from_utf8(said).unwrap(), complete(open))
    }

    #[test]
    fn questions_are_repeated_until_the_answer_holds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pem").display().to_string();
        std::fs::write(&file, "").unwrap();
        let lines =
            format!("both\n\nserver\n10.0.0.1:80\n127.0.0.1:80\n8443\n\n{file}x\n{file}\n{file}\n{file}\nb c\n");
        let (said, answers) = asked(Open::default(), &lines);
        for part in [
            "expected server or client",
            "an answer is needed",
            "plaintext would leave this machine",
            "expected ADDRESS:PORT, as 0.0.0.0:8443",
            "a.pemx: No such file",
            "[0.0.0.0:8443]: ",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let answers = answers.unwrap();
        assert_eq!((answers.listen.as_str(), answers.target.as_str()), ("0.0.0.0:8443", "127.0.0.1:80"));
        let Side::Server { clients: Clients::Named { cns, .. }, .. } = answers.side else { panic!("{answers:?}") };
        assert_eq!(cns, ["b", "c"]);
    }

    #[test]
    fn what_is_not_answered_is_named() {
        for (lines, expected) in [
            ("", &["--mode server or --mode client", "--listen", "--target"][..]),
            ("client\n", &["--listen", "--target", "--ca"]),
            ("client\nb.example:1\n\n/\n", &["--ca"]),
        ] {
            assert_eq!(asked(Open::default(), lines).1.unwrap_err(), expected, "{lines:?}");
        }
        let half = Open {
            mode: Some(Mode::Server),
            cert: Some("c".to_owned()),
            ca: vec!["ca".to_owned()],
            listen: Some("0.0.0.0:1".to_owned()),
            ..Open::default()
        };
        assert_eq!(half.missing(), ["--target", "--key", "--allow-cn or --allow-dns"]);
    }

    #[test]
    fn nobody_is_asked_for_a_certificate_only_where_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pem").display().to_string();
        std::fs::write(&file, "").unwrap();
        let (_, answers) = asked(Open::default(), &format!("server\nunix:s\n\n{file}\n{file}\nnone\n"));
        assert!(matches!(answers.unwrap().side, Side::Server { clients: Clients::Unasked, .. }));
        let (_, answers) = asked(Open::default(), &format!("server\nunix:s\n\n{file}\n{file}\n\n"));
        assert_eq!(
            answers.unwrap_err(),
            ["--ca with --allow-cn or --allow-dns (or --no-client-auth, which admits everybody)"]
        );
    }

    #[test]
    fn a_name_is_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("./gateway.json")), "./gateway.json");
        assert_eq!(quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
