//! `cargo xtask fmt`, `clippy` and `doc`: what looks at the sources, the driver crates for their
//! own target.

use std::process::Command;

use anyhow::Result;

use crate::{
    arch::Arch,
    exe,
    kit_cargo::KitCargo,
    process::{self, outer_cargo},
    workspace::{Workspace, fuzz_folder},
};

// The driver crates are looked at in the release profile: its build scripts have run already.

/// The crates that run in the kernel.
const DRIVER_CRATES: [(Workspace, &[&str]); 3] = [
    (
        Workspace::Main,
        &[
            "syncstress",
            "syncstress-protocol",
            "syncstress-stress",
            "wdfldr",
            "wdk-sync",
        ],
    ),
    (Workspace::Wdm, &["noticeboard", "wdm-shell"]),
    (Workspace::Lockbench, &["lockbench"]),
];

/// How to format.
#[derive(clap::Args)]
pub struct Format {
    /// Only say what is not formatted
    #[arg(long)]
    check: bool,
}

/// Formats all sources.
pub fn fmt(arguments: &Format) -> Result<()> {
    let folders = Workspace::ALL.map(Workspace::root);
    for folder in folders.into_iter().chain([fuzz_folder()]) {
        let mut command = outer_cargo();
        command.current_dir(folder).args(["fmt", "--all"]);
        if arguments.check {
            command.args(["--", "--check"]);
        }
        process::run("formatting", &mut command)?;
    }
    Ok(())
}

/// Says what is not formatted.
pub fn fmt_check() -> Result<()> {
    fmt(&Format { check: true })
}

/// Runs clippy on everything; warnings are errors.
pub fn clippy() -> Result<()> {
    clippy_in(outer_cargo())?;
    clippy_on_drivers()?;
    exe::clippy()
}

/// Runs clippy on what a Linux machine runs, with this cargo and its environment.
pub fn clippy_in(mut command: Command) -> Result<()> {
    command.args(["clippy", "--locked", "--all-targets", "--", "-Dwarnings"]);
    process::run("clippy on the host", &mut command)
}

/// Runs clippy on the crates that run in the kernel.
pub fn clippy_on_drivers() -> Result<()> {
    let cargo = KitCargo::prepare(Arch::X64)?;
    for (workspace, crates) in DRIVER_CRATES {
        let mut command = cargo.command(workspace, "clippy", true)?;
        command.args(packages(crates)).args(["--", "-Dwarnings"]);
        process::run("clippy on the driver crates", &mut command)?;
    }
    Ok(())
}

/// Builds the documentation of everything; broken links are errors.
pub fn doc() -> Result<()> {
    doc_in(outer_cargo())
}

/// The same, with this cargo and its environment for the host.
pub fn doc_in(mut command: Command) -> Result<()> {
    command
        .args(["doc", "--locked", "--no-deps"])
        .env("RUSTDOCFLAGS", "-Dwarnings");
    process::run("the host's documentation", &mut command)?;
    let cargo = KitCargo::prepare(Arch::X64)?;
    for (workspace, crates) in DRIVER_CRATES {
        let mut command = cargo.command(workspace, "doc", true)?;
        command
            .args(packages(crates))
            .arg("--no-deps")
            .env("RUSTDOCFLAGS", "-Dwarnings");
        process::run("the driver crates' documentation", &mut command)?;
    }
    Ok(())
}

fn packages<'a>(names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    names.iter().flat_map(|name| ["--package", name])
}
