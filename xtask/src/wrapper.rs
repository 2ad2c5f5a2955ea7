//! This program in the role of cargo's `RUSTC_WRAPPER`: lets the published wdk-build compile for a
//! Linux host.
//!
//! wdk-build refuses a host other than Windows on purpose, in three places: a `compile_error!`, a
//! use of `std::os::windows`, and the crate `windows`. The wrapper answers each for the host build
//! alone: wdk-build is compiled with `target_os = "windows"` and a standard library that has the
//! missing module, and `windows` with its companions is taken from `nt/openkit/host`. Every other
//! crate, and everything for a Windows target, compiles unchanged. `Cargo.lock` stays as it is.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
    process::{Command, ExitCode},
};

/// Set for cargo by [`crate::build`]: the folder with the stand-in sources.
pub const SOURCES: &str = "OPENKIT_HOST_SOURCES";
/// Set for cargo by [`crate::build`]: the folder with the compiled standard library.
pub const LIBRARIES: &str = "OPENKIT_HOST_LIBRARIES";
/// The name of the standard library that wdk-build gets.
pub const STD: &str = "openkit_host_std";
/// The file that the compiler makes of it.
pub const STD_FILE: &str = "libopenkit_host_std.rlib";

/// Runs the compiler in cargo's stead if cargo started this program for that.
pub fn run_if_asked() -> Option<ExitCode> {
    let sources = env::var_os(SOURCES)?;
    let libraries = env::var_os(LIBRARIES)?;
    let mut arguments = env::args_os().skip(1);
    let compiler = arguments.next()?;
    let arguments = rewritten(
        arguments.collect(),
        Path::new(&sources),
        Path::new(&libraries),
    );
    Some(compile(&compiler, arguments))
}

/// Runs the compiler; its exit code is this program's.
pub fn compile(compiler: &OsStr, arguments: Vec<OsString>) -> ExitCode {
    match Command::new(compiler).args(arguments).status() {
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("error: cannot start {}: {error}", compiler.display());
            ExitCode::FAILURE
        }
    }
}

fn rewritten(mut arguments: Vec<OsString>, sources: &Path, libraries: &Path) -> Vec<OsString> {
    if arguments.iter().any(|argument| argument == "--target") {
        return arguments;
    }
    let name = arguments
        .iter()
        .position(|argument| argument == "--crate-name")
        .and_then(|at| arguments.get(at + 1))
        .and_then(|name| name.to_str());
    let stand_in = match name {
        Some("windows") => Some("windows.rs"),
        Some(
            "windows_collections" | "windows_future" | "windows_numerics" | "windows_threading",
        ) => Some("empty.rs"),
        _ => None,
    };
    let is_wdk_build = name == Some("wdk_build");
    if let Some(stand_in) = stand_in {
        for argument in &mut arguments {
            if Path::new(&*argument).extension() == Some(OsStr::new("rs")) {
                *argument = sources.join(stand_in).into();
            }
        }
    }
    if is_wdk_build {
        arguments.extend(
            [
                "--cfg",
                "target_os=\"windows\"",
                "-Aexplicit_builtin_cfgs_in_flags",
            ]
            .map(Into::into),
        );
        let library = libraries.join(STD_FILE);
        arguments.extend([
            "--extern".into(),
            format!("std={}", library.display()).into(),
        ]);
    }
    // Whoever depends on wdk-build depends on its standard library.
    arguments.extend([
        "-L".into(),
        format!("dependency={}", libraries.display()).into(),
    ]);
    arguments
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, path::Path};

    use super::rewritten;

    fn compiled(line: &str) -> Vec<String> {
        let arguments = line.split(' ').map(OsString::from).collect();
        let result = rewritten(arguments, Path::new("/sources"), Path::new("/libraries"));
        result
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_windows_target_compiles_unchanged() {
        for name in ["windows", "windows_future", "wdk_build"] {
            let line = format!("--crate-name {name} src/lib.rs --target x86_64-pc-windows-gnu");
            assert_eq!(compiled(&line).join(" "), line);
        }
    }

    #[test]
    fn a_host_crate_only_finds_what_wdk_build_depends_on() {
        let words = compiled("--crate-name bindgen bindgen/lib.rs");
        assert_eq!(
            words,
            [
                "--crate-name",
                "bindgen",
                "bindgen/lib.rs",
                "-L",
                "dependency=/libraries"
            ]
        );
    }

    #[test]
    fn windows_and_its_companions_come_from_the_kit() {
        let words = compiled("--crate-name windows /registry/windows/src/lib.rs -Copt-level=0");
        assert_eq!(words[2], "/sources/windows.rs");
        let words = compiled("--crate-name windows_threading src/lib.rs");
        assert_eq!(words[2], "/sources/empty.rs");
    }

    #[test]
    fn wdk_build_gets_its_own_file_another_standard_library_and_the_cfg() {
        let words = compiled("--crate-name wdk_build src/lib.rs");
        assert_eq!(words[2], "src/lib.rs");
        assert!(
            words.contains(&"target_os=\"windows\"".to_owned()),
            "{words:?}"
        );
        let std = "std=/libraries/libopenkit_host_std.rlib".to_owned();
        assert!(words.contains(&std), "{words:?}");
    }
}
