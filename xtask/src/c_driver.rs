//! The WDM driver in C that nthost is tested with, built as authors of C drivers build theirs on Linux:
//! by mingw-w64.

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

/// Builds the driver and gives its path.
pub fn build() -> Result<PathBuf> {
    let place = generated().join("x64");
    create_folder(&place)?;
    let image = place.join("csample.sys");
    let mut command = Command::new(exe::LINKER);
    command
        .args(FLAGS)
        .arg("-isystem")
        .arg(kit::ddk_headers())
        .arg("-o")
        .arg(&image)
        .arg(workspace::root().join("nt/host/tests/c/sample.c"))
        .args(["-lntoskrnl", "-lhal"]);
    run_quietly("building the driver in C", &mut command)?;
    Ok(image)
}
