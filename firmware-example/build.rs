//! Puts the board's memory map where the linker looks for it.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    if env::var_os("CARGO_FEATURE_BOARD_MPS2").is_some() {
        fs::copy("src/board/mps2/memory.x", out.join("memory.x"))?;
    }
    // cortex-m-rt's feature `device` asks for names of interrupts; src/board fills in the table itself.
    fs::write(out.join("device.x"), "")?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=src/board/mps2/memory.x");
    Ok(())
}
