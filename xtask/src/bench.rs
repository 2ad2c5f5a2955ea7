//! `cargo xtask bench`: what the locks of wdk-sync cost beside the raw calls, and what nthost costs.

use std::{ffi::OsString, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{
    arch::Arch,
    build::{self, Images, compile},
    c_driver,
    process::{self, outer_cargo},
    setup,
    workspace::Workspace,
};

/// What to hand on.
#[derive(clap::Args)]
pub struct Arguments {
    /// What to do, `locks`, `asm` or `host`, and its options; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<OsString>,
}

/// Builds what is measured and becomes the program that measures it: its exit code is this one's.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[setup::Purpose::Images(Arch::X64)])?;
    let command = match arguments.arguments.split_first() {
        Some((first, others)) if first == "host" => host(others)?,
        _ => {
            let mut command = program(&image()?);
            command.args(&arguments.arguments);
            command
        }
    };
    process::become_cargo(command)
}

/// The command that measures nthost, when all is built that it needs.
fn host(others: &[OsString]) -> Result<Command> {
    setup::ensure(&[setup::Purpose::Program(Arch::X64)])?;
    process::run(
        "building nthost",
        outer_cargo().args(["build", "--locked", "--release", "--package", "nthost"]),
    )?;
    let Images { driver, wdfldr, .. } = build::images(Arch::X64, true)?;
    let wdfldr = wdfldr.context("there is no KMDF runtime")?;
    let mut command = program(&c_driver::hostbench()?);
    command
        .arg("host")
        .arg("--syncstress")
        .arg(driver)
        .arg("--wdfldr")
        .arg(wdfldr)
        .arg("--ask")
        .arg(c_driver::hostbench_ask()?)
        .args(others);
    Ok(command)
}

/// Builds lockbench.sys.
pub fn image() -> Result<PathBuf> {
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
