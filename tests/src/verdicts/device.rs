//! Runs the program `verdicts` of firmware-example in QEMU.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Runs the program on a stream; returns its verdicts, one line each.
///
/// # Errors
/// Fails if QEMU is missing, the program fails or exceeds the time limit, or its answer is not text.
pub fn judge(firmware: &Path, stream: &[u8], patience: Duration) -> Result<String, String> {
    let folder = std::env::temp_dir().join(format!("edgetrust-verdicts-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let answer = run(firmware, stream, &folder, patience);
    let _ = fs::remove_dir_all(&folder);
    answer
}

fn run(firmware: &Path, stream: &[u8], folder: &Path, patience: Duration) -> Result<String, String> {
    let at = |file: &Path, error: std::io::Error| format!("{}: {error}", file.display());
    let (asked, answered) = (folder.join("cases"), folder.join("verdicts"));
    fs::write(&asked, stream).map_err(|error| at(&asked, error))?;
    let semihosting = ["verdicts".as_ref(), asked.as_path(), answered.as_path()];
    let arguments: String = semihosting.iter().map(|argument| format!(",arg={}", argument.display())).collect();
    // Without -icount QEMU is several times faster, and nothing is measured.
    let mut qemu = Command::new("qemu-system-arm")
        .args(["-machine", "mps2-an386", "-cpu", "cortex-m4", "-display", "none", "-serial", "none"])
        .args(["-monitor", "none", "-nic", "none", "-semihosting-config"])
        .arg(format!("enable=on,target=native{arguments}"))
        .arg("-kernel")
        .arg(firmware)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("qemu-system-arm: {error}"))?;
    let started = Instant::now();
    let status = loop {
        match qemu.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if started.elapsed() > patience => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                return Err(format!("the device was not done after {} s", patience.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let answer = fs::read_to_string(&answered).map_err(|error| at(&answered, error))?;
    if !status.success() {
        let last = answer.lines().last().unwrap_or("nothing");
        return Err(format!("the device ended with {status}; the last that it said: {last}"));
    }
    Ok(answer)
}
