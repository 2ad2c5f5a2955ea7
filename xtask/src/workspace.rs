//! Where things are in the workspace.

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

/// The sources of the open kit.
pub fn openkit() -> PathBuf {
    root().join("nt/openkit")
}

/// Everything generated for the drivers. wdk-build wants the target folder below the workspace's
/// `Cargo.lock`, so a `CARGO_TARGET_DIR` of the user's does not count here.
pub fn generated() -> PathBuf {
    root().join("target/kit")
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
