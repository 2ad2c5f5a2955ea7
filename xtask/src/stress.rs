//! `cargo xtask stress`: the whole way from nothing to a verdict.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context, Result};

use crate::{arch::Arch, build, process, process::outer_cargo, setup, workspace::root};

/// What to hand on.
#[derive(clap::Args)]
pub struct Arguments {
    /// Arguments for `syncstress stress`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Installs what is missing, builds the images and the program, and becomes the program: its exit
/// code is this one's.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[setup::Purpose::Images(Arch::X64)])?;
    let images = build::images(Arch::X64, true)?;
    let mut build = outer_cargo();
    build.args(["build", "--locked", "--release", "--package", "syncstress"]);
    process::run("building syncstress", &mut build)?;

    let mut command = Command::new(root().join("target/release/syncstress"));
    command
        .args(["--host", "nthost", "--driver"])
        .arg(&images.driver);
    if let Some(wdfldr) = &images.wdfldr {
        command.arg("--wdfldr").arg(wdfldr);
    }
    command.arg("stress").args(&arguments.arguments);
    Err(command.exec()).context("cannot start target/release/syncstress")
}
