//! syncstress.exe, the user program for Windows.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{process, rust::Rust, setup, workspace::Workspace};

/// Its target: with mingw-w64's C library, which a Linux machine has.
pub const TARGET: &str = "x86_64-pc-windows-gnu";
/// The linker of that target.
pub const LINKER: &str = "x86_64-w64-mingw32-gcc";

/// Builds the program, as far as something changed, and gives its path.
pub fn build(release: bool) -> Result<PathBuf> {
    let Some(rust) = Rust::find(TARGET) else {
        bail!("{}", setup::what_is_missing(&[setup::Purpose::Program]));
    };
    let mut command = rust.cargo(Workspace::Main, "build", "std,panic_abort", release);
    command
        .args(["--package", "syncstress"])
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER);
    process::run("building syncstress.exe", &mut command)?;
    Ok(rust
        .artefacts(Workspace::Main, release)
        .join("syncstress.exe"))
}
