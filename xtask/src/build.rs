//! `cargo xtask build`: the driver images, and the program for Windows.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    arch::Arch,
    c_driver, exe, image,
    kit_cargo::KitCargo,
    process,
    workspace::{Workspace, create_folder, generated, read, write_if_changed},
};

/// What to build.
#[derive(clap::Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Arguments {
    /// Processor architecture of the images or the program
    #[arg(long, value_enum, default_value = "x64")]
    arch: Arch,
    /// Optimise
    #[arg(long)]
    release: bool,
    /// Build, for x64, a driver that watches its own locks: `syncstress lockdep` and `lock-stat`
    #[arg(long, conflicts_with = "arch")]
    lockdep: bool,
    /// Build syncstress.exe, the program for Windows, instead of the images
    #[arg(long, conflicts_with = "lockdep")]
    exe: bool,
    /// Build the small WDM driver in C that nthost is tested with, instead of the images
    #[arg(long, conflicts_with_all = ["arch", "lockdep", "exe"])]
    c_driver: bool,
}

/// The images that were built. Each has its .pdb beside it.
#[derive(Debug)]
pub struct Images {
    /// syncstress.sys
    pub driver: PathBuf,
    /// WDFLDR.SYS, for nthost and Wine, which run on x64 alone
    pub wdfldr: Option<PathBuf>,
    /// noticeboard.sys
    pub noticeboard: PathBuf,
}

/// Builds and says where the results are.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.exe {
        println!(
            "{}",
            exe::build(arguments.arch, arguments.release)?.display()
        );
        return Ok(());
    }
    if arguments.c_driver {
        println!("{}", c_driver::build()?.display());
        return Ok(());
    }
    if arguments.lockdep {
        let images = watched(arguments.release)?;
        println!("{}", images.driver.display());
        println!("{}", images.wdfldr.display());
        return Ok(());
    }
    let images = images(arguments.arch, arguments.release)?;
    let paths = [&images.driver, &images.noticeboard];
    for path in paths.into_iter().chain(&images.wdfldr) {
        println!("{}", path.display());
    }
    Ok(())
}

/// Builds the images for `arch`, as far as something changed, and checks them.
pub fn images(arch: Arch, release: bool) -> Result<Images> {
    let mut packages = vec!["syncstress"];
    if arch == Arch::X64 {
        packages.push("wdfldr");
    }
    let built = compile(Workspace::Main, arch, release, &packages)?;
    let driver = built.take("syncstress", "syncstress.sys")?;
    let wdfldr = (arch == Arch::X64)
        .then(|| built.take("wdfldr", "WDFLDR.SYS"))
        .transpose()?;
    let built = compile(Workspace::Wdm, arch, release, &["noticeboard"])?;
    Ok(Images {
        driver,
        wdfldr,
        noticeboard: built.take("noticeboard", "noticeboard.sys")?,
    })
}

/// The driver that watches its own locks, and the KMDF runtime beside it.
#[derive(Debug)]
pub struct WatchedImages {
    /// syncstress.sys
    pub driver: PathBuf,
    /// WDFLDR.SYS
    pub wdfldr: PathBuf,
}

/// Builds the driver with `wdk-sync`'s features, for x64, in a folder beside that of the driver
/// without.
pub fn watched(release: bool) -> Result<WatchedImages> {
    const FEATURES: [&str; 2] = ["syncstress/lockdep", "syncstress/lock_stat"];
    let packages = ["syncstress", "wdfldr"];
    let mut built = compile_with(&FEATURES, Workspace::Main, Arch::X64, release, &packages)?;
    built.place = built.place.join("lockdep");
    create_folder(&built.place)?;
    Ok(WatchedImages {
        driver: built.take("syncstress", "syncstress.sys")?,
        wdfldr: built.take("wdfldr", "WDFLDR.SYS")?,
    })
}

/// What cargo has compiled for one architecture and profile.
#[derive(Debug)]
pub struct Built {
    /// Where cargo has put it.
    artefacts: PathBuf,
    /// Where the images go.
    place: PathBuf,
}

/// Compiles packages of a workspace of drivers, as far as something changed.
pub fn compile(
    workspace: Workspace,
    arch: Arch,
    release: bool,
    packages: &[&str],
) -> Result<Built> {
    compile_with(&[], workspace, arch, release, packages)
}

/// As [`compile`], with features of the packages.
fn compile_with(
    features: &[&str],
    workspace: Workspace,
    arch: Arch,
    release: bool,
    packages: &[&str],
) -> Result<Built> {
    let cargo = KitCargo::prepare(arch)?;
    let mut command = cargo.command(workspace, "build", release)?;
    for package in packages {
        command.args(["--package", package]);
    }
    for feature in features {
        command.args(["--features", feature]);
    }
    process::run("building the images", &mut command)?;

    let profile = if release { "release" } else { "debug" };
    let place = generated().join(arch.name()).join(profile);
    create_folder(&place)?;
    Ok(Built {
        artefacts: cargo.artefacts(workspace, release),
        place,
    })
}

impl Built {
    /// Takes what cargo calls the library `name` over as the image `file`, and its .pdb, whose name
    /// the image holds.
    pub fn take(&self, name: &str, file: &str) -> Result<PathBuf> {
        let image = self.place.join(file);
        let mut linked = read(&self.artefacts.join(format!("{name}.dll")))?;
        let mut symbols = read(&self.artefacts.join(format!("{name}.pdb")))?;
        image::settle(&mut linked, &mut symbols)?;
        write_if_changed(&image, &linked)?;
        write_if_changed(&self.place.join(format!("{name}.pdb")), &symbols)?;
        image::check(&image)?;
        Ok(image)
    }
}
