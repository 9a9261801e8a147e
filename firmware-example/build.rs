//! Puts the linker scripts of the board where the linker looks for them.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The boards: a name and a target on each line.
const BOARDS: &str = include_str!("boards");

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let lines = BOARDS.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let chosen = |name: &&str| {
        let feature = format!("CARGO_FEATURE_BOARD_{}", name.to_uppercase().replace('-', "_"));
        env::var_os(feature).is_some()
    };
    let boards: Vec<&str> = names.filter(chosen).collect();
    let [board] = boards[..] else {
        let problem = format!("expected one feature board-NAME with a name of the file `boards`, found {boards:?}");
        return Err(io::Error::other(problem));
    };
    let folder = Path::new("src/board").join(board.replace('-', "_"));
    fs::copy(folder.join("memory.x"), out.join("memory.x"))?;
    // A crate that names the chip's interrupts (a PAC) brings its own: two of them would collide.
    let names_of_interrupts = folder.join("device.x");
    if names_of_interrupts.exists() {
        fs::copy(&names_of_interrupts, out.join("device.x"))?;
    }
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=boards");
    println!("cargo:rerun-if-changed={}", folder.display());
    Ok(())
}
