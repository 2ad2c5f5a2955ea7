//! What the linker looks for when it links a program for ARM64, made of `nt/openkit/user`.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    arch::Arch,
    definition,
    kit::hash_files,
    llvm::Llvm,
    process::run_quietly,
    workspace::{create_folder, generated, openkit, write_if_changed},
};

/// Libraries that crates name, and of which this program uses nothing.
const EMPTY: [&str; 5] = ["dbghelp", "gdi32", "msimg32", "synchronization", "winspool"];
/// The C library as std names it: its part in Windows, and [`START`].
const C_LIBRARY: &str = "msvcrt.lib";
/// Where mathematics come from.
const MATHEMATICS: &str = "api-ms-win-crt-math-l1-1-0";
const START: &str = "start.c";
const FLAGS: [&str; 9] = [
    "-std=c17",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-builtin",
    "-nostdlibinc",
    "-c",
];

/// The sources.
pub fn sources() -> PathBuf {
    openkit().join("user")
}

/// Brings the libraries up to date and gives their folder, which has another name once they change:
/// cargo does not watch libraries, but links anew for another folder.
pub fn prepare(llvm: &Llvm) -> Result<PathBuf> {
    let mut state = DefaultHasher::new();
    llvm.tool("clang").hash(&mut state);
    hash_files(&sources().join("def"), &mut state)?;
    hash_files(&sources(), &mut state)?;
    let folder = generated().join(format!("user/arm64-{:016x}", state.finish()));
    let stamp = folder.join("complete");
    if stamp.is_file() {
        return Ok(folder);
    }
    create_folder(&folder)?;
    for name in definition::names(&sources().join("def"))? {
        let mut command = Command::new(llvm.tool("llvm-dlltool"));
        command.args(["-m", Arch::Arm64.dlltool_machine(), "-d"]);
        command.arg(sources().join(format!("def/{name}.def")));
        command.arg("-l").arg(folder.join(format!("{name}.lib")));
        run_quietly("making an import library", &mut command)?;
    }
    for name in EMPTY {
        write_if_changed(&folder.join(format!("{name}.lib")), b"!<arch>\n")?;
    }
    make_c_library(llvm, &folder)?;
    fs::write(&stamp, "").with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(folder)
}

fn make_c_library(llvm: &Llvm, folder: &Path) -> Result<()> {
    let object = folder.join("start.obj");
    let mut compile = Command::new(llvm.tool("clang"));
    compile
        .arg(format!("--target={}", Arch::Arm64.target()))
        .args(FLAGS)
        .arg(sources().join(START))
        .arg("-o")
        .arg(&object);
    run_quietly("compiling what starts a program", &mut compile)?;
    let mut archive = Command::new(llvm.tool("llvm-lib"));
    archive
        .arg(format!("/out:{}", folder.join(C_LIBRARY).display()))
        .arg(&object)
        .arg(folder.join(format!("{MATHEMATICS}.lib")));
    run_quietly("making the C library", &mut archive)?;
    Ok(())
}
