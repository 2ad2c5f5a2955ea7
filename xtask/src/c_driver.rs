//! The WDM drivers in C that nthost is tested and measured with, built as authors of C drivers build
//! theirs on Linux: by mingw-w64.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    exe, kit,
    process::run_quietly,
    workspace::{self, create_folder, generated},
};

const FLAGS: [&str; 17] = [
    "-std=gnu17",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    // The tag of pool memory, and what the headers do with GS.
    "-Wno-multichar",
    "-Wno-array-bounds",
    "-DNTDDI_VERSION=0x0A000000",
    "-D_WIN32_WINNT=0x0A00",
    "-ffreestanding",
    "-shared",
    "-nostdlib",
    "-Wl,--subsystem,native",
    "-Wl,--entry,DriverEntry",
    "-Wl,--dynamicbase",
    "-Wl,--exclude-all-symbols",
];

/// Builds the driver that nthost is tested with, and gives its path.
pub fn build() -> Result<PathBuf> {
    driver("nt/host/tests/c/sample.c", "csample.sys")
}

/// Builds the driver that nthost is measured with, and gives its path.
pub fn hostbench() -> Result<PathBuf> {
    driver("tests/hostbench/hostbench.c", "hostbench.sys")
}

/// Builds the program that asks that driver in Wine, and gives its path.
pub fn hostbench_ask() -> Result<PathBuf> {
    let program = place()?.join("ask.exe");
    let mut command = Command::new(exe::LINKER);
    command
        .args(["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(workspace::root().join("tests/hostbench/ask.c"));
    run_quietly("building the program in C", &mut command)?;
    Ok(program)
}

fn driver(source: &str, image: &str) -> Result<PathBuf> {
    let image = place()?.join(image);
    let mut command = Command::new(exe::LINKER);
    command
        .args(FLAGS)
        .arg("-isystem")
        .arg(kit::ddk_headers())
        .arg("-o")
        .arg(&image)
        .arg(workspace::root().join(source))
        .args(["-lhal", "-lntoskrnl"]);
    run_quietly("building the driver in C", &mut command)?;
    Ok(image)
}

fn place() -> Result<PathBuf> {
    let place = generated().join("x64");
    create_folder(&place)?;
    Ok(place)
}
