//! `cargo xtask reproduce`: does the same commit give the same driver, whatever the folder?

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    arch::Arch,
    build, process,
    workspace::{read, root},
};

/// What to build twice.
#[derive(clap::Args)]
pub struct Arguments {
    /// Processor architecture of the driver
    #[arg(long, value_enum, default_value = "x64")]
    arch: Arch,
}

/// Builds the driver here, and again from a clone of the commit in another folder, and compares.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut status = Command::new("git");
    status.current_dir(root()).args(["status", "--porcelain"]);
    let changes = status.output().context("cannot ask git for changes")?;
    ensure!(
        changes.status.success() && changes.stdout.is_empty(),
        "only a commit can be built twice, and something is not committed"
    );
    let here = build::images(arguments.arch, true)?.driver;

    let clone = env::temp_dir().join(format!("syncstress-again-{}", std::process::id()));
    let result = build_in(&clone, arguments.arch, &here);
    // What cannot be removed from the folder for temporary files is not the question here.
    let _ = fs::remove_dir_all(&clone);
    result
}

fn build_in(clone: &Path, arch: Arch, here: &Path) -> Result<()> {
    let mut command = Command::new("git");
    command.args(["clone", "--quiet"]).arg(root()).arg(clone);
    process::run("cloning the commit", &mut command)?;
    let mut command = process::outer_cargo();
    command
        .current_dir(clone)
        .args(["xtask", "build", "--release", "--arch", arch.name()]);
    process::run("building the clone", &mut command)?;

    let built = here
        .strip_prefix(root())
        .context("the driver is not below the root")?;
    let [one, other] = [read(here)?, read(&clone.join(built))?];
    if one != other {
        let at = one.iter().zip(&other).position(|(one, other)| one != other);
        bail!("the two drivers differ, first at byte {at:?}");
    }
    println!("{}: {} bytes, twice the same", here.display(), one.len());
    Ok(())
}
