//! `cargo xtask build`: the driver images.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    arch::Arch,
    kit_cargo::KitCargo,
    process,
    workspace::{create_folder, generated, read, write_if_changed},
};

/// What to build.
#[derive(clap::Args)]
pub struct Arguments {
    /// Processor architecture of the images
    #[arg(long, value_enum, default_value = "x64")]
    arch: Arch,
    /// Optimise
    #[arg(long)]
    release: bool,
}

/// The files that were built.
#[derive(Debug)]
pub struct Images {
    /// syncstress.sys
    pub driver: PathBuf,
}

/// Builds the images and says where they are.
pub fn run(arguments: &Arguments) -> Result<()> {
    let images = images(arguments.arch, arguments.release)?;
    println!("{}", images.driver.display());
    Ok(())
}

/// Builds the images for `arch`, as far as something changed.
pub fn images(arch: Arch, release: bool) -> Result<Images> {
    let cargo = KitCargo::prepare(arch)?;
    let mut command = cargo.command("build", release)?;
    process::run(
        "building syncstress.sys",
        command.args(["--package", "syncstress-kmdf"]),
    )?;

    let profile = if release { "release" } else { "debug" };
    let built = generated().join("cargo").join(arch.target()).join(profile);
    let place = generated().join(arch.name()).join(profile);
    create_folder(&place)?;
    let driver = place.join("syncstress.sys");
    copy(&built.join("syncstress.dll"), &driver)?;
    copy(&built.join("syncstress.pdb"), &place.join("syncstress.pdb"))?;
    Ok(Images { driver })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    write_if_changed(to, &read(from)?)
}
