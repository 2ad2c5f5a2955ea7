//! The standard library from rustup, where that is how Rust came to the machine.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::on_path;
use crate::{
    process::showing_progress,
    rust::Rust,
    workspace::{create_folder, generated, write_if_changed},
};

/// How long a download may take. One that fails does so in seconds; one that hangs is not worth
/// more, since Debian's packages serve as well.
const PATIENCE: Duration = Duration::from_mins(2);

/// Adds `target`, or else the standard library's source, to the rustup toolchain in use, if it comes
/// from rustup. A failure is no error, and is remembered: other builds do not try again.
pub fn try_add(target: &'static str) -> Result<()> {
    if on_path("rustup").is_none() || failure(target).exists() {
        return Ok(());
    }
    println!("missing: Rust's standard library for {target}\nrunning: rustup target add {target}");
    if showing_progress("downloading", || succeeds(&["target", "add", target])) {
        return Ok(());
    }
    println!("rustup does not have it.");
    create_folder(&generated())?;
    write_if_changed(&failure(target), b"rustup target add failed\n")?;
    if Rust::in_use(target).is_none() {
        println!("running: rustup component add rust-src");
        showing_progress("downloading", || {
            succeeds(&["component", "add", "rust-src"])
        });
    }
    Ok(())
}

/// Lets the next [`try_add`] try again.
pub fn forget_failures() -> Result<()> {
    for entry in fs::read_dir(generated()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "no-rustup")
        {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn failure(target: &str) -> PathBuf {
    generated().join(format!("{target}.no-rustup"))
}

fn succeeds(arguments: &[&str]) -> bool {
    let mut command = Command::new("rustup");
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(50)),
            Ok(Some(status)) => return status.success(),
            Err(_) => break,
        }
    }
    // Nothing more can be done about a child that cannot be ended.
    let _ = child.kill();
    let _ = child.wait();
    false
}
