//! `cargo xtask wine`: the package installed, driven and removed under Wine.
//!
//! Wine is an NT that this project did not write. What is proved there is that the images load, that the
//! INF and the program install them, and that requests reach the driver and come back. Wine's locks are
//! too weak to judge those of `wdk-sync`: `nt/wine/GAPS.md` says, item by item, what it cannot carry.

mod gaps;
mod items;
mod prefix;
mod program;
mod shim;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

pub use self::prefix::is_installed;
use self::{prefix::Prefix, program::Program};
use crate::{
    arch::Arch,
    build, kit,
    package::{self, Sign},
    setup,
    workspace::{create_folder, read, root},
};

/// The exit code of `syncstress.exe` for a driver that cannot be reached.
const UNREACHABLE: Option<i32> = Some(3);

/// Builds what is needed, and runs it.
pub fn run() -> Result<()> {
    setup::ensure(&setup::Purpose::ALL)?;
    let wdfldr = build::images(Arch::X64, true)?.wdfldr;
    let package = package::make(Arch::X64, Sign::Test)?;
    end_to_end(&package, &wdfldr.context("x64 has a KMDF runtime")?)
}

/// Runs everything, with a package for x64 and a KMDF runtime.
pub fn end_to_end(package: &Path, wdfldr: &Path) -> Result<()> {
    let place = root().join("target/wine");
    create_folder(&place)?;
    let prefix = Prefix::create(&place.join("prefix"))?;
    prefix.put("drivers/WDFLDR.SYS", &read(wdfldr)?)?;
    let package = copy_for_wine(package, &place.join("package"))?;
    let program = Program {
        prefix: &prefix,
        path: package.join("syncstress.exe"),
    };
    let outcome = install(&program)
        .and_then(|()| items::run(&program))
        .and_then(|()| uninstall(&program));
    prefix.end_server();
    // Wine's own files are of no interest, and large.
    let _ = fs::remove_dir_all(place.join("prefix"));
    outcome
}

/// Copies the package, with an INF that Wine 8 understands.
fn copy_for_wine(package: &Path, place: &Path) -> Result<PathBuf> {
    create_folder(place)?;
    for name in ["syncstress.sys", "syncstress.cat", "syncstress.exe"] {
        fs::write(place.join(name), read(&package.join(name))?)
            .with_context(|| format!("cannot copy {name}"))?;
    }
    let inf = String::from_utf8(read(&package.join("syncstress.inf"))?)?;
    let version = format!(".10.0...{}", kit::LOWEST_BUILD);
    ensure!(
        inf.contains(&version),
        "the INF's models are not decorated with {version}, as GAPS.md says"
    );
    fs::write(place.join("syncstress.inf"), inf.replace(&version, ""))
        .context("cannot write the INF for Wine")?;
    Ok(place.to_owned())
}

fn install(program: &Program) -> Result<()> {
    let finished = program.run(&["status"])?;
    ensure!(
        finished.code == UNREACHABLE,
        "before anything was installed: {finished}"
    );
    says(program, &["--help"], "Windows: create the device")?;
    says(
        program,
        &["install"],
        "the driver answers for its device interface",
    )?;
    says(program, &["status"], "interface:      yes")?;
    says(program, &["info"], "on Wine, not Windows")?;
    let finished = program.run(&["doctor"])?;
    let expected = "test signing is off";
    ensure!(
        finished.code == Some(1) && finished.stdout.contains(expected),
        "doctor does not say that {expected}: {finished}"
    );
    ensure!(
        !finished.stdout.contains("other processors"),
        "doctor does not know the package's processors: {finished}"
    );
    Ok(())
}

fn uninstall(program: &Program) -> Result<()> {
    says(program, &["uninstall"], "removed the service SyncStress")?;
    let finished = program.run(&["status"])?;
    let gone = [
        "device:         none",
        "service:        none",
        "interface:      no",
    ];
    ensure!(
        finished.code == UNREACHABLE && gone.iter().all(|line| finished.stdout.contains(line)),
        "something was left behind: {finished}"
    );
    says(program, &["uninstall"], "there was nothing to remove")
}

fn says(program: &Program, arguments: &[&str], expected: &str) -> Result<()> {
    let finished = program.succeed(arguments)?;
    ensure!(
        finished.stdout.contains(expected),
        "syncstress.exe {} does not say `{expected}`: {finished}",
        arguments.join(" ")
    );
    println!("syncstress.exe {}: {expected}", arguments.join(" "));
    Ok(())
}
