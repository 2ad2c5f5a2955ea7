//! What is for the user mode of Windows: syncstress.exe, and whatever else builds there.

mod check;
mod libraries;

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{arch::Arch, llvm::Llvm, process, rust::Rust, setup, workspace::Workspace};

/// The linker of the target for x64, and mingw-w64's compiler of C.
pub const LINKER: &str = "x86_64-w64-mingw32-gcc";

/// Its target: for x64 with mingw-w64's C library, which a Linux machine has, for ARM64 with a little
/// of our own.
pub const fn target(arch: Arch) -> &'static str {
    match arch {
        Arch::X64 => "x86_64-pc-windows-gnu",
        Arch::Arm64 => Arch::Arm64.target(),
    }
}

/// Builds the program, as far as something changed, checks it, and gives its path.
pub fn build(arch: Arch, release: bool) -> Result<PathBuf> {
    let rust = find(arch)?;
    let mut command = command(&rust, arch, "build", release)?;
    command.args(packages()).args(["--bin", "syncstress"]);
    process::run("building syncstress.exe", &mut command)?;
    let program = rust
        .artefacts(Workspace::Main, release)
        .join("syncstress.exe");
    check::check(&program, arch)?;
    Ok(program)
}

/// Runs clippy for Windows on the packages that need no WDK there, and on their tests if the toolchain has
/// a compiled standard library: one that is compiled along aborts, and tests unwind.
pub fn clippy() -> Result<()> {
    let rust = find(Arch::X64)?;
    let mut command = command(&rust, Arch::X64, "clippy", true)?;
    command.args(packages());
    if rust.is_complete() {
        command.arg("--all-targets");
    }
    command.args(["--", "-Dwarnings"]);
    process::run("clippy for Windows", &mut command)
}

/// What needs no WDK on Windows. Building the program names all of it too: which packages a command names
/// decides with which features cargo compiles what they depend on.
fn packages() -> impl Iterator<Item = &'static str> {
    [
        "nt-abi",
        "nthost",
        "syncstress-app",
        "syncstress-protocol",
        "syncstress-tests",
        "wdfldr",
        "xtask",
    ]
    .into_iter()
    .flat_map(|name| ["--package", name])
}

fn find(arch: Arch) -> Result<Rust> {
    let Some(rust) = Rust::find(target(arch)) else {
        bail!("{}", what_is_missing(arch));
    };
    Ok(rust)
}

fn what_is_missing(arch: Arch) -> String {
    setup::what_is_missing(&[setup::Purpose::Program(arch)])
}

fn command(rust: &Rust, arch: Arch, subcommand: &str, release: bool) -> Result<Command> {
    let mut command = rust.cargo(Workspace::Main, subcommand, "std,panic_abort", release)?;
    // The program waits for the driver, so it is made small rather than fast, and no debugger of
    // Windows reads DWARF.
    command
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    match arch {
        Arch::X64 => {
            command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", LINKER);
        }
        Arch::Arm64 => {
            let Some(llvm) = Llvm::find() else {
                bail!("{}", what_is_missing(arch));
            };
            // 6.02 is what Microsoft's linker writes for ARM64 (page: /SUBSYSTEM).
            let flags = [
                format!("-Lnative={}", libraries::prepare(&llvm)?.display()),
                "-Clink-arg=/SUBSYSTEM:CONSOLE,6.02".into(),
                "-Clink-arg=/RELEASE".into(),
                "-Clink-arg=/Brepro".into(),
                // Its .pdb would lie where that of the driver does, which has the same name.
                "-Clink-arg=/DEBUG:NONE".into(),
            ];
            command
                .env(
                    "CARGO_TARGET_AARCH64_PC_WINDOWS_MSVC_LINKER",
                    llvm.tool("lld-link"),
                )
                .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        }
    }
    Ok(command)
}
