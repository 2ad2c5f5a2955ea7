//! `cargo xtask stress`: the whole way from nothing to a verdict.

use std::{ffi::OsString, os::unix::process::CommandExt as _};

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
    command.args([
        "run",
        "--locked",
        "--release",
        "--package",
        "syncstress",
        "--",
    ]);
    command.arg("--driver").arg(&images.driver);
    if let Some(wdfldr) = &images.wdfldr {
        command.arg("--wdfldr").arg(wdfldr);
    }
    command.arg("stress").args(&arguments.arguments);
    Err(command.exec()).context("cannot start cargo")
}
