//! `cargo xtask build`: the driver images, and the program for Windows.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    arch::Arch,
    exe, image,
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
    /// Build syncstress.exe, the program for Windows on x64, instead of the images
    #[arg(long, conflicts_with = "arch")]
    exe: bool,
}

/// The images that were built. Each has its .pdb beside it.
#[derive(Debug)]
pub struct Images {
    /// syncstress.sys
    pub driver: PathBuf,
    /// WDFLDR.SYS, for nthost and Wine, which run on x64 alone
    pub wdfldr: Option<PathBuf>,
}

/// Builds and says where the results are.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.exe {
        println!("{}", exe::build(arguments.release)?.display());
        return Ok(());
    }
    let images = images(arguments.arch, arguments.release)?;
    for path in std::iter::once(&images.driver).chain(&images.wdfldr) {
        println!("{}", path.display());
    }
    Ok(())
}

/// Builds the images for `arch`, as far as something changed, and checks them.
pub fn images(arch: Arch, release: bool) -> Result<Images> {
    let mut packages = vec!["--package", "syncstress-kmdf"];
    if arch == Arch::X64 {
        packages.extend(["--package", "wdfldr"]);
    }
    let cargo = KitCargo::prepare(arch)?;
    let mut command = cargo.command("build", release)?;
    process::run("building the images", command.args(packages))?;

    let profile = if release { "release" } else { "debug" };
    let built = cargo.artefacts(release);
    let place = generated().join(arch.name()).join(profile);
    create_folder(&place)?;
    let driver = take(&built, "syncstress", &place.join("syncstress.sys"))?;
    let wdfldr = (arch == Arch::X64)
        .then(|| take(&built, "wdfldr", &place.join("WDFLDR.SYS")))
        .transpose()?;
    Ok(Images { driver, wdfldr })
}

/// Takes what cargo calls a library over as the image at `to`, and its .pdb, whose name the image
/// holds.
fn take(built: &Path, name: &str, to: &Path) -> Result<PathBuf> {
    copy(&built.join(format!("{name}.dll")), to)?;
    copy(
        &built.join(format!("{name}.pdb")),
        &to.with_file_name(format!("{name}.pdb")),
    )?;
    image::check(to)?;
    Ok(to.to_path_buf())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    write_if_changed(to, &read(from)?)
}
