//! Running other programs.

use std::{
    cell::RefCell,
    env,
    ffi::OsStr,
    fs::File,
    io,
    process::{Command, ExitStatus, Output},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use crate::workspace::root;

thread_local! {
    /// Where what this thread runs writes, if not on the terminal.
    #[cfg_attr(windows, allow(
        clippy::missing_const_for_thread_local,
        reason = "it is const, which Clippy does not see in what the macro makes of it there"
    ))]
    static LOG: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Does `work`, with `log` in place of the terminal for what it runs on this thread.
pub fn logging_to<T>(log: File, work: impl FnOnce() -> T) -> T {
    LOG.set(Some(log));
    let result = work();
    LOG.take();
    result
}

/// Runs `command` on the terminal of this program; its failure is an error that names `what`.
pub fn run(what: &str, command: &mut Command) -> Result<()> {
    let status = status(command).with_context(|| cannot_start(what, command))?;
    if !status.success() {
        bail!("{what}: {} failed ({status})", shown(command));
    }
    Ok(())
}

fn status(command: &mut Command) -> io::Result<ExitStatus> {
    LOG.with_borrow(|log| {
        if let Some(log) = log {
            command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        }
        command.status()
    })
}

/// Becomes cargo, run as `command` says: its exit code is this program's.
#[cfg(unix)]
pub fn become_cargo(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()).context("cannot start cargo")
}

/// Runs cargo as `command` says, and ends with its exit code.
#[cfg(not(unix))]
pub fn become_cargo(mut command: Command) -> Result<()> {
    let status = command.status().context("cannot start cargo")?;
    std::process::exit(status.code().unwrap_or(1))
}

/// Runs `command` out of sight; its failure is an error that shows what it wrote.
pub fn run_quietly(what: &str, command: &mut Command) -> Result<Output> {
    let output = command
        .output()
        .with_context(|| cannot_start(what, command))?;
    if !output.status.success() {
        bail!(
            "{what}: {} failed ({})\n{}{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    Ok(output)
}

/// Shows on the terminal that `work` is under way.
pub fn showing_progress<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    let result = work();
    bar.finish_and_clear();
    result
}

fn cannot_start(what: &str, command: &Command) -> String {
    format!("{what}: cannot start {}", command.get_program().display())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The cargo that started this program, at the workspace's root.
pub fn outer_cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Takes what a rustup toolchain and the cargo around this program have set out of the
/// environment of a command, so that another toolchain finds nothing of theirs.
pub fn forget_outer_cargo(command: &mut Command) {
    let outer = [
        "RUSTUP_TOOLCHAIN",
        "RUSTC",
        "RUSTDOC",
        "LD_LIBRARY_PATH",
        "RUSTC_WRAPPER",
    ];
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let package = text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_");
        if package || text == "CARGO" || outer.contains(&&*text) {
            command.env_remove(&name);
        }
    }
}
