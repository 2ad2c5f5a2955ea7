//! Where things are in the workspace.

#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The root of the workspace: the folder above this package's.
pub fn root() -> PathBuf {
    let mut folder = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    folder.pop();
    folder
}

/// A workspace of drivers. wdk-build takes one driver model for each, which it finds by the
/// `Cargo.lock` above its target folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workspace {
    /// The root: KMDF, and everything that is no driver.
    Main,
    /// `tests/wdm`: WDM.
    Wdm,
    /// `tests/lockbench`: WDM, with what wdk-mutex wants.
    Lockbench,
}

impl Workspace {
    /// Every workspace that there is.
    pub const ALL: [Self; 3] = [Self::Main, Self::Wdm, Self::Lockbench];

    /// Its folder.
    pub fn root(self) -> PathBuf {
        match self {
            Self::Main => root(),
            Self::Wdm => root().join("tests/wdm"),
            Self::Lockbench => root().join("tests/lockbench"),
        }
    }

    /// Where its images are compiled, whatever `CARGO_TARGET_DIR` of the user's says.
    pub fn target(self) -> PathBuf {
        self.root().join("target/kit")
    }
}

/// The fuzzer, a workspace of its own and none of drivers.
pub fn fuzz_folder() -> PathBuf {
    root().join("tests/fuzz")
}

/// The sources of the open kit.
pub fn openkit() -> PathBuf {
    root().join("nt/openkit")
}

/// Everything generated for the drivers: the kit, and the finished images.
pub fn generated() -> PathBuf {
    Workspace::Main.target()
}

/// Creates `path` and its parents.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create the folder {}", path.display()))
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes `contents` to the file at `path`, unless that is what it holds: its time stays then, and
/// nothing is built anew on its account.
pub fn write_if_changed(path: &Path, contents: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == contents) {
        return Ok(());
    }
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

/// Links are for the kit, which is for machines without Microsoft's.
#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Has `place` lead to `original`, wherever an older link led.
pub fn link(original: &Path, place: &Path) -> Result<()> {
    if fs::read_link(place).is_ok_and(|present| present == original) {
        return Ok(());
    }
    if place.is_symlink() {
        fs::remove_file(place).with_context(|| format!("cannot replace {}", place.display()))?;
    }
    symlink(original, place).with_context(|| format!("cannot create {}", place.display()))
}
