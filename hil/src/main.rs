//! `edgetrust-hil`: runs firmware against real servers, and judges its behaviour.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgetrust_hil::hostile;
use edgetrust_hil::image::Flash;
use edgetrust_hil::log::{Log, Waited};
use edgetrust_hil::probe;
use edgetrust_hil::qemu::{self, BOARDS};
use edgetrust_hil::scenario::{Action, Firmware, Outcome, Scenario, Verdict, run_all};
use edgetrust_hil::self_test;
use regex::Regex;

const USAGE: &str = "usage: edgetrust-hil run [--board NAME] [--firmware ELF] [--rig ELF] [--profile NAME] [--jobs N] [--cuts N] [--every-fault] [--keep] [SCENARIO...]
       edgetrust-hil self-test [--board NAME] [--firmware ELF]
       edgetrust-hil list [--modes]
       edgetrust-hil image --config FILE --out FILE [--voucher FILE|TEXT]
       edgetrust-hil board --chip CHIP [--probe PROBE] --firmware ELF --until REGEX [--within SECONDS]

run        runs scenarios in QEMU; one is named by its file, or by file/mode. Builds the firmware where no ELF is given, with this profile. --cuts: how often
           the power ends in the scenario that ends it again and again. --every-fault: each operation of the flash fails once in flash-fails-once.
self-test  runs the firmware's test of its board in QEMU: firmware-example/src/bin/board.rs.
list       shows scenarios, or the modes of the hostile server.
image      writes the flash file of a device from its configuration and the files that it names. --voucher: the line that
           `edgetrust devices invite` prints, or a file with it, in place of the file of device.voucher.
board      runs firmware on a board by probe-rs, until it logs what is waited for.

--board names a board of firmware-example/boards; without it, it is the first.";

/// The number of parallel runs: QEMU takes a core while its device works, and devices wait most of the time.
const JOBS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut arguments = Arguments(arguments);
    let done = match arguments.0.first().cloned().as_deref() {
        Some("run") => run(&mut arguments),
        Some("self-test") => self_test(&mut arguments),
        Some("list") => list(&mut arguments),
        Some("image") => image(&mut arguments),
        Some("board") => board(&mut arguments),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

/// The remaining command line; its first argument is the subcommand.
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|argument| argument != name);
        self.0.len() < before
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(place) = self.0.iter().position(|argument| argument == name) else { return Ok(None) };
        if place + 1 >= self.0.len() {
            return Err(format!("{name}: found nothing behind it, expected a value\n{USAGE}"));
        }
        let value = self.0.remove(place + 1);
        self.0.remove(place);
        Ok(Some(value))
    }

    /// Returns the board of QEMU that is named, or the default.
    fn board(&mut self) -> Result<&'static qemu::Board, String> {
        let Some(name) = self.value("--board")? else { return Ok(&BOARDS[0]) };
        qemu::board(&name).ok_or_else(|| {
            let names: Vec<_> = BOARDS.iter().map(|board| board.name).collect();
            format!("--board: found {name:?}, expected one of {}", names.join(", "))
        })
    }

    fn required(&mut self, name: &str) -> Result<String, String> {
        self.value(name)?.ok_or_else(|| format!("{name} is missing\n{USAGE}"))
    }

    /// Returns the arguments that are not options.
    fn rest(&self) -> Result<&[String], String> {
        let rest = self.0.get(1..).unwrap_or_default();
        match rest.iter().find(|argument| argument.starts_with('-')) {
            Some(unknown) => Err(format!("{unknown}: not known\n{USAGE}")),
            None => Ok(rest),
        }
    }

    fn nothing_more(&self) -> Result<(), String> {
        match self.rest()?.first() {
            Some(more) => Err(format!("{more}: not expected\n{USAGE}")),
            None => Ok(()),
        }
    }
}

/// Returns the top folder of the repository.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn scenarios(wanted: &[String]) -> Result<Vec<Scenario>, String> {
    let all = Scenario::of_folder(&top().join("hil/scenarios")).map_err(|bad| bad.to_string())?;
    if wanted.is_empty() {
        return Ok(all);
    }
    let named =
        |scenario: &Scenario, name: &String| scenario.name == *name || scenario.name.split('/').next() == Some(name);
    if let Some(unknown) = wanted.iter().find(|name| !all.iter().any(|scenario| named(scenario, name))) {
        return Err(format!("{unknown}: no such scenario; edgetrust-hil list shows them"));
    }
    Ok(all.into_iter().filter(|scenario| wanted.iter().any(|name| named(scenario, name))).collect())
}

fn run(arguments: &mut Arguments) -> Result<bool, String> {
    let board = arguments.board()?;
    let [plain, rig] = ["--firmware", "--rig"].map(|name| arguments.value(name));
    let profile = arguments.value("--profile")?.unwrap_or_else(|| "release".to_owned());
    let jobs = arguments.value("--jobs")?.map_or(Ok(JOBS), |jobs| jobs.parse());
    let jobs = jobs.map_err(|error| format!("--jobs: {error}"))?;
    let keep = arguments.flag("--keep");
    let every = arguments.flag("--every-fault");
    let cuts = arguments.value("--cuts")?.map(|cuts| cuts.parse()).transpose();
    let cuts: Option<u32> = cuts.map_err(|error| format!("--cuts: {error}"))?;
    let mut scenarios = scenarios(arguments.rest()?)?;
    for action in scenarios.iter_mut().flat_map(|scenario| &mut scenario.steps).map(|step| &mut step.action) {
        match action {
            Action::Cuts(own) => own.times = cuts.unwrap_or(own.times),
            Action::Faults(own) if every => own.every = 1,
            _ => {}
        }
    }
    let logs = logs(board)?;
    let mut firmware = Firmware { board, plain: plain?.map(PathBuf::from), rig: rig?.map(PathBuf::from) };
    let ours = firmware.plain.is_none();
    if ours && scenarios.iter().any(|scenario| !scenario.needs_rig()) {
        firmware.plain = Some(build(board, &["--profile", &profile], &logs.join("firmware.elf"))?);
    }
    if ours && firmware.rig.is_none() && scenarios.iter().any(Scenario::needs_rig) {
        firmware.rig =
            Some(build(board, &["--profile", &profile, "--features", "rig"], &logs.join("firmware-rig.elf"))?);
    }
    let verdicts = run_all(&scenarios, &firmware, &logs, keep, jobs, |verdict| println!("{}", row(verdict)));
    let count = |wanted: fn(&Outcome) -> bool| verdicts.iter().filter(|verdict| wanted(&verdict.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    if failed > 0 {
        println!("\nfailed; what was said is in {}:", logs.display());
        for verdict in verdicts.iter().filter(|verdict| matches!(verdict.outcome, Outcome::Failed(_))) {
            println!("{}", row(verdict));
        }
    }
    let passed = count(|outcome| *outcome == Outcome::Passed);
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

fn row(verdict: &Verdict) -> String {
    let (result, why) = match &verdict.outcome {
        Outcome::Passed => ("passed", ""),
        Outcome::Failed(why) => ("FAILED", why.as_str()),
        Outcome::Skipped(why) => ("skipped", why.as_str()),
    };
    format!("{:<48} {result:<8} {:>6.1} s  {why}", verdict.name, verdict.took.as_secs_f64()).trim_end().to_owned()
}

/// Returns the folder for what is left of runs on this board.
fn logs(board: &qemu::Board) -> Result<PathBuf, String> {
    let logs = top().join("target/hil");
    let logs = if board.name == BOARDS[0].name { logs } else { logs.join(board.name) };
    std::fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    Ok(logs)
}

/// Runs the board's test twice on one flash: the second run finds what the first one wrote.
fn self_test(arguments: &mut Arguments) -> Result<bool, String> {
    let board = arguments.board()?;
    let firmware = arguments.value("--firmware")?.map(PathBuf::from);
    arguments.nothing_more()?;
    let logs = logs(board)?;
    let firmware = match firmware {
        Some(firmware) => firmware,
        None => build(board, &["--bin", "board"], &logs.join("board.elf"))?,
    };
    let log = Arc::new(Log::new());
    let passed = self_test::run(board, &firmware, &logs.join("board.bin"), &log);
    for line in log.lines(0) {
        println!("{line}");
    }
    passed.map_err(|error| error.to_string())
}

/// Builds the firmware, and copies it to a name of its own: both kinds are built at the same place.
fn build(board: &qemu::Board, options: &[&str], kept: &Path) -> Result<PathBuf, String> {
    let script = top().join("firmware-example/build");
    let output = Command::new(&script)
        .args(["--board", board.name])
        .args(options)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", script.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let elf = said.lines().last().unwrap_or_default().trim();
    if !output.status.success() || elf.is_empty() {
        return Err(format!("{}: {}", script.display(), output.status));
    }
    std::fs::copy(elf, kept).map_err(|error| format!("{elf}: {error}"))?;
    Ok(kept.to_owned())
}

fn list(arguments: &mut Arguments) -> Result<bool, String> {
    let modes = arguments.flag("--modes");
    arguments.nothing_more()?;
    if modes {
        for mode in hostile::MODES {
            println!("{:<36} {:<36} {}", mode.name, format!("{:?}", mode.expected), mode.does);
        }
    } else {
        for scenario in scenarios(&[])? {
            println!("{:<48} {}", scenario.name, scenario.summary);
        }
    }
    Ok(true)
}

fn image(arguments: &mut Arguments) -> Result<bool, String> {
    let [config, out] = ["--config", "--out"].map(|name| arguments.required(name));
    let (config, out) = (PathBuf::from(config?), PathBuf::from(out?));
    let voucher = match arguments.value("--voucher")? {
        // A voucher has a colon, and may be a file's name all the same.
        Some(text) if !text.contains(':') || Path::new(&text).exists() => {
            Some(std::fs::read_to_string(&text).map_err(|error| format!("--voucher: {text}: {error}"))?)
        }
        other => other,
    };
    arguments.nothing_more()?;
    let text = std::fs::read_to_string(&config).map_err(|error| format!("{}: {error}", config.display()))?;
    let folder = config.parent().unwrap_or(Path::new("."));
    Flash::create_for(&out, &text, folder, voucher.as_deref())?;
    Ok(true)
}

fn board(arguments: &mut Arguments) -> Result<bool, String> {
    let [chip, firmware, until] = ["--chip", "--firmware", "--until"].map(|name| arguments.required(name));
    let (chip, firmware) = (chip?, PathBuf::from(firmware?));
    let until = Regex::new(&until?).map_err(|error| format!("--until: {error}"))?;
    let within = arguments.value("--within")?.map_or(Ok(60), |seconds| seconds.parse());
    let within = Duration::from_secs(within.map_err(|error| format!("--within: {error}"))?);
    let probe = arguments.value("--probe")?;
    arguments.nothing_more()?;
    let log = Arc::new(Log::new());
    let attached = probe::Board { firmware, chip, probe }.start(&log).map_err(|error| error.to_string())?;
    let waited = log.wait(0, Instant::now() + within, |line| until.is_match(&line.text));
    drop(attached);
    for line in log.lines(0) {
        println!("{line}");
    }
    Ok(matches!(waited, Waited::Found(_)))
}
