//! The Rust toolchain that compiles for the Windows targets.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    process,
    workspace::{Workspace, create_folder, link},
};

/// Where Debian's packages rustc-web and cargo-web put their programs.
const DEBIAN: &str = "/usr/bin";

/// A toolchain whose standard library for a target is there, or can be compiled.
#[derive(Debug)]
pub struct Rust {
    /// The folder of its programs; none is the toolchain in use.
    programs: Option<PathBuf>,
    target: &'static str,
    /// The compiler's release and commit, which everything compiled depends on.
    pub version: String,
    /// The standard library comes as source and has to be compiled along.
    build_std: bool,
}

impl Rust {
    /// Looks for a toolchain for `target`: the one in use, then Debian's.
    pub fn find(target: &'static str) -> Option<Self> {
        Self::in_use(target).or_else(|| Self::at(Some(DEBIAN.into()), target))
    }

    /// The toolchain in use, if it serves for `target`.
    pub fn in_use(target: &'static str) -> Option<Self> {
        Self::at(None, target)
    }

    fn at(programs: Option<PathBuf>, target: &'static str) -> Option<Self> {
        let mut found = Self {
            programs,
            target,
            version: String::new(),
            build_std: false,
        };
        let libraries = found.ask("rustc", &["--print", "sysroot"])?;
        let rustlib = Path::new(libraries.trim()).join("lib/rustlib");
        found.build_std = !has_core(&rustlib.join(target).join("lib"));
        if found.build_std && !rustlib.join("src/rust/library/core/Cargo.toml").is_file() {
            return None;
        }
        found.version = found.ask("rustc", &["--version", "--verbose"])?;
        Some(found)
    }

    /// The standard library is there, compiled.
    pub const fn is_complete(&self) -> bool {
        !self.build_std
    }

    /// Where its cargo puts everything. Compiling the standard library changes what build scripts
    /// see, and artefacts of both kinds in one folder would replace each other.
    fn folder(workspace: Workspace, build_std: bool) -> PathBuf {
        let name = if build_std { "cargo-std" } else { "cargo" };
        workspace.target().join(name)
    }

    /// The folders where some toolchain's cargo puts everything.
    pub fn folders() -> impl Iterator<Item = PathBuf> {
        let kinds = |workspace| [false, true].map(|build_std| Self::folder(workspace, build_std));
        Workspace::ALL.into_iter().flat_map(kinds)
    }

    /// Where its cargo puts what it builds for its target.
    pub fn artefacts(&self, workspace: Workspace, release: bool) -> PathBuf {
        let profile = if release { "release" } else { "debug" };
        Self::folder(workspace, self.build_std)
            .join(self.target)
            .join(profile)
    }

    /// Clippy is there.
    pub fn has_clippy(&self) -> bool {
        self.ask("cargo", &["clippy", "--version"]).is_some()
    }

    /// A cargo command of this toolchain for its target. `library` names the parts of the standard
    /// library that the packages need, should they have to be compiled.
    pub fn cargo(
        &self,
        workspace: Workspace,
        subcommand: &str,
        library: &str,
        release: bool,
    ) -> Result<Command> {
        let folder = Self::folder(workspace, self.build_std);
        share_host_artefacts(&folder, &Self::folder(Workspace::Main, self.build_std))?;
        let mut command = self.program("cargo");
        command
            .current_dir(workspace.root())
            .args([subcommand, "--target", self.target]);
        if workspace == Workspace::Main {
            // The other lock files list what nthost needs on Linux, which changes without them.
            command.arg("--locked");
        }
        if release {
            command.arg("--release");
        }
        command
            .env("CARGO_TARGET_DIR", folder)
            .env("CARGO_PROFILE_DEV_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
        if self.build_std {
            command
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", library);
            // Unoptimised, it calls fma and fmaf, which are nowhere.
            command.args([
                "--config",
                "profile.dev.package.compiler_builtins.opt-level=2",
            ]);
        }
        Ok(command)
    }

    /// Where the compiler says that the source of the standard library is.
    pub fn library_source(&self) -> Option<PathBuf> {
        let root = self.ask("rustc", &["--print", "sysroot"])?;
        Some(Path::new(root.trim()).join("lib/rustlib/src/rust"))
    }

    /// A command of this toolchain's compiler.
    pub fn rustc(&self) -> Command {
        self.program("rustc")
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = self.program(program).args(arguments).output().ok()?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(answer)
    }

    fn program(&self, name: &str) -> Command {
        let Some(folder) = &self.programs else {
            return Command::new(name);
        };
        let mut command = Command::new(folder.join(name));
        process::forget_outer_cargo(&mut command);
        // cargo looks for rustc and for its subcommands there.
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder.clone()).chain(env::split_paths(&path));
        if let Ok(path) = env::join_paths(folders) {
            command.env("PATH", path);
        }
        command
    }
}

/// Has what the host runs, such as bindgen for wdk-build, compiled once: the workspaces' lock files name the
/// same versions. What is compiled for the target stays apart, since the driver model is in it.
fn share_host_artefacts(folder: &Path, main: &Path) -> Result<()> {
    if folder == main {
        return Ok(());
    }
    create_folder(folder)?;
    for profile in ["debug", "release"] {
        let (place, original) = (folder.join(profile), main.join(profile));
        create_folder(&original)?;
        if place.is_symlink() || !place.exists() {
            link(&original, &place)?;
        }
    }
    Ok(())
}

fn has_core(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::share_host_artefacts;

    #[test]
    fn what_the_host_runs_is_shared_after_a_clean_and_a_move() {
        let place = tempfile::tempdir().unwrap();
        let (first, then) = (place.path().join("first"), place.path().join("then"));
        let other = place.path().join("other");
        for main in [&first, &first, &then] {
            share_host_artefacts(&other, main).unwrap();
            fs::write(main.join("release/bindgen"), "").unwrap();
            assert!(other.join("release/bindgen").is_file());
            // As `cargo clean` does, which knows nothing of the other workspaces.
            fs::remove_dir_all(main).unwrap();
        }
    }
}
