//! `cargo xtask stress`: the whole way from nothing to a verdict.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    arch::Arch,
    build,
    process::{become_cargo, outer_cargo},
    setup,
};

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
    become_cargo(command)
}
