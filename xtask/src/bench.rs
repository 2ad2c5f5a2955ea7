//! `cargo xtask bench`: what the locks of wdk-sync cost beside the raw calls.

use std::{ffi::OsString, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    arch::Arch,
    build::compile,
    process::{self, outer_cargo},
    setup,
    workspace::Workspace,
};

/// What to hand on.
#[derive(clap::Args)]
pub struct Arguments {
    /// What to do, `locks` or `asm`, and its options; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<OsString>,
}

/// Builds the driver with both kinds of function and becomes the program that looks at it: its exit
/// code is this one's.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[setup::Purpose::Images(Arch::X64)])?;
    let mut command = program(&image()?);
    command.args(&arguments.arguments);
    process::become_cargo(command)
}

/// Compares the functions instruction by instruction.
pub fn asm() -> Result<()> {
    process::run(
        "comparing instructions",
        program(&image()?).args(["asm", "--brief"]),
    )
}

fn image() -> Result<PathBuf> {
    compile(Workspace::Lockbench, Arch::X64, true, &["lockbench"])?
        .take("lockbench", "lockbench.sys")
}

fn program(driver: &PathBuf) -> Command {
    let mut command = outer_cargo();
    command
        .args([
            "run",
            "--locked",
            "--release",
            "--package",
            "lockbench-host",
            "--",
        ])
        .arg("--driver")
        .arg(driver);
    command
}
