//! `cargo xtask stress`: the whole way from nothing to a verdict.

use std::{ffi::OsString, process::Command};

use anyhow::{Context, Result};

use crate::{arch::Arch, build, process::outer_cargo, setup};

/// What to hand on.
#[derive(clap::Args)]
pub struct Arguments {
    /// Arguments for `syncstress stress`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Installs what is missing, builds the images, and becomes the program, built as well: its exit
/// code is this one's.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[setup::Purpose::Images(Arch::X64)])?;
    let images = build::images(Arch::X64, true)?;

    let mut command = outer_cargo();
    command.args(["run", "--locked", "--release", "--bin", "syncstress", "--"]);
    command.arg("--driver").arg(&images.driver);
    if let Some(wdfldr) = &images.wdfldr {
        command.arg("--wdfldr").arg(wdfldr);
    }
    command.arg("stress").args(&arguments.arguments);
    become_it(command)
}

#[cfg(unix)]
fn become_it(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()).context("cannot start cargo")
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> Result<()> {
    let status = command.status().context("cannot start cargo")?;
    std::process::exit(status.code().unwrap_or(1))
}
