//! The Rust toolchain that compiles for the msvc targets.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{arch::Arch, process};

/// A toolchain whose core library for Windows is there, or can be compiled.
#[derive(Debug)]
pub struct Rust {
    /// Its cargo.
    pub cargo: PathBuf,
    /// Its compiler.
    pub rustc: PathBuf,
    /// The compiler's release and commit, which the artefacts depend on.
    pub version: String,
    /// The core library comes as source and has to be compiled along.
    pub build_std: bool,
}

impl Rust {
    /// Looks for a toolchain for `arch`: the one in use, then Debian's.
    pub fn find(arch: Arch) -> Option<Self> {
        [("cargo", "rustc"), ("/usr/bin/cargo", "/usr/bin/rustc")]
            .into_iter()
            .find_map(|(cargo, rustc)| Self::at(cargo, rustc, arch))
    }

    fn at(cargo: &str, rustc: &str, arch: Arch) -> Option<Self> {
        let ask = |arguments: &[&str]| {
            let mut command = Command::new(rustc);
            if rustc.starts_with('/') {
                process::forget_outer_cargo(&mut command);
            }
            let output = command.args(arguments).output().ok()?;
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let sysroot = ask(&["--print", "sysroot"])?;
        let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
        let precompiled = has_core(&rustlib.join(arch.target()).join("lib"));
        let source = rustlib.join("src/rust/library/core/Cargo.toml").is_file();
        let version = ask(&["--version", "--verbose"])?;
        (precompiled || source).then(|| Self {
            cargo: cargo.into(),
            rustc: rustc.into(),
            version,
            build_std: !precompiled,
        })
    }

    /// A command of this toolchain's cargo.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        if self.cargo.is_absolute() {
            process::forget_outer_cargo(&mut command);
            command.env("RUSTC", &self.rustc);
        }
        command
    }

    /// A command of this toolchain's compiler.
    pub fn rustc(&self) -> Command {
        let mut command = Command::new(&self.rustc);
        if self.rustc.is_absolute() {
            process::forget_outer_cargo(&mut command);
        }
        command
    }
}

fn has_core(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    })
}
