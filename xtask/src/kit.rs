//! The open kit on disk: lays out, under `target/kit`, the folder that wdk-build takes for the
//! Windows Driver Kit, from `nt/openkit` and the headers of mingw-w64.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    arch::Arch,
    llvm::Llvm,
    process::run_quietly,
    rust::Rust,
    workspace::{create_folder, generated, link, openkit, read, write_if_changed},
    wrapper,
};

/// The version that the kit goes by: wdk-build wants one of this form.
pub const VERSION: &str = "10.0.26100.0";
/// The version of KMDF that the driver asks for and the kit has.
pub const KMDF_VERSION: &str = "1.33";
/// The first build of Windows that has it: Windows Server 2022. Of the clients that is 22000, Windows 11
/// version 21H2. Page: KMDF Version History.
pub const LOWEST_BUILD: u32 = 20348;
/// Where Debian's mingw-w64-common puts the headers.
const MINGW_HEADERS: &str = "/usr/share/mingw-w64/include";

/// Import libraries: the file's name, and the image whose exports `nt/openkit/def` lists.
const IMPORTS: [(&str, &str, &str); 4] = [
    ("ntoskrnl", "ntoskrnl.def", "km"),
    ("hal", "hal.def", "km"),
    ("wmilib", "wmilib.def", "km"),
    ("WdfLdr", "wdfldr.def", "wdf"),
];
/// The file that wdk-macros keeps, from its build script's folder.
const SIGNATURES: &str = "out/wdk_macros_ast_fragments/cached_function_info_map.json";
/// Libraries that wdk-build links and nothing needs.
const EMPTY: [&str; 2] = ["BufferOverflowFastFailK", "arm64rt"];

/// mingw-w64's DDK headers are there.
pub fn has_headers() -> bool {
    ddk_headers().join("wdm.h").is_file()
}

/// The folder of mingw-w64's DDK headers.
pub fn ddk_headers() -> PathBuf {
    Path::new(MINGW_HEADERS).join("ddk")
}

/// The folder to hand to wdk-build as `WDKContentRoot`.
pub fn content_root() -> PathBuf {
    generated().join("wdk")
}

/// The folder of the kernel's import libraries.
pub fn kernel_libraries(arch: Arch) -> PathBuf {
    content_root()
        .join("Lib")
        .join(VERSION)
        .join("km")
        .join(arch.kit_folder())
}

/// The folder of the standard library that lets wdk-build compile on this host. Each compiler has
/// its own, since none reads another's.
pub fn host_libraries(rust: &Rust) -> Result<PathBuf> {
    let mut state = DefaultHasher::new();
    rust.version.hash(&mut state);
    read(&host_standard_library())?.hash(&mut state);
    Ok(generated().join(format!("host/{:016x}", state.finish())))
}

fn host_standard_library() -> PathBuf {
    openkit().join("host/std.rs")
}

/// Brings the kit up to date for `arch`.
pub fn prepare(arch: Arch, llvm: &Llvm, rust: &Rust) -> Result<()> {
    lay_out_headers()?;
    make_libraries(arch, llvm)?;
    make_host_standard_library(rust)
}

fn lay_out_headers() -> Result<()> {
    let mingw = Path::new(MINGW_HEADERS);
    let include = content_root().join("Include");
    let version = include.join(VERSION);
    create_folder(&version.join("km/ufx/1.1"))?;
    create_folder(&include.join("wdf/kmdf"))?;
    link(&openkit().join("include/crt"), &version.join("km/crt"))?;
    link(mingw, &version.join("shared"))?;
    link(
        &openkit().join("include/wdf"),
        &include.join("wdf/kmdf").join(KMDF_VERSION),
    )?;
    for entry in fs::read_dir(ddk_headers()).context("cannot list mingw-w64's DDK headers")? {
        let header = entry.context("cannot list mingw-w64's DDK headers")?;
        link(&header.path(), &version.join("km").join(header.file_name()))?;
    }
    Ok(())
}

fn make_libraries(arch: Arch, llvm: &Llvm) -> Result<()> {
    let km = kernel_libraries(arch);
    let wdf = content_root()
        .join("Lib/wdf/kmdf")
        .join(arch.kit_folder())
        .join(KMDF_VERSION);
    create_folder(&km)?;
    create_folder(&wdf)?;

    let mut state = DefaultHasher::new();
    llvm.tool("clang").hash(&mut state);
    for folder in ["def", "entry", "include/crt", "include/wdf"] {
        hash_files(&openkit().join(folder), &mut state)?;
    }
    let stamp = content_root().join(format!("{}.stamp", arch.name()));
    let state = format!("{:016x}", state.finish());
    if fs::read_to_string(&stamp).is_ok_and(|present| present == state) {
        return Ok(());
    }

    for (library, definition, folder) in IMPORTS {
        let folder = if folder == "km" { &km } else { &wdf };
        let mut command = Command::new(llvm.tool("llvm-dlltool"));
        command.args(["-m", arch.dlltool_machine(), "-d"]);
        command.arg(openkit().join("def").join(definition));
        command.arg("-l").arg(folder.join(format!("{library}.lib")));
        run_quietly("making an import library of the kit", &mut command)?;
    }
    for library in EMPTY {
        write_if_changed(&km.join(format!("{library}.lib")), b"!<arch>\n")?;
    }
    make_entry_library(arch, llvm, &wdf)?;
    forget_outdated(arch)?;
    write_if_changed(&stamp, state.as_bytes())
}

fn make_entry_library(arch: Arch, llvm: &Llvm, folder: &Path) -> Result<()> {
    let object = folder.join("wdfdriverentry.obj");
    let mut compile = Command::new(llvm.tool("clang"));
    compile.args(c_flags(arch));
    compile.args([
        "-O2",
        "-c",
        "-D_KERNEL_MODE",
        "-DKMDF_VERSION_MAJOR=1",
        "-DKMDF_VERSION_MINOR=33",
    ]);
    compile.args(arch.definitions());
    compile.args(
        include_folders()
            .iter()
            .map(|path| format!("-I{}", path.display())),
    );
    compile
        .arg("-o")
        .arg(&object)
        .arg(openkit().join("entry/wdfdriverentry.c"));
    run_quietly("compiling the kit's entry library", &mut compile)?;

    let mut archive = Command::new(llvm.tool("llvm-lib"));
    archive
        .arg(format!(
            "/out:{}",
            folder.join("WdfDriverEntry.lib").display()
        ))
        .arg(&object);
    run_quietly("making the kit's entry library", &mut archive)?;
    Ok(())
}

/// How clang compiles C code of drivers with the kit's headers.
pub fn c_flags(arch: Arch) -> Vec<String> {
    let target = format!("--target={}", arch.target());
    let fixed = [
        "-nostdlibinc",
        "-fms-compatibility",
        "-fms-extensions",
        "-fno-builtin",
        "-Wno-deprecated-declarations",
        "-Wno-ignored-attributes",
        "-Wno-microsoft",
        "-Wno-pragma-pack",
    ];
    std::iter::once(target)
        .chain(fixed.map(Into::into))
        .collect()
}

fn include_folders() -> [PathBuf; 4] {
    let include = content_root().join("Include");
    let version = include.join(VERSION);
    [
        version.join("km/crt"),
        version.join("km"),
        version.join("shared"),
        include.join("wdf/kmdf").join(KMDF_VERSION),
    ]
}

/// Removes what cargo takes for up to date although the kit below it has changed: images, since it
/// does not watch libraries, and what wdk-macros has read of the WDF functions, which it keeps beside
/// the crate `scratch` and never reads again.
fn forget_outdated(arch: Arch) -> Result<()> {
    for folder in Rust::folders() {
        for profile in ["debug", "release"] {
            let images = folder.join(arch.target()).join(profile).join("deps");
            for image in [
                "lockbench.dll",
                "noticeboard.dll",
                "syncstress.dll",
                "wdfldr.dll",
            ] {
                forget(&images.join(image))?;
            }
            let build_scripts = fs::read_dir(folder.join(profile).join("build"));
            for build_script in build_scripts.into_iter().flatten().flatten() {
                forget(&build_script.path().join(SIGNATURES))?;
            }
        }
    }
    Ok(())
}

fn forget(file: &Path) -> Result<()> {
    if file.is_file() {
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

fn make_host_standard_library(rust: &Rust) -> Result<()> {
    let folder = host_libraries(rust)?;
    if folder.join(wrapper::STD_FILE).is_file() {
        return Ok(());
    }
    create_folder(&folder)?;
    let mut command = rust.rustc();
    command.args([
        "--edition=2024",
        "--crate-type=rlib",
        "--crate-name",
        wrapper::STD,
        "-O",
    ]);
    command
        .arg("--out-dir")
        .arg(&folder)
        .arg(host_standard_library());
    run_quietly("compiling the host's part of the kit", &mut command)?;
    Ok(())
}

/// Hashes the files of a folder, with their names.
pub fn hash_files(folder: &Path, state: &mut DefaultHasher) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<_> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    for file in files {
        file.file_name().hash(state);
        read(&file)?.hash(state);
    }
    Ok(())
}
