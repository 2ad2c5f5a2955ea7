//! What is for the user mode of Windows: syncstress.exe, and whatever else builds there.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{process, rust::Rust, setup, workspace::Workspace};

/// Its target: with mingw-w64's C library, which a Linux machine has.
pub const TARGET: &str = "x86_64-pc-windows-gnu";
/// The linker of that target.
pub const LINKER: &str = "x86_64-w64-mingw32-gcc";

/// Builds the program, as far as something changed, and gives its path.
pub fn build(release: bool) -> Result<PathBuf> {
    let rust = find()?;
    let mut command = command(&rust, "build", release);
    command.args(["--bin", "syncstress"]);
    process::run("building syncstress.exe", &mut command)?;
    Ok(rust
        .artefacts(Workspace::Main, release)
        .join("syncstress.exe"))
}

/// Runs clippy for Windows on the packages that need no WDK there.
pub fn clippy() -> Result<()> {
    let mut command = command(&find()?, "clippy", true);
    for package in [
        "nt-abi",
        "nthost",
        "syncstress-app",
        "syncstress-protocol",
        "syncstress-tests",
        "wdfldr",
        "xtask",
    ] {
        command.args(["--package", package]);
    }
    command.args(["--", "-Dwarnings"]);
    process::run("clippy for Windows", &mut command)
}

fn find() -> Result<Rust> {
    let Some(rust) = Rust::find(TARGET) else {
        bail!("{}", setup::what_is_missing(&[setup::Purpose::Program]));
    };
    Ok(rust)
}

fn command(rust: &Rust, subcommand: &str, release: bool) -> Command {
    let mut command = rust.cargo(Workspace::Main, subcommand, "std,panic_abort", release);
    // The program waits for the driver, so it is made small rather than fast, and no debugger of
    // Windows reads DWARF.
    command
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    command
}
